// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirt's hook folders, and our program in them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::names;
use crate::check::Owned;
use crate::check::hook::{PROGRAM, Program, Script};

/// The program below `root`. `version` runs it and says which version it is of.
pub fn program(root: &Path, version: impl FnOnce(&Path) -> Result<String, String>) -> Program {
    let path = inside(root, PROGRAM);
    let Ok(found) = fs::metadata(&path) else {
        return Program::Missing;
    };
    Program::There {
        owned: Owned {
            path: path.clone(),
            mode: found.mode(),
            uid: found.uid(),
        },
        version: version(&path),
    }
}

/// What libvirt may run below `root`: `hooks/qemu`, then the entries of `hooks/qemu.d` in libvirt's order.
#[must_use]
pub fn scripts(root: &Path) -> Vec<Script> {
    let hooks = root.join("etc/libvirt/hooks");
    let folder = hooks.join("qemu.d");
    let entries = names(&folder).into_iter().map(|name| folder.join(name));
    let ours = fs::metadata(inside(root, PROGRAM)).ok();
    let describe = |path: &Path| {
        let entry = fs::symlink_metadata(path).ok()?;
        let (link, target) = followed(root, path);
        let found = fs::metadata(&target).ok();
        let runs = found
            .as_ref()
            .is_some_and(|found| found.is_file() && found.mode() & 0o111 != 0);
        let is_ours = ours.as_ref().zip(found.as_ref()).is_some_and(|(ours, found)| {
            let same = (ours.dev(), ours.ino()) == (found.dev(), found.ino());
            same || ours.len() == found.len() && is_copy(&inside(root, PROGRAM), &target)
        });
        Some(Script {
            path: Path::new("/").join(path.strip_prefix(root).unwrap_or(path)),
            link,
            runs,
            is_ours,
            changed: entry.ctime(),
        })
    };
    std::iter::once(hooks.join("qemu"))
        .chain(entries)
        .filter_map(|path| describe(&path))
        .collect()
}

/// Where the link of the hook ends, below `root`.
#[must_use]
pub fn target(root: &Path, link: &str) -> Option<String> {
    let (_, target) = followed(root, &inside(root, link));
    let end = fs::canonicalize(target).ok()?;
    let plain = end.strip_prefix(root).unwrap_or(&end);
    Some(Path::new("/").join(plain).to_string_lossy().into_owned())
}

/// What a link says, and where it leads: below `root` too.
fn followed(root: &Path, path: &Path) -> (Option<PathBuf>, PathBuf) {
    let link = fs::read_link(path).ok();
    let target = match &link {
        Some(link) if link.is_absolute() => inside(root, link),
        _ => path.to_owned(),
    };
    (link, target)
}

/// Whether two files of one length hold the same.
fn is_copy(one: &Path, other: &Path) -> bool {
    let (one, other) = (fs::read(one), fs::read(other));
    one.is_ok_and(|one| other.is_ok_and(|other| one == other))
}

fn inside(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}
