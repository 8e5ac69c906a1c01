// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt`, the helper: what a hook cannot do, or what a person wants to see.

mod adopt;
mod boot;
mod cli;
mod consent;
mod explain;
mod fence;
mod libvirt;
mod list;
mod reconcile;
mod shown;
mod subject;
mod takeover;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;

use spvirt::api::ApiError;
use spvirt::claim::lock::LockError;
use spvirt::config::{self, Config, ConfigError, Files};
use spvirt::deadline::Deadline;
use spvirt::fence::NotFenced;
use spvirt::host::Host;
use spvirt::persist::PathError;
use spvirt::refusal::Refusal;
use spvirt::sys;

use crate::libvirt::Libvirt;

/// Why a command could not do its work. Exit code 1, for wrong usage 2.
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
    #[error(transparent)]
    Start(#[from] Refusal),
    #[error(transparent)]
    Fence(#[from] NotFenced),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Usage(String),
    #[error("reading or writing: {0}")]
    Output(#[from] io::Error),
}

/// What a command found. Exit code 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Clean,
    SomethingLeft,
}

impl Verdict {
    /// Clean if everything is.
    fn all(mut clean: impl Iterator<Item = bool>) -> Self {
        if clean.all(|clean| clean) {
            Self::Clean
        } else {
            Self::SomethingLeft
        }
    }
}

fn main() -> ExitCode {
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
    let libvirt = Libvirt::new(&cli.connect);
    let result = match &cli.verb {
        cli::Verb::List(args) => list::run(&mut out, args),
        cli::Verb::Explain(args) => explain::run(&mut out, &libvirt, args),
        cli::Verb::Reconcile(args) => reconcile::run(&mut out, &libvirt, args),
        cli::Verb::Adopt(args) => adopt::run(&mut out, &libvirt, args),
        cli::Verb::Takeover(args) => takeover::run(&mut out, &libvirt, args),
        cli::Verb::Fence(args) => fence::run(&mut out, args),
        cli::Verb::Boot(args) => boot::run(&mut out, &libvirt, args),
    };
    match result.and_then(|verdict| Ok(out.flush().map(|()| verdict)?)) {
        Ok(Verdict::Clean) => ExitCode::SUCCESS,
        Ok(Verdict::SomethingLeft) => ExitCode::FAILURE,
        // The reader of a pipe went away: nothing went wrong.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {failure}");
            if matches!(failure, Failure::Usage(_)) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// StorPool's configuration, with the environment overrides that StorPool's own tools take.
fn configuration() -> Result<Config, Failure> {
    let overrides: Vec<_> = config::OVERRIDABLE
        .into_iter()
        .filter_map(|key| Some((key, std::env::var(key).ok()?)))
        .collect();
    let config = config::read(&Files::system(), &sys::host_name(), &overrides)?;
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}

/// A host whose time begins now.
fn host(config: &Config) -> Result<Host<'_>, Failure> {
    let deadline = Deadline::new(Instant::now(), config.spvirt.deadline);
    Ok(Host::new(config, None, deadline)?)
}
