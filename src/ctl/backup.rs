// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a domain's definition was before it was changed.
//!
//! `/var/lib/spvirt/backup/UUID/TIME.xml`, mode 0600 in folders of mode 0700: it holds the domain's passwords, or undo
//! would lose them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use spvirt::persist::{self, PathError, at};
use spvirt::volume::DomainUuid;

const DIR: &str = "/var/lib/spvirt/backup";
/// How many are kept per domain.
pub const MOST: usize = 20;

/// One saved definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// When it was made: the name of its file without `.xml`.
    pub time: String,
    path: PathBuf,
}

impl Backup {
    /// The definition, with all passwords.
    pub fn read(&self) -> Result<String, PathError> {
        fs::read_to_string(&self.path).map_err(at("reading", &self.path))
    }

    /// The file it is in.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Keeps `xml` as what the domain's definition is now, unless the newest backup is the same already. The oldest are
/// removed beyond [`MOST`].
pub fn keep(uuid: &DomainUuid, xml: &str) -> Result<Backup, PathError> {
    keep_in(Path::new(DIR), uuid, xml, SystemTime::now())
}

/// The backups of a domain, the newest first.
pub fn of(uuid: &DomainUuid) -> Result<Vec<Backup>, PathError> {
    of_in(Path::new(DIR), uuid)
}

fn keep_in(dir: &Path, uuid: &DomainUuid, xml: &str, now: SystemTime) -> Result<Backup, PathError> {
    let folder = dir.join(uuid.as_str());
    persist::create_dir(&folder)?;
    let all = of_in(dir, uuid)?;
    if let Some(newest) = all.first()
        && newest.read().is_ok_and(|saved| saved == xml)
    {
        return Ok(newest.clone());
    }
    // A clock that was set back must not make it older than the others; two of one moment are a millisecond apart.
    let mut now = now;
    let mut time = name_of(now);
    while all.first().is_some_and(|newest| newest.time >= time) {
        let newest = all.first().map_or("", |newest| newest.time.as_str());
        now = time_of(newest).unwrap_or(now) + Duration::from_millis(1);
        time = name_of(now);
    }
    let path = folder.join(format!("{time}.xml"));
    persist::write(&path, xml.as_bytes())?;
    for old in all.iter().skip(MOST - 1) {
        persist::remove(&old.path)?;
    }
    Ok(Backup { time, path })
}

fn of_in(dir: &Path, uuid: &DomainUuid) -> Result<Vec<Backup>, PathError> {
    let folder = dir.join(uuid.as_str());
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at("reading", &folder))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(at("reading", &folder))?.path();
        let time = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        if let Some(time) = time
            && path.extension().is_some_and(|extension| extension == "xml")
            && time_of(&time).is_some()
        {
            all.push(Backup { time, path });
        }
    }
    all.sort_by(|a, b| b.time.cmp(&a.time));
    Ok(all)
}

/// `2026-11-24T06-40-12.123Z`: sorts by time, and needs no quotes in a shell.
fn name_of(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time)
        .to_string()
        .replace(':', "-")
}

fn time_of(name: &str) -> Option<SystemTime> {
    let (date, time) = name.split_once('T')?;
    humantime::parse_rfc3339(&format!("{date}T{}", time.replace('-', ":"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn uuid() -> DomainUuid {
        DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap()
    }

    fn second(n: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000 + n)
    }

    #[test]
    fn the_newest_are_kept_and_nobody_else_reads_them() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("backup");
        assert_eq!(of_in(&dir, &uuid()).unwrap(), []);
        for n in 0..30 {
            keep_in(&dir, &uuid(), &format!("<domain>{n}</domain>"), second(n)).unwrap();
        }
        let all = of_in(&dir, &uuid()).unwrap();
        assert_eq!(all.len(), MOST);
        assert_eq!(all[0].read().unwrap(), "<domain>29</domain>");
        assert_eq!(all[MOST - 1].read().unwrap(), "<domain>10</domain>");
        assert_eq!(all[0].time, "2025-11-24T16-00-29.000Z");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(all[0].path()), 0o600);
        assert_eq!(mode(&dir.join(uuid().as_str())), 0o700);
        assert_eq!(mode(&dir), 0o700);
    }

    #[test]
    fn order_is_that_of_the_changes_whatever_the_clock_says() {
        let root = tempfile::tempdir().unwrap();
        for (n, xml) in [(5, "a"), (5, "b"), (1, "c"), (1, "c"), (9, "d")] {
            keep_in(root.path(), &uuid(), xml, second(n)).unwrap();
        }
        let all = of_in(root.path(), &uuid()).unwrap();
        let texts: Vec<_> = all.iter().map(|backup| backup.read().unwrap()).collect();
        assert_eq!(texts, ["d", "c", "b", "a"]);
    }

    #[test]
    fn what_is_no_backup_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        keep_in(root.path(), &uuid(), "a", second(0)).unwrap();
        let folder = root.path().join(uuid().as_str());
        for name in [
            "mine.xml",
            "2025-11-24T16-00-29.000Z.txt",
            "2025-11-24T16-00-29.000Z.new",
        ] {
            fs::write(folder.join(name), "x").unwrap();
        }
        assert_eq!(of_in(root.path(), &uuid()).unwrap().len(), 1);
    }
}
