// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt takeover`: takes a domain's volumes from whoever has them, because a person says so.

use std::io::Write;

use serde::Serialize;

use spvirt::acquire;
use spvirt::api::{Clients, Reassign};
use spvirt::claim::Entry;
use spvirt::claim::lock::{Lock, LockError};
use spvirt::config::{Config, Takeover};
use spvirt::foresee::{self, Foreseen};
use spvirt::host::Host;
use spvirt::plan::Arrival;
use spvirt::policy::Want;
use spvirt::refusal::{handle, state};
use spvirt::release;
use spvirt::volume::{ClientId, VolumeRef};
use spvirt::world::{Stage, World as _};

use crate::libvirt::Libvirt;
use crate::shown::{self, Step};
use crate::subject::Subject;
use crate::{Failure, Verdict, configuration, consent, host};

/// As if it were started here, whatever the policy says.
const ARRIVAL: Arrival = Arrival::Start(Takeover::Always);

/// Take the volumes of a domain from the clients that have them
///
/// Does what a start here would do with the takeover policy "always", and then
/// detaches the volumes from this host too: nobody has them, and virsh start
/// finds them free. A guest that has them open elsewhere loses its disks at
/// once. Refused while the domain runs here.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  spvirt takeover web1\n  spvirt takeover web1 --yes && virsh start web1\n\n\
    Nothing to take is success: it can be repeated."
)]
pub struct Args {
    /// Name or UUID of a domain that libvirt knows here
    domain: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    domain: String,
    uuid: String,
    /// What a start would do; what was done, if something was to take.
    plan: Vec<Step>,
    /// What was taken from whom; empty if nobody had anything.
    taken: Vec<Taken>,
    /// What is still attached here because of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
}

/// One volume taken from one client.
#[derive(Debug, Serialize)]
struct Taken {
    volume: String,
    client: ClientId,
    /// `which is up`, `which is down` or `whose state is unknown`.
    state: &'static str,
}

/// Runs the command.
pub fn run(out: &mut impl Write, libvirt: &Libvirt, args: &Args) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let subject = Subject::defined(libvirt, &args.domain)?;
    let name = handle(&subject.domain.name, &subject.uuid);
    if subject.life.is_some() {
        return Err(runs(&name));
    }
    let wants = subject.wants(&config)?.ok_or_else(|| {
        Failure::Refused(format!(
            "the volumes of {name} are not attached by spvirt: another manager, its metadata or SPVIRT_DOMAINS says so"
        ))
    })?;
    let Foreseen {
        preview,
        wants: known,
        clients,
        ..
    } = foresee::start(
        &host(&config)?,
        &subject.start(Takeover::Always),
        ARRIVAL,
        wants.clone(),
    );
    let names = shown::names_of_wants(&known);
    let taken = taken(&preview.requests(), config.client, &clients, &names);
    let report = Report {
        domain: shown::plain(&subject.domain.name),
        uuid: subject.uuid.to_string(),
        plan: shown::steps(&preview, &names),
        taken,
        left: None,
    };
    if let Some(refusal) = preview.refusal {
        return Err(refusal.into());
    }
    if report.taken.is_empty() {
        return say(out, args, &report);
    }
    if !args.yes {
        show(out, &report)?;
        out.flush()?;
        let question = "A guest that still has these volumes open loses its disks.";
        if !consent::ask(question, &format!("takeover {name}"))? {
            return Ok(Verdict::SomethingLeft);
        }
    }
    let left = take(&config, libvirt, &subject, wants, &name)?;
    say(out, args, &Report { left, ..report })
}

fn runs(name: &str) -> Failure {
    Failure::Refused(format!(
        "{name} runs on this host: \"spvirt explain {name}\" says what it has"
    ))
}

/// Takes, as a start would, and gives back here, as its stop would; says what could not be given back. All the time
/// it has the domain to itself.
fn take(
    config: &Config,
    libvirt: &Libvirt,
    subject: &Subject,
    wants: Vec<Want>,
    name: &str,
) -> Result<Option<String>, Failure> {
    let host = host(config)?;
    let _domain = match host.try_lock(&Lock::Domain(subject.uuid.clone())) {
        Err(LockError::Held(_)) => {
            return Err(Failure::Refused(format!(
                "a hook is working on {name}: is it being started?"
            )));
        }
        other => other?,
    };
    if libvirt.life(&subject.uuid).map_err(Failure::Refused)?.is_some() {
        return Err(runs(name));
    }
    acquire::acquire_as(&host, &subject.start(Takeover::Always), ARRIVAL, wants)?;
    give_back(&host, subject)
}

fn give_back(host: &Host, subject: &Subject) -> Result<Option<String>, Failure> {
    host.enter(Stage::Undo);
    Ok(match host.claim(&subject.uuid)? {
        Some(Entry::Claim(claim)) => release::let_go(host, claim).err().map(|left| left.to_string()),
        Some(Entry::Unreadable { why, .. }) => Some(why),
        None => None,
    })
}

/// What the requests take from others.
fn taken(
    requests: &[Vec<Reassign>],
    me: ClientId,
    clients: &Clients,
    name: &dyn Fn(&VolumeRef) -> String,
) -> Vec<Taken> {
    let of = |item: &Reassign| {
        let volume = name(&item.object.volume);
        let others = item
            .detach
            .clone()
            .into_iter()
            .filter(move |client| *client != me);
        let each = others.map(move |client| Taken {
            volume: volume.clone(),
            client,
            state: state(clients, client),
        });
        each.collect::<Vec<_>>()
    };
    requests.iter().flatten().flat_map(of).collect()
}

/// The plan, before anything is done.
fn show(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    writeln!(out, "To take over {} ({}):", report.domain, report.uuid)?;
    shown::write_steps(out, &report.plan)?;
    for Taken {
        volume,
        client,
        state,
    } in &report.taken
    {
        writeln!(out, "Client {client}, {state}, loses volume \"{volume}\".")?;
    }
    writeln!(out, "Then the volumes are detached from this host too.")?;
    Ok(())
}

fn say(out: &mut impl Write, args: &Args, report: &Report) -> Result<Verdict, Failure> {
    if args.json {
        shown::json(out, report)?;
    } else if report.taken.is_empty() {
        writeln!(
            out,
            "Nothing to take: no other client has a volume of {} that it wants for itself.",
            report.domain
        )?;
    } else {
        for Taken {
            volume,
            client,
            state,
        } in &report.taken
        {
            writeln!(
                out,
                "volume \"{volume}\": taken from client {client}, {state}; a guest that still runs there gets errors for every read and write: destroy it"
            )?;
        }
        match &report.left {
            None => writeln!(out, "Nobody has them now: \"virsh start\" finds them free.")?,
            Some(left) => writeln!(
                out,
                "Not everything could be detached here again, \"spvirt reconcile\" finishes it: {left}"
            )?,
        }
    }
    Ok(Verdict::all([report.left.is_none()].into_iter()))
}
