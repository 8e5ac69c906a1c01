// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What to print when a case fails: the ends of the logs, taken while the hosts still live.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::command::Running;

/// Lines of each source that are printed.
const LINES: usize = 40;

/// All sources of living hosts and clusters.
static SOURCES: Mutex<Vec<(String, Source)>> = Mutex::new(Vec::new());

/// Where evidence comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The end of a file.
    File(PathBuf),
    /// The end of what a command prints.
    Command(Vec<String>),
}

/// Keeps a source registered while it lives.
#[derive(Debug)]
pub(crate) struct Registered(String);

/// Registers a source under a unique title.
pub(crate) fn register(title: String, source: Source) -> Registered {
    SOURCES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((title.clone(), source));
    Registered(title)
}

impl Drop for Registered {
    fn drop(&mut self) {
        SOURCES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(title, _)| *title != self.0);
    }
}

/// Prints the end of every source. Must not panic: it runs inside the panic hook.
pub(crate) fn print() {
    let sources = SOURCES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (title, source) in sources {
        let text = match source {
            Source::File(path) => fs::read(&path).map_or_else(
                |e| format!("({e})"),
                |bytes| String::from_utf8_lossy(&bytes).into_owned(),
            ),
            Source::Command(argv) => {
                let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
                Running::start(&argv).wait_or_kill(Duration::from_secs(5))
            }
        };
        let lines: Vec<&str> = text.lines().collect();
        println!("    --- {title}, last of {} lines", lines.len());
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            println!("    {line}");
        }
    }
}
