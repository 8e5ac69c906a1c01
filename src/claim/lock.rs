// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The locks of a host: files under `/run/spvirt/lock`, held with `flock`, never unlinked (unlinking a lock
//! file lets two processes hold "the same" lock on two inodes).
//!
//! Order, to rule out deadlock: domain, then volumes in ascending order of global id, then claims.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::deadline::left;
use crate::persist::{self, PathError, at};
use crate::volume::{DomainUuid, GlobalId};

/// Where the locks of a host are.
pub const DIR: &str = "/run/spvirt/lock";

/// What is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// One domain, for the whole of a call: libvirt's own lock does not cover orphans of a killed daemon.
    Domain(DomainUuid),
    /// One volume: around deciding about it and acting on that.
    Volume(GlobalId),
    /// All claim files, for local steps only, never across an API call.
    Claims,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(uuid) => write!(f, "domain-{uuid}"),
            Self::Volume(id) => write!(f, "volume-{id}"),
            Self::Claims => f.write_str("claims"),
        }
    }
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Guard {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another call held it until the deadline.
    #[error("another call has held {} for too long", .0.display())]
    Held(PathBuf),
    /// The lock file cannot be used.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Pause between two attempts: `flock` has no timeout, and a helper thread per lock would cost more.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Takes a lock, waiting for it until `until`; an `until` in the past makes one attempt.
pub fn take(dir: &Path, lock: &Lock, until: Instant) -> Result<Guard, LockError> {
    let path = dir.join(format!("{lock}.lock"));
    let file = open(dir, &path)?;
    let mut pause = FIRST_PAUSE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Guard { _file: file }),
            Err(TryLockError::WouldBlock) if left(until).is_zero() => return Err(LockError::Held(path)),
            Err(TryLockError::WouldBlock) => thread::sleep(pause.min(left(until))),
            Err(TryLockError::Error(error)) => return Err(at("locking", &path)(error).into()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether somebody holds the lock right now.
#[must_use]
pub fn is_held(dir: &Path, lock: &Lock) -> bool {
    matches!(take(dir, lock, Instant::now()), Err(LockError::Held(_)))
}

fn open(dir: &Path, path: &Path) -> Result<File, PathError> {
    let file = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    };
    match file() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            persist::create_dir(dir)?;
            file().map_err(at("opening", path))
        }
        other => other.map_err(at("opening", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_holder_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("lock");
        let inside = AtomicU32::new(0);
        let far = Instant::now() + Duration::from_mins(1);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let guard = take(&dir, &Lock::Claims, far).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(guard);
                    }
                });
            }
        });
    }

    #[test]
    fn a_held_lock_is_given_up_on_at_the_deadline() {
        let root = tempfile::tempdir().unwrap();
        let lock = Lock::Volume(GlobalId::parse("d.n.1").unwrap());
        let guard = take(root.path(), &lock, Instant::now()).unwrap();
        assert!(is_held(root.path(), &lock));
        let error = take(root.path(), &lock, Instant::now() + Duration::from_millis(30)).unwrap_err();
        assert!(error.to_string().contains("volume-d.n.1.lock"), "{error}");
        drop(guard);
        assert!(!is_held(root.path(), &lock));
        assert!(
            root.path().join("volume-d.n.1.lock").exists(),
            "lock files are never unlinked"
        );
    }
}
