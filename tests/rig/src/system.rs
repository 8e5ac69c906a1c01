// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A host whose root is another system: a folder with a whole Debian, say, in which the product is installed as a
//! package. The folder itself never changes: the host writes to a copy-on-write version of it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use crate::init::{self, Plan};

/// Where systemd lies; `/sbin/init` may be a link that leads out of the root while nobody is inside it yet.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// What a host has as its root instead of the machine's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct System {
    /// Folders that lie on top of each other, the topmost first.
    layers: Vec<PathBuf>,
    /// systemd is process 1, and starts what the system wants to have started.
    pub(crate) booted: bool,
}

impl System {
    /// Hosts whose libvirtd the rig starts, as on the machine's own root. `layers` are folders that lie on top of each
    /// other, the topmost first.
    #[must_use]
    pub fn unbooted(layers: &[PathBuf]) -> Self {
        let layers = layers.to_vec();
        Self {
            layers,
            booted: false,
        }
    }

    /// Hosts that systemd boots.
    #[must_use]
    pub fn booted(layers: &[PathBuf]) -> Self {
        let layers = layers.to_vec();
        Self { layers, booted: true }
    }
}

/// Builds the host's view on `system` and makes it this process's root.
pub(crate) fn build(plan: &Plan, system: &System) {
    // Else the parent, which is in the same mount namespace, would get the new root too.
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace of its own");
    init::bind_flags(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC);
    let disk = plan.folder.join("root");
    let root = disk.join("merged");
    fs::create_dir_all(&root).expect("a folder for the host's root");
    mount_layers(system, &disk, &root);
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    for folder in ["/dev", "/proc", "/sys", "/run"].map(inside) {
        fs::create_dir_all(folder).expect("a mount point in the host's root");
    }
    init::mount_fs("proc", &inside("/proc"), "");
    init::devices(&inside("/dev"));
    if system.booted {
        // Else systemd would ask on the machine's console for a login.
        fs::remove_file(inside("/dev/console")).expect("no console");
    }
    sysfs(&inside("/sys"), system.booted);
    init::mount_fs("tmpfs", &inside("/run"), "mode=755");
    for (path, content) in [("/etc/hostname", plan.name.as_str()), ("/etc/hosts", "")] {
        fs::write(inside(path), content).expect("a file of the host's");
    }
    init::bind(&plan.hosts, &inside("/etc/hosts"));
    for path in init::EXPECTED {
        fs::create_dir_all(inside(path)).expect("a folder libvirt expects");
    }
    init::own_boot(&root);
    enter(&root);
}

/// The layers, with a folder on the host's disk for what it writes.
fn mount_layers(system: &System, disk: &Path, root: &Path) {
    let (upper, work) = (disk.join("upper"), disk.join("work"));
    for folder in [&upper, &work] {
        fs::create_dir_all(folder).expect("a folder of an overlay");
    }
    let lower: Vec<OsString> = system.layers.iter().map(|l| l.clone().into_os_string()).collect();
    let lower = lower.join(":".as_ref());
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.to_str().expect("the path of a system"),
        upper.display(),
        work.display()
    );
    init::mount_fs("overlay", root, &options);
}

/// /sys of the host's network namespace. A booted host has a tree of cgroups of its own and may write to nothing else:
/// udev stays off, which would handle the machine's devices.
fn sysfs(at: &Path, booted: bool) {
    init::mount_fs("sysfs", at, "");
    let cgroups = at.join("fs/cgroup");
    if booted {
        init::mount_fs("cgroup2", &cgroups, "");
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        init::bind_flags(at, flags);
    } else {
        bind_recursively(Path::new("/sys/fs/cgroup"), &cgroups);
    }
}

/// Makes `root` this process's root; the machine's goes out of sight.
fn enter(root: &Path) {
    let old = root.join("mnt");
    fs::create_dir_all(&old).expect("a place for the machine's root");
    nix::unistd::pivot_root(root, &old).expect("the host's root");
    nix::unistd::chdir("/").expect("the host's root");
    umount2("/mnt", MntFlags::MNT_DETACH).expect("the machine's root unmounted");
}

/// Becomes systemd. It must never outlive its parent, which knows when the test has gone.
pub(crate) fn boot() -> ! {
    let error = Command::new(SYSTEMD)
        .args(["--system", "--show-status=no", "--log-target=journal"])
        .env_clear()
        // systemd's own word for "no hardware here".
        .env("container", "spvirt-rig")
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .exec();
    panic!("{SYSTEMD}: {error}");
}

/// A cgroup of the host's own: two systemds in one tree would end each other's processes.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// The whole tree, mounted for us.
    tree: PathBuf,
    /// Where this process was before, below `tree`.
    before: PathBuf,
    own: PathBuf,
}

impl Cgroup {
    /// Makes it and moves this process into it. Needs a mount namespace of its own.
    pub(crate) fn enter(plan: &Plan) -> Self {
        let tree = plan.folder.join("cgroups");
        fs::create_dir_all(&tree).expect("a folder for the cgroups");
        init::mount_fs("cgroup2", &tree, "");
        let lines = fs::read_to_string("/proc/self/cgroup").expect("our cgroup");
        let before = lines.lines().find_map(|line| line.strip_prefix("0::/"));
        let before = tree.join(before.expect("cgroup v2, also beside v1"));
        let cluster = plan.folder.ancestors().nth(2).and_then(Path::file_name);
        let cluster = cluster.expect("the cluster's folder").to_string_lossy();
        let own = before.join(format!("{cluster}-{}", plan.name));
        fs::create_dir_all(&own).expect("a cgroup");
        fs::write(own.join("cgroup.procs"), "0").expect("into our cgroup");
        Self { tree, before, own }
    }

    /// Goes back: only the host shall be in it.
    pub(crate) fn leave(&self) {
        fs::write(self.before.join("cgroup.procs"), "0").expect("back into our cgroup");
    }

    /// Removes it, with those that systemd has made in it. Its processes are dead, or about to be.
    pub(crate) fn remove(&self) {
        let _ = crate::wait::attempt(
            "a host's cgroup to go",
            std::time::Duration::from_secs(10),
            || {
                remove_tree(&self.own);
                (!self.own.exists()).then_some(())
            },
        );
        let _ = umount2(&self.tree, MntFlags::MNT_DETACH);
    }
}

/// Removes a cgroup: its folders from below; its files go with them.
fn remove_tree(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// The cgroups that are named after a cluster's folder, wherever cgroups are mounted.
pub(crate) fn cgroups_of(folder: &Path) -> Vec<String> {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let lines = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = lines
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let trees = mounts
        .lines()
        .filter(|line| line.contains(" - cgroup2 "))
        .filter_map(|line| line.split(' ').nth(4));
    let entries = trees.flat_map(|tree| fs::read_dir(Path::new(tree).join(own)).into_iter().flatten());
    let named = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&name));
    named
        .map(|entry| format!("cgroup {}", entry.path().display()))
        .collect()
}

/// Shows what the machine's cgroups are.
pub(crate) fn bind_recursively(source: &Path, at: &Path) {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), at, None::<&str>, flags, None::<&str>).expect("cgroups");
}
