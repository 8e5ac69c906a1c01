// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every kind of migration that virsh knows between hosts that share their storage.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Suite};

use crate::acts::{LIST, REASSIGN};
use crate::pair::{Pair, WHOLE};
use crate::stage::SOON;

/// Sectors that the guest writes during a transfer, at least.
const LEAST: u64 = 1000;

/// The cases of this file.
pub fn cases(suite: Suite<Pair>) -> Suite<Pair> {
    suite
        .shared("migrate: live, in 2 + 1 requests", live)
        .shared("migrate: with the guest paused", |pair: &mut Pair| {
            kind(pair, "paused", &[], 0);
        })
        .shared("migrate: peer to peer", |pair: &mut Pair| {
            kind(pair, "peers", &["--live", "--p2p"], LEAST);
        })
        .shared("migrate: tunnelled", |pair: &mut Pair| {
            kind(pair, "tunnel", &["--live", "--p2p", "--tunnelled"], LEAST);
        })
        .shared("migrate: and the definition with it", |pair: &mut Pair| {
            kind(
                pair,
                "settler",
                &["--live", "--persistent", "--undefinesource"],
                LEAST,
            );
        })
        .shared("migrate: suspended at its arrival", suspended)
        .shared("migrate: under another name", renamed)
        .shared("migrate: post-copy", post_copy)
        .shared("migrate: only the definition", offline)
        .shared("migrate: to the host it is on", to_itself)
        .shared("migrate: ten times there and back", ten_times)
        .shared("a running domain is set back to a snapshot", snapshot_revert)
}

/// What StorPool was asked: the call, and who shall have the volume how.
fn asked(pair: &Pair) -> Vec<Value> {
    let requests = pair.cluster.requests();
    let asked = requests.iter().map(|request| {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let item = &body["reassign"][0];
        json!([request.call, item["rw"], item["ro"], item["detach"]])
    });
    asked.collect()
}

fn live(pair: &mut Pair) {
    let traveller = pair.traveller("live");
    pair.forget();
    pair.moves(&traveller, pair.a(), &["--live"], LEAST);
    assert_eq!(
        asked(pair),
        [
            json!([REASSIGN, [2], null, null]),
            json!([LIST, null, null, null]),
            json!([REASSIGN, null, null, [1]])
        ],
        "two for the destination, one for the source"
    );
    pair.runs_on(&traveller, &pair.b);
    pair.ends(&traveller, &pair.b, "live");
}

/// There and back again.
fn kind(pair: &Pair, name: &str, options: &[&str], least: u64) {
    let traveller = pair.traveller(name);
    for (from, to) in [(pair.a(), &pair.b), (&pair.b, pair.a())] {
        if least > 0 {
            pair.moves(&traveller, from, options, least);
        } else {
            let _ = pair.migrate(&traveller, from, options).wait(WHOLE).ok();
        }
        pair.runs_on(&traveller, to);
    }
    pair.ends(&traveller, pair.a(), name);
}

fn suspended(pair: &mut Pair) {
    let traveller = pair.traveller("asleep");
    pair.moves(&traveller, pair.a(), &["--live", "--suspend"], LEAST);
    let b = &pair.b;
    assert_eq!(b.state("asleep").as_deref(), Some("paused"));
    pair.is_off_on(pair.a(), "asleep");
    pair.holds(b, &["asleep rw"]);
    pair.holds(pair.a(), &[]);
    let count = traveller.numbers.complete();
    let _ = b.virsh(&["resume", "asleep"]).ok();
    pair.runs_on(&traveller, b);
    assert!(traveller.numbers.complete() > count);
    pair.ends(&traveller, b, "asleep");
}

fn renamed(pair: &mut Pair) {
    let traveller = pair.traveller("maiden");
    pair.moves(&traveller, pair.a(), &["--live", "--dname=married"], LEAST);
    pair.runs_on_as(&traveller, &pair.b, "married");
    pair.ends(&traveller, &pair.b, "married");
}

fn post_copy(pair: &mut Pair) {
    let _allowed = spvirt_rig::post_copy_allowed();
    let traveller = pair.traveller("postcopy");
    for (from, to) in [(pair.a(), &pair.b), (&pair.b, pair.a())] {
        let migration = pair.departs(&traveller, from, &["--live", "--postcopy"]);
        pair.writes(&traveller, LEAST);
        let _ = from.virsh(&["migrate-postcopy", "postcopy"]).ok();
        let _ = migration.wait(WHOLE).ok();
        pair.runs_on(&traveller, to);
    }
    pair.ends(&traveller, pair.a(), "postcopy");
}

/// Nothing is attached for a definition, and a start that follows does not pass for the migration.
fn offline(pair: &mut Pair) {
    let traveller = pair.traveller("papers");
    let moved = pair.migrate(&traveller, pair.a(), &["--offline", "--persistent"]);
    let _ = moved.wait(SOON).ok();
    pair.holds(&pair.b, &[]);
    let refused = pair.b.virsh(&["start", "papers"]).failed();
    assert!(
        refused.stderr.contains("open on client 1, which is up"),
        "{refused}"
    );
    pair.runs_on(&traveller, pair.a());
    // Stopped, it starts there.
    let _ = pair.a().virsh(&["destroy", "papers"]).ok();
    let _ = pair.b.virsh(&["undefine", "papers"]).ok();
    let moved = pair.migrate(
        &traveller,
        pair.a(),
        &["--offline", "--persistent", "--undefinesource"],
    );
    let _ = moved.wait(SOON).ok();
    let _ = pair.b.virsh(&["start", "papers"]).ok();
    pair.holds(&pair.b, &["papers rw"]);
    pair.tidy();
    pair.ends(&traveller, &pair.b, "papers");
}

fn to_itself(pair: &mut Pair) {
    let traveller = pair.traveller("narcissus");
    for options in [&["--live"][..], &["--live", "--p2p"], &["--live", "--dname=echo"]] {
        let here = "qemu+tcp://hosta/system";
        let refused = pair
            .a()
            .virsh(&[&["migrate", "narcissus", here], options].concat())
            .failed();
        assert!(!refused.stderr.contains("spvirt"), "{refused}");
        pair.only_attached_on(pair.a(), &["narcissus rw"]);
        pair.writes(&traveller, 1);
    }
    // What was announced and never came counts for nobody.
    assert_ne!(pair.tickets(pair.a()), "");
    let _ = pair.a().virsh(&["destroy", "narcissus"]).ok();
    assert_eq!(pair.tickets(pair.a()), "", "a stop drops it");
    let _ = pair.a().virsh(&["start", "narcissus"]).ok();
    pair.one_claim(pair.a(), "narcissus", "live");
    pair.tidy();
    pair.ends(&traveller, pair.a(), "narcissus");
}

fn ten_times(pair: &mut Pair) {
    let traveller = pair.traveller("commuter");
    for _ in 0..10 {
        for (from, to) in [(pair.a(), &pair.b), (&pair.b, pair.a())] {
            let _ = pair.migrate(&traveller, from, &["--live"]).wait(WHOLE).ok();
            pair.holds(to, &["commuter rw"]);
            pair.holds(from, &[]);
            pair.tidy();
            pair.writes(&traveller, 1);
        }
    }
    pair.runs_on(&traveller, pair.a());
    pair.ends(&traveller, pair.a(), "commuter");
}

/// libvirt lets the domain go and starts it again within some milliseconds, without a word about why.
fn snapshot_revert(pair: &mut Pair) {
    let a = pair.a();
    pair.cluster.volume("album", 64, Guest::None);
    pair.cluster.attach("album", 1, "rw");
    let device = "/dev/storpool/album";
    let _ = a
        .exec(&["qemu-img", "create", "-q", "-f", "qcow2", device, "32M"])
        .ok();
    pair.cluster.detach("album", 1);
    let xml = Domain::new("album").disk(device).xml();
    pair.define_xml(&xml.replace("type='raw'", "type='qcow2'"));
    let _ = a.virsh(&["start", "album"]).ok();
    let _ = a.virsh(&["snapshot-create-as", "album", "page1"]).ok();
    let before = a.qemu_pid("album");
    for _ in 0..3 {
        pair.forget();
        let _ = a.virsh(&["snapshot-revert", "album", "page1"]).ok();
        assert_eq!(
            asked(pair),
            [
                json!([REASSIGN, null, null, [1]]),
                json!([REASSIGN, [1], null, null]),
                json!([LIST, null, null, null]),
            ]
        );
        assert_eq!(a.state("album").as_deref(), Some("running"));
        pair.holds(a, &["album rw"]);
        pair.one_claim(a, "album", "live");
        pair.tidy();
    }
    assert_ne!(a.qemu_pid("album"), before);
    let _ = a.virsh(&["snapshot-delete", "album", "page1"]).ok();
    let _ = a.virsh(&["destroy", "album"]).ok();
    let _ = a.virsh(&["undefine", "album"]).ok();
    pair.holds(a, &[]);
}
