// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Migrations that fail, before, at and after each hook, and what is there afterwards: the guest, once, and what it
//! needs, there.

use spvirt_rig::{Host, Running, Signal, Suite};

use crate::acts::REASSIGN;
use crate::pair::{Pair, Traveller, WHOLE};
use crate::stage::SOON;
use crate::tickets::{gate, open};

/// Sectors that the guest writes during a transfer before it fails, at least.
const FEW: u64 = 200;

/// The cases of this file.
pub fn cases(suite: Suite<Pair>) -> Suite<Pair> {
    suite
        .shared("fails: at a script beside ours", beside_ours)
        .shared("fails: the destination cannot attach", no_api)
        .shared("fails: cancelled", |pair: &mut Pair| {
            stays(pair, "cancelled", &["--live"], |_, a, _| {
                let _ = a.virsh(&["domjobabort", "cancelled"]).ok();
            });
        })
        .shared("fails: virsh is killed", |pair: &mut Pair| {
            stays(pair, "orphaned", &["--live"], |_, _, virsh| {
                virsh.signal(Signal::SIGKILL);
            });
        })
        .shared("fails: the destination's QEMU dies", |pair: &mut Pair| {
            stays(pair, "bereft", &["--live"], |pair, _, _| {
                pair.b.qemu_kill("bereft");
            });
        })
        .shared("fails: the source's QEMU dies", source_dies)
        .shared("fails: the destination's libvirtd dies", |pair: &mut Pair| {
            stays(pair, "lost", &["--live"], |pair, _, _| {
                pair.b.libvirtd_kill();
                pair.b.libvirtd_start();
            });
        })
        .shared("fails: the source's libvirtd dies", |pair: &mut Pair| {
            stays(pair, "left", &["--live"], |_, a, _| {
                a.libvirtd_kill();
                a.libvirtd_start();
            });
        })
        .shared("fails: the network is cut", network)
        .shared("fails: the destination's hook is killed", hook_dies)
        .shared(
            "fails: the destination's libvirtd dies while a hook attaches",
            libvirtd_dies,
        )
}

/// Something happens in the middle of the transfer, and the guest stays where it is.
fn stays(pair: &Pair, name: &str, options: &[&str], act: impl FnOnce(&Pair, &Host, &Running)) {
    let a = pair.a();
    let traveller = pair.traveller(name);
    let migration = pair.departs(&traveller, a, options);
    pair.only_attached_on(a, &[&format!("{name} rw")]);
    pair.only_attached_on(&pair.b, &[&format!("{name} rw")]);
    pair.writes(&traveller, FEW);
    act(pair, a, &migration);
    let _ = migration.wait(WHOLE).failed();
    stayed(pair, &traveller);
    // And it can go whenever it likes.
    pair.moves(&traveller, a, &["--live"], 1);
    pair.runs_on(&traveller, &pair.b);
    pair.ends(&traveller, &pair.b, name);
}

/// The guest is where it was, once the destination has noticed.
#[track_caller]
fn stayed(pair: &Pair, traveller: &Traveller) {
    pair.b.wait_for("the destination has let go", WHOLE, || {
        pair.b.qemu_pid(&traveller.name).is_none() && pair.b.claims().is_empty()
    });
    let hooks = || pair.b.exec(&["pgrep", "--exact", "50-storpool"]).code == 0;
    pair.b.wait_for("its hooks have ended", SOON, || !hooks());
    pair.runs_on(traveller, pair.a());
}

fn beside_ours(pair: &mut Pair) {
    let traveller = pair.traveller("barred");
    for operation in ["migrate", "prepare", "start", "started"] {
        gate(&pair.b, operation);
        let failed = pair.migrate(&traveller, pair.a(), &["--live"]);
        let failed = failed.wait(WHOLE).failed();
        assert!(failed.stderr.contains("closed"), "{failed}");
        if operation == "migrate" {
            assert_ne!(pair.tickets(&pair.b), "", "nobody has taken it yet");
            pair.holds(&pair.b, &[]);
        } else {
            stayed(pair, &traveller);
        }
    }
    open(&pair.b);
    pair.ends(&traveller, pair.a(), "barred");
}

fn no_api(pair: &mut Pair) {
    let traveller = pair.traveller("alone");
    pair.b.api_reachable(false);
    let failed = pair.migrate(&traveller, pair.a(), &["--live"]);
    let failed = failed.wait(WHOLE).failed();
    assert!(failed.stderr.contains("spvirt: hostb: alone: "), "{failed}");
    pair.b.api_reachable(true);
    // It may have left a claim of which it does not know whether it came to anything.
    reconciles(pair, &pair.b);
    stayed(pair, &traveller);
    pair.ends(&traveller, pair.a(), "alone");
}

/// `spvirt reconcile` until it has nothing more to say: an attach of unknown outcome wants two looks.
#[track_caller]
fn reconciles(pair: &Pair, host: &Host) {
    host.wait_for("reconcile has done all", SOON, || {
        host.exec(&["spvirt", "reconcile"]).code == 0
    });
    pair.only_polite_requests();
}

fn source_dies(pair: &mut Pair) {
    let a = pair.a();
    let traveller = pair.traveller("doomed");
    let migration = pair.departs(&traveller, a, &["--live"]);
    a.qemu_kill("doomed");
    let _ = migration.wait(WHOLE).failed();
    for host in [a, &pair.b] {
        host.wait_for("it is gone", WHOLE, || host.claims().is_empty());
    }
    pair.is_gone(&traveller);
}

/// Without network the destination's release reaches nobody, and reconcile finishes it.
fn network(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("cut");
    let migration = pair.departs(&traveller, a, &["--live", "--p2p"]);
    pair.writes(&traveller, FEW);
    b.plugged(false);
    let _ = migration.wait(WHOLE).failed();
    pair.writes(&traveller, 1);
    b.wait_for("the destination has noticed", WHOLE, || {
        b.qemu_pid("cut").is_none()
    });
    b.wait_for("and has tried to let go", WHOLE, || {
        b.claims().values().any(|claim| claim["phase"] == "releasing")
            && b.exec(&["pgrep", "--exact", "50-storpool"]).code != 0
    });
    pair.only_attached_on(b, &["cut rw"]);
    pair.only_attached_on(a, &["cut rw"]);
    b.plugged(true);
    reconciles(pair, b);
    stayed(pair, &traveller);
    pair.ends(&traveller, a, "cut");
}

fn hook_dies(pair: &mut Pair) {
    let b = &pair.b;
    for (name, fault) in [("early", "hang-before"), ("late", "hang-after")] {
        let traveller = pair.traveller(name);
        pair.cluster.fault(REASSIGN, fault, 1);
        let migration = pair.migrate(&traveller, pair.a(), &["--live"]);
        pair.request_hangs();
        let _ = b.exec(&["pkill", "-KILL", "--exact", "50-storpool"]).ok();
        let failed = migration.wait(WHOLE).failed();
        assert!(failed.stderr.contains("unexpected fatal signal 9"), "{failed}");
        pair.cluster.clear_faults();
        reconciles(pair, b);
        stayed(pair, &traveller);
        pair.ends(&traveller, pair.a(), name);
    }
}

fn libvirtd_dies(pair: &mut Pair) {
    let b = &pair.b;
    let traveller = pair.traveller("forsaken");
    pair.cluster.fault(REASSIGN, "hang-before", 1);
    let migration = pair.migrate(&traveller, pair.a(), &["--live"]);
    pair.request_hangs();
    b.libvirtd_kill();
    let _ = migration.wait(WHOLE).failed();
    b.libvirtd_start();
    pair.cluster.clear_faults();
    b.wait_for("the orphan has ended", WHOLE, || {
        b.exec(&["pgrep", "--exact", "50-storpool"]).code != 0
    });
    reconciles(pair, b);
    stayed(pair, &traveller);
    pair.ends(&traveller, pair.a(), "forsaken");
}
