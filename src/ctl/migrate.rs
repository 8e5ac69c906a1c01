// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The `virsh migrate` that takes rewritten XML along.
//!
//! The live XML of an incoming domain comes from `--xml`, its definition from `--persistent-xml`: whoever gives one of
//! them changes only half.

use std::path::{Path, PathBuf};

use spvirt::persist;

use crate::Failure;
use crate::libvirt::Known;

/// Where the files are that the command reads. They hold the passwords, and need not survive a boot.
const DIR: &str = "/run/spvirt/migrate";

/// A migration that somebody wants to run.
pub struct Migration<'a> {
    /// The libvirt that the domain is at.
    pub from: &'a str,
    pub domain: &'a Known,
    pub active: bool,
    pub persistent: bool,
    /// The changed XML of what runs.
    pub xml: Option<&'a str>,
    /// The changed definition.
    pub persistent_xml: Option<&'a str>,
    /// The libvirt that it goes to.
    pub destination: &'a str,
}

impl Migration<'_> {
    /// Writes the files, readable by root alone, and gives the command.
    pub fn prepare(&self) -> Result<String, Failure> {
        let dir = Path::new(DIR);
        for (xml, path) in [
            (self.xml, self.file("live")),
            (self.persistent_xml, self.file("persistent")),
        ] {
            if let Some(xml) = xml {
                persist::create_dir(dir)?;
                persist::write(&path, xml.as_bytes())?;
            }
        }
        Ok(self.command())
    }

    fn file(&self, which: &str) -> PathBuf {
        Path::new(DIR).join(format!("{}-{which}.xml", self.domain.uuid))
    }

    fn command(&self) -> String {
        let mut words = vec![
            "virsh".to_owned(),
            "-c".to_owned(),
            self.from.to_owned(),
            "migrate".to_owned(),
        ];
        words.push(if self.active { "--live" } else { "--offline" }.to_owned());
        if self.persistent {
            words.push("--persistent".to_owned());
        }
        let files = [
            ("--xml", self.xml, "live"),
            ("--persistent-xml", self.persistent_xml, "persistent"),
        ];
        for (option, xml, which) in files {
            if xml.is_some() {
                words.extend([option.to_owned(), self.file(which).to_string_lossy().into_owned()]);
            }
        }
        words.extend(["--domain".to_owned(), self.domain.name.clone()]);
        words.extend(["--desturi".to_owned(), self.destination.to_owned()]);
        words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A word that a shell reads as itself.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@+-=,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spvirt::volume::DomainUuid;

    #[test]
    fn the_command_takes_along_what_changed() {
        let domain = Known {
            name: "it's web".to_owned(),
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
        };
        let migration = Migration {
            from: "qemu:///system",
            domain: &domain,
            active: true,
            persistent: true,
            xml: Some("<a/>"),
            persistent_xml: Some("<b/>"),
            destination: "qemu+ssh://b/system",
        };
        assert_eq!(
            migration.command(),
            "virsh -c qemu:///system migrate --live --persistent \
             --xml /run/spvirt/migrate/0a0b0c0d-1111-2222-3333-444455556666-live.xml \
             --persistent-xml /run/spvirt/migrate/0a0b0c0d-1111-2222-3333-444455556666-persistent.xml \
             --domain 'it'\\''s web' --desturi qemu+ssh://b/system"
        );
        let offline = Migration {
            active: false,
            xml: None,
            persistent_xml: None,
            ..migration
        };
        assert_eq!(
            offline.command(),
            "virsh -c qemu:///system migrate --offline --persistent --domain 'it'\\''s web' --desturi qemu+ssh://b/system"
        );
    }
}
