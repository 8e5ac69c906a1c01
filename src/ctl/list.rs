// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt list`: which domain holds which volume on this host.

use std::io::Write;
use std::time::Instant;

use serde::Serialize;

use spvirt::api::{ApiError, Listing};
use spvirt::claim::{Claim, Entry, Held, Phase};
use spvirt::deadline::Deadline;
use spvirt::host::Host;
use spvirt::volume::{Access, ClientId, GlobalId, VolumeRef};
use spvirt::world::{Stage, World};

use crate::{Failure, Verdict, configuration};

/// One volume of one claim.
#[derive(Debug, Serialize)]
struct Row {
    domain: String,
    uuid: String,
    phase: &'static str,
    disk: String,
    volume: String,
    global_id: Option<GlobalId>,
    wants: Access,
    /// What StorPool says is attached here: `rw`, `ro`, `no`, or `?` when it could not be asked.
    attached: String,
    /// What will be left when the domain stops: `no`, `ro` or `rw`.
    before: String,
    /// Who keeps a volume that is being released.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
}

/// Runs the command.
pub fn run(out: &mut impl Write, json: bool) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let host = Host::new(
        &config,
        None,
        Deadline::new(Instant::now(), config.spvirt.deadline),
    )?;
    host.enter(Stage::Release);
    let mut verdict = Verdict::Clean;
    let mut claims = Vec::new();
    for entry in host.claims()? {
        match entry {
            Entry::Claim(claim) => claims.push(claim),
            Entry::Unreadable { uuid, why, .. } => {
                log::warn!("the claim of {uuid} cannot be read: {why}");
                verdict = Verdict::SomethingLeft;
            }
        }
    }
    let listing = attachments(&host, &claims);
    if let Err(error) = &listing {
        log::warn!("what is attached is not known: {error}");
        verdict = Verdict::SomethingLeft;
    }
    let listing = listing.ok();
    let rows: Vec<_> = claims
        .iter()
        .flat_map(|claim| {
            claim
                .volumes
                .iter()
                .map(|held| row(&host, claim, held, listing.as_ref()))
        })
        .collect();
    if json {
        writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&rows).map_err(std::io::Error::from)?
        )?;
    } else if rows.is_empty() {
        writeln!(out, "No domain holds a StorPool volume on this host.")?;
    } else {
        writeln!(out, "{}", table(&rows))?;
    }
    Ok(verdict)
}

fn attachments(host: &Host, claims: &[Claim]) -> Result<Listing, ApiError> {
    let refs: Vec<_> = claims
        .iter()
        .flat_map(|claim| claim.volumes.iter().map(reference))
        .collect();
    if refs.is_empty() {
        Ok(Listing::default())
    } else {
        host.attachments(&refs)
    }
}

fn reference(held: &Held) -> VolumeRef {
    held.known_id().map_or_else(|| held.volume.clone(), VolumeRef::Id)
}

fn row(host: &Host, claim: &Claim, held: &Held, listing: Option<&Listing>) -> Row {
    let releasing = claim.phase == Phase::Releasing;
    Row {
        domain: claim.domain.escape_debug().to_string(),
        uuid: claim.uuid.to_string(),
        phase: match claim.phase {
            Phase::Acquiring => "acquiring",
            Phase::Live => "live",
            Phase::Releasing => "releasing",
        },
        disk: held.disk.clone(),
        volume: held.volume.to_string(),
        global_id: held.known_id(),
        wants: held.access,
        attached: listing.map_or_else(|| "?".to_owned(), |listing| rights(listing, held, host.me())),
        before: held
            .before
            .map_or_else(|| "no".to_owned(), |access| access.to_string()),
        held_by: if releasing {
            host.holder(&reference(held))
        } else {
            None
        },
    }
}

fn rights(listing: &Listing, held: &Held, me: ClientId) -> String {
    let id = held.known_id();
    let mine = listing.attachments.iter().find(|line| {
        line.client == me
            && (line.name == held.volume.api() || line.global_id.is_some() && line.global_id == id)
    });
    mine.map_or_else(|| "no".to_owned(), |line| line.rights.to_string())
}

fn table(rows: &[Row]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "DOMAIN",
        "DISK",
        "VOLUME",
        "GLOBAL ID",
        "CLAIM",
        "WANTS",
        "ATTACHED",
        "BEFORE",
        "HELD BY",
    ]);
    for row in rows {
        let id = row
            .global_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        table.add_row([
            row.domain.clone(),
            row.disk.clone(),
            row.volume.clone(),
            id,
            row.phase.to_owned(),
            row.wants.to_string(),
            row.attached.clone(),
            row.before.clone(),
            row.held_by.clone().unwrap_or_default(),
        ]);
    }
    table
}
