// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The numbers the hook must keep, measured on this machine and within one run: `make bench`.
//!
//! Every time is a ratio to `/bin/true`, started the same way, in turn with the hook, with the same bytes on its
//! stdin: a slow or a busy machine slows both. `docs/numbers.md` says what is measured, why, and what came out.
//! Exit code 1 when a bound is broken. Needs root, for a mount namespace and loop devices of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod api;
mod call;
mod crowd;
mod disks;
mod domain;
mod libraries;
mod memory;
mod requests;
mod stage;
mod times;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use spvirt_bench::report::{self, Report};
use spvirt_bench::sample;
use stage::Stage;

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("spvirt-bench measures release builds: cargo run --release -p spvirt-bench");
        return ExitCode::FAILURE;
    }
    let hook = match hook() {
        Ok(hook) => hook,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    // Before the stage, whose /etc and /dev are bare.
    libraries::check(&hook, &mut report);
    let stage = Stage::enter(hook);
    requests::check(&stage, &mut report);
    memory::check(&stage, &mut report);
    times::quiet(&stage, &mut report);
    times::prepare(&stage, &mut report);
    crowd::ten_on_a_slow_api(&stage, &mut report);
    crowd::twenty_on_a_long_list(&stage);
    report.finish()
}

/// The hook: the first argument, else built now, in a run of cargo of its own: what other members of the workspace
/// want of the same crates must not get into it.
fn hook() -> Result<PathBuf, String> {
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => build()?,
    };
    path.canonicalize()
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "spvirt",
            "--bin",
            "spvirt-hook",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("the hook does not build: {status}"));
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name("spvirt-hook"))
}
