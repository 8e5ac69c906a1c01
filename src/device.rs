// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The device links of this host, as the StorPool client makes them. Nothing here follows a path that came
//! from XML further than reading the text of one link.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::sys;
use crate::volume::{BY_ID_DIR, GlobalId, PathMeaning, VolumeRef, path_meaning};
use crate::world::Link;

/// Links followed before a chain counts as a loop.
const HOPS_MAX: usize = 8;

/// The devices behind the volumes' own links, each with its global id if a link tells it.
#[must_use]
pub fn links(volumes: &[VolumeRef]) -> Vec<Option<Link>> {
    let mut links = devices(volumes);
    let mut by_id = None;
    for link in links.iter_mut().flatten().filter(|link| link.global_id.is_none()) {
        // The by-id folder is read once, and only if a name has to be looked up.
        link.global_id = by_id.get_or_insert_with(ids).get(&link.device).cloned();
    }
    links
}

/// The devices behind the volumes' own links. Only a volume named by its global id has that in the answer.
#[must_use]
pub fn devices(volumes: &[VolumeRef]) -> Vec<Option<Link>> {
    // sysfs costs more than all else here; a device has two links, and both are often asked for.
    let mut disks = BTreeMap::new();
    let mut link = |volume: &VolumeRef| {
        let device = sys::device_of(&volume.link()).ok().flatten()?;
        let disk: &sys::Disk = disks.entry(device.clone()).or_insert_with(|| sys::disk(&device));
        let global_id = match volume {
            VolumeRef::Id(id) => Some(id.clone()),
            VolumeRef::Name(_) => None,
        };
        Some(Link {
            device,
            read_only: disk.read_only,
            sectors: disk.sectors,
            global_id,
        })
    };
    volumes.iter().map(&mut link).collect()
}

/// Device numbers of everything in the by-id folder.
fn ids() -> BTreeMap<String, GlobalId> {
    let entries = fs::read_dir(BY_ID_DIR).into_iter().flatten().flatten();
    let known = entries.filter_map(|entry| {
        let id = GlobalId::parse(entry.file_name().to_str()?)?;
        Some((sys::device_of(&entry.path()).ok().flatten()?, id))
    });
    known.collect()
}

/// Reads symlinks that stand for StorPool devices: `paths` below one of `folders` whose link text leads, hop by
/// hop, into the StorPool folders. Only text is read, because the target need not exist yet.
#[must_use]
pub fn follow<'a>(paths: impl Iterator<Item = &'a str>, folders: &[PathBuf]) -> BTreeMap<String, VolumeRef> {
    let found = paths.filter_map(|path| Some((path.to_owned(), volume_behind(Path::new(path), folders)?)));
    found.collect()
}

fn volume_behind(path: &Path, folders: &[PathBuf]) -> Option<VolumeRef> {
    let mut path = path.to_path_buf();
    for _ in 0..HOPS_MAX {
        match path_meaning(path.to_str()?) {
            PathMeaning::Volume(volume) => return Some(volume),
            PathMeaning::NotAVolume => return None,
            PathMeaning::Foreign => {}
        }
        // A folder with `..` in the path could lead out of what the operator named.
        let plain = path
            .components()
            .all(|part| !matches!(part, Component::ParentDir));
        if !plain || !folders.iter().any(|folder| path.starts_with(folder)) {
            return None;
        }
        let text = fs::read_link(&path).ok()?;
        path = lexical(&path.parent()?.join(text));
    }
    None
}

/// The path with `.` and `..` resolved as text.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_links_below_the_named_folders_are_followed() {
        let root = tempfile::tempdir().unwrap();
        let (inside, outside) = (root.path().join("in"), root.path().join("out"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink("/dev/storpool/root", inside.join("direct")).unwrap();
        symlink("direct", inside.join("chain")).unwrap();
        symlink("../out/escape", inside.join("leaves")).unwrap();
        symlink("/dev/storpool/x", outside.join("escape")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        symlink("/dev/sda", inside.join("disk")).unwrap();
        fs::write(inside.join("file"), "").unwrap();
        let behind = |path: PathBuf| {
            follow(
                [path.to_str().unwrap()].into_iter(),
                std::slice::from_ref(&inside),
            )
            .into_values()
            .next()
            .map(|v| v.api())
        };
        assert_eq!(behind(inside.join("direct")).as_deref(), Some("root"));
        assert_eq!(behind(inside.join("chain")).as_deref(), Some("root"));
        for path in ["leaves", "loop", "disk", "file", "missing", "../out/escape"] {
            assert_eq!(behind(inside.join(path)), None, "{path}");
        }
        assert_eq!(behind(outside.join("escape")), None);
    }
}
