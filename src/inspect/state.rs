// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Our own folders.

use std::io;
use std::path::{Path, PathBuf};

use super::{names, owned};
use crate::check::{FOLDER, Owned};
use crate::persist::{PathError, at};

/// Where spvirt keeps what it must not forget, and what is gone after a boot.
const FOLDERS: [&str; 2] = ["var/lib/spvirt", "run/spvirt"];
/// Folders in folders in folders: deeper than ours are.
const DEPTH: usize = 4;

/// Owners and modes of everything in the state folders below `root`. Folders that are not there are made at need.
pub fn read(root: &Path) -> Result<Vec<Owned>, PathError> {
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, usize)> = FOLDERS.map(|folder| (root.join(folder), DEPTH)).to_vec();
    while let Some((path, depth)) = open.pop() {
        let owned = match owned(&path) {
            Ok(owned) => owned,
            // It may go away while we look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at("looking at", &path)(error)),
        };
        if owned.is(FOLDER) && depth > 0 {
            open.extend(names(&path).into_iter().map(|name| (path.join(name), depth - 1)));
        }
        found.push(owned);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
