// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! One hook call, from libvirt's arguments to an exit code: the straight line.
//!
//! A domain without StorPool volumes leaves it after a look at its XML: no configuration is read, no socket
//! opened, no file written, so nothing of ours that is broken can keep it from starting.

mod input;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::acquire::{self, Start};
use crate::claim::Entry;
use crate::claim::lock::Lock;
use crate::claim::store::{self, Store};
use crate::config::{self, Config, ConfigError, Files, Settings};
use crate::deadline::{Deadline, left};
use crate::domain::{Domain, Kind};
use crate::event::{Event, Task};
use crate::host::Host;
use crate::policy::{self, Want};
use crate::refusal::Refusal;
use crate::release::{self, Left};
use crate::ticket::{self, Subject};
use crate::volume::{DomainUuid, PathMeaning};
use crate::world::{Stage, World as _};
use crate::{adopt, device, journal, report, sys};

pub use input::Input;

/// What the process does at its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code: 0 or 1.
    pub code: u8,
    /// What libvirt is to read instead of the XML it sent; empty for "unchanged".
    pub output: Vec<u8>,
    /// A line for stderr.
    pub message: Option<String>,
}

/// What a call does between its input and its output. [`line()`] is the real one; tests have worse ones.
pub type Line = fn(&Event, &Input) -> Result<Vec<u8>, Refusal>;

/// Runs a call. Whatever happens inside, a panic included, only `prepare` of a domain that speaks of StorPool
/// can end with anything but exit code 0: a failing `reconnect` would kill the running guest.
pub fn run(args: impl IntoIterator<Item = OsString>, stdin: impl Read, line: Line) -> Outcome {
    let event = Event::from_args(args);
    if event.task == Task::Nothing {
        return Outcome::default();
    }
    let input = Input::read(stdin);
    std::panic::set_hook(Box::new(|panic| log::error!("internal error: {panic}")));
    let result = catch_unwind(AssertUnwindSafe(|| line(&event, &input)));
    let why = match result {
        Ok(Ok(output)) => {
            return Outcome {
                output,
                ..Outcome::default()
            };
        }
        Ok(Err(refusal)) => refusal.to_string(),
        Err(_) if !input.mentions_storpool() => return Outcome::default(),
        Err(_) => "internal error, please report it with the journal of this moment".to_owned(),
    };
    if !event.may_refuse() {
        log::error!("{why}");
        return Outcome::default();
    }
    log::error!("refused: {why}");
    Outcome {
        code: 1,
        message: Some(report::line(&sys::host_name(), &event.domain, &why)),
        ..Outcome::default()
    }
}

/// The line every call follows. Returns what goes to stdout.
pub fn line(event: &Event, input: &Input) -> Result<Vec<u8>, Refusal> {
    let began = Instant::now();
    let store = Store::new(PathBuf::from(store::DIR));
    let nothing = Vec::new();
    if let Some(uuid) = input.plainly_foreign()
        && !store.path(&uuid).exists()
    {
        return Ok(nothing);
    }
    match (event.task, input.domain()) {
        (Task::Acquire, Ok((domain, uuid))) => prepare(event, &domain, &uuid, &store, began)?,
        (Task::Acquire, Err(why)) if input.mentions_storpool() => return Err(Refusal::NotUnderstood { why }),
        (Task::Announce, Ok((domain, uuid))) => return Ok(announce(event, input, &domain, &uuid, began)),
        (Task::Restore, Ok((domain, uuid))) => restore(event, &domain, &uuid, began)?,
        (Task::Release, Ok((_, uuid))) => {
            if store.path(&uuid).exists() {
                release(event, &uuid, began);
            }
        }
        (Task::Release, Err(_)) => {
            if let Some(uuid) = only_claim_of(&store, &event.domain) {
                release(event, &uuid, began);
            }
        }
        (Task::Adopt, Ok((domain, uuid))) => reconnect(event, &domain, &uuid, began),
        (Task::Acquire | Task::Announce | Task::Restore | Task::Adopt, Err(_)) | (Task::Nothing, _) => {}
    }
    Ok(nothing)
}

/// `prepare begin`.
fn prepare(
    event: &Event,
    domain: &Domain,
    uuid: &DomainUuid,
    store: &Store,
    began: Instant,
) -> Result<(), Refusal> {
    let names_volumes = names_volumes(domain);
    let has_claim = store.path(uuid).exists();
    if !names_volumes && !has_claim && may_be_links(domain).next().is_none() {
        return Ok(());
    }
    journal::open(event, Some(uuid));
    log_odd_paths(domain);
    let config = match configuration() {
        Ok(config) => config,
        Err(error) if names_volumes && policy::is_ours(domain, &Settings::default())? => {
            return Err(error.into());
        }
        Err(error) => {
            log::warn!("{error}");
            return Ok(());
        }
    };
    let ours = policy::is_ours(domain, &config.spvirt)?;
    let wants = if ours {
        wanted(domain, &config)?
    } else {
        Vec::new()
    };
    if wants.is_empty() {
        // Its volumes were taken out of its XML since it ran: nothing is asked of it for that.
        if has_claim {
            release_with(event, &config, uuid, began);
        }
        return Ok(());
    }
    let deadline = Deadline::new(began, config.spvirt.deadline);
    watch(event, deadline);
    let host = Host::new(&config, sys::parent(), deadline)?;
    let start = Start {
        subject: subject(domain, uuid),
        policy: policy::takeover(domain, &config.spvirt)?,
    };
    let result = acquire::acquire(&host, &start, wants);
    summarise(event, &host, began, result.is_ok());
    result
}

/// `migrate begin`, on the destination: the ticket by which the `prepare` that follows knows its migration. Never
/// fails: without a ticket the migration is refused by `prepare`, with a reason.
fn announce(event: &Event, input: &Input, domain: &Domain, uuid: &DomainUuid, began: Instant) -> Vec<u8> {
    if !names_volumes(domain) && may_be_links(domain).next().is_none() {
        return Vec::new();
    }
    journal::open(event, Some(uuid));
    let output = configuration().map_err(Refusal::from).and_then(|config| {
        if !policy::is_ours(domain, &config.spvirt)? || wanted(domain, &config)?.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Deadline::new(began, config.spvirt.deadline);
        watch(event, deadline);
        let host = Host::new(&config, sys::parent(), deadline)?;
        let (nonce, output) = match config.spvirt.ticket {
            config::Ticket::Time => (None, Vec::new()),
            config::Ticket::Nonce => {
                let nonce = sys::random_id()?;
                let output = input
                    .with_nonce(&nonce)
                    .map_err(|why| Refusal::NotUnderstood { why })?;
                (Some(nonce), output)
            }
        };
        let subject = Subject {
            nonce: nonce.as_deref(),
            ..subject(domain, uuid)
        };
        ticket::leave(&host, &subject)?;
        Ok(output)
    });
    output.unwrap_or_else(|why| {
        log::error!("no ticket for this migration: {why}");
        Vec::new()
    })
}

/// `restore begin`: the `prepare` that follows is no migration's, although its XML looks like it.
fn restore(event: &Event, domain: &Domain, uuid: &DomainUuid, began: Instant) -> Result<(), Refusal> {
    if !names_volumes(domain) && may_be_links(domain).next().is_none() {
        return Ok(());
    }
    journal::open(event, Some(uuid));
    let config = configuration()?;
    let host = Host::new(
        &config,
        sys::parent(),
        Deadline::new(began, config.spvirt.deadline),
    )?;
    ticket::drop(&host, uuid, host.now());
    Ok(())
}

/// `release end`. Nothing here is libvirt's to know: what is left is in the claim, and in the log.
fn release(event: &Event, uuid: &DomainUuid, began: Instant) {
    journal::open(event, Some(uuid));
    match configuration() {
        Ok(config) => release_with(event, &config, uuid, began),
        Err(error) => log::error!("nothing was detached, the claim stays: {error}"),
    }
}

fn release_with(event: &Event, config: &Config, uuid: &DomainUuid, began: Instant) {
    let deadline = Deadline::new(began, config.spvirt.deadline);
    watch(event, deadline);
    let result = Host::new(config, sys::parent(), deadline)
        .map_err(Left::State)
        .and_then(|host| {
            host.enter(Stage::Release);
            let result = release_locked(&host, uuid);
            summarise(event, &host, began, result.is_ok());
            result
        });
    if let Err(left) = result {
        log::error!("left for \"spvirt reconcile\": {left}");
    }
}

fn release_locked(host: &Host, uuid: &DomainUuid) -> Result<(), Left> {
    let began = host.now();
    let _domain = host.lock(&Lock::Domain(uuid.clone()))?;
    if host.orphaned() {
        return Ok(());
    }
    ticket::drop(host, uuid, began);
    match host.claim(uuid)? {
        Some(Entry::Claim(claim)) => release::let_go(host, release::found(claim)),
        Some(Entry::Unreadable { why, .. }) => {
            log::error!("nothing was detached, the claim cannot be read: {why}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// `reconnect begin`: never fails.
fn reconnect(event: &Event, domain: &Domain, uuid: &DomainUuid, began: Instant) {
    if !names_volumes(domain) && may_be_links(domain).next().is_none() {
        return;
    }
    journal::open(event, Some(uuid));
    let adopted = configuration().map_err(Refusal::from).and_then(|config| {
        if !policy::is_ours(domain, &config.spvirt)? {
            return Ok(Ok(()));
        }
        let wants = wanted(domain, &config)?;
        let deadline = Deadline::new(began, config.spvirt.deadline);
        watch(event, deadline);
        let host = Host::new(&config, sys::parent(), deadline)?;
        host.enter(Stage::Release);
        Ok(adopt::adopt(&host, uuid, &domain.name, &wants))
    });
    match adopted {
        Ok(Ok(())) => log::info!("{}: a claim is there", event.operation),
        Ok(Err(left)) => log::error!("no claim was written: {left}"),
        Err(refusal) => log::error!("no claim was written: {refusal}"),
    }
}

/// Whether a path names a volume, without a look at any link.
fn names_volumes(domain: &Domain) -> bool {
    let mut sources = domain.sources.iter();
    sources.any(|source| matches!(source.meaning(), PathMeaning::Volume(_)))
}

/// The domain as a ticket knows it.
#[must_use]
pub fn subject<'a>(domain: &'a Domain, uuid: &'a DomainUuid) -> Subject<'a> {
    Subject {
        uuid,
        domain: &domain.name,
        resource: domain.resource,
        nonce: domain.settings.nonce.as_deref(),
    }
}

fn configuration() -> Result<Config, ConfigError> {
    let config = config::read(&Files::system(), &sys::host_name(), &[])?;
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}

/// The volumes that a domain names, through the links that `SPVIRT_FOLLOW` covers too.
pub fn wanted(domain: &Domain, config: &Config) -> Result<Vec<Want>, Refusal> {
    let folders = &config.spvirt.follow;
    let followed = if folders.is_empty() {
        BTreeMap::new()
    } else {
        device::follow(may_be_links(domain), folders)
    };
    policy::wants(domain, &followed)
}

/// Paths of block sources outside `/dev`: a block device there can only be reached through a symlink, which
/// `SPVIRT_FOLLOW` may cover.
fn may_be_links(domain: &Domain) -> impl Iterator<Item = &str> {
    let blocks = domain.sources.iter().filter(|source| source.kind == Kind::Block);
    blocks
        .map(|source| source.path.as_str())
        .filter(|path| !Path::new(path).starts_with("/dev"))
}

fn log_odd_paths(domain: &Domain) {
    for source in domain
        .sources
        .iter()
        .filter(|source| source.meaning() == PathMeaning::NotAVolume)
    {
        log::warn!(
            "{}: {:?} cannot be a StorPool volume, left alone",
            source.label(),
            source.path
        );
    }
}

/// The claim of the domain with this name, if exactly one has it: for a release whose XML cannot be read.
fn only_claim_of(store: &Store, name: &str) -> Option<DomainUuid> {
    let entries = store.all().ok()?;
    let mut claims = entries.into_iter().filter_map(|entry| match entry {
        Entry::Claim(claim) if claim.domain == name => Some(claim.uuid),
        _ => None,
    });
    claims.next().filter(|_| claims.next().is_none())
}

fn summarise(event: &Event, host: &Host, began: Instant, done: bool) {
    let elapsed = began.elapsed().as_millis();
    let requests = host.requests();
    let word = if done { "done" } else { "not done" };
    log::info!(SPVIRT_ELAPSED_MS = elapsed, SPVIRT_REQUESTS = requests; "{}: {word} in {elapsed} ms, {requests} API requests", event.operation);
}

/// Ends the process at the deadline, with the exit code of its event and never by a signal, which would kill a
/// guest on reconnect. The last resort: every wait has its own limit below it.
fn watch(event: &Event, deadline: Deadline) {
    let event = event.clone();
    let end = move || {
        while !left(deadline.end()).is_zero() {
            std::thread::sleep(left(deadline.end()).min(Duration::from_hours(1)));
        }
        log::error!(
            "the deadline has passed: this call ends here, \"spvirt reconcile\" looks after the rest"
        );
        if event.may_refuse() {
            let line = report::line(&sys::host_name(), &event.domain, &Refusal::OutOfTime.to_string());
            let _ = io::Write::write_all(&mut io::stderr(), format!("{line}\n").as_bytes());
        }
        std::process::exit(i32::from(event.may_refuse()));
    };
    if let Err(error) = std::thread::Builder::new().spawn(end) {
        log::warn!("no watchdog: {error}");
    }
}
