// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Migrations after which two hosts have the domain, and only a person can say which: nothing is lost meanwhile,
//! nothing pulled, and `spvirt reconcile` says on both sides what it sees.

use std::time::Duration;

use spvirt_rig::{Frozen, Host, Output, Running, Signal, Suite, process};

use crate::pair::{Pair, Traveller, WHOLE};
use crate::stage::SOON;

/// libvirt gives up on a process that does not die after 40 s, and tries twice.
const UNKILLABLE: Duration = Duration::from_mins(3);
/// Bytes waiting for virsh that are more than a few keepalive messages: the answer of the source.
const ANSWER: u64 = 500;

/// The cases of this file.
pub fn cases(suite: Suite<Pair>) -> Suite<Pair> {
    suite
        .shared("split: virsh dies before the destination goes on", before_finish)
        .shared("split: the source is never told", before_confirm)
        .shared("split: post-copy fails", post_copy_fails)
        .shared("split: the source's QEMU cannot be killed", unkillable)
        .shared("split: the source cannot detach", cannot_detach)
        .shared("split: the source's libvirtd dies while it stops", dies_stopping)
}

/// The memory of a traveller has been sent; virsh stands still, and does not know it yet.
#[track_caller]
fn halts(pair: &Pair, traveller: &Traveller, migration: &Running) {
    migration.signal(Signal::SIGSTOP);
    pair.hurry(traveller, pair.a());
    sent(pair, traveller);
}

/// Waits until the source has done its part.
#[track_caller]
fn sent(pair: &Pair, traveller: &Traveller) {
    let status = format!("/run/libvirt/qemu/{}.xml", traveller.name);
    pair.a().wait_for("the source has sent all", WHOLE, || {
        let status = pair.a().read(&status).unwrap_or_default();
        status.contains("phase='perform3_done'")
    });
}

/// Both sides have the volume, and a claim that says so.
#[track_caller]
fn both_hold(pair: &Pair, name: &str) {
    for host in [pair.a(), &pair.b] {
        pair.holds(host, &[&format!("{name} rw")]);
        pair.one_claim(host, name, "live");
    }
    pair.tidy();
}

/// `spvirt reconcile` on a host does nothing about a volume, and says what a person must know: the volume, and who
/// else has it.
#[track_caller]
fn is_reported(pair: &Pair, host: &Host, name: &str) -> Output {
    pair.forget();
    let report = host.exec(&["spvirt", "reconcile"]);
    let other = format!("client {}", pair.other(host).client());
    for word in [name, &other] {
        assert!(report.stdout.contains(word), "{word:?} is missing in {report}");
    }
    assert_ne!(report.code, 0, "{report}");
    assert!(
        !pair.calls().iter().any(|call| call.contains("Reassign")),
        "it only looks"
    );
    report
}

fn before_finish(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("hung");
    let migration = pair.departs(&traveller, a, &["--live"]);
    halts(pair, &traveller, &migration);
    migration.signal(Signal::SIGKILL);
    let _ = migration.wait(SOON).failed();
    b.wait_for("the destination has given up", WHOLE, || {
        b.qemu_pid("hung").is_none() && b.claims().is_empty()
    });
    assert_eq!(a.state("hung").as_deref(), Some("paused"));
    pair.holds(a, &["hung rw"]);
    pair.holds(b, &[]);
    pair.tidy();
    // It is not the other's to start.
    b.define(&pair.definition("hung"));
    crate::tickets::is_refused(b, "hung");
    pair.holds(a, &["hung rw"]);
    let count = traveller.numbers.complete();
    let _ = a.virsh(&["resume", "hung"]).ok();
    pair.runs_on(&traveller, a);
    assert!(traveller.numbers.complete() > count);
    pair.ends(&traveller, a, "hung");
}

/// virsh runs on the destination and loses its way to the source when it has that one's answer.
fn before_confirm(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("twins");
    let from = format!("qemu+tcp://{}/system", a.name());
    let to = format!("qemu+tcp://{}/system", b.name());
    let migration = b.spawn(&[
        "virsh",
        "--connect",
        &from,
        "migrate",
        "--live",
        "--bandwidth=1",
        "twins",
        &to,
    ]);
    pair.transfers(&traveller, a);
    pair.writes(&traveller, 1);
    halts(pair, &traveller, &migration);
    b.wait_for("the source's answer is there", WHOLE, || {
        let sockets = b.exec(&["ss", "--no-header", "--tcp", "--numeric", "dst", a.address()]);
        let waiting = sockets.ok().stdout;
        let mut bytes = waiting
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        bytes.any(|bytes| bytes > ANSWER)
    });
    let _ = b.exec(&["ip", "route", "add", "unreachable", a.address()]).ok();
    migration.signal(Signal::SIGCONT);
    b.wait_for("the guest goes on at the destination", WHOLE, || {
        b.state("twins").as_deref() == Some("running")
    });
    migration.signal(Signal::SIGKILL);
    let _ = migration.wait(SOON).failed();
    // What virsh has sent at its end would still be delivered.
    a.wait_for("the source has given virsh up", WHOLE, || {
        let log = a.read("/var/log/libvirt/libvirtd.log").unwrap_or_default();
        log.contains("Migration of domain twins finished but we don't know")
    });
    let _ = b
        .exec(&["ip", "route", "delete", "unreachable", a.address()])
        .ok();

    assert_eq!(a.state("twins").as_deref(), Some("paused"));
    pair.writes(&traveller, 100);
    both_hold(pair, "twins");
    for host in [a, b] {
        is_reported(pair, host, "twins");
    }
    both_hold(pair, "twins");
    pair.writes(&traveller, 100);
    // Also when the source's libvirtd comes back.
    a.libvirtd_kill();
    a.libvirtd_start();
    assert_eq!(a.state("twins").as_deref(), Some("paused"));
    both_hold(pair, "twins");
    // Only a person ends it.
    let _ = a.virsh(&["destroy", "twins"]).ok();
    pair.runs_on(&traveller, b);
    pair.ends(&traveller, b, "twins");
}

fn post_copy_fails(pair: &mut Pair) {
    let _allowed = spvirt_rig::post_copy_allowed();
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("torn");
    let migration = pair.departs(&traveller, a, &["--live", "--postcopy"]);
    let _ = a.virsh(&["migrate-setspeed", "--postcopy", "torn", "1"]).ok();
    let _ = a.virsh(&["migrate-postcopy", "torn"]).ok();
    let why = |host: &Host| host.virsh(&["domstate", "--reason", "torn"]).stdout;
    b.wait_for("the guest goes on at the destination", WHOLE, || {
        why(b).contains("running (post-copy)")
    });
    let _ = a.virsh(&["domjobabort", "--postcopy", "torn"]).ok();
    let _ = migration.wait(WHOLE).failed();
    a.wait_for("both know", WHOLE, || {
        why(a).contains("paused (post-copy failed)") && why(b).contains("post-copy failed")
    });
    let count = traveller.numbers.complete();
    both_hold(pair, "torn");
    for host in [a, b] {
        is_reported(pair, host, "torn");
    }
    both_hold(pair, "torn");
    // What was left unfinished can be finished.
    let resumed = pair.migrate(&traveller, a, &["--live", "--postcopy", "--postcopy-resume"]);
    let _ = a.virsh(&["migrate-setspeed", "--postcopy", "torn", "4000"]);
    let _ = resumed.wait(WHOLE).ok();
    pair.runs_on(&traveller, b);
    assert!(traveller.numbers.complete() > count);
    pair.ends(&traveller, b, "torn");
}

fn unkillable(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("undead");
    let migration = pair.departs(&traveller, a, &["--live", "--p2p"]);
    // virsh asks how far it is, twice a second, which libvirt passes on to QEMU and waits, while nothing else may go on.
    // The source's libvirtd does the rest without virsh; its end waits for the destination's.
    migration.signal(Signal::SIGSTOP);
    let destination = b.libvirtd_pid().unwrap();
    process::signal(destination, Signal::SIGSTOP);
    pair.hurry(&traveller, a);
    sent(pair, &traveller);
    let frozen = Frozen::new(a.qemu_pid("undead").unwrap());
    process::signal(destination, Signal::SIGCONT);
    b.wait_for("the guest goes on at the destination", WHOLE, || {
        b.state("undead").as_deref() == Some("running")
    });
    // Then it says nothing of it.
    a.wait_for("libvirt gives up", UNKILLABLE, || {
        a.state("undead").as_deref() == Some("shut off")
    });
    migration.signal(Signal::SIGCONT);
    let _ = migration.wait(WHOLE);
    pair.writes(&traveller, 100);
    pair.holds(a, &["undead rw"]);
    pair.one_claim(a, "undead", "releasing");
    pair.holds(b, &["undead rw"]);
    pair.tidy();
    let report = a.exec(&["spvirt", "reconcile"]).failed();
    assert!(report.stdout.contains("undead"), "{report}");
    // It does not come back to where a dead one of it still has the volume open.
    let refused = pair.migrate(&traveller, b, &["--live"]).wait(WHOLE).failed();
    assert!(refused.stderr.contains("spvirt: hosta: undead: "), "{refused}");
    pair.only_polite_requests();
    pair.writes(&traveller, 100);
    let qemu = openers(pair, a);
    assert!(!qemu.is_empty());
    drop(frozen);
    a.wait_for("it is gone", SOON, || openers(pair, a).is_empty());
    let _ = a.exec(&["spvirt", "reconcile"]).ok();
    pair.runs_on(&traveller, b);
    pair.ends(&traveller, b, "undead");
}

/// Who has a volume open at this host.
fn openers(pair: &Pair, host: &Host) -> Vec<serde_json::Value> {
    let openers = pair.cluster.openers();
    openers
        .into_iter()
        .filter(|opener| opener["client"] == host.client())
        .collect()
}

fn cannot_detach(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("clings");
    let migration = pair.departs(&traveller, a, &["--live"]);
    a.api_reachable(false);
    pair.hurry(&traveller, a);
    let _ = migration.wait(WHOLE).ok();
    a.api_reachable(true);
    pair.writes(&traveller, 100);
    pair.holds(a, &["clings rw"]);
    pair.one_claim(a, "clings", "releasing");
    pair.holds(b, &["clings rw"]);
    // Nobody else comes by that, and the way back begins with what was left.
    let _ = pair.moves(&traveller, b, &["--live"], 1);
    pair.runs_on(&traveller, a);
    pair.ends(&traveller, a, "clings");
}

fn dies_stopping(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("twice");
    let script = "/etc/libvirt/hooks/qemu.d/10-stuck";
    a.write(
        script,
        "#!/bin/sh\nif [ $2 = stopped ]; then exec tail -f /run/rig-stuck >/dev/null 2>&1; fi\n",
    );
    a.write("/run/rig-stuck", "");
    let _ = a.exec(&["chmod", "755", script]).ok();
    let migration = pair.departs(&traveller, a, &["--live"]);
    pair.hurry(&traveller, a);
    let stuck = ["pgrep", "--full", "tail -f /run/rig-stuck"];
    a.wait_for("the hook is stuck", WHOLE, || a.exec(&stuck).code == 0);
    a.libvirtd_kill();
    let _ = a.exec(&["rm", script]).ok();
    // libvirt takes the loss of the source for nothing to speak of.
    let _ = migration.wait(WHOLE).ok();
    a.libvirtd_start();
    a.wait_for("the source has let go", SOON, || a.claims().is_empty());
    let _ = a.exec(&["pkill", "--full", "tail -f /run/rig-stuck"]).ok();
    pair.runs_on(&traveller, b);
    pair.ends(&traveller, b, "twice");
}
