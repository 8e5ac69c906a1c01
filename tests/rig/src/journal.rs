// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A real systemd-journald inside a test host.

use std::time::Duration;

use serde_json::Value;

use crate::{Host, prerequisites};

/// How long journald may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything is kept, in memory; nothing is read from the machine's kernel or audit log.
const CONFIGURATION: &str = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitIntervalSec=0\nRateLimitBurst=0\nForwardToSyslog=no\n";

impl Host {
    /// Starts journald and waits until it listens.
    pub fn journald_start(&self) {
        self.write("/etc/systemd/journald.conf.d/rig.conf", CONFIGURATION);
        self.write("/etc/machine-id", "a0000000000040008000000000000001\n");
        for folder in [
            "/run/systemd/journal",
            "/run/log/journal/a0000000000040008000000000000001",
        ] {
            std::fs::create_dir_all(self.path(folder)).expect("a folder for the journal");
        }
        let mut journald = self.spawn(&[prerequisites::JOURNALD]);
        self.wait_for("journald listens", PATIENCE, || {
            assert!(!journald.has_ended(), "journald has ended");
            ["socket", "dev-log", "stdout"]
                .iter()
                .all(|s| self.path("/run/systemd/journal").join(s).exists())
        });
    }

    /// The journal's entries that match, such as `SYSLOG_IDENTIFIER=spvirt-hook`, oldest first.
    #[must_use]
    pub fn journal(&self, matches: &[&str]) -> Vec<Value> {
        // All that was sent before this call is in.
        let _ = self.exec(&["journalctl", "--sync"]).ok();
        let argv = ["journalctl", "--quiet", "--no-pager", "--all", "--output=json"];
        let argv: Vec<&str> = argv.iter().chain(matches).copied().collect();
        let output = self.exec(&argv).ok().stdout;
        output
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}
