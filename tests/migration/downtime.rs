// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Between the moment in which the source stops the guest and that in which the destination lets it go on, no hook
//! runs: we add nothing to the time for which a migrating guest stands still.

use std::time::Duration;

use spvirt_rig::{Host, Running, Signal, Suite};

use crate::pair::Pair;
use crate::stage::SOON;

/// Where the hooks around ours write when they ran.
const LOG: &str = "/run/hook-times";

/// The cases of this file.
pub fn cases(suite: Suite<Pair>) -> Suite<Pair> {
    suite.shared(
        "migrate: no hook runs while the guest stands still",
        no_hook_in_between,
    )
}

/// libvirt runs the scripts of `qemu.d` one after the other: what stands around ours tells when ours ran, and leaves
/// it a child of the daemon.
fn watch_hooks(host: &Host) {
    for script in ["49-before", "51-after"] {
        let path = format!("/etc/libvirt/hooks/qemu.d/{script}");
        host.write(
            &path,
            format!("#!/bin/sh\necho $(date +%s.%N) {script} $2 >>{LOG}\n"),
        );
        let _ = host.exec(&["chmod", "755", &path]).ok();
    }
}

/// The times at which hooks of ours ran, and why.
fn hook_times(host: &Host) -> Vec<(Duration, Duration, String)> {
    let log = host.read(LOG).unwrap();
    let _ = host
        .exec(&["sh", "-c", "rm /etc/libvirt/hooks/qemu.d/[45][19]-*"])
        .ok();
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    let calls = lines.chunks(2).map(|pair| {
        assert_eq!((pair[0][1], pair[1][1]), ("49-before", "51-after"), "{log}");
        assert_eq!(pair[0][2], pair[1][2], "{log}");
        (moment(pair[0][0]), moment(pair[1][0]), pair[0][2].to_owned())
    });
    calls.collect()
}

/// Seconds since 1970 with a fraction.
fn moment(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap())
}

/// What QEMU says by itself, with the time of its own clock.
fn watch_qemu(host: &Host) -> Running {
    host.virsh_spawn(&[
        "qemu-monitor-event",
        "--loop",
        "--regex",
        "--event",
        "STOP|RESUME",
    ])
}

/// When it was said, the only time.
#[track_caller]
fn said(watch: Running, event: &str) -> Duration {
    watch.signal(Signal::SIGINT);
    let output = watch.wait(SOON);
    let mut found = output
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("event {event} at ")));
    let line = found.next().unwrap_or_else(|| panic!("no {event} in {output}"));
    assert_eq!(found.next(), None, "{output}");
    moment(line.split(' ').next().unwrap())
}

fn no_hook_in_between(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("brief");
    let (at_source, at_destination) = (watch_qemu(a), watch_qemu(b));
    let _ = (watch_hooks(a), watch_hooks(b));
    // virsh says nothing when it listens; the daemon does what it is asked in order.
    for host in [a, b] {
        host.wait_for("virsh listens", SOON, || {
            host.exec(&["pgrep", "--full", "qemu-monitor-event"]).code == 0
        });
    }
    pair.moves(&traveller, a, &["--live"], 1);
    pair.runs_on(&traveller, b);
    let stopped = said(at_source, "STOP");
    let resumed = said(at_destination, "RESUME");
    assert!(stopped < resumed, "{stopped:?} {resumed:?}");
    let (source, destination) = (hook_times(a), hook_times(b));
    let names = |calls: &[(Duration, Duration, String)]| -> Vec<String> {
        calls.iter().map(|(_, _, name)| name.clone()).collect()
    };
    assert_eq!(names(&destination), ["migrate", "prepare", "start", "started"]);
    assert_eq!(names(&source), ["stopped", "release"]);
    for (began, ended, name) in source.iter().chain(&destination) {
        assert!(
            *ended < stopped || *began > resumed,
            "{name} ran from {began:?} to {ended:?}; the guest stood still from {stopped:?} to {resumed:?}"
        );
    }
    pair.ends(&traveller, b, "brief");
}
