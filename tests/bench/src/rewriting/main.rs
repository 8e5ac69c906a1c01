// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What rewriting a domain costs, against the tools that people use for it today: `make bench`.
//!
//! Every number is a ratio to another tool that does the same to the same document in the same round.
//! `docs/numbers.md` says what is measured, why, and what came out. Exit code 1 when a bound is broken.
//!
//! Arguments: a Python that has lxml, and the program `spvirt`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod documents;
mod memory;
mod peers;
mod processes;
mod throughput;

use std::path::PathBuf;
use std::process::ExitCode;

use spvirt_bench::report::{self, Report};
use spvirt_bench::sample;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, path] = arguments.as_slice()
        && word == memory::CHILD
    {
        return memory::child(path);
    }
    if cfg!(debug_assertions) {
        eprintln!("spvirt-bench-rewriting measures release builds: cargo run --release");
        return ExitCode::FAILURE;
    }
    let [python, spvirt] = arguments.as_slice() else {
        eprintln!("usage: spvirt-bench-rewriting PYTHON SPVIRT; make bench does it");
        return ExitCode::FAILURE;
    };
    let (python, spvirt) = (PathBuf::from(python), PathBuf::from(spvirt));
    let documents = documents::make();
    let mut report = Report::default();
    throughput::check(&python, &documents, &mut report);
    memory::check(&documents, &mut report);
    processes::check(&python, &spvirt, &documents);
    report.finish()
}
