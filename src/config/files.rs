// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Which files are read, and their bytes. The only I/O of the configuration.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::ini;

/// Largest configuration file we read, in bytes. Real ones have a few kilobytes.
pub const FILE_MAX: u64 = 1024 * 1024;

/// Where the configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Must exist.
    pub main: PathBuf,
    /// May be missing. Its `*.conf` are read after `main`, in the byte order of their names.
    pub dir: PathBuf,
}

impl Files {
    /// StorPool's own: `/etc/storpool.conf` and `/etc/storpool.conf.d`.
    #[must_use]
    pub fn system() -> Self {
        Self {
            main: "/etc/storpool.conf".into(),
            dir: "/etc/storpool.conf.d".into(),
        }
    }

    /// The files that count, in reading order.
    pub fn list(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let unreadable = |e| ConfigError::Unreadable(self.dir.clone(), e);
        let mut extra = Vec::new();
        match fs::read_dir(&self.dir) {
            Ok(dir) => {
                for entry in dir {
                    let name = entry.map_err(unreadable)?.file_name();
                    if counts(&name) {
                        extra.push(self.dir.join(name));
                    }
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(e) => return Err(unreadable(e)),
        }
        // All are in one folder, so the order of the paths is the byte order of the names.
        extra.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        extra.insert(0, self.main.clone());
        Ok(extra)
    }
}

/// Whether a file of this name in the folder is read: `*.conf`, but neither `.x.conf` nor `x.conf~`.
fn counts(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".conf") && !name.starts_with(b".")
}

/// The text of one file.
pub(super) fn text(path: &Path) -> Result<String, ConfigError> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
        _ => ConfigError::Unreadable(path.to_owned(), e),
    };
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ConfigError::NotAFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    Ok(ini::decode(&bytes))
}
