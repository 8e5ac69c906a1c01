// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Domains that run without a claim: they ran before the hook was installed, or their claim was lost.

use std::collections::BTreeSet;

use spvirt::adopt;
use spvirt::claim::Entry;
use spvirt::claim::lock::{Lock, LockError};
use spvirt::config::Config;
use spvirt::volume::DomainUuid;
use spvirt::world::{Stage, World as _};

use super::{Line, Outcome};
use crate::libvirt::{Found, Libvirt};
use crate::subject::Subject;
use crate::{Failure, host};

/// Gives each a claim, as the hook does when libvirtd restarts; a line for each.
pub fn adopt(config: &Config, libvirt: &Libvirt, dry_run: bool) -> Result<Vec<Line>, Failure> {
    let running = match libvirt.running() {
        Ok(running) => running,
        Err(why) => return Ok(vec![not_looked_for(&why)]),
    };
    let entries = host(config)?.claims()?;
    let claimed: BTreeSet<&DomainUuid> = entries.iter().map(Entry::uuid).collect();
    let mut lines = Vec::new();
    for found in running {
        if !claimed.contains(&found.uuid) {
            lines.extend(one(config, libvirt, found, dry_run)?);
        }
    }
    Ok(lines)
}

fn not_looked_for(why: &str) -> Line {
    Line {
        domain: None,
        uuid: None,
        result: Outcome::Skipped,
        why: format!("domains that run without a claim were not looked for: {why}"),
        plan: Vec::new(),
    }
}

fn one(config: &Config, libvirt: &Libvirt, found: Found, dry_run: bool) -> Result<Option<Line>, Failure> {
    let (name, uuid) = (found.name.clone(), found.uuid.clone());
    let line = |result, why: &str| Ok(Some(Line::new(&name, &uuid, result, why)));
    let wanted = Subject::of(found).and_then(|subject| subject.wants(config));
    let wants = match wanted {
        Ok(wants) => wants.unwrap_or_default(),
        Err(failure) => return line(Outcome::Report, &failure.to_string()),
    };
    if wants.is_empty() {
        return Ok(None);
    }
    let host = host(config)?;
    host.enter(Stage::Release);
    let _domain = match host.try_lock(&Lock::Domain(uuid.clone())) {
        Err(LockError::Held(_)) => return line(Outcome::Busy, "a hook is working on it"),
        other => other?,
    };
    // The list of running domains is older than the lock.
    match libvirt.life(&uuid) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(None),
        Err(why) => return line(Outcome::Skipped, &why),
    }
    if host.claim(&uuid)?.is_some() {
        return line(Outcome::Kept, "");
    }
    let refs: Vec<_> = wants.iter().map(|want| want.used.volume.clone()).collect();
    if host.links(&refs).iter().all(Option::is_none) {
        return line(
            Outcome::Report,
            "the domain runs, but none of its volumes is attached here",
        );
    }
    if dry_run {
        return line(Outcome::WouldAdopt, "");
    }
    match adopt::ensure_claim(&host, &uuid, &name, &wants) {
        Ok(()) => line(Outcome::Adopted, ""),
        Err(left) => line(Outcome::Left, &left.to_string()),
    }
}
