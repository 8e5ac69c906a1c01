// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt adopt`: hands attachments that were made by hand over to the domains that use them.

use std::io::Write;

use serde::Serialize;

use spvirt::adopt;
use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Entry, Held};
use spvirt::config::Config;
use spvirt::host::Host;
use spvirt::policy::Want;
use spvirt::volume::{DomainUuid, VolumeRef};
use spvirt::world::{Stage, World as _};

use crate::libvirt::{Found, Libvirt};
use crate::shown::{self, plain};
use crate::subject::{self, Subject};
use crate::{Failure, Verdict, configuration, host};

/// Take charge of what was attached by hand for running domains
///
/// When a domain was started before spvirt was installed, or with volumes that
/// were attached already, these stay attached when it stops: spvirt did not
/// attach them. After this they are detached then, as if it had.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  spvirt adopt --all --dry-run\n  spvirt adopt web1\n\n\
    A volume that several running domains of this host use is handed over for\nall of them: it is detached when the last one stops."
)]
pub struct Args {
    /// Names or UUIDs of running domains
    #[arg(value_name = "DOMAIN", required_unless_present = "all")]
    domains: Vec<String>,
    /// All domains that run on this host
    #[arg(long, conflicts_with = "domains")]
    all: bool,
    /// Only say what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of one domain.
#[derive(Debug, Serialize)]
struct Report {
    domain: String,
    uuid: DomainUuid,
    /// `adopted`, `would_adopt`, `nothing_to_change` or `left_alone`.
    result: &'static str,
    /// What changes.
    changes: Vec<Change>,
    /// Why it is left alone, or what could not be adopted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
}

/// One volume of one claim.
#[derive(Debug, Serialize)]
struct Change {
    /// The domain whose claim it is: another one may share the volume.
    domain: String,
    volume: String,
    /// What would be left when it stops, until now: `ro` or `rw`; `unclaimed` where no claim named it.
    before: String,
}

/// Runs the command.
pub fn run(out: &mut impl Write, libvirt: &Libvirt, args: &Args) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let found = if args.all {
        libvirt.running().map_err(Failure::Refused)?
    } else {
        let one = |name: &String| {
            let found = libvirt.find_running(name).map_err(Failure::Refused)?;
            let found = found.ok_or_else(|| subject::unknown(name))?;
            if found.life.is_none() {
                return Err(Failure::Refused(format!(
                    "{name:?} does not run: what it needs is attached when it starts"
                )));
            }
            Ok(found)
        };
        args.domains.iter().map(one).collect::<Result<_, _>>()?
    };
    let mut reports = Vec::new();
    for found in found {
        reports.extend(one(&config, libvirt, found, args)?);
    }
    if args.json {
        shown::json(out, &reports)?;
    } else {
        for report in &reports {
            text(out, report)?;
        }
        if reports.is_empty() {
            writeln!(out, "No domain with StorPool volumes runs on this host.")?;
        }
    }
    Ok(Verdict::all(reports.iter().map(|report| report.why.is_empty())))
}

/// One domain; nothing to report of one without volumes of ours, if it was not asked for by name.
fn one(config: &Config, libvirt: &Libvirt, found: Found, args: &Args) -> Result<Option<Report>, Failure> {
    let subject = Subject::of(found)?;
    let report = |result, changes, why| {
        Some(Report {
            domain: plain(&subject.domain.name),
            uuid: subject.uuid.clone(),
            result,
            changes,
            why,
        })
    };
    let alone = |why: &str| report("left_alone", Vec::new(), vec![why.to_owned()]);
    let wants = subject.wants(config)?.filter(|wants| !wants.is_empty());
    let Some(wants) = wants else {
        let why = "it has no volume that spvirt attaches";
        return Ok(if args.all { None } else { alone(why) });
    };
    let host = host(config)?;
    host.enter(Stage::Release);
    let _domain = match host.try_lock(&Lock::Domain(subject.uuid.clone())) {
        Err(LockError::Held(_)) => return Ok(alone("a hook is working on it")),
        other => other?,
    };
    match libvirt.life(&subject.uuid) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(alone("it does not run any more")),
        Err(why) => return Ok(alone(&why)),
    }
    let (is_changed, changes, why) = match hand_over(&host, &subject, &wants, args.dry_run) {
        Ok(done) => done,
        Err(why) => return Ok(alone(&why)),
    };
    let result = match (is_changed, args.dry_run) {
        (false, _) => "nothing_to_change",
        (true, true) => "would_adopt",
        (true, false) => "adopted",
    };
    Ok(report(result, changes, why))
}

type Done = (bool, Vec<Change>, Vec<String>);

/// Looks first, then decides and writes under the claims lock, in one go.
fn hand_over(host: &Host, subject: &Subject, wants: &[Want], dry_run: bool) -> Result<Done, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut refs: Vec<_> = wants.iter().map(|want| want.used.volume.clone()).collect();
    let links = host.links(&refs);
    let ids = links.iter().flatten().filter_map(|link| link.global_id.clone());
    refs.extend(ids.map(VolumeRef::Id));
    if let Some(Entry::Claim(claim)) = host.claim(&subject.uuid).map_err(|e| text(&e))? {
        refs.extend(claim.volumes.iter().map(Held::reference));
    }
    let mut wants = wants.to_vec();
    for (want, link) in wants.iter_mut().zip(links) {
        want.global_id = link.and_then(|link| link.global_id);
    }
    let listing = host.attachments(&refs).map_err(|e| text(&e))?;
    let _claims = host.lock(&Lock::Claims).map_err(|e| text(&e))?;
    let claims = host.claims().map_err(|e| text(&e))?;
    let domain = (&subject.uuid, subject.domain.name.as_str());
    let adoption = adopt::hand_over(host, domain, &wants, &listing, claims)?;
    if !dry_run {
        for claim in &adoption.claims {
            host.save(claim).map_err(|e| text(&e))?;
        }
    }
    let changes = adoption.changes.iter().map(|change| Change {
        domain: plain(&change.domain),
        volume: change.volume.to_string(),
        before: change
            .before
            .map_or_else(|| "unclaimed".to_owned(), |access| access.to_string()),
    });
    let why = adoption
        .left_out
        .iter()
        .map(|volume| format!("volume \"{volume}\" is not attached here with the access it needs"));
    Ok((!adoption.claims.is_empty(), changes.collect(), why.collect()))
}

fn text(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    let what = match report.result {
        "adopted" => "adopted",
        "would_adopt" => "would be adopted",
        "left_alone" => "left alone",
        _ => "nothing to change",
    };
    writeln!(out, "{} ({}): {what}", report.domain, report.uuid)?;
    for Change {
        domain,
        volume,
        before,
    } in &report.changes
    {
        writeln!(
            out,
            "  volume \"{volume}\": detached when {domain} stops (until now: left attached, {before})"
        )?;
    }
    for why in &report.why {
        writeln!(out, "  {}", shown::plain_line(why))?;
    }
    Ok(())
}
