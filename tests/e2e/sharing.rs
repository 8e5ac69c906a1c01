// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Several domains of one host and one volume.

use serde_json::{Value, json};
use spvirt_rig::{Guest, Suite};

use crate::acts::{CLAIMS, LIST, REASSIGN, START, on, sharing};
use crate::stage::Stage;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared(
            "a shared volume goes with the last domain, first come first go",
            |stage: &mut Stage| shared_volume(stage, "both", 0),
        )
        .shared(
            "a shared volume goes with the last domain, first come last go",
            |stage: &mut Stage| shared_volume(stage, "again-both", 1),
        )
        .shared(
            "a shared volume attached by hand stays after both",
            shared_by_hand,
        )
        .shared("two domains read one snapshot", shared_snapshot)
        .shared(
            "a second domain without shareable is refused, and told why",
            second_writer,
        )
        .shared("the same volume by name and by id is one", by_name_and_by_id)
        .shared("a claim of an earlier boot does not block", earlier_boot)
        .shared("a claim whose daemon has died does not block", dead_daemon)
}

fn shared_volume(stage: &Stage, volume: &str, goes_first: usize) {
    stage.cluster.volume(volume, 1, Guest::Idle);
    let domains = [0, 1].map(|number| format!("{volume}-{number}"));
    for name in &domains {
        stage.host.define(&sharing(name, volume));
        assert_eq!(stage.start(name), START);
    }
    let attached = format!("{volume} rw");
    stage.only_attached(&[&attached]);
    assert_eq!(
        stage.destroy(&domains[goes_first]),
        [] as [&str; 0],
        "it is the other's"
    );
    stage.only_attached(&[&attached]);
    assert_eq!(stage.claim(&domains[1 - goes_first])["phase"], "live");
    assert_eq!(stage.destroy(&domains[1 - goes_first]), [REASSIGN]);
    stage.nothing_is_left();
}

fn shared_by_hand(stage: &mut Stage) {
    stage.cluster.volume("lent", 1, Guest::Idle);
    stage.cluster.attach("lent", stage.host.client(), "ro");
    for name in ["lent-a", "lent-b"] {
        stage.host.define(&sharing(name, "lent"));
        stage.start(name);
    }
    // The second has found it rw, but only because the first had come.
    assert_eq!(stage.claim("lent-b")["volumes"][0]["before"], "ro");
    stage.only_attached(&["lent rw"]);
    stage.destroy("lent-a");
    stage.only_attached(&["lent rw"]);
    stage.destroy("lent-b");
    stage.only_attached(&["lent ro"]);
    stage.cluster.detach("lent", stage.host.client());
    stage.nothing_is_left();
}

fn shared_snapshot(stage: &mut Stage) {
    stage.volumes(&["read-gold"]);
    stage.cluster.snapshot("read-gold", "read-iso");
    for name in ["read-a", "read-b"] {
        stage.cluster.volume(name, 1, Guest::Idle);
        stage
            .host
            .define(&on(name, &[name]).cdrom("/dev/storpool/read-iso"));
        assert_eq!(stage.start(name), ["Snapshot", REASSIGN, LIST]);
    }
    stage.only_attached(&["read-a rw", "read-b rw", "read-iso ro"]);
    stage.destroy("read-a");
    stage.only_attached(&["read-b rw", "read-iso ro"]);
    stage.destroy("read-b");
    stage.nothing_is_left();
}

fn second_writer(stage: &mut Stage) {
    stage.cluster.volume("kept", 1, Guest::Idle);
    stage.host.define(&on("keeper", &["kept"]));
    stage.volumes(&["taker-data"]);
    stage.host.define(&on("taker", &["kept", "taker-data"]));
    stage.host.define(&sharing("partaker", "kept"));
    stage.start("keeper");
    for name in ["taker", "partaker"] {
        stage.survives("keeper", || {
            let why = stage.refused(name);
            assert!(
                why.contains("\"kept\"") && why.contains("domain keeper") && why.contains("QEMU process"),
                "{why}"
            );
        });
        assert_eq!(
            stage.calls(),
            [] as [&str; 0],
            "refused before anything is attached"
        );
        stage.only_attached(&["kept rw"]);
        assert_eq!(stage.phase(), "live", "the owner's is the only claim");
    }
    stage.destroy("keeper");
    assert_eq!(stage.start("taker"), START);
    stage.only_attached(&["kept rw", "taker-data rw"]);
    stage.destroy("taker");
    stage.nothing_is_left();
}

fn by_name_and_by_id(stage: &mut Stage) {
    stage.cluster.volume("twice", 1, Guest::Idle);
    let id = stage.cluster.global_id("twice");
    stage.host.define(&on("named", &["twice"]));
    stage
        .host
        .define(&spvirt_rig::Domain::new("numbered").disk(&format!("/dev/storpool-byid/{id}")));
    for (first, second) in [("named", "numbered"), ("numbered", "named")] {
        stage.start(first);
        let why = stage.refused(second);
        assert!(why.contains(&format!("domain {first}")), "{why}");
        stage.only_attached(&["twice rw"]);
        stage.destroy(first);
        stage.nothing_is_left();
    }
}

fn earlier_boot(stage: &mut Stage) {
    let _ = stale_claim(stage, "ancient", |claim| {
        claim["boot"] = "an earlier boot".into();
    });
    // It protects nothing: the volume goes with the domain that had it.
    stage.destroy("ancient-next");
    stage.only_attached(&[]);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn dead_daemon(stage: &mut Stage) {
    let file = stale_claim(stage, "widow", |claim| {
        claim["daemon"] = json!({"pid": 4_000_000, "started": 1});
    });
    // Of a claim of this boot only reconcile, which asks libvirt, may say that it is void.
    stage.destroy("widow-next");
    stage.only_attached(&["widow rw"]);
    assert!(stage.host.read(&file).is_some());
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

/// Leaves the claim of a domain that does not run any more, changed, and starts another domain on its volume.
fn stale_claim(stage: &Stage, name: &str, change: impl Fn(&mut Value)) -> String {
    stage.domain(name, Guest::Idle);
    stage.start(name);
    let (mut claim, file) = (stage.claim(name), stage.claim_file(name));
    assert!(file.starts_with(CLAIMS));
    stage.destroy(name);
    change(&mut claim);
    stage.host.write(&file, claim.to_string());
    let next = format!("{name}-next");
    stage.host.define(&on(&next, &[name]));
    assert_eq!(stage.start(&next), START);
    stage.only_attached(&[&format!("{name} rw")]);
    file
}
