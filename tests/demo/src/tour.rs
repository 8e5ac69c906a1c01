// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Telling a story with commands: each is shown as a person would type it, and so is what it printed.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use spvirt_rig::{Cluster, Host, Output, Running, binary};

/// Longest a command of the tour may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Width of the text.
const WIDTH: usize = 100;

/// The narrator.
pub struct Tour {
    simulator: String,
    address: String,
    bold: (&'static str, &'static str),
}

impl Tour {
    /// A tour of `cluster`.
    pub fn new(cluster: &Cluster) -> Self {
        let bold = if io::stdout().is_terminal() {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        };
        Self {
            simulator: binary("storpool-sim").display().to_string(),
            address: cluster.url().trim_start_matches("http://").to_owned(),
            bold,
        }
    }

    /// A command on a host, which must succeed.
    pub fn on(&self, host: &Host, command: &str) {
        let _ = self.run(host, command).ok();
    }

    /// A command on a host, which must fail and say why.
    pub fn refused(&self, host: &Host, command: &str, why: &str) {
        let output = self.run(host, command).failed();
        assert!(
            output.stderr.contains(why),
            "it should have said {why:?}: {output}"
        );
    }

    /// A command of the cluster's administrator, which must succeed.
    pub fn admin(&self, arguments: &[&str]) {
        self.prompt("storpool", &format!("storpool-sim {}", arguments.join(" ")));
        let argv = [
            &[self.simulator.as_str(), "--server", self.address.as_str()],
            arguments,
        ]
        .concat();
        let _ = shown(Running::start(&argv).wait(PATIENCE)).ok();
    }

    fn run(&self, host: &Host, command: &str) -> Output {
        self.prompt(host.name(), command);
        shown(host.spawn(&["sh", "-c", command]).wait(PATIENCE))
    }

    fn prompt(&self, who: &str, command: &str) {
        println!("  {who}# {}{command}{}", self.bold.0, self.bold.1);
    }
}

/// A paragraph.
pub fn say(text: &str) {
    println!();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            println!("{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    println!("{line}\n");
}

/// Prints what a command printed, without the empty lines around it.
fn shown(output: Output) -> Output {
    let (stdout, stderr) = (output.stdout.trim_matches('\n'), output.stderr.trim_matches('\n'));
    for line in stdout.lines().chain(stderr.lines()) {
        println!("  {}", line.trim_end());
    }
    if stdout.is_empty() && stderr.is_empty() {
        println!("  (prints nothing)");
    }
    output
}
