// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a client sees in its `/dev`: the node `sp-N` and the links by name and by global id.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, mknod};
use serde::{Deserialize, Serialize};

/// Where and under which names a device stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The client's `/dev`.
    pub root: PathBuf,
    /// N of `sp-N`.
    pub pos: u16,
    /// Name; none for a volume that has none.
    pub name: Option<String>,
    /// Global id.
    pub gid: String,
    /// It has its links, not only the node.
    pub linked: bool,
}

impl Placement {
    fn node(&self) -> PathBuf {
        self.root.join(format!("sp-{}", self.pos))
    }

    fn links(&self) -> Vec<PathBuf> {
        let by_name = self.name.iter().map(|name| self.root.join("storpool").join(name));
        by_name
            .chain([self.root.join("storpool-byid").join(&self.gid)])
            .collect()
    }

    fn target(&self) -> PathBuf {
        PathBuf::from(format!("../sp-{}", self.pos))
    }

    /// Makes node and links for the device number; what stands there in their place is replaced.
    pub fn place(&self, rdev: u64) -> io::Result<()> {
        if !self.root.is_dir() {
            return Err(io::Error::other(format!(
                "device root {} is not there",
                self.root.display()
            )));
        }
        let node = self.node();
        if !is_device(&node, rdev) {
            remove(&node)?;
            mknod(&node, SFlag::S_IFBLK, Mode::from_bits_truncate(0o660), rdev)?;
            fs::set_permissions(&node, fs::Permissions::from_mode(0o660))?;
        }
        for link in self.links().into_iter().filter(|_| self.linked) {
            if let Some(folder) = link.parent() {
                fs::create_dir_all(folder)?;
            }
            if fs::read_link(&link).ok() != Some(self.target()) {
                remove(&link)?;
                symlink(self.target(), &link)?;
            }
        }
        Ok(())
    }

    /// Takes links and node away, as far as they are still those of this device.
    pub fn withdraw(&self, rdev: u64) {
        let node = self.node();
        if is_device(&node, rdev) {
            for link in self.links() {
                if fs::read_link(&link).ok() == Some(self.target()) {
                    report("remove", &link, remove(&link));
                }
            }
            report("remove", &node, remove(&node));
        }
    }

    /// Takes away the links of a placement that `next` does not have.
    pub fn withdraw_beyond(&self, next: &Self, rdev: u64) {
        if self.root != next.root || self.pos != next.pos {
            self.withdraw(rdev);
            return;
        }
        let keep = next.links();
        for link in self.links().into_iter().filter(|link| !keep.contains(link)) {
            report("remove", &link, remove(&link));
        }
    }
}

fn is_device(node: &Path, rdev: u64) -> bool {
    fs::symlink_metadata(node).is_ok_and(|m| m.file_type().is_block_device() && m.rdev() == rdev)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Logs a failure that nobody waits for.
pub fn report(what: &str, path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        crate::say(&format!("cannot {what} {}: {error}", path.display()));
    }
}
