// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every way a domain's life begins and ends.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Suite};

use crate::acts::{LIST, REASSIGN, SHORT, START, on};
use crate::stage::{SOON, Stage};

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("start and destroy take 2 requests and 1", start_and_destroy)
        .shared(
            "volumes by name and by id, a snapshot as cdrom: 3 requests",
            by_name_id_and_snapshot,
        )
        .shared("18 volumes are 2 requests, and 1 to let go", many_volumes)
        .shared("a guest powers itself off", guest_powers_off)
        .shared("virsh shutdown presses the guest's power button", shutdown)
        .shared("QEMU is killed", qemu_is_killed)
        .shared("QEMU fails to start after prepare", qemu_fails_to_start)
        .shared("a transient domain, made by virsh create", transient)
        .shared("a domain that libvirtd starts by itself", autostart)
        .shared("managedsave and start", managed_save)
        .shared("save and restore", save_and_restore)
        .shared("a reset and a reboot ask nothing of StorPool", resets)
        .shared("a volume attached rw by hand stays rw", |stage: &mut Stage| {
            attached_by_hand(stage, "rw", "", "rw");
        })
        .shared(
            "a volume attached ro by hand is rw for a while, then ro again",
            |stage: &mut Stage| attached_by_hand(stage, "ro", "", "rw"),
        )
        .shared(
            "a volume attached rw by hand is not lowered for a reader",
            |stage: &mut Stage| attached_by_hand(stage, "rw", "<readonly/>", "rw"),
        )
        .shared("a volume attached ro by hand stays ro", |stage: &mut Stage| {
            attached_by_hand(stage, "ro", "<readonly/>", "ro");
        })
        .shared(
            "a volume renamed while it runs is let go by its id",
            renamed_while_running,
        )
        .shared("ten domains start in parallel", ten_at_once)
        .shared("API down at release: reconcile finishes", api_down_at_release)
        .shared("spvirt list shows what runs", list_shows)
        .shared(
            "reconcile reports a running domain without its volume",
            loss_is_reported,
        )
}

fn start_and_destroy(stage: &mut Stage) {
    stage.domain("first", Guest::Idle);
    assert_eq!(stage.start("first"), START);
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["first rw"]);
    assert_eq!(stage.destroy("first"), [REASSIGN]);
    stage.nothing_is_left();
}

fn by_name_id_and_snapshot(stage: &mut Stage) {
    stage.cluster.volume("mixed-root", 1, Guest::Idle);
    stage.volumes(&["mixed-data", "mixed-gold"]);
    stage.cluster.snapshot("mixed-gold", "mixed-iso");
    let id = stage.cluster.global_id("mixed-data");
    stage.host.define(
        &on("mixed", &["mixed-root"])
            .disk(&format!("/dev/storpool-byid/{id}"))
            .cdrom("/dev/storpool/mixed-iso"),
    );
    assert_eq!(stage.start("mixed"), ["Snapshot", REASSIGN, LIST]);
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["mixed-data rw", "mixed-iso ro", "mixed-root rw"]);
    assert_eq!(stage.destroy("mixed"), [REASSIGN]);
    stage.nothing_is_left();
}

fn many_volumes(stage: &mut Stage) {
    let names: Vec<String> = (10..28).map(|n| format!("many-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.volumes(&names);
    stage.host.define(&on("many", &names));
    assert_eq!(stage.start("many"), START);
    let expected: Vec<String> = names.iter().map(|name| format!("{name} rw")).collect();
    stage.only_attached(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(stage.destroy("many"), [REASSIGN]);
    stage.nothing_is_left();
}

fn guest_powers_off(stage: &mut Stage) {
    stage.domain("off", Guest::PowerOff(5));
    assert_eq!(stage.start("off"), START);
    stage.is_off("off");
    stage.nothing_is_left();
}

fn shutdown(stage: &mut Stage) {
    stage.domain("button", Guest::Button);
    assert_eq!(stage.start("button"), START);
    // The button is heard once the guest has told the chip set so: press until it does.
    stage.host.wait_for("the guest hears its button", SOON, || {
        let _ = stage.host.virsh(&["shutdown", "button", "--mode", "acpi"]);
        stage.host.state("button").as_deref() == Some("shut off")
    });
    stage.is_off("button");
    stage.nothing_is_left();
}

fn qemu_is_killed(stage: &mut Stage) {
    stage.domain("killed", Guest::Idle);
    assert_eq!(stage.start("killed"), START);
    stage.forget();
    stage.host.qemu_kill("killed");
    stage.is_off("killed");
    assert_eq!(stage.calls(), [REASSIGN]);
    stage.nothing_is_left();
}

fn qemu_fails_to_start(stage: &mut Stage) {
    stage.volumes(&["bogus"]);
    let argument = "<qemu:commandline><qemu:arg value='-bogus-argument'/></qemu:commandline>";
    stage.host.define(&on("bogus", &["bogus"]).element(argument));
    stage.forget();
    let refused = stage.host.virsh(&["start", "bogus"]).failed();
    assert!(refused.stderr.contains("-bogus-argument"), "{refused}");
    assert_eq!(stage.calls(), [REASSIGN, LIST, REASSIGN], "attached and detached");
    stage.nothing_is_left();
}

fn transient(stage: &mut Stage) {
    stage.cluster.volume("passing", 1, Guest::Idle);
    let xml = stage.host.put(&on("passing", &["passing"]));
    stage.forget();
    let _ = stage.host.virsh(&["create", &xml]).ok();
    assert_eq!(stage.calls(), START);
    stage.only_attached(&["passing rw"]);
    let _ = stage.host.virsh(&["destroy", "passing"]).ok();
    assert_eq!(stage.host.state("passing"), None);
    stage.nothing_is_left();
}

fn autostart(stage: &mut Stage) {
    stage.domain("early", Guest::Idle);
    let _ = stage.host.virsh(&["autostart", "early"]).ok();
    stage.host.libvirtd_stop();
    // libvirtd starts domains once per boot, and remembers here that it did.
    let _ = stage
        .host
        .exec(&["rm", "-f", "/run/libvirt/qemu/autostarted"])
        .ok();
    stage.host.libvirtd_start();
    stage.host.wait_for("libvirtd starts the domain", SOON, || {
        stage.host.state("early").as_deref() == Some("running")
    });
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["early rw"]);
    let _ = stage.host.virsh(&["autostart", "--disable", "early"]).ok();
    stage.destroy("early");
    stage.nothing_is_left();
}

fn managed_save(stage: &mut Stage) {
    stage.domain("slept", Guest::Idle);
    assert_eq!(stage.start("slept"), START);
    let _ = stage.host.virsh(&["managedsave", "slept"]).ok();
    stage.is_off("slept");
    stage.nothing_is_left();
    assert_eq!(stage.start("slept"), START, "from the saved state");
    stage.only_attached(&["slept rw"]);
    stage.destroy("slept");
    stage.nothing_is_left();
}

fn save_and_restore(stage: &mut Stage) {
    stage.domain("saved", Guest::Idle);
    assert_eq!(stage.start("saved"), START);
    let _ = stage.host.virsh(&["save", "saved", "/var/tmp/saved"]).ok();
    stage.is_off("saved");
    stage.nothing_is_left();
    stage.forget();
    let _ = stage.host.virsh(&["restore", "/var/tmp/saved"]).ok();
    assert_eq!(stage.calls(), START);
    stage.only_attached(&["saved rw"]);
    stage.destroy("saved");
    stage.nothing_is_left();
}

fn resets(stage: &mut Stage) {
    stage.domain("resetting", Guest::Reset(9));
    assert_eq!(stage.start("resetting"), START);
    stage.forget();
    let claim = stage.claim("resetting");
    stage.survives("resetting", || {
        let reboot = ["event", "resetting", "--event", "reboot", "--timeout", "20"];
        let _ = stage.host.virsh(&reboot).ok();
        let _ = stage.host.virsh(&["reset", "resetting"]).ok();
        let _ = stage.host.virsh(&["reboot", "resetting"]).ok();
    });
    assert_eq!(stage.calls(), [] as [&str; 0]);
    assert_eq!(stage.claim("resetting"), claim);
    stage.only_attached(&["resetting rw"]);
    stage.destroy("resetting");
    stage.nothing_is_left();
}

/// What was attached before the domain came is attached as it was when the domain has gone.
fn attached_by_hand(stage: &Stage, before: &str, disk: &str, meanwhile: &str) {
    let name = format!("hand-{before}-{}", disk.len());
    stage.cluster.volume(&name, 1, Guest::Idle);
    stage.cluster.attach(&name, stage.host.client(), before);
    stage
        .host
        .define(&Domain::new(&name).disk_with(&format!("/dev/storpool/{name}"), disk));
    stage.start(&name);
    assert_eq!(stage.claim(&name)["volumes"][0]["before"], before);
    stage.only_attached(&[&format!("{name} {meanwhile}")]);
    stage.destroy(&name);
    stage.only_attached(&[&format!("{name} {before}")]);
    stage.cluster.detach(&name, stage.host.client());
    stage.nothing_is_left();
}

fn renamed_while_running(stage: &mut Stage) {
    stage.domain("moving", Guest::Idle);
    assert_eq!(stage.start("moving"), START);
    stage.cluster.rename("moving", "moved");
    // The name may even be another volume's by now, attached by hand.
    stage.volumes(&["moving"]);
    stage.cluster.attach("moving", stage.host.client(), "rw");
    stage.only_attached(&["moved rw", "moving rw"]);
    assert_eq!(stage.destroy("moving"), [REASSIGN]);
    stage.only_attached(&["moving rw"]);
    stage.cluster.detach("moving", stage.host.client());
    stage.nothing_is_left();
}

fn ten_at_once(stage: &mut Stage) {
    let names: Vec<String> = (0..10).map(|n| format!("ten-{n}")).collect();
    for name in &names {
        stage.domain(name, Guest::Idle);
    }
    stage.forget();
    stage.cluster.latency(2000);
    let starts: Vec<_> = names
        .iter()
        .map(|name| stage.host.virsh_spawn(&["start", name]))
        .collect();
    for start in starts {
        let _ = start.wait(SOON * 2).ok();
    }
    stage.cluster.latency(0);
    assert_eq!(stage.calls().len(), 20, "two requests each");
    // Each request is on the way for two seconds. In turn, no two of them ever were at the same time; libvirtd
    // itself works on five calls at a time or more (`min_workers`).
    let requests = stage.cluster.control("requests", None);
    let span = |request: &Value| {
        let began = request["timeMs"].as_u64().unwrap();
        (began, began + request["tookMs"].as_u64().unwrap())
    };
    let spans: Vec<_> = requests.as_array().unwrap().iter().map(span).collect();
    let at = |moment: u64| spans.iter().filter(|(a, b)| (*a..*b).contains(&moment)).count();
    let most = spans.iter().map(|(began, _)| at(*began)).max();
    assert!(most >= Some(5), "at most {most:?} requests at once: {spans:?}");
    assert_eq!(stage.host.claims().len(), 10);
    for name in &names {
        stage.destroy(name);
    }
    stage.nothing_is_left();
}

fn api_down_at_release(stage: &mut Stage) {
    stage.domain("leftover", Guest::Idle);
    assert_eq!(stage.start("leftover"), START);
    stage.settings(SHORT);
    stage.host.api_reachable(false);
    let _ = stage.host.virsh(&["destroy", "leftover"]).ok();
    stage.is_off("leftover");
    assert_eq!(stage.phase(), "releasing");
    stage.only_attached(&["leftover rw"]);
    stage.host.api_reachable(true);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();

    // The same without a person: the next start finishes it first.
    assert_eq!(stage.start("leftover"), START);
    stage.host.api_reachable(false);
    let _ = stage.host.virsh(&["destroy", "leftover"]).ok();
    stage.host.api_reachable(true);
    assert_eq!(stage.start("leftover"), [REASSIGN, REASSIGN, LIST]);
    stage.only_attached(&["leftover rw"]);
    stage.settings("");
    stage.destroy("leftover");
    stage.nothing_is_left();
}

fn list_shows(stage: &mut Stage) {
    stage.domain("shown", Guest::Idle);
    assert_eq!(stage.start("shown"), START);
    let listed = stage.host.exec(&["spvirt", "list", "--json"]).ok().stdout;
    let rows: Value = serde_json::from_str(&listed).unwrap();
    let row = &rows[0];
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    for (key, value) in [
        ("domain", "shown"),
        ("phase", "live"),
        ("volume", "shown"),
        ("wants", "rw"),
        ("attached", "rw"),
        ("before", "no"),
    ] {
        assert_eq!(row[key], value, "{key} in {row}");
    }
    // Nothing to do: it runs.
    assert!(stage.reconcile().contains("in use"));
    stage.only_attached(&["shown rw"]);
    stage.destroy("shown");
    stage.nothing_is_left();
}

/// Reported, and not given back: after a takeover elsewhere that would hand a stale guest its disk.
fn loss_is_reported(stage: &mut Stage) {
    stage.domain("robbed", Guest::Idle);
    stage.start("robbed");
    let pulled =
        json!({"reassign": [{"volume": "robbed", "detach": [1], "force": true}], "attachTimeout": 10});
    stage.cluster.control("api/VolumesReassignWait", Some(&pulled));
    let told = stage.host.exec(&["spvirt", "reconcile"]).failed().stdout;
    assert!(
        told.contains("the domain runs, but is without volume \"robbed\" (vda)"),
        "{told}"
    );
    assert_eq!(stage.attached(), Vec::<String>::new());
    stage.destroy("robbed");
    stage.nothing_is_left();
}
