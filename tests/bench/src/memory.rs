// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The most memory a hook call ever has.
//!
//! `VmHWM` of its last moment, which a tracer may look at: `ru_maxrss` would count what the *bench* has, because
//! a process begins as a copy of the one that starts it.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::call;
use crate::domain::Domain;
use crate::report::Report;
use crate::stage::Stage;

/// The bound, in MiB.
const MOST: f64 = 6.0;
/// Lines of the long list.
pub const LONG: usize = 100_000;

/// Measures `prepare` with both lists, and a domain that is none of ours.
pub fn check(stage: &Stage, report: &mut Report) {
    report.part("peak memory");
    let local = Domain::local();
    let peak = |domain: &Domain| peak(stage, &domain.prepare(), &domain.xml);
    report.bound("prepare, no StorPool volume", peak(&local), MOST, "MiB", "VmHWM");
    for (volumes, lines) in [(16, 0), (64, 0), (16, LONG), (64, LONG)] {
        let length = stage.api.set_others(lines);
        let domain = Domain::on_volumes(1, 0..volumes);
        let value = peak(&domain);
        let what = format!("prepare, {volumes} volumes, {lines} others listed");
        let details = format!("VmHWM; a list of {:.1} MiB", as_mib(length));
        report.bound(&what, value, MOST, "MiB", &details);
        stage.release(&domain);
        stage.assert_clean();
    }
    stage.api.set_others(0);
}

#[allow(clippy::cast_precision_loss)] // megabytes
fn as_mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Runs the hook under a tracer that looks at it when it exits. In MiB.
fn peak(stage: &Stage, args: &[&str], xml: &[u8]) -> f64 {
    let mut child = call::spawn(&stage.hook, args, Stdio::piped());
    let pid = Pid::from_raw(child.id().cast_signed());
    // It waits for its stdin, so that it cannot be gone yet.
    ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT).expect("to trace our child");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(xml).expect("a hook that reads");
    drop(stdin);
    let mut peak = None;
    loop {
        match waitpid(pid, None).expect("our child") {
            WaitStatus::PtraceEvent(..) => {
                peak = Some(high_water(pid));
                ptrace::cont(pid, None).expect("to let it end");
            }
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).expect("to let it go on"),
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "{args:?} failed");
                return peak.expect("a look at its end");
            }
            other => panic!("{args:?}: {other:?}"),
        }
    }
}

fn high_water(pid: Pid) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that still is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<f64>().ok()).expect("VmHWM in kB") / 1024.0
}
