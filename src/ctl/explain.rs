// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt explain`: what a start here and now would do and why; what a running domain holds, and what is wrong with it.

use std::io::Write;

use serde::Serialize;

use spvirt::api::{Attachment, Clients, Listing};
use spvirt::claim::{Claim, Entry, Held};
use spvirt::config::Config;
use spvirt::foresee::{self, Foreseen};
use spvirt::health::{self, Life};
use spvirt::plan::Arrival;
use spvirt::policy::{self, Want};
use spvirt::refusal::{handle, state};
use spvirt::release;
use spvirt::volume::{Access, ClientId, GlobalId};
use spvirt::world::{Stage, World};

use crate::libvirt::Libvirt;
use crate::shown::{self, Step};
use crate::subject::Subject;
use crate::{Failure, Verdict, configuration, host};

/// Say what a start of a domain would do here and now, and why
///
/// Looks at the same things as the hook, decides by the same code, and changes
/// nothing. Of a domain that runs here: what it holds, and what is wrong with
/// it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  spvirt explain web1\n  spvirt explain ./web1.xml\n\n\
    Exit code 1 when the start would be refused, or something is wrong with the\nrunning domain."
)]
pub struct Args {
    /// Name or UUID of a domain, or a file with its XML (with a / in it or
    /// ending in .xml; - is standard input)
    #[arg(value_name = "DOMAIN|FILE")]
    pub domain: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Everything there is to say.
#[derive(Debug, Serialize)]
struct Report {
    domain: String,
    uuid: String,
    /// `off` or `running`.
    state: &'static str,
    /// Whether its volumes are ours to attach.
    ours: bool,
    volumes: Vec<Row>,
    /// Of a domain that is off: what a start does. Of one that runs: what a stop does.
    plan: Vec<Step>,
    /// Of a domain that is off: `starts`, `depends` (on the conditions in the plan) or `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// What is wrong with a domain that runs.
    troubles: Vec<String>,
}

/// One volume of the domain.
#[derive(Debug, Serialize)]
struct Row {
    disk: String,
    volume: String,
    global_id: Option<GlobalId>,
    snapshot: bool,
    wants: Access,
    /// How it is attached here: `rw`, `ro` or `no`.
    attached: String,
    /// Who else has it.
    others: Vec<Other>,
}

#[derive(Debug, Serialize)]
struct Other {
    client: ClientId,
    rights: Access,
    /// `which is up`, `which is down` or `whose state is unknown`.
    state: &'static str,
}

/// Runs the command.
pub fn run(out: &mut impl Write, libvirt: &Libvirt, args: &Args) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let subject = Subject::named(libvirt, &args.domain)?;
    let report = match (subject.wants(&config)?, subject.life) {
        (_, Some(life)) => running(&config, &subject, life)?,
        (None, None) => empty(&subject, false),
        (Some(wants), None) => off(&config, &subject, wants)?,
    };
    if args.json {
        shown::json(out, &report)?;
    } else {
        text(out, &report)?;
    }
    let refused = report.verdict == Some("refused");
    Ok(Verdict::all([!refused, report.troubles.is_empty()].into_iter()))
}

fn empty(subject: &Subject, ours: bool) -> Report {
    Report {
        domain: shown::plain(&subject.domain.name),
        uuid: subject.uuid.to_string(),
        state: if subject.life.is_some() { "running" } else { "off" },
        ours,
        volumes: Vec::new(),
        plan: Vec::new(),
        verdict: None,
        refusal: None,
        troubles: Vec::new(),
    }
}

fn off(config: &Config, subject: &Subject, wants: Vec<Want>) -> Result<Report, Failure> {
    let host = host(config)?;
    let policy = policy::takeover(&subject.domain, &config.spvirt)?;
    let seen = foresee::start(&host, &subject.start(policy), Arrival::Start(policy), wants);
    let Foreseen { preview, wants, .. } = &seen;
    let verdict = match &preview.refusal {
        Some(_) => "refused",
        None if preview.depends() => "depends",
        None => "starts",
    };
    Ok(Report {
        volumes: wants.iter().map(|want| wanted(want, &seen, host.me())).collect(),
        plan: shown::steps(preview, &shown::names_of_wants(wants)),
        verdict: Some(verdict),
        refusal: preview.refusal.as_ref().map(ToString::to_string),
        ..empty(subject, true)
    })
}

fn wanted(want: &Want, seen: &Foreseen, me: ClientId) -> Row {
    let id = want.global_id.as_ref();
    let about = |line: &&Attachment| {
        line.snapshot == want.snapshot
            && match (id, &line.global_id) {
                (Some(id), Some(listed)) => id == listed,
                _ => line.name == want.used.volume.api(),
            }
    };
    let lines: Vec<_> = seen.listing.attachments.iter().filter(about).collect();
    Row {
        disk: shown::plain(&want.used.disk),
        volume: want.used.volume.to_string(),
        global_id: want.global_id.clone(),
        snapshot: want.snapshot,
        wants: want.access,
        attached: attached(&lines, me),
        others: others(&lines, me, &seen.clients),
    }
}

fn running(config: &Config, subject: &Subject, life: Life) -> Result<Report, Failure> {
    let host = host(config)?;
    host.enter(Stage::Release);
    let ours = policy::is_ours(&subject.domain, &config.spvirt)?;
    let claim = match host.claim(&subject.uuid)? {
        Some(Entry::Claim(claim)) => claim,
        Some(Entry::Unreadable { why, .. }) => {
            return Ok(Report {
                troubles: vec![format!("its claim cannot be read: {why}")],
                ..empty(subject, ours)
            });
        }
        None => {
            let wanted = subject.wants(config)?.is_some_and(|wants| !wants.is_empty());
            let no_claim = "no claim says what it holds: \"spvirt reconcile\" writes one".to_owned();
            return Ok(Report {
                troubles: if wanted { vec![no_claim] } else { Vec::new() },
                ..empty(subject, ours)
            });
        }
    };
    let refs: Vec<_> = claim.volumes.iter().map(Held::reference).collect();
    let listing = host.attachments(&refs)?;
    let clients = host.clients().unwrap_or_default();
    let me = host.me();
    let name = handle(&subject.domain.name, &subject.uuid);
    let troubles = health::troubles(&claim, me, &listing, &host.links(&refs), life);
    Ok(Report {
        volumes: claim
            .volumes
            .iter()
            .map(|held| holds(held, &listing, me, &clients))
            .collect(),
        plan: stop(&host, &claim),
        troubles: troubles.iter().map(|trouble| trouble.words(&name)).collect(),
        ..empty(subject, ours)
    })
}

/// What a stop of the domain will give back.
fn stop(host: &impl World, claim: &Claim) -> Vec<Step> {
    let refs: Vec<_> = claim.volumes.iter().map(Held::reference).collect();
    let items = release::intention(host, claim, None).map(|intent| intent.items);
    let items = items.unwrap_or_default();
    if items.is_empty() || refs.is_empty() {
        return Vec::new();
    }
    vec![shown::request(&items, &shown::names_of_claim(claim))]
}

fn holds(held: &Held, listing: &Listing, me: ClientId, clients: &Clients) -> Row {
    let lines = listing.attachments.iter();
    let lines: Vec<_> = lines.filter(|line| held.is_line(line)).collect();
    Row {
        disk: shown::plain(&held.disk),
        volume: held.volume.to_string(),
        global_id: held.known_id(),
        snapshot: held.snapshot,
        wants: held.access,
        attached: attached(&lines, me),
        others: others(&lines, me, clients),
    }
}

fn attached(lines: &[&Attachment], me: ClientId) -> String {
    let mine = lines.iter().find(|line| line.client == me);
    shown::or_no(mine.map(|line| line.rights))
}

fn others(lines: &[&Attachment], me: ClientId, clients: &Clients) -> Vec<Other> {
    let others = lines.iter().filter(|line| line.client != me);
    let other = |line: &&Attachment| Other {
        client: line.client,
        rights: line.rights,
        state: state(clients, line.client),
    };
    others.map(other).collect()
}

fn text(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    let state = if report.state == "running" {
        "runs here"
    } else {
        "does not run here"
    };
    writeln!(out, "{} ({}) {state}.", report.domain, report.uuid)?;
    if !report.ours {
        writeln!(
            out,
            "Its volumes are not attached by spvirt: another manager, its metadata or SPVIRT_DOMAINS says so."
        )?;
    } else if report.volumes.is_empty() && report.refusal.is_none() && report.troubles.is_empty() {
        writeln!(out, "It has no StorPool volume.")?;
    }
    let rows = report.volumes.iter().map(|it| {
        let others = it
            .others
            .iter()
            .map(|other| format!("{} on client {}, {}", other.rights, other.client, other.state));
        [
            it.disk.clone(),
            it.volume.clone(),
            it.global_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            it.wants.to_string(),
            it.attached.clone(),
            others.collect::<Vec<_>>().join("; "),
        ]
    });
    let header = ["DISK", "VOLUME", "GLOBAL ID", "WANTS", "ATTACHED", "ELSEWHERE"];
    shown::table(out, header, rows)?;
    if !report.plan.is_empty() {
        let what = if report.verdict.is_some() { "start" } else { "stop" };
        writeln!(out, "A {what} would:")?;
        shown::write_steps(out, &report.plan)?;
    }
    match (report.verdict, &report.refusal) {
        (_, Some(why)) => writeln!(out, "It would be refused: {}", shown::plain_line(why))?,
        (Some("depends"), _) => writeln!(out, "It would start if the conditions hold, else be refused.")?,
        (Some(_), _) => writeln!(out, "It would start.")?,
        _ => {}
    }
    for trouble in &report.troubles {
        writeln!(out, "Trouble: {}", shown::plain_line(trouble))?;
    }
    Ok(())
}
