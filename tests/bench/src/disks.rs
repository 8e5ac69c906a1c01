// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The "StorPool" block devices of the bench: one small loop device per volume, and the links that the canned API
//! makes and takes away as it is told.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writable volumes.
pub const VOLUMES: u16 = 64;
/// All objects: the last ones are snapshots.
pub const OBJECTS: u16 = VOLUMES + 2;

const BY_NAME: &str = "/dev/storpool";
const BY_ID: &str = "/dev/storpool-byid";
const SIZE: u64 = 1 << 20;

/// The name of an object.
pub fn name(number: u16) -> String {
    format!("bench-{number}")
}

/// The global id of an object.
pub fn global_id(number: u16) -> String {
    format!("b.n.{number}")
}

/// The link a domain names an object by.
pub fn link(number: u16) -> PathBuf {
    Path::new(BY_NAME).join(name(number))
}

/// The object that an API request calls `name`: by name, or by `~` and global id.
pub fn number(name: &str) -> Option<u16> {
    let digits = name.strip_prefix("bench-").or_else(|| name.strip_prefix("~b.n."));
    digits?.parse().ok().filter(|number| *number < OBJECTS)
}

/// A loop device that is freed when this process ends, however it ends: it is detached already, which the kernel
/// does when the last one closes it.
#[derive(Debug)]
pub struct Loop {
    device: File,
    path: PathBuf,
}

impl Loop {
    /// The device number.
    pub fn number(&self) -> u64 {
        self.device.metadata().expect("an open device").rdev()
    }

    /// Its path, `/dev/loopN`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a device for every object, all on one sparse file at `file`: nobody reads or writes them.
pub fn make(file: &Path) -> Vec<Loop> {
    let backing = File::create(file).expect("the backing file");
    backing.set_len(SIZE).expect("room for it");
    (0..OBJECTS).map(|_| attach(file)).collect()
}

fn attach(file: &Path) -> Loop {
    let losetup = |args: &[&str], path: &Path| {
        let output = Command::new("losetup").args(args).arg(path).output();
        let output = output.expect("losetup: apt-get install mount");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            Ok(path)
        } else {
            Err(said)
        }
    };
    let find = || losetup(&["--find", "--show"], file);
    // Another program that looks for a free device at the same moment may be faster.
    let path = find().or_else(|_| find()).or_else(|_| find());
    let path = PathBuf::from(path.unwrap_or_else(|said| panic!("a loop device: {said}")));
    let device = File::open(&path).expect("the device that was just made");
    losetup(&["--detach"], &path).unwrap_or_else(|said| panic!("losetup --detach: {said}"));
    Loop { device, path }
}

/// Makes the folders of the links.
pub fn make_folders() {
    for folder in [BY_NAME, BY_ID] {
        fs::create_dir(folder).expect("a folder in our own /dev");
    }
}

/// The links of every object that the API can attach: where they are, and the device they lead to.
#[derive(Debug)]
pub struct Links(Vec<(PathBuf, PathBuf, PathBuf)>);

impl Links {
    /// Links to these devices, none of them made yet.
    pub fn new(devices: &[Loop]) -> Self {
        let links = (0..OBJECTS).zip(devices);
        let links = links.map(|(n, device)| {
            let by_id = Path::new(BY_ID).join(global_id(n));
            (link(n), by_id, device.path().to_path_buf())
        });
        Self(links.collect())
    }

    /// What an attach does.
    pub fn appear(&self, number: u16) {
        let (name, id, device) = &self.0[usize::from(number)];
        // A repeated attach changes nothing.
        let _ = symlink(device, name);
        let _ = symlink(device, id);
    }

    /// What a detach does.
    pub fn vanish(&self, number: u16) {
        let (name, id, _) = &self.0[usize::from(number)];
        let _ = fs::remove_file(name);
        let _ = fs::remove_file(id);
    }

    /// Whether any object is attached.
    pub fn any(&self) -> bool {
        self.0
            .iter()
            .any(|(name, id, _)| name.is_symlink() || id.is_symlink())
    }
}
