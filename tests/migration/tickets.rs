// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A ticket is for one migration: an ordinary start never passes with one, and with `SPVIRT_TICKET=nonce` the number
//! reaches no definition by a live migration.

use spvirt_rig::{Host, Output, Suite};

use crate::pair::{Pair, WHOLE};
use crate::stage::SOON;

/// How often a migration dies: libvirtd's five workers take turns, and some of the starts that follow must get the
/// one that the migration had. After one from peer to peer most of them do.
const ROUNDS: usize = 5;
/// A script that keeps every migration away, after ours has seen it.
const GATE: &str = "/etc/libvirt/hooks/qemu.d/90-gate";

/// The cases of this file.
pub fn cases(suite: Suite<Pair>) -> Suite<Pair> {
    suite
        .shared(
            "ticket: a start after a migration that died",
            |pair: &mut Pair| {
                dies(pair, "heir");
            },
        )
        .shared(
            "ticket: a start after a migration that died, with numbers",
            |pair: &mut Pair| {
                pair.both_set("SPVIRT_TICKET=nonce\n");
                dies(pair, "numbered-heir");
                pair.both_set("");
            },
        )
        .shared("ticket: a number travels in the XML", number)
        .shared("ticket: the number of an offline migration", offline_number)
}

/// What libvirt said to a start that must not happen.
#[track_caller]
pub fn is_refused(host: &Host, domain: &str) -> Output {
    let refused = host.virsh(&["start", domain]).failed();
    let line = "open on client 1, which is up";
    assert!(refused.stderr.contains(line), "{refused}");
    refused
}

/// Installs a script beside ours that fails at this operation.
pub fn gate(host: &Host, operation: &str) {
    host.write(
        GATE,
        format!("#!/bin/sh\nif [ $2 = {operation} ]; then echo closed >&2; exit 1; fi\n"),
    );
    let _ = host.exec(&["chmod", "755", GATE]).ok();
}

/// Removes it.
pub fn open(host: &Host) {
    let _ = host.exec(&["rm", GATE]).ok();
}

fn dies(pair: &Pair, name: &str) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller(name);
    b.define(&pair.definition(name));
    gate(b, "migrate");
    for _ in 0..ROUNDS {
        let died = pair.migrate(&traveller, a, &["--live", "--p2p"]);
        let died = died.wait(WHOLE).failed();
        assert!(died.stderr.contains("closed"), "{died}");
        assert_ne!(pair.tickets(b), "", "it left a ticket");
        is_refused(b, name);
        assert_eq!(pair.tickets(b), "", "and that is used up");
    }
    open(b);
    pair.runs_on(&traveller, a);
    pair.ends(&traveller, a, name);
}

/// Whether there is a number of ours in some XML of the domain.
fn numbered(host: &Host, domain: &str, options: &[&str]) -> bool {
    let xml = host.virsh(&[&["dumpxml", domain], options].concat()).ok();
    xml.stdout.contains("nonce=")
}

fn number(pair: &mut Pair) {
    pair.both_set("SPVIRT_TICKET=nonce\n");
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.traveller("numbered");
    for (from, to) in [(a, b), (b, a)] {
        pair.moves(&traveller, from, &["--live", "--persistent"], 1);
        pair.runs_on(&traveller, to);
        assert!(numbered(to, "numbered", &[]));
        assert!(
            !numbered(to, "numbered", &["--inactive"]),
            "never in the definition"
        );
    }
    let tainted = a.virsh(&["dominfo", "numbered"]).ok();
    assert!(tainted.stdout.contains("modified by hook script"), "{tainted}");
    // A number of an earlier migration is no ticket, and does not get in the way of one.
    let _ = a.virsh(&["managedsave", "numbered"]).ok();
    pair.holds(a, &[]);
    let _ = a.virsh(&["start", "numbered"]).ok();
    assert!(numbered(a, "numbered", &[]));
    pair.moves(&traveller, a, &["--live"], 1);
    pair.runs_on(&traveller, b);
    pair.ends(&traveller, b, "numbered");
    pair.both_set("");
}

fn offline_number(pair: &mut Pair) {
    pair.both_set("SPVIRT_TICKET=nonce\n");
    let traveller = pair.traveller("written");
    let moved = pair.migrate(&traveller, pair.a(), &["--offline", "--persistent"]);
    let _ = moved.wait(SOON).ok();
    is_refused(&pair.b, "written");
    pair.runs_on(&traveller, pair.a());
    pair.ends(&traveller, pair.a(), "written");
    pair.both_set("");
}
