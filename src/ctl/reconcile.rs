// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt reconcile`: finishes what crashes and lost hook calls left.

use std::io::Write;
use std::time::Instant;

use serde::Serialize;

use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Entry};
use spvirt::config::Config;
use spvirt::deadline::Deadline;
use spvirt::host::Host;
use spvirt::reconcile::{Action, DomainState, decide, may_go};
use spvirt::release::{self, Left};
use spvirt::volume::DomainUuid;
use spvirt::world::{Stage, World as _};

use crate::{Failure, Verdict, configuration, libvirt};

/// What came of one claim.
#[derive(Debug, Serialize)]
struct Line {
    domain: String,
    uuid: DomainUuid,
    result: Outcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Nothing to do.
    Kept,
    /// Nothing is attached for it any more, and its claim is gone.
    Released,
    /// `--dry-run`: it would be released.
    WouldRelease,
    /// Not now.
    Skipped,
    /// Something is left.
    Left,
    /// A person has to look.
    Report,
}

/// Runs the command.
pub fn run(out: &mut impl Write, uri: &str, dry_run: bool, json: bool) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let entries = host(&config)?.claims()?;
    let mut lines = Vec::new();
    for entry in entries {
        lines.push(look_at(&config, uri, &entry, dry_run)?);
    }
    if json {
        writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&lines).map_err(std::io::Error::from)?
        )?;
    } else {
        for line in &lines {
            writeln!(out, "{}", text(line))?;
        }
        if lines.is_empty() {
            writeln!(out, "No claims on this host.")?;
        }
    }
    let clean = lines
        .iter()
        .all(|line| matches!(line.result, Outcome::Kept | Outcome::Released));
    Ok(if clean {
        Verdict::Clean
    } else {
        Verdict::SomethingLeft
    })
}

/// A host whose time begins now: every claim has a deadline of its own.
fn host(config: &Config) -> Result<Host<'_>, Failure> {
    let host = Host::new(
        config,
        None,
        Deadline::new(Instant::now(), config.spvirt.deadline),
    )?;
    host.enter(Stage::Release);
    Ok(host)
}

fn look_at(config: &Config, uri: &str, entry: &Entry, dry_run: bool) -> Result<Line, Failure> {
    let (domain, uuid) = (entry.domain().to_owned(), entry.uuid().clone());
    let host = host(config)?;
    let line = |result, why: String| Line {
        domain,
        uuid: uuid.clone(),
        result,
        why,
    };
    let _domain = match host.try_lock(&Lock::Domain(uuid.clone())) {
        Ok(guard) => guard,
        Err(LockError::Held(_)) => return Ok(line(Outcome::Skipped, "a hook is working on it".into())),
        Err(error) => return Err(error.into()),
    };
    // Read again under the lock: a hook may have finished it meanwhile.
    Ok(match host.claim(&uuid)? {
        None => line(Outcome::Released, String::new()),
        Some(Entry::Unreadable { why, .. }) => {
            line(Outcome::Report, format!("its claim cannot be read: {why}"))
        }
        Some(Entry::Claim(claim)) => {
            let (result, why) = settle(&host, claim, &libvirt::state(uri, &uuid), dry_run);
            line(result, why)
        }
    })
}

fn settle(host: &Host, claim: Claim, state: &DomainState, dry_run: bool) -> (Outcome, String) {
    match decide(&claim, host.me(), host.boot(), state) {
        Action::Keep => (Outcome::Kept, String::new()),
        Action::Skip(why) => (Outcome::Skipped, why),
        Action::Report(why) => (Outcome::Report, why),
        Action::Finish if dry_run => (Outcome::WouldRelease, String::new()),
        Action::Finish => match finish(host, claim) {
            Ok(true) => (Outcome::Released, String::new()),
            Ok(false) => (
                Outcome::Left,
                "an attach of unknown outcome: run reconcile once more later".into(),
            ),
            Err(left) => (Outcome::Left, left.to_string()),
        },
    }
}

/// Lets go of a claim; false when it has to stay for one more look.
fn finish(host: &Host, claim: Claim) -> Result<bool, Left> {
    let claim = release::found(claim);
    let may_go = may_go(&claim);
    release::let_go(
        host,
        Claim {
            unsure: claim.unsure && !may_go,
            ..claim
        },
    )?;
    Ok(may_go)
}

fn text(line: &Line) -> String {
    let what = match line.result {
        Outcome::Kept => "in use",
        Outcome::Released => "released",
        Outcome::WouldRelease => "would be released",
        Outcome::Skipped => "skipped",
        Outcome::Left => "not released",
        Outcome::Report => "left alone",
    };
    let why = if line.why.is_empty() {
        String::new()
    } else {
        format!(": {}", line.why)
    };
    format!("{} ({}): {what}{why}", line.domain.escape_debug(), line.uuid)
}
