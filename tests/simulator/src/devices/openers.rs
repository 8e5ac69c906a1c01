// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Who has a block device open: by device number, over all of `/proc`, because the clients' nodes live in
//! mount namespaces of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use serde::Serialize;

/// `O_PATH`: the file is named, not opened.
const O_PATH: u32 = 0o10_000_000;

/// One process that has a device open (or a mount or another device that sits on it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opener {
    /// Device number.
    pub rdev: u64,
    /// Process; 0 for the kernel itself.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// By what name it opened the device.
    pub path: String,
    /// It may write.
    pub writes: bool,
}

impl Opener {
    /// udev, and each `losetup --find`, look at devices for some milliseconds by the name `/dev/loopN`. That is
    /// nobody's use of a volume: a client knows it by another name.
    pub fn is_probe(&self) -> bool {
        self.path.starts_with("/dev/loop")
    }
}

/// Whether nobody has one of the devices open, or only those that look at every new device for a moment.
pub fn only_probes(devices: &BTreeSet<u64>) -> bool {
    scan(devices).iter().all(Opener::is_probe)
}

/// Everyone who has one of the devices open.
pub fn scan(devices: &BTreeSet<u64>) -> Vec<Opener> {
    let mut found = descriptors(devices);
    found.extend(mounts(devices));
    found.extend(holders(devices));
    found
}

fn processes() -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path())))
}

fn comm(process: &Path) -> String {
    fs::read_to_string(process.join("comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// Open file descriptors only: cheap enough to be asked often.
pub fn descriptors(devices: &BTreeSet<u64>) -> Vec<Opener> {
    let mut found = Vec::new();
    for (pid, process) in processes() {
        for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let Ok(meta) = fs::metadata(fd.path()) else {
                continue;
            };
            if !meta.file_type().is_block_device() || !devices.contains(&meta.rdev()) {
                continue;
            }
            let path = fs::read_link(fd.path())
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let Some(flags) = flags(&process.join("fdinfo").join(fd.file_name())) else {
                continue;
            };
            if flags & O_PATH == 0 {
                let writes = flags & 0o3 != 0;
                found.push(Opener {
                    rdev: meta.rdev(),
                    pid,
                    comm: comm(&process),
                    path,
                    writes,
                });
            }
        }
    }
    found
}

fn flags(fdinfo: &Path) -> Option<u32> {
    let text = fs::read_to_string(fdinfo).ok()?;
    let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(octal.trim(), 8).ok()
}

/// Mounted file systems, each mount namespace once.
fn mounts(devices: &BTreeSet<u64>) -> Vec<Opener> {
    let names: BTreeMap<String, u64> = devices
        .iter()
        .map(|d| (format!("{}:{}", major(*d), minor(*d)), *d))
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (pid, process) in processes() {
        let Ok(namespace) = fs::read_link(process.join("ns/mnt")) else {
            continue;
        };
        if !seen.insert(namespace) {
            continue;
        }
        let table = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
        let numbers = table.lines().filter_map(|line| line.split(' ').nth(2));
        for rdev in numbers.filter_map(|number| names.get(number)) {
            found.push(Opener {
                rdev: *rdev,
                pid,
                comm: "mount".to_owned(),
                path: String::new(),
                writes: true,
            });
        }
    }
    found
}

/// Devices stacked upon ours.
fn holders(devices: &BTreeSet<u64>) -> Vec<Opener> {
    let mut found = Vec::new();
    for rdev in devices {
        let folder = format!("/sys/dev/block/{}:{}/holders", major(*rdev), minor(*rdev));
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let comm = entry.file_name().to_string_lossy().into_owned();
            found.push(Opener {
                rdev: *rdev,
                pid: 0,
                comm,
                path: String::new(),
                writes: true,
            });
        }
    }
    found
}
