// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt undo`: puts a domain's definition back to what it was.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use spvirt::volume::DomainUuid;

use crate::backup::{self, Backup};
use crate::libvirt::{Session, Trouble};
use crate::rewrite::unified_diff;
use crate::{Failure, Verdict};

/// Which domain, and which of its earlier definitions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  spvirt undo web1\n  spvirt undo --list web1\n  \
    spvirt undo --print-diff --to 2026-11-24T06-40-12.123Z web1\n\n\
    An undo can be undone: it keeps what it replaces, too.")]
pub struct Undo {
    /// The domain, by name or UUID; by UUID also one that was undefined
    pub domain: String,
    /// List the definitions that are kept
    #[arg(long)]
    list: bool,
    /// Not the newest that differs, but this one
    #[arg(long, value_name = "TIME", conflicts_with = "list")]
    to: Option<String>,
    /// Print the changes and define nothing
    #[arg(long, visible_alias = "dry-run", short_alias = 'n')]
    print_diff: bool,
    /// Print JSON, with --list
    #[arg(long, requires = "list")]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    time: &'a str,
    file: String,
    /// It is the definition that the domain has now.
    current: bool,
}

/// Runs the command.
pub fn run(out: &mut impl Write, uri: &str, args: &Undo) -> Result<Verdict, Failure> {
    let session = Session::new(uri);
    let (name, uuid, current) = match session.find(&args.domain) {
        Ok(known) => {
            let described = session.describe(&known.uuid)?;
            let current = described.persistent.then_some(described.inactive);
            (known.name, known.uuid, current)
        }
        // One that is gone can come back.
        Err(Trouble::NoDomain(text)) => match DomainUuid::parse(&text) {
            Some(uuid) => (text, uuid, None),
            None => return Err(Trouble::NoDomain(text).into()),
        },
        Err(trouble) => return Err(trouble.into()),
    };
    let backups = backup::of(&uuid)?;
    if args.list {
        list(out, args.json, &backups, current.as_deref())?;
        return Ok(Verdict::Clean);
    }
    let shown = name.escape_debug();
    let mut chosen = None;
    for backup in &backups {
        let wanted = args.to.as_ref().is_none_or(|time| *time == backup.time);
        if wanted {
            let xml = backup.read()?;
            if args.to.is_some() || current.as_deref() != Some(xml.as_str()) {
                chosen = Some((backup, xml));
                break;
            }
        }
    }
    let Some((backup, xml)) = chosen else {
        let what = args.to.as_ref().map_or(
            "no other definition of it is kept",
            |_| "no definition of that time is kept",
        );
        return Err(Failure::Refused(format!(
            "{shown}: {what}: see spvirt undo --list"
        )));
    };
    let before = current.as_deref().unwrap_or_default();
    if before == xml {
        writeln!(out, "No XML change is needed.")?;
        return Ok(Verdict::Clean);
    }
    if current.is_some() {
        write!(out, "{}", unified_diff(before.as_bytes(), xml.as_bytes()))?;
    } else {
        writeln!(out, "It is not defined now.")?;
    }
    if args.print_diff {
        return Ok(Verdict::Clean);
    }
    if let Some(current) = &current {
        backup::keep(&uuid, current)?;
    }
    session.define(&xml)?;
    writeln!(out, "Domain '{shown}' defined as it was before {}.", backup.time)?;
    Ok(Verdict::Clean)
}

fn list(out: &mut impl Write, json: bool, backups: &[Backup], current: Option<&str>) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for backup in backups {
        rows.push(Row {
            time: &backup.time,
            file: backup.path().display().to_string(),
            current: current == Some(backup.read()?.as_str()),
        });
    }
    if json {
        let text = serde_json::to_string_pretty(&rows).map_err(std::io::Error::from)?;
        writeln!(out, "{text}")?;
    } else if rows.is_empty() {
        writeln!(out, "No earlier definition is kept.")?;
    }
    if !json {
        for row in &rows {
            let mark = if row.current { "  (as it is now)" } else { "" };
            writeln!(out, "{}{mark}", row.time)?;
        }
    }
    Ok(())
}
