// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a hook may leave behind, as far as anybody could see it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use spvirt_rig::{Host, Simulator};

/// A host at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Attachments, `name rights`.
    pub attached: Vec<String>,
    /// What the links below `/dev/storpool` lead to, `name rights`.
    pub devices: Vec<String>,
    /// Claims, `domain phase`.
    pub claims: Vec<String>,
    /// Other files in the state folder.
    pub files: Vec<String>,
    /// Locks that somebody holds.
    pub held: Vec<String>,
}

impl World {
    /// Looks.
    pub fn of(host: &Host, simulator: &Simulator) -> Self {
        let mine = simulator
            .attachments()
            .into_iter()
            .filter(|it| it.client == host.client());
        Self {
            attached: mine.map(|it| format!("{} {}", it.volume, it.rights)).collect(),
            devices: devices(host),
            claims: claims(host),
            files: names(&host.path("/var/lib/spvirt/claims"))
                .into_iter()
                .filter(|name| !is(name, "json"))
                .collect(),
            held: held(host),
        }
    }

    /// The same without a claim that was being written when its writer died: the next one is written over it.
    pub fn without_half_written(mut self) -> Self {
        self.files.retain(|name| !is(name, "new"));
        self
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [&self.attached, &self.claims, &self.files, &self.held];
        let said: Vec<String> = all
            .iter()
            .filter(|it| !it.is_empty())
            .map(|it| it.join(", "))
            .collect();
        f.write_str(&said.join("; "))
    }
}

/// The devices, which must have a link by name and one by id each.
fn devices(host: &Host) -> Vec<String> {
    let nodes = names(&host.path("/dev"))
        .into_iter()
        .filter(|name| name.starts_with("sp-"));
    let folder = host.path("/dev/storpool");
    let named = names(&folder);
    let by_id = names(&host.path("/dev/storpool-byid"));
    assert_eq!(nodes.count(), named.len(), "device nodes and links by name");
    assert_eq!(by_id.len(), named.len(), "links by id and by name");
    named
        .into_iter()
        .map(|name| format!("{name} {}", rights(&folder.join(&name))))
        .collect()
}

fn rights(device: &Path) -> &'static str {
    use std::os::unix::fs::MetadataExt as _;
    let number = fs::metadata(device)
        .unwrap_or_else(|e| panic!("{}: {e}", device.display()))
        .rdev();
    let (major, minor) = (spvirt_rig::major(number), spvirt_rig::minor(number));
    let read_only = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/ro")).expect("sysfs");
    if read_only.trim() == "0" { "rw" } else { "ro" }
}

fn claims(host: &Host) -> Vec<String> {
    let claims = host.claims();
    let whole = claims.iter().filter(|(name, _)| is(name, "json"));
    let said = whole.map(|(_, claim)| {
        let word = |key: &str| {
            claim[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key} in {claim}"))
                .to_owned()
        };
        format!("{} {}", word("domain"), word("phase"))
    });
    said.collect()
}

fn held(host: &Host) -> Vec<String> {
    let folder = host.path("/run/spvirt/lock");
    let is_held = |name: &String| {
        let file = File::open(folder.join(name)).expect("a lock file");
        file.try_lock().is_err()
    };
    names(&folder).into_iter().filter(is_held).collect()
}

fn is(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

/// What lies in a folder, sorted; nothing if there is none.
fn names(folder: &Path) -> Vec<String> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        entries => entries.unwrap_or_else(|e| panic!("{}: {e}", folder.display())),
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
