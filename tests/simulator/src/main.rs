// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A simulated StorPool cluster: the JSON-over-HTTP API with its semantics, volumes as sparse files,
//! attachments as real loop devices in the `/dev` of each simulated client, and faults by script.

mod admin;
mod api;
mod cli;
mod cluster;
mod control;
mod devices;
mod faults;
mod http;
mod monitor;
mod request_log;
mod serve;
mod server;
mod sim;
mod switches;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// A line on stderr: the simulator's log.
pub fn say(text: &str) {
    // A log that nobody can read any more is no reason to stop.
    let _ = writeln!(std::io::stderr(), "storpool-sim: {text}");
}

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let result = match cli.verb {
        cli::Verb::Serve(options) => serve::run(&options),
        cli::Verb::Admin(command) => admin::run(&cli.server, &command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
