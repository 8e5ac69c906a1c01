// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The claims folder.
//!
//! ```text
//! /var/lib/spvirt/             0700
//!   claims/                    0700
//!     <domain-uuid>.json       0600, one claim; replaced by rename, never written in place
//!     <domain-uuid>.new        a write that a crash cut short; overwritten by the next one
//! ```
//!
//! Whoever writes or removes a claim holds the claims lock (see [`super::lock`]): a release may lower the
//! `before` of a neighbour's claim, so "its own hook is the only writer" does not hold.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Claim, Entry, file};
use crate::persist::{self, PathError, at};
use crate::volume::DomainUuid;

/// Where the claims of a host are.
pub const DIR: &str = "/var/lib/spvirt/claims";

/// The folder with one file per domain.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store in `dir`, which need not exist yet.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The file of a domain's claim.
    #[must_use]
    pub fn path(&self, uuid: &DomainUuid) -> PathBuf {
        self.dir.join(format!("{uuid}.json"))
    }

    /// The entry of one domain, if there is one.
    pub fn load(&self, uuid: &DomainUuid) -> Result<Option<Entry>, PathError> {
        let bytes = persist::read(&self.path(uuid))?;
        Ok(bytes.map(|bytes| file::decode(uuid, bytes)))
    }

    /// Every entry, sorted by domain. A folder that is not there is empty; files that are not named
    /// `<uuid>.json` are not ours.
    pub fn all(&self) -> Result<Vec<Entry>, PathError> {
        let listing = match fs::read_dir(&self.dir) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at("reading", &self.dir)(error)),
        };
        let mut uuids = Vec::new();
        for file in listing {
            let name = file.map_err(at("reading", &self.dir))?.file_name();
            uuids.extend(
                name.to_str()
                    .and_then(|name| name.strip_suffix(".json"))
                    .and_then(DomainUuid::parse),
            );
        }
        uuids.sort();
        // A claim that went away since the listing is simply not there any more.
        uuids
            .iter()
            .filter_map(|uuid| self.load(uuid).transpose())
            .collect()
    }

    /// Writes a claim, durably.
    pub fn save(&self, claim: &Claim) -> Result<(), PathError> {
        let path = self.path(&claim.uuid);
        persist::create_dir(&self.dir)?;
        let bytes = file::encode(claim)
            .map_err(io::Error::from)
            .map_err(at("writing", &path))?;
        persist::write(&path, &bytes)
    }

    /// Removes a claim, durably.
    pub fn remove(&self, uuid: &DomainUuid) -> Result<(), PathError> {
        persist::remove(&self.path(uuid))
    }
}
