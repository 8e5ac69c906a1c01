// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt boot`: after a power cut, when libvirt was up before the StorPool client.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

use spvirt::config::Config;
use spvirt::deadline::{Deadline, left};
use spvirt::host::Host;
use spvirt::volume::DomainUuid;
use spvirt::world::World as _;

use crate::libvirt::{Found, Libvirt};
use crate::reconcile::{self, Report};
use crate::shown::{plain, plain_line};
use crate::subject::Subject;
use crate::{Failure, Verdict, configuration};

/// How long one question may take while the client is waited for.
const QUESTION: Duration = Duration::from_secs(15);
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);

/// Start what a boot left off because StorPool was not there yet
///
/// For a unit that runs once after boot. Waits until this host's StorPool
/// client is up, does what reconcile does (whatever an earlier boot left is
/// detached), and starts the domains with StorPool volumes that are marked for
/// autostart and are off: libvirt tries that once per boot only, and may have
/// been refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  spvirt boot --wait 600\n\n\
    Exit code 1 when the client does not come up, a domain does not start, or\nreconcile leaves anything.")]
pub struct Args {
    /// How long to wait for the StorPool client
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of one domain.
#[derive(Debug, Serialize)]
struct Attempt {
    domain: String,
    uuid: DomainUuid,
    started: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

/// Runs the command.
pub fn run(out: &mut impl Write, libvirt: &Libvirt, args: &Args) -> Result<Verdict, Failure> {
    let config = configuration()?;
    wait(&config, Duration::from_secs(args.wait))?;
    let reconciled = reconcile::reconcile(&config, libvirt, false)?;
    let off = libvirt.autostart_and_off().map_err(Failure::Refused)?;
    let mut started = Vec::new();
    for found in off {
        started.extend(start(&config, libvirt, found));
    }
    if args.json {
        json(out, &reconciled, &started)?;
    } else {
        reconciled.text(out)?;
        for it in &started {
            text(out, it)?;
        }
    }
    let clean = reconciled.verdict() == Verdict::Clean;
    Ok(Verdict::all(started.iter().map(|it| it.started).chain([clean])))
}

/// Waits until StorPool says that this host's client is up.
fn wait(config: &Config, patience: Duration) -> Result<(), Failure> {
    let until = Instant::now() + patience;
    loop {
        let host = Host::new(config, None, Deadline::new(Instant::now(), QUESTION))?;
        let state = host.clients().map(|clients| clients.get(&host.me()).copied());
        let why = match state {
            Ok(Some(true)) => return Ok(()),
            Ok(Some(false)) => "it is down".to_owned(),
            Ok(None) => "StorPool does not know it".to_owned(),
            Err(error) => error.to_string(),
        };
        if left(until) < PAUSE {
            return Err(Failure::Refused(format!(
                "client {}, this host, is not up after {} s: {why}",
                host.me(),
                patience.as_secs()
            )));
        }
        log::info!("waiting for client {}: {why}", host.me());
        host.pause(PAUSE);
    }
}

/// Starts a domain that has volumes of ours; nothing to say of any other.
fn start(config: &Config, libvirt: &Libvirt, found: Found) -> Option<Attempt> {
    let (name, uuid) = (found.name.clone(), found.uuid.clone());
    let wanted = Subject::of(found).and_then(|subject| subject.wants(config));
    let result = match wanted.map(Option::unwrap_or_default) {
        Ok(wants) if wants.is_empty() => return None,
        Ok(_) => libvirt.start(&uuid),
        Err(failure) => Err(failure.to_string()),
    };
    Some(Attempt {
        domain: plain(&name),
        uuid,
        started: result.is_ok(),
        why: result.err().unwrap_or_default(),
    })
}

fn text(out: &mut impl Write, it: &Attempt) -> Result<(), Failure> {
    let Attempt {
        domain,
        uuid,
        started,
        why,
    } = it;
    if *started {
        writeln!(out, "{domain} ({uuid}): started")?;
    } else {
        writeln!(out, "{domain} ({uuid}): not started: {}", plain_line(why))?;
    }
    Ok(())
}

fn json(out: &mut impl Write, reconciled: &Report, started: &[Attempt]) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Both<'a> {
        reconcile: &'a Report,
        started: &'a [Attempt],
    }
    let both = Both {
        reconcile: reconciled,
        started,
    };
    crate::shown::json(out, &both)
}
