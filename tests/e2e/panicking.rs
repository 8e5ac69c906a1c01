// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A hook whose every call panics inside: this test program, when libvirt runs it.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use spvirt::event::Event;
use spvirt::hook::{self, Input};
use spvirt::refusal::Refusal;

use crate::acts::HOOK;

/// Proof that it was run; in a host, where /run is its own.
pub const TRACE: &str = "/run/panicked";

/// The whole life of the process, if it was started as a hook.
pub fn hook() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    if Path::new(&name) != Path::new(HOOK) {
        return None;
    }
    let outcome = hook::run(std::env::args_os(), io::stdin().lock(), panics);
    if let Some(message) = outcome.message {
        let _ = writeln!(io::stderr(), "{message}");
    }
    Some(ExitCode::from(outcome.code))
}

fn panics(event: &Event, _: &Input) -> Result<Vec<u8>, Refusal> {
    let trace = fs::read_to_string(TRACE).unwrap_or_default();
    fs::write(TRACE, format!("{trace}{} {}\n", event.domain, event.operation)).unwrap();
    panic!("on purpose, in {}", event.operation);
}
