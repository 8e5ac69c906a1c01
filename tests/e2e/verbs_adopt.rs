// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt adopt` hands over what was attached by hand; `spvirt boot` starts what a boot left off.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Suite};

use crate::acts::{LIST, REASSIGN, START, sharing};
use crate::conflicts::{OTHER, give_to_other};
use crate::stage::{SOON, Stage};
use crate::verbs_reconcile::{end, run, stop_unseen};

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("adopt: hands over what was attached by hand", adopt)
        .shared("adopt: domains that share a volume", adopt_shared)
        .shared("adopt: what it leaves alone", adopt_manners)
        .case("boot: starts what a refused prepare left off", boot)
        .case("boot: the client does not come", boot_without_client)
}

/// A domain that was started before the hook was installed.
fn by_hand(stage: &Stage, name: &str) {
    stage.domain(name, Guest::Idle);
    stage.cluster.attach(name, 1, "rw");
    stage.start(name);
    assert_eq!(stage.claim(name)["volumes"][0]["before"], "rw");
}

fn adopt(stage: &mut Stage) {
    by_hand(stage, "hand-a");
    by_hand(stage, "hand-b");
    let before = stage.host.claims();
    let (code, report) = stage.spvirt_json(&["adopt", "--all", "--dry-run"]);
    assert_eq!(code, 0);
    let changes = json!([{"domain": "hand-a", "volume": "hand-a", "before": "rw"}]);
    assert_eq!(
        (&report[0]["result"], &report[0]["changes"]),
        (&json!("would_adopt"), &changes)
    );
    assert_eq!(stage.host.claims(), before);
    stage.forget();
    stage.survives("hand-a", || {
        let said = stage.spvirt(&["adopt", "hand-a"]).ok().stdout;
        assert!(
            said.contains("volume \"hand-a\": detached when hand-a stops"),
            "{said}"
        );
    });
    assert_eq!(stage.calls(), [LIST]);
    assert_eq!(stage.claim("hand-a")["volumes"][0]["before"], Value::Null);
    assert_eq!(
        stage.claim("hand-b")["volumes"][0]["before"],
        "rw",
        "not asked for"
    );
    let said = stage.spvirt(&["adopt", "hand-a"]).ok().stdout;
    assert!(said.contains("nothing to change"), "{said}");
    // Without a claim, and with a volume that was plugged in by hand.
    stage.volumes(&["plugged"]);
    stage.cluster.attach("plugged", 1, "rw");
    let plug = [
        "attach-disk",
        "hand-b",
        "/dev/storpool/plugged",
        "vdx",
        "--sourcetype",
        "block",
    ];
    let _ = stage.host.virsh(&plug).ok();
    let (_, report) = stage.spvirt_json(&["adopt", "hand-b"]);
    assert_eq!(report[0]["changes"].as_array().unwrap().len(), 2, "{report}");
    for name in ["hand-a", "hand-b"] {
        assert_eq!(stage.destroy(name), [REASSIGN]);
    }
    stage.nothing_is_left();
}

fn adopt_shared(stage: &mut Stage) {
    stage.volumes(&["common"]);
    stage.cluster.attach("common", 1, "rw");
    for name in ["share-a", "share-b"] {
        stage.host.define(&sharing(name, "common"));
        stage.start(name);
    }
    let file = stage.claim_file("share-a");
    let _ = stage.host.exec(&["rm", &file]).ok();
    let (code, report) = stage.spvirt_json(&["adopt", "share-a"]);
    assert_eq!(code, 0);
    let changes = report[0]["changes"].to_string();
    assert!(
        changes.contains("unclaimed") && changes.contains("share-b"),
        "{changes}"
    );
    for name in ["share-a", "share-b"] {
        assert_eq!(stage.claim(name)["volumes"][0]["before"], Value::Null, "{name}");
    }
    let _ = stage.host.virsh(&["destroy", "share-a"]).ok();
    stage.only_attached(&["common rw"]);
    end(stage, &["share-b"]);
}

fn adopt_manners(stage: &mut Stage) {
    stage.domain("off-h", Guest::Idle);
    let refused = stage.spvirt(&["adopt", "off-h"]).failed();
    assert!(refused.stderr.contains("does not run"), "{refused}");
    assert_eq!(stage.spvirt(&["adopt"]).code, 2);
    assert_eq!(stage.spvirt(&["adopt", "--all", "off-h"]).code, 2);
    by_hand(stage, "lost-h");
    let call = stage.hold_domain("lost-h");
    let busy = stage.spvirt(&["adopt", "lost-h"]).failed();
    assert!(busy.stdout.contains("a hook is working on it"), "{busy}");
    drop(call);
    // It has lost its volume: there is nothing to hand over.
    let item = json!({"reassign": [{"volume": "lost-h", "detach": [1], "force": true}]});
    stage.cluster.control("api/VolumesReassignWait", Some(&item));
    let lost = stage.spvirt(&["adopt", "lost-h"]).failed();
    assert!(
        lost.stdout.contains("volume \"lost-h\" is not attached here"),
        "{lost}"
    );
    assert_eq!(stage.claim("lost-h")["volumes"][0]["before"], "rw");
    end(stage, &["lost-h"]);
}

fn boot() {
    let stage = Stage::new();
    run(&stage, &["auto", "crashed"]);
    stage.domain("manual", Guest::Idle);
    stage.host.define(&Domain::new("plain"));
    for name in ["auto", "plain"] {
        let _ = stage.host.virsh(&["autostart", name]).ok();
    }
    let stage = stage.power_cut();
    stage.host.wait_for("the domains that start at boot", SOON, || {
        ["auto", "plain"]
            .iter()
            .all(|name| stage.host.qemu_pid(name).is_some())
    });
    // The same once more with a client that comes later than libvirt, which tries once.
    for name in ["auto", "plain"] {
        stop_unseen(&stage, name);
    }
    stage.cluster.client_up(1, false);
    stage.host.libvirtd_stop();
    let _ = stage
        .host
        .exec(&["rm", "-f", "/run/libvirt/qemu/autostarted"])
        .ok();
    stage.forget();
    stage.host.libvirtd_start();
    stage.host.wait_for("libvirt's own attempt", SOON * 2, || {
        stage.calls().iter().any(|call| call == LIST) && stage.hooks().is_empty()
    });
    assert_eq!(
        stage.host.state("auto").as_deref(),
        Some("shut off"),
        "its prepare was refused"
    );
    let _ = stage.host.virsh(&["destroy", "plain"]).ok();
    let booting = stage.host.spawn(&["spvirt", "boot", "--wait", "60"]);
    stage.forget();
    stage.host.wait_for("it asks for the client", SOON, || {
        stage.calls().iter().any(|call| call == "ServicesList")
    });
    assert_eq!(stage.host.state("auto").as_deref(), Some("shut off"));
    stage.cluster.client_up(1, true);
    let said = booting.wait(SOON * 2).ok().stdout;
    assert!(said.contains("auto (") && said.contains(": started"), "{said}");
    assert_eq!(stage.host.state("auto").as_deref(), Some("running"));
    for name in ["manual", "crashed", "plain"] {
        assert_eq!(stage.host.state(name).as_deref(), Some("shut off"), "{name}");
    }
    stage.only_attached(&["auto rw"]);
    // Once more: there is nothing to do. And a start that fails is told.
    let said = stage.spvirt(&["boot"]).ok().stdout;
    assert!(!said.contains("started"), "{said}");
    stage.destroy("auto");
    give_to_other(&stage, "auto", "rw");
    stage.settings("SPVIRT_TAKEOVER=never\n");
    let output = stage.spvirt(&["boot"]).failed();
    assert!(
        output.stdout.contains("not started") && output.stdout.contains("client 7"),
        "{output}"
    );
    stage.settings("");
    stage.cluster.detach("auto", OTHER);
    assert_eq!(stage.start("auto"), START);
    end(&stage, &["auto"]);
}

fn boot_without_client() {
    let stage = Stage::new();
    run(&stage, &["waits-b"]);
    let _ = stage.host.virsh(&["autostart", "waits-b"]).ok();
    let _ = stage.host.virsh(&["destroy", "waits-b"]).ok();
    stage.cluster.client_up(1, false);
    let output = stage.spvirt(&["boot", "--wait", "2"]).failed();
    assert!(
        output
            .stderr
            .contains("client 1, this host, is not up after 2 s: it is down"),
        "{output}"
    );
    assert_eq!(stage.host.state("waits-b").as_deref(), Some("shut off"));
    stage.cluster.client_up(1, true);
    stage.nothing_is_left();
}
