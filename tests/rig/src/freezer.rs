// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A process that no signal ends, as one that waits for a disk for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use crate::{process, wait};

/// How long the kernel may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A frozen process. It goes on when this is dropped, and then minds what it was sent meanwhile.
///
/// Version 1 of the freezer is the one from which not even SIGKILL gets out. It can be mounted beside version 2.
#[derive(Debug)]
pub struct Frozen {
    pid: i32,
    group: PathBuf,
    _mounted: tempfile::TempDir,
}

impl Frozen {
    /// Freezes a process.
    #[must_use]
    pub fn new(pid: i32) -> Self {
        // In the mount namespace of this program: it goes with the program, if not before.
        let mounted = tempfile::tempdir().expect("a folder for the freezer");
        let at = mounted.path();
        mount(
            Some("freezer"),
            at,
            Some("cgroup"),
            MsFlags::empty(),
            Some("freezer"),
        )
        .expect("the kernel's freezer (CONFIG_CGROUP_FREEZER)");
        let group = at.join(format!("spvirt-rig-{pid}"));
        fs::create_dir(&group).expect("a group in the freezer");
        let frozen = Self {
            pid,
            group,
            _mounted: mounted,
        };
        tell(&frozen.group.join("cgroup.procs"), &pid.to_string());
        tell(&frozen.group.join("freezer.state"), "FROZEN");
        wait::until("the process is frozen", PATIENCE, || {
            let state = fs::read_to_string(frozen.group.join("freezer.state")).ok()?;
            (state.trim() == "FROZEN").then_some(())
        });
        frozen
    }
}

/// Writes one word.
fn tell(file: &Path, word: &str) {
    fs::write(file, word).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = fs::write(self.group.join("freezer.state"), "THAWED");
        if process::lives(self.pid) {
            let above = self.group.with_file_name("cgroup.procs");
            let _ = fs::write(above, self.pid.to_string());
        }
        let _ = wait::attempt("the freezer's group is empty", PATIENCE, || {
            fs::remove_dir(&self.group).ok()
        });
        let at = self.group.parent().expect("a mount point");
        let _ = nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH);
    }
}
