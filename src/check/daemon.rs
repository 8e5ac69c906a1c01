// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Does the running daemon know that there are hooks?
//!
//! libvirt looks for scripts when it starts or is reloaded (SIGHUP), and remembers only whether there were any. So a
//! hook that was the first one, installed after the start, is not called until a reload. No question to libvirt tells;
//! what tells is that a script is older than the daemon, that a claim was made by a hook of this very daemon, or that
//! systemd has reloaded it since.

use super::hook::{Script, TOPIC};
use super::{Finding, Fix};
use crate::claim::{Entry, Process};

/// A running daemon that calls the qemu hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// `libvirtd` or `virtqemud`.
    pub name: String,
    /// Its process.
    pub process: Process,
    /// When it started, in seconds since 1970.
    pub started: i64,
    /// Its unit, where systemd started it.
    pub unit: Option<Unit>,
}

/// A service of systemd's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// `libvirtd.service`
    pub name: String,
    /// When systemd last reloaded it, in seconds since 1970; `None` if it has not.
    pub reloaded: Option<i64>,
}

/// The clock of files and that of processes may differ by this many seconds.
const BLUR: i64 = 2;

/// What is thought of a daemon that was reloaded a moment ago.
#[must_use]
pub fn told(daemon: &Daemon) -> Finding {
    Finding::pass(
        TOPIC,
        format!("that {} knows of the hook (reloaded now)", daemon.name),
    )
}

/// Judges each daemon.
#[must_use]
pub fn judge(daemons: &[Daemon], scripts: &[Script], claims: &[Entry]) -> Vec<Finding> {
    if daemons.is_empty() {
        return vec![Finding::pass(
            TOPIC,
            "that libvirt knows of the hook (it looks when it starts)",
        )];
    }
    let oldest = scripts
        .iter()
        .filter(|script| script.runs)
        .map(|script| script.changed)
        .min();
    let judge = |daemon: &Daemon| {
        let finding = Finding::pass(TOPIC, format!("that {} knows of the hook", daemon.name));
        let Some(oldest) = oldest else {
            return finding.fail("there is no hook to know of");
        };
        let called = claims.iter().any(|entry| match entry {
            Entry::Claim(claim) => claim.daemon == Some(daemon.process),
            Entry::Unreadable { .. } => false,
        });
        let looked = |at: i64| oldest.saturating_add(BLUR) < at;
        if called || looked(daemon.started) {
            return finding;
        }
        let finding = match &daemon.unit {
            Some(unit) if unit.reloaded.is_some_and(looked) => return finding,
            Some(unit) => finding.fail(format!(
                "it started before the hook was there: systemctl reload {}",
                unit.name
            )),
            None => finding.warn(format!(
                "it started before the hook was there; if it was not reloaded since: kill -HUP {}",
                daemon.process.pid
            )),
        };
        finding.fixed_by(Fix::Reload(daemon.clone()))
    };
    daemons.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Fail, Pass, Warn};
    use super::*;
    use crate::claim::{Claim, Phase};
    use crate::volume::{ClientId, DomainUuid};

    fn daemon(unit: Option<Unit>) -> Daemon {
        Daemon {
            name: "libvirtd".into(),
            process: Process { pid: 77, started: 5 },
            started: 1000,
            unit,
        }
    }

    fn unit(reloaded: Option<i64>) -> Unit {
        let name = "libvirtd.service".into();
        Unit { name, reloaded }
    }

    fn scripts(changed: &[i64]) -> Vec<Script> {
        let script = |changed: &i64| Script {
            path: "/etc/libvirt/hooks/qemu.d/50-storpool".into(),
            link: None,
            runs: true,
            is_ours: true,
            changed: *changed,
        };
        changed.iter().map(script).collect()
    }

    fn verdict(unit: Option<Unit>, changed: &[i64], claims: &[Entry]) -> Verdict {
        judge(&[daemon(unit)], &scripts(changed), claims)[0].verdict
    }

    fn claim_of(process: Process) -> Entry {
        Entry::Claim(Claim {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            domain: "d".into(),
            client: ClientId::new(5).unwrap(),
            boot: "now".into(),
            made: 0,
            daemon: Some(process),
            phase: Phase::Live,
            unsure: false,
            volumes: vec![],
        })
    }

    #[test]
    fn a_script_older_than_the_daemon_was_seen_by_it() {
        assert_eq!(verdict(None, &[900], &[]), Pass);
        assert_eq!(verdict(None, &[900, 5000], &[]), Pass, "one is enough");
        assert_eq!(verdict(None, &[999], &[]), Warn, "too close to tell");
        assert_eq!(verdict(None, &[5000], &[]), Warn);
        assert_eq!(verdict(None, &[], &[]), Fail);
    }

    #[test]
    fn systemd_knows_of_reloads() {
        assert_eq!(verdict(Some(unit(None)), &[5000], &[]), Fail);
        assert_eq!(verdict(Some(unit(Some(4000))), &[5000], &[]), Fail);
        assert_eq!(verdict(Some(unit(Some(6000))), &[5000], &[]), Pass);
        let found = judge(&[daemon(Some(unit(None)))], &scripts(&[5000]), &[]);
        assert!(
            found[0].advice.ends_with("systemctl reload libvirtd.service"),
            "{found:?}"
        );
        assert_eq!(found[0].fix, Some(Fix::Reload(daemon(Some(unit(None))))));
    }

    #[test]
    fn a_claim_proves_that_its_daemon_called() {
        let this = Process { pid: 77, started: 5 };
        assert_eq!(verdict(Some(unit(None)), &[5000], &[claim_of(this)]), Pass);
        let other = Process { pid: 77, started: 6 };
        assert_eq!(
            verdict(None, &[5000], &[claim_of(other)]),
            Warn,
            "an earlier process"
        );
    }

    #[test]
    fn a_daemon_that_does_not_run_will_look() {
        let found = judge(&[], &[], &[]);
        assert_eq!((found.len(), found[0].verdict), (1, Pass));
    }
}
