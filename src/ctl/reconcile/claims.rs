// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What becomes of the claims. One list of attachments for all of them; what looks wrong is looked at a second time,
//! because the list is older than the look at the domain, and the end of a migration takes a moment.

use spvirt::api::{ApiError, Listing};
use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Entry, Held};
use spvirt::config::Config;
use spvirt::down::GRACE;
use spvirt::health::{self, Life};
use spvirt::host::Host;
use spvirt::reconcile::{Action, DomainState, decide, may_go};
use spvirt::refusal::handle;
use spvirt::release::{self, Left};
use spvirt::world::{Stage, World as _};

use super::{Line, Outcome};
use crate::libvirt::Libvirt;
use crate::{Failure, host, shown};

/// A line for each claim.
pub fn settle(
    config: &Config,
    libvirt: &Libvirt,
    entries: &[Entry],
    dry_run: bool,
) -> Result<Vec<Line>, Failure> {
    let first = Look {
        config,
        libvirt,
        listing: list(config, entries)?,
        dry_run,
    };
    let mut lines = Vec::new();
    for entry in entries {
        lines.push(first.at(entry)?);
    }
    let again: Vec<_> = entries
        .iter()
        .zip(&mut lines)
        .filter(|(_, (_, suspicious))| *suspicious)
        .collect();
    if !again.is_empty() {
        host(config)?.pause(GRACE);
        let claims: Vec<_> = again.iter().map(|(entry, _)| (*entry).clone()).collect();
        let second = Look {
            listing: list(config, &claims)?,
            ..first
        };
        for (entry, line) in again {
            *line = second.at(entry)?;
        }
    }
    Ok(lines.into_iter().map(|(line, _)| line).collect())
}

/// One list for all claims.
fn list(config: &Config, entries: &[Entry]) -> Result<Result<Listing, ApiError>, Failure> {
    let mut refs: Vec<_> = Vec::new();
    for entry in entries {
        if let Entry::Claim(claim) = entry {
            refs.extend(claim.volumes.iter().map(Held::reference));
        }
    }
    if refs.is_empty() {
        return Ok(Ok(Listing::default()));
    }
    let host = host(config)?;
    host.enter(Stage::Release);
    Ok(host.attachments(&refs))
}

/// A look at claims, with one list.
struct Look<'a> {
    config: &'a Config,
    libvirt: &'a Libvirt,
    listing: Result<Listing, ApiError>,
    dry_run: bool,
}

impl Look<'_> {
    /// What becomes of a claim, and whether it should be looked at again.
    fn at(&self, entry: &Entry) -> Result<(Line, bool), Failure> {
        let (domain, uuid) = (entry.domain(), entry.uuid());
        let line = |result, why: &str| Line::new(domain, uuid, result, why);
        // Every claim has a deadline of its own.
        let host = host(self.config)?;
        host.enter(Stage::Release);
        let _domain = match host.try_lock(&Lock::Domain(uuid.clone())) {
            Err(LockError::Held(_)) => return Ok((line(Outcome::Busy, "a hook is working on it"), false)),
            other => other?,
        };
        // Read again under the lock: a hook may have finished it meanwhile.
        Ok(match host.claim(uuid)? {
            None => (line(Outcome::Released, ""), false),
            Some(Entry::Unreadable { why, .. }) => {
                let why = format!("its claim cannot be read: {why}");
                (line(Outcome::Report, &why), false)
            }
            Some(Entry::Claim(claim)) => self.act(&host, claim),
        })
    }

    fn act(&self, host: &Host, claim: Claim) -> (Line, bool) {
        let (domain, uuid) = (claim.domain.clone(), claim.uuid.clone());
        let line = |result, why: String| Line::new(&domain, &uuid, result, why);
        let known = self.libvirt.life(&uuid);
        let state = match &known {
            Ok(Some(_)) => DomainState::Active,
            Ok(None) => DomainState::Inactive,
            Err(why) => DomainState::Unknown(why.clone()),
        };
        match decide(&claim, host.me(), host.boot(), &state) {
            Action::Keep => match (&self.listing, known) {
                (Ok(listing), Ok(Some(now))) => {
                    let troubles = troubles(host, &claim, listing, now);
                    let suspicious = !troubles.is_empty();
                    let result = if suspicious {
                        Outcome::Report
                    } else {
                        Outcome::Kept
                    };
                    (line(result, troubles.join("; ")), suspicious)
                }
                (Err(error), _) => (line(Outcome::Skipped, error.to_string()), false),
                (_, known) => (line(Outcome::Skipped, known.err().unwrap_or_default()), false),
            },
            Action::Skip(why) => (line(Outcome::Skipped, why), false),
            Action::Report(why) => (line(Outcome::Report, why), false),
            Action::Finish => (self.finish(host, claim), false),
        }
    }

    /// Lets go of a claim as the hook would have done.
    fn finish(&self, host: &Host, claim: Claim) -> Line {
        let (domain, uuid) = (claim.domain.clone(), claim.uuid.clone());
        let line = |result, why: String| Line::new(&domain, &uuid, result, why);
        let claim = release::found(claim);
        let may_go = may_go(&claim);
        let listing = match &self.listing {
            Ok(listing) => listing,
            // Each further request would wait as long, and end the same way.
            Err(error) => return line(Outcome::Left, error.to_string()),
        };
        let plan = match release::foresee(host, &claim, listing) {
            Ok(items) if items.is_empty() => Vec::new(),
            Ok(items) => vec![shown::request(&items, &shown::names_of_claim(&claim))],
            Err(left) if self.dry_run => return line(Outcome::Left, left.to_string()),
            Err(_) => Vec::new(),
        };
        let line = |result, why: &str| Line {
            plan,
            ..line(result, why.to_owned())
        };
        if self.dry_run {
            return line(Outcome::WouldRelease, "");
        }
        let unsure = claim.unsure && !may_go;
        match release::let_go(host, Claim { unsure, ..claim }) {
            Ok(()) if may_go => line(Outcome::Released, ""),
            Ok(()) => line(
                Outcome::Left,
                "an attach of unknown outcome: run reconcile once more later",
            ),
            Err(left) => line(Outcome::Left, &told(&left)),
        }
    }
}

fn told(left: &Left) -> String {
    match left {
        Left::Busy { .. } | Left::Alive(_) => {
            format!("{left}: end that process, \"spvirt reconcile\" does the rest")
        }
        left => left.to_string(),
    }
}

/// What is wrong with a domain that has a QEMU. Never repaired: after a takeover elsewhere a stale guest would get its
/// disk again.
fn troubles(host: &Host, claim: &Claim, listing: &Listing, life: Life) -> Vec<String> {
    let refs: Vec<_> = claim.volumes.iter().map(Held::reference).collect();
    let troubles = health::troubles(claim, host.me(), listing, &host.links(&refs), life);
    let name = handle(&claim.domain, &claim.uuid);
    troubles.iter().map(|trouble| trouble.words(&name)).collect()
}
