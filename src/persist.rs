// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Files that are there whole or not at all, whatever happens to the power.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What could not be done to which path.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct PathError {
    /// Gerund, e.g. "writing".
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

/// Turns an `io::Error` into a [`PathError`]; no error of ours travels without its path.
pub fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PathError + 'a {
    move |source| PathError {
        doing,
        path: path.to_path_buf(),
        source,
    }
}

/// Creates `dir` (mode 0700) with its parents, if it is not there. The entry in the parent is made durable.
pub fn create_dir(dir: &Path) -> Result<(), PathError> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(at("creating", dir))?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Writes `bytes` to `path` (mode 0600): a temporary file beside it, its data on disk, renamed over, the
/// folder on disk. After a crash at any instruction `path` holds the old bytes or the new ones. Only one
/// writer per path at a time; a leftover of a crashed one is overwritten.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), PathError> {
    let temporary = path.with_extension("new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()));
    if let Err(error) = written {
        // Best effort: on a full disk the half-written file is what fills it.
        let _ = fs::remove_file(&temporary);
        return Err(at("writing", path)(error));
    }
    fs::rename(&temporary, path).map_err(at("writing", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Reads a whole file; `None` when it is not there.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at("reading", path)(error)),
    }
}

/// Reads all of a file that has at most `most` bytes.
pub fn read_all(path: &Path, most: u64) -> Result<Vec<u8>, PathError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at("reading", path))?;
    // One more, to see that there is more.
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(at("reading", path))?;
    if bytes.len() as u64 > most {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {most} bytes"));
        return Err(at("reading", path)(error));
    }
    Ok(bytes)
}

/// Removes `path` for good. A path that is not there is what was wanted.
pub fn remove(path: &Path) -> Result<(), PathError> {
    match fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at("removing", path)(error)),
    }
}

fn sync_dir(dir: &Path) -> Result<(), PathError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(at("syncing", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn writes_replace_and_removes_tolerate_absence() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        create_dir(&dir).unwrap();
        create_dir(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let path = dir.join("x.json");
        fs::write(dir.join("x.new"), "left by a crash").unwrap();
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        let error = write(&root.path().join("none/x.json"), b"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("none/x.json: No such file"), "{error}");
    }
}
