// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt rewrite`: changes domain XML, and not a byte more than is asked for.

mod args;
mod domains;
mod output;
mod schema;
mod subjects;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::Path;
use std::time::Instant;

use spvirt::api::client::Api;
use spvirt::deadline::Deadline;
use spvirt::persist;
use spvirt::recipe::{self, Facts, Names, NoteKind, Recipe, Refused, Rewritten};
use spvirt::volume::VolumeRef;

use crate::{Failure, Verdict, configuration};

pub use args::Rewrite;
pub use output::unified_diff;

use args::Subjects;

/// Longest XML that is read from a file or stdin.
const TEXT_MAX: u64 = 64 << 20;

/// Runs the command.
pub fn run(out: &mut impl Write, uri: &str, args: &Rewrite) -> Result<Verdict, Failure> {
    let recipes = args.recipes().map_err(Failure::Usage)?;
    match args.subjects().map_err(Failure::Usage)? {
        Subjects::All => domains::run(out, uri, args, &recipes, None),
        Subjects::Domains(names) => domains::run(out, uri, args, &recipes, Some(names)),
        Subjects::File(path) => text(
            out,
            args,
            &recipes,
            &path.to_string_lossy(),
            &persist::read_all(path, TEXT_MAX)?,
        ),
        Subjects::Stdin if args.subjects.is_empty() && io::stdin().is_terminal() => Err(Failure::Usage(
            "nothing to rewrite: name domains or a file, or say --all or -".to_owned(),
        )),
        Subjects::Stdin => text(out, args, &recipes, "stdin", &stdin()?),
    }
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(TEXT_MAX + 1).read_to_end(&mut bytes);
    let read = read.map_err(persist::at("reading", Path::new("stdin")))?;
    if read as u64 > TEXT_MAX {
        return Err(Failure::Refused(format!("stdin: longer than {TEXT_MAX} bytes")));
    }
    Ok(bytes)
}

/// Rewrites XML that is no domain of libvirt's: to stdout it goes as it is, passwords and all.
fn text(
    out: &mut impl Write,
    args: &Rewrite,
    recipes: &[Recipe],
    label: &str,
    xml: &[u8],
) -> Result<Verdict, Failure> {
    let refused = |why| Failure::Refused(format!("{label}: {}", because(why, xml)));
    let asked = recipe::asks_for(xml, recipes).map_err(|error| refused(error.into()))?;
    let facts = Facts {
        names: names(&asked)?,
        pools: args.pool.iter().cloned().collect(),
        running: recipe::is_of_running(xml).map_err(|error| refused(error.into()))?,
    };
    let rewritten = recipe::rewrite(xml, recipes, &facts).map_err(refused)?;
    if args.validate {
        schema::check(xml, &rewritten.xml).map_err(|why| Failure::Refused(format!("{label}: {why}")))?;
    }
    if args.json {
        let line = output::Line::of_text(label, xml, &rewritten);
        output::json(out, &[line])?;
    } else {
        if rewritten.xml == xml && !args.quiet {
            writeln!(io::stderr(), "{}", output::NO_CHANGE)?;
        }
        if args.print_diff {
            write!(out, "{}", unified_diff(xml, &rewritten.xml))?;
        }
        if args.print_xml || !args.print_diff {
            out.write_all(&rewritten.xml)?;
        }
        warn(label, &rewritten);
    }
    Ok(verdict(&rewritten))
}

/// What StorPool calls these volumes. Without any, nothing of StorPool's is needed: no configuration, no network.
fn names(volumes: &[VolumeRef]) -> Result<Names, Failure> {
    if volumes.is_empty() {
        return Ok(Names::default());
    }
    let config = configuration()?;
    let until = Deadline::new(Instant::now(), config.spvirt.deadline).end();
    Ok(Names::new(Api::new(&config).resolve(volumes, until)?))
}

/// Says what was left.
fn warn(label: &str, rewritten: &Rewritten) {
    for note in &rewritten.notes {
        log::warn!("{}: {}", label.escape_debug(), note.text);
    }
}

fn verdict(rewritten: &Rewritten) -> Verdict {
    if rewritten.notes.iter().any(|note| note.kind == NoteKind::Left) {
        Verdict::SomethingLeft
    } else {
        Verdict::Clean
    }
}

/// Why a document was refused, with the place in it.
pub fn because(refused: Refused, xml: &[u8]) -> String {
    match refused {
        Refused::NotUnderstood(error) => {
            let (line, column) = error.line_column(xml);
            format!("line {line}, column {column}: {}", error.reason)
        }
        other @ Refused::GuestWouldSee { .. } => other.to_string(),
    }
}

/// Folders of storage pools: those of libvirt, overruled by those of the command line.
fn pools(args: &Rewrite, described: Vec<(String, String)>) -> BTreeMap<String, String> {
    let folders = described
        .into_iter()
        .filter_map(|(name, xml)| Some((name, spvirt::domain::pool_folder(xml.as_bytes()).ok()??)));
    folders.chain(args.pool.iter().cloned()).collect()
}
