// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt`, the helper: what a hook cannot do, or what a person wants to see.

mod check;
mod cli;
mod complete;
mod libvirt;
mod list;
mod reconcile;
mod repair;
mod run;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use spvirt::api::ApiError;
use spvirt::claim::lock::LockError;
use spvirt::config::{self, Config, ConfigError, Files};
use spvirt::persist::PathError;
use spvirt::sys;

/// Why a command could not do its work. Exit code 1.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    State(#[from] PathError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

/// What a command found. Exit code 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Clean,
    SomethingLeft,
}

fn main() -> ExitCode {
    // Ends here if a shell asks.
    clap_complete::CompleteEnv::with_factory(complete::command)
        .var(complete::VARIABLE)
        .complete();
    let cli = cli::Cli::parse();
    env_logger::Builder::new()
        .filter_level(if cli.debug {
            log::LevelFilter::Debug
        } else {
            log::LevelFilter::Warn
        })
        .format(|out, record| {
            writeln!(
                out,
                "{}: {}",
                record.level().as_str().to_lowercase(),
                record.args()
            )
        })
        .init();
    let mut out = io::stdout().lock();
    let result = match &cli.verb {
        cli::Verb::Check { fix, json } => check::run(&mut out, &cli.connect, *fix, *json),
        cli::Verb::List { json } => list::run(&mut out, *json),
        cli::Verb::Reconcile { dry_run, json } => reconcile::run(&mut out, &cli.connect, *dry_run, *json),
    };
    match result.and_then(|verdict| Ok(out.flush().map(|()| verdict)?)) {
        Ok(Verdict::Clean) => ExitCode::SUCCESS,
        Ok(Verdict::SomethingLeft) => ExitCode::FAILURE,
        // The reader of a pipe went away: nothing went wrong.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// StorPool's configuration, with the environment overrides that StorPool's own tools take.
fn configuration() -> Result<Config, Failure> {
    let config = config::read(&Files::system(), &sys::host_name(), &overrides())?;
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}

/// What the environment sets, as for StorPool's own tools.
fn overrides() -> Vec<(&'static str, String)> {
    let set = |key| Some((key, std::env::var(key).ok()?));
    config::OVERRIDABLE.into_iter().filter_map(set).collect()
}

#[cfg(test)]
#[path = "../../tests/generated/mod.rs"]
mod generated;
