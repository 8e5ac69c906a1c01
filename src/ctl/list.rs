// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt list`: which domain holds which volume on this host, and what is attached here by hand.

use std::io::Write;

use serde::Serialize;

use spvirt::api::{ApiError, Attachment, Listing};
use spvirt::claim::{Claim, Entry, Held, Identity, Phase};
use spvirt::host::Host;
use spvirt::volume::{Access, GlobalId, VolumeName, VolumeRef};
use spvirt::world::{Stage, World};

use crate::shown::{self, or_no, plain};
use crate::{Failure, Verdict, configuration, host};

/// Show which domain holds which volume on this host
///
/// One line for each volume of each domain, then what is attached to this
/// host and no domain holds: somebody has attached it by hand.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  spvirt list")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One volume.
#[derive(Debug, Serialize)]
struct Row {
    /// `None`: no domain holds it.
    domain: Option<String>,
    uuid: Option<String>,
    /// `acquiring`, `live`, `releasing` or `by hand`.
    phase: &'static str,
    disk: Option<String>,
    volume: String,
    global_id: Option<GlobalId>,
    wants: Option<Access>,
    /// What StorPool says is attached here: `rw`, `ro`, `no`, or `?` when it could not be asked.
    attached: String,
    /// What will be left when the domain stops: `no`, `ro` or `rw`.
    before: Option<String>,
    /// Who keeps a volume that is being released.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
}

/// Runs the command.
pub fn run(out: &mut impl Write, args: &Args) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let host = host(&config)?;
    host.enter(Stage::Release);
    let entries = host.claims()?;
    let mut verdict = Verdict::Clean;
    for entry in &entries {
        if let Entry::Unreadable { uuid, why, .. } = entry {
            log::warn!("the claim of {uuid} cannot be read: {why}");
            verdict = Verdict::SomethingLeft;
        }
    }
    let listing = attachments(&host, &entries);
    if let Err(error) = &listing {
        log::warn!("what is attached is not known: {error}");
        verdict = Verdict::SomethingLeft;
    }
    let listing = listing.ok();
    let claims = entries.iter().filter_map(|entry| match entry {
        Entry::Claim(claim) => Some(claim),
        Entry::Unreadable { .. } => None,
    });
    let mut rows: Vec<_> = claims
        .flat_map(|claim| {
            let volumes = claim.volumes.iter();
            volumes.map(|held| row(&host, claim, held, listing.as_ref()))
        })
        .collect();
    if let Some(listing) = &listing {
        let by_hand = listing.attachments.iter();
        let by_hand = by_hand.filter(|line| line.client == host.me() && !is_claimed(line, &entries));
        rows.extend(by_hand.map(by_hand_row));
    }
    if args.json {
        shown::json(out, &rows)?;
    } else if rows.is_empty() {
        writeln!(out, "No domain holds a StorPool volume on this host.")?;
    } else {
        table(out, &rows)?;
    }
    Ok(verdict)
}

fn attachments(host: &Host, entries: &[Entry]) -> Result<Listing, ApiError> {
    let held = entries.iter().filter_map(|entry| match entry {
        Entry::Claim(claim) => Some(claim.volumes.iter().map(Held::reference)),
        Entry::Unreadable { .. } => None,
    });
    let refs: Vec<_> = held.flatten().collect();
    host.attachments_of(&refs, host.me())
}

/// Whether any claim names the object of a line; of a claim that cannot be read its bytes are searched.
fn is_claimed(line: &Attachment, entries: &[Entry]) -> bool {
    entries.iter().any(|entry| match entry {
        Entry::Claim(claim) => claim.volumes.iter().any(|held| held.is_line(line)),
        Entry::Unreadable { .. } => {
            let by_name = VolumeName::parse(&line.name).map(VolumeRef::Name);
            let by_id = line.global_id.clone().map(VolumeRef::Id);
            by_name.or(by_id).is_some_and(|volume| {
                let global_id = line.global_id.clone();
                entry.names(&Identity { volume, global_id })
            })
        }
    })
}

fn row(host: &Host, claim: &Claim, held: &Held, listing: Option<&Listing>) -> Row {
    let attached = |listing| or_no(held.rights(listing, host.me()));
    Row {
        domain: Some(plain(&claim.domain)),
        uuid: Some(claim.uuid.to_string()),
        phase: match claim.phase {
            Phase::Acquiring => "acquiring",
            Phase::Live => "live",
            Phase::Releasing => "releasing",
        },
        disk: Some(plain(&held.disk)),
        volume: held.volume.to_string(),
        global_id: held.known_id(),
        wants: Some(held.access),
        attached: listing.map_or_else(|| "?".to_owned(), attached),
        before: Some(or_no(held.before)),
        held_by: if claim.phase == Phase::Releasing {
            host.holder(&held.reference())
        } else {
            None
        },
    }
}

fn by_hand_row(line: &Attachment) -> Row {
    Row {
        domain: None,
        uuid: None,
        phase: "by hand",
        disk: None,
        volume: plain(&line.name),
        global_id: line.global_id.clone(),
        wants: None,
        attached: line.rights.to_string(),
        before: None,
        held_by: None,
    }
}

fn table(out: &mut impl Write, rows: &[Row]) -> Result<(), Failure> {
    let header = [
        "DOMAIN",
        "DISK",
        "VOLUME",
        "GLOBAL ID",
        "CLAIM",
        "WANTS",
        "ATTACHED",
        "BEFORE",
        "HELD BY",
    ];
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let id = |row: &Row| row.global_id.as_ref().map(ToString::to_string);
    let rows = rows.iter().map(|row| {
        [
            or_dash(&row.domain),
            or_dash(&row.disk),
            row.volume.clone(),
            id(row).unwrap_or_default(),
            row.phase.to_owned(),
            or_dash(&row.wants.map(|access| access.to_string())),
            row.attached.clone(),
            or_dash(&row.before),
            row.held_by.as_deref().map(plain).unwrap_or_default(),
        ]
    });
    shown::table(out, header, rows)
}
