// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Runs the commands that the documents show, each document on two fresh hosts on a simulated cluster, and compares
//! what they print with what the document shows. `--shell` opens such hosts to a person instead.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::panic)]

mod blocks;
mod lab;

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use spvirt_rig::leftovers;

use blocks::{Step, missing, steps};
use lab::Lab;

fn main() -> ExitCode {
    spvirt_rig::enter();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.as_slice() {
        [word] if word == "--shell" => panic::catch_unwind(shell).is_ok(),
        [] => run_all(&documents()),
        paths => run_all(&paths.iter().map(PathBuf::from).collect::<Vec<_>>()),
    };
    let left = leftovers();
    if !left.is_empty() {
        println!("Something was left behind: {}", left.join(", "));
    }
    if done && left.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn shell() {
    println!("Bringing up two hosts on a simulated StorPool cluster ...");
    let lab = Lab::new();
    println!(
        "\n  hosta COMMAND   runs it on host A; hosta alone opens a shell there (hostb: the same)\n  \
         storpool-sim    is the cluster's administrator: storpool-sim volume list\n  \
         exit            takes everything away again\n\n\
         Try: hosta, then virsh define web1.xml, virsh start web1, spvirt list. docs/simulator.md goes on.\n"
    );
    if let Err(error) = lab.shell() {
        panic!("no shell: {error}");
    }
}

/// The documents of the project.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("."));
    let folder = root.join("docs");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.push(root.join("README.md"));
    found.retain(|path| path.extension().is_some_and(|end| end == "md"));
    found.sort();
    found
}

/// Runs all that can be run; false when a document does not tell the truth, or nothing was found to run.
fn run_all(documents: &[PathBuf]) -> bool {
    let (mut commands, mut wrong) = (0, 0);
    for path in documents {
        let name = path.display();
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let steps = steps(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        if steps.is_empty() {
            continue;
        }
        commands += steps.len();
        match panic::catch_unwind(|| run(&steps)) {
            Ok(Ok(())) => println!("ok     {name}: {} commands", steps.len()),
            Ok(Err(why)) => {
                wrong += 1;
                println!("FAILED {name}:{why}");
            }
            Err(_) => {
                wrong += 1;
                println!("FAILED {name}");
            }
        }
    }
    println!("{commands} commands of documents were run");
    wrong == 0 && commands > 0
}

/// Runs the commands of one document. The error begins with the line.
fn run(steps: &[Step]) -> Result<(), String> {
    let lab = Lab::new();
    lab.has_its_words()
        .map_err(|said| format!(" the shell says {said:?}"))?;
    for step in steps {
        let Step {
            line,
            host,
            command,
            shown,
        } = step;
        let output = lab
            .run(host, command)
            .ok_or_else(|| format!("{line}: there is no host {host}"))?;
        if (output.code != 0) != step.fails() {
            let should = if step.fails() { "fail" } else { "succeed" };
            return Err(format!("{line}: `{command}` should {should}: {output}"));
        }
        // People see both on one screen.
        let printed = format!("{}\n{}", output.stdout, output.stderr);
        if let Some(missing) = missing(shown, &printed) {
            return Err(format!(
                "{line}: `{command}` does not print {missing:?}: {output}"
            ));
        }
    }
    Ok(())
}
