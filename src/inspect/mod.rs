// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Reads the facts that [`crate::check`] judges. Every reader takes the folder that stands for `/` (or `/proc`), so
//! that a test may show it any host. Nothing is written, and no device is opened.

pub mod daemons;
pub mod devices;
pub mod etc;
pub mod hooks;
pub mod labels;
pub mod state;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::check::Owned;

/// Longest file that is read. What is longer is cut: it is nothing that a person wrote.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// The text of a file; `None` where there is no regular file, or it cannot be read.
fn text(path: &Path) -> Option<String> {
    let file = File::open(path).ok().filter(|_| path.is_file())?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Owner and mode of what is at `path`, links not followed.
fn owned(path: &Path) -> io::Result<Owned> {
    let found = fs::symlink_metadata(path)?;
    Ok(Owned {
        path: path.to_owned(),
        mode: found.mode(),
        uid: found.uid(),
    })
}

/// Names in a folder, sorted; none where there is no folder.
fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}
