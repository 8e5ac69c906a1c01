// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The most memory that rewriting takes: in a process of its own, which does nothing else.

use std::fs;
use std::process::{Command, ExitCode};

use spvirt::recipe::{self, Form, Recipe, Tune};

use crate::documents::Document;
use crate::report::Report;
use crate::throughput::facts;

/// The argument by which this program knows that it is the child.
pub const CHILD: &str = "--rewrite-and-report-memory";

/// In MiB beside three times the document.
const BESIDE: f64 = 4.0;

/// Measures each document, read and rewritten. The document itself counts.
pub fn check(documents: &[Document], report: &mut Report) {
    Report::part("peak memory of reading and rewriting a document");
    for document in documents {
        #[allow(clippy::cast_precision_loss)] // megabytes
        let size = document.xml.len() as f64 / f64::from(1 << 20);
        for task in ["by-id", "tune"] {
            let output = Command::new(std::env::current_exe().expect("this program"))
                .args([
                    CHILD,
                    &format!("{task} {} {}", document.disks, document.path.display()),
                ])
                .output()
                .expect("this program");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let peak: f64 = said.trim().parse().expect("MiB");
            let what = format!("{}, {task}", document.name);
            let details = format!("{:.2} x the document", peak / size);
            report.bound(&what, peak, 3.0 * size + BESIDE, "MiB", &details);
        }
    }
}

/// Reads and rewrites one document, and prints by how many MiB the process grew.
pub fn child(arguments: &str) -> ExitCode {
    let [task, disks, path] = arguments.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        return ExitCode::FAILURE;
    };
    // What StorPool said is no part of the rewriting; it is there before.
    let facts = facts(if task == "by-id" {
        disks.parse().expect("a number")
    } else {
        0
    });
    let recipe = match task {
        "by-id" => Recipe::To(Form::ById),
        _ => Recipe::Tune(Tune::default()),
    };
    let before = kib("VmRSS:");
    fs::write("/proc/self/clear_refs", "5").expect("to forget the peak so far");
    let xml = fs::read(path).expect("a document");
    let rewritten = recipe::rewrite(&xml, &[recipe], &facts).expect("a domain");
    assert!(rewritten.xml.len() > xml.len());
    println!("{}", (kib("VmHWM:") - before) / 1024.0);
    ExitCode::SUCCESS
}

fn kib(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("our own status");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).expect("a number of kB")
}
