// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt reconcile`: compares libvirt's domains, the claims, the devices and what StorPool says is attached; finishes
//! what crashes and lost hook calls left, and reports what only a person can put right.

mod claims;
mod running;

use std::io::Write;

use serde::Serialize;

use spvirt::config::Config;
use spvirt::volume::DomainUuid;
use spvirt::world::World as _;

use crate::libvirt::Libvirt;
use crate::shown::{self, Step};
use crate::{Failure, Verdict, configuration, host};

/// Finish what crashes and lost hook calls left behind
///
/// Looks at every claim: a claim of a domain that does not run any more is
/// released exactly as the hook would have done. A running domain without a
/// claim gets one. A running domain that has lost a volume, or that another
/// host runs too, is reported, never touched; nor is anything that no claim
/// names. Safe to run at any moment, beside hooks and beside itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  spvirt reconcile --dry-run\n  spvirt reconcile\n\n\
    Exit code 1 when anything is left or needs a person."
)]
pub struct Args {
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of one domain.
#[derive(Debug, Serialize)]
struct Line {
    /// `None`: it is about no domain in particular.
    domain: Option<String>,
    uuid: Option<DomainUuid>,
    result: Outcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    /// What is asked of StorPool for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plan: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Nothing to do.
    Kept,
    /// A hook, or another `spvirt`, is at work on it.
    Busy,
    /// Nothing is attached for it any more, and its claim is gone.
    Released,
    /// `--dry-run`: it would be released.
    WouldRelease,
    /// It runs, had no claim and has one now.
    Adopted,
    /// `--dry-run`: it would get a claim.
    WouldAdopt,
    /// Not now.
    Skipped,
    /// Something is left.
    Left,
    /// A person has to look.
    Report,
}

impl Line {
    fn new(domain: &str, uuid: &DomainUuid, result: Outcome, why: impl Into<String>) -> Self {
        Self {
            domain: Some(shown::plain(domain)),
            uuid: Some(uuid.clone()),
            result,
            why: why.into(),
            plan: Vec::new(),
        }
    }

    fn is_fine(&self) -> bool {
        use Outcome::{Adopted, Busy, Kept, Released};
        matches!(self.result, Kept | Busy | Released | Adopted)
    }
}

/// What was found and done.
#[derive(Debug, Serialize)]
pub struct Report(Vec<Line>);

impl Report {
    /// Whether nothing is left and nothing needs a person.
    pub fn verdict(&self) -> Verdict {
        Verdict::all(self.0.iter().map(Line::is_fine))
    }

    /// A line for each domain.
    pub fn text(&self, out: &mut impl Write) -> Result<(), Failure> {
        for line in &self.0 {
            writeln!(out, "{}", text(line))?;
            if line.result == Outcome::WouldRelease {
                shown::write_steps(out, &line.plan)?;
            }
        }
        if self.0.is_empty() {
            writeln!(out, "No claims on this host.")?;
        }
        Ok(())
    }

    /// The same as JSON.
    pub fn json(&self, out: &mut impl Write) -> Result<(), Failure> {
        shown::json(out, self)
    }
}

/// Runs the command.
pub fn run(out: &mut impl Write, libvirt: &Libvirt, args: &Args) -> Result<Verdict, Failure> {
    let config = configuration()?;
    let report = reconcile(&config, libvirt, args.dry_run)?;
    if args.json {
        report.json(out)?;
    } else {
        report.text(out)?;
    }
    Ok(report.verdict())
}

/// Looks at everything, and does something about it unless it is a dry run.
pub fn reconcile(config: &Config, libvirt: &Libvirt, dry_run: bool) -> Result<Report, Failure> {
    let entries = host(config)?.claims()?;
    let mut lines = claims::settle(config, libvirt, &entries, dry_run)?;
    lines.extend(running::adopt(config, libvirt, dry_run)?);
    Ok(Report(lines))
}

fn text(line: &Line) -> String {
    let what = match line.result {
        Outcome::Kept => "in use",
        Outcome::Released => "released",
        Outcome::WouldRelease => "would be released",
        Outcome::Adopted => "adopted: it ran without a claim",
        Outcome::WouldAdopt => "would be adopted: it runs without a claim",
        Outcome::Skipped | Outcome::Busy => "skipped",
        Outcome::Left => "not released",
        Outcome::Report => "left alone",
    };
    let why = if line.why.is_empty() {
        String::new()
    } else {
        format!(": {}", shown::plain_line(&line.why))
    };
    match (&line.domain, &line.uuid) {
        (Some(domain), Some(uuid)) => format!("{domain} ({uuid}): {what}{why}"),
        _ => format!("{what}{why}"),
    }
}
