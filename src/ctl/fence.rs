// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt fence`: takes every volume and snapshot from a client whose host is dead.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use spvirt::api::{Attachment, Listing, Reassign};
use spvirt::fence;
use spvirt::refusal::state;
use spvirt::volume::{ClientId, VolumeRef};
use spvirt::world::{Stage, World as _};

use crate::shown::{self, Step, plain};
use crate::{Failure, Verdict, configuration, consent, host};

/// Take every volume from a client whose host is dead
///
/// Detaches all that is attached to the client, by force and in one request,
/// and makes sure that it is gone. For use after fencing (STONITH) or as
/// fencing: once detached, nothing that host still does reaches the volumes.
/// A client that is up is refused unless --even-if-up is given as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  spvirt fence 3\n  spvirt fence 3 --yes\n\n\
    Exit code 1 when it is refused, or anything is still attached afterwards.\n\
    Nothing attached is success: it can be repeated.")]
pub struct Args {
    /// Number of the StorPool client (see "storpool service list")
    #[arg(value_name = "CLIENT", value_parser = client)]
    client: ClientId,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Also when the client is up: its guests lose their disks at once
    #[arg(long, alias = "force")]
    even_if_up: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn client(text: &str) -> Result<ClientId, String> {
    let id = text.parse().ok().and_then(ClientId::new);
    id.ok_or_else(|| "it is a number from 1 to 4095".to_owned())
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    client: ClientId,
    /// What was asked of StorPool; nothing if nothing was attached.
    plan: Vec<Step>,
    /// What is still attached to the client.
    left: Vec<String>,
}

/// Runs the command.
pub fn run(out: &mut impl Write, args: &Args) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let client = args.client;
    let (plan, names) = {
        let host = host(&config)?;
        host.enter(Stage::Work);
        fence::check(&host, client, args.even_if_up)?;
        let listing = host.attachments_of(&[], client)?;
        (fence::plan(&listing, client)?, names(&listing, client))
    };
    let name = |volume: &VolumeRef| names.get(&volume.api()).cloned().unwrap_or_else(|| volume.api());
    if !plan.is_empty() && !args.yes && !is_agreed(out, &config, client, &plan, &name)? {
        return Ok(Verdict::SomethingLeft);
    }
    // The person may have thought for an hour: the client may be back, and have other volumes.
    let host = host(&config)?;
    host.enter(Stage::Work);
    if !args.yes {
        fence::check(&host, client, args.even_if_up)?;
    }
    let asked = fence::fence(&host, &plan);
    let listing = if plan.is_empty() {
        Listing::default()
    } else {
        host.enter(Stage::Undo);
        host.attachments_of(&[], client)?
    };
    let left: Vec<_> = fence::of(&listing, client).map(told).collect();
    if let Err(error) = asked
        && !left.is_empty()
    {
        log::error!("{error}");
    }
    let report = Report {
        client,
        plan: if plan.is_empty() {
            Vec::new()
        } else {
            vec![shown::request(&plan, &name)]
        },
        left,
    };
    if args.json {
        shown::json(out, &report)?;
    } else {
        text(out, &report, plan.len())?;
    }
    Ok(Verdict::all([report.left.is_empty()].into_iter()))
}

/// What the objects of the plan are called.
fn names(listing: &Listing, client: ClientId) -> BTreeMap<String, String> {
    let known = fence::of(listing, client);
    let named = known.filter_map(|line| {
        let id = line.global_id.clone()?;
        Some((VolumeRef::Id(id).api(), plain(&line.name)))
    });
    named.collect()
}

fn told(line: &Attachment) -> String {
    let kind = if line.snapshot { "snapshot" } else { "volume" };
    format!("{kind} \"{}\" {}", plain(&line.name), line.rights)
}

fn is_agreed(
    out: &mut impl Write,
    config: &spvirt::config::Config,
    client: ClientId,
    plan: &[Reassign],
    name: &dyn Fn(&VolumeRef) -> String,
) -> Result<bool, Failure> {
    let clients = host(config)?.clients().unwrap_or_default();
    writeln!(out, "Client {client}, {}, would lose:", state(&clients, client))?;
    shown::write_steps(out, &[shown::request(plan, name)])?;
    out.flush()?;
    let question = format!("Guests of client {client} that still run lose these disks.");
    consent::ask(&question, &format!("fence {client}"))
}

fn text(out: &mut impl Write, report: &Report, count: usize) -> Result<(), Failure> {
    let client = report.client;
    if count == 0 {
        writeln!(out, "Nothing is attached to client {client}.")?;
        return Ok(());
    }
    shown::write_steps(out, &report.plan)?;
    if report.left.is_empty() {
        writeln!(out, "Client {client} has nothing attached any more.")?;
    } else {
        writeln!(out, "Client {client} still has {}.", report.left.join(", "))?;
    }
    Ok(())
}
