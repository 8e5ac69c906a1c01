// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What takes volumes from others because a person says so: `takeover` and `fence`.

use serde_json::{Value, json};
use spvirt_rig::{Guest, Signal, Suite};

use crate::acts::{LIST, REASSIGN};
use crate::conflicts::{OTHER, give_to_other, opener, reassigns, second_host};
use crate::stage::{SOON, Stage};
use crate::verbs::{listed, planned};

const SERVICES: &str = "ServicesList";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("takeover: takes what is open, and keeps nothing", takeover)
        .shared(
            "takeover: from a guest that runs, which reconcile tells there",
            takeover_guest,
        )
        .shared("takeover: refused, asked, and nothing to take", takeover_manners)
        .shared("fence: everything of a dead client, in one request", fence)
        .shared("fence: a client that is up, unknown, or this host", fence_refuses)
        .shared("fence: a client that comes back", fence_comes_back)
        .shared("fence: what is left is told", fence_left)
        .shared("fence: asks, and no is no", fence_asks)
}

impl Stage {
    /// Runs the helper on a terminal, where somebody answers.
    pub fn on_a_terminal(&self, command: &str, answer: &str) -> spvirt_rig::Output {
        let typed = format!("echo {answer} | script --quiet --return --command '{command}' /dev/null");
        self.host.exec(&["sh", "-c", &typed])
    }
}

fn takeover(stage: &mut Stage) {
    let other = second_host(stage);
    stage.domain("taken", Guest::Idle);
    stage.cluster.attach("taken", 2, "rw");
    let holder = opener(stage, &other, "taken");
    let line = stage.refused("taken");
    assert!(
        line.contains("to take it all the same: \"spvirt takeover taken\""),
        "{line}"
    );
    stage.forget();
    let (code, report) = stage.spvirt_json(&["takeover", "--yes", "taken"]);
    assert_eq!(code, 0, "{report}");
    let taken = json!([{"volume": "taken", "client": 2, "state": "which is up"}]);
    assert_eq!(report["taken"], taken);
    let id = format!("~{}", stage.cluster.global_id("taken"));
    let asked = reassigns(stage);
    assert_eq!(planned(&report), asked[..2], "what was shown is what was done");
    assert_eq!(
        asked[1],
        [json!({"volume": id, "rw": [1], "detach": [2], "force": true})]
    );
    assert_eq!(
        asked[2..],
        [[json!({"volume": id, "detach": [1]})]],
        "and given back"
    );
    assert_eq!(stage.attached_to(2), [""; 0]);
    holder.signal(Signal::SIGKILL);
    let _ = holder.wait(SOON);
    stage.nothing_is_left();
    assert_eq!(stage.start("taken"), [REASSIGN, LIST], "it finds nobody");
    let _ = stage.host.virsh(&["destroy", "taken"]).ok();
    stage.nothing_is_left();
}

fn takeover_guest(stage: &mut Stage) {
    let other = second_host(stage);
    stage.domain("robbed", Guest::Idle);
    let xml = stage.host.virsh(&["dumpxml", "robbed"]).ok().stdout;
    other.write("/run/rig/robbed.xml", xml);
    let _ = other.virsh(&["create", "/run/rig/robbed.xml"]).ok();
    let said = stage.spvirt(&["takeover", "robbed", "-y"]).ok().stdout;
    assert!(
        said.contains(
            "volume \"robbed\": taken from client 2, which is up; a guest that still runs there gets errors"
        ),
        "{said}"
    );
    let _ = stage.start("robbed");
    let left = other.exec(&["spvirt", "reconcile"]).failed();
    assert!(
        left.stdout
            .contains("the domain runs, but is without volume \"robbed\" (vda), which client 1 has rw"),
        "{left}"
    );
    let explained = other.exec(&["spvirt", "explain", "robbed"]).failed();
    assert!(explained.stdout.contains("which client 1 has rw"), "{explained}");
    assert_eq!(stage.attached_to(2), [""; 0], "it is never given back");
    // Both have it open, and the storage lets only one through.
    let cut_off = |seen: &Value| seen["cutOff"] == json!([2]);
    assert!(stage.cluster.monitor().iter().all(cut_off));
    let _ = other.virsh(&["destroy", "robbed"]).ok();
    stage.cluster.control("monitor/reset", Some(&json!({})));
    assert_eq!(
        stage.attached(),
        ["robbed rw"],
        "the stop there takes nothing from here"
    );
    let _ = stage.host.virsh(&["destroy", "robbed"]).ok();
    stage.nothing_is_left();
}

fn takeover_manners(stage: &mut Stage) {
    stage.domain("polite", Guest::Idle);
    stage.forget();
    let said = stage.spvirt(&["takeover", "--yes", "polite"]).ok().stdout;
    assert!(said.contains("Nothing to take"), "{said}");
    assert!(!stage.calls().contains(&REASSIGN.to_owned()));
    give_to_other(stage, "polite", "rw");
    // Nobody can be asked.
    let silent = stage.spvirt(&["takeover", "polite"]);
    assert_eq!(silent.code, 2, "{silent}");
    assert!(silent.stderr.contains("spvirt takeover polite --yes"), "{silent}");
    let no = stage.on_a_terminal("spvirt takeover polite", "no");
    assert_eq!(no.code, 1, "{no}");
    assert!(no.stdout.contains("Client 7, which is up, loses volume"), "{no}");
    assert_eq!(stage.attached_to(OTHER), ["polite rw"]);
    stage.nothing_is_left();
    let yes = stage.on_a_terminal("spvirt takeover polite", "yes");
    assert_eq!(yes.code, 0, "{yes}");
    assert_eq!(stage.attached_to(OTHER), [""; 0]);
    stage.nothing_is_left();
    // It runs here.
    stage.start("polite");
    give_to_other(stage, "polite", "rw");
    let refused = stage.spvirt(&["takeover", "--yes", "polite"]).failed();
    assert!(refused.stderr.contains("polite runs on this host"), "{refused}");
    assert_eq!(stage.attached_to(OTHER), ["polite rw"]);
    stage.cluster.detach("polite", OTHER);
    // A hook works on it.
    let _ = stage.host.virsh(&["destroy", "polite"]).ok();
    give_to_other(stage, "polite", "rw");
    let call = stage.hold_domain("polite");
    let refused = stage.spvirt(&["takeover", "--yes", "polite"]).failed();
    assert!(
        refused.stderr.contains("a hook is working on polite"),
        "{refused}"
    );
    drop(call);
    assert_eq!(stage.attached_to(OTHER), ["polite rw"]);
    stage.cluster.detach("polite", OTHER);
    stage.nothing_is_left();
}

/// Client 7 has two volumes and a snapshot, and is down; the host has a volume of its own.
fn dead_client(stage: &Stage, names: [&str; 2]) {
    stage.volumes(&names);
    let snapshot = format!("{}-snap", names[0]);
    stage.cluster.snapshot(names[0], &snapshot);
    give_to_other(stage, names[0], "rw");
    stage.cluster.attach(names[1], OTHER, "ro");
    stage.cluster.attach(names[1], 1, "rw");
    let item = json!({"reassign": [{"snapshot": snapshot, "ro": [OTHER]}], "attachTimeout": 10});
    stage.cluster.control("api/VolumesReassignWait", Some(&item));
    stage.cluster.client_up(OTHER, false);
}

#[track_caller]
fn end_fence(stage: &Stage, volume: &str) {
    // It sends what no hook may.
    stage.cluster.forget_requests();
    stage.cluster.client_up(OTHER, true);
    stage.only_attached(&[&format!("{volume} rw")]);
    stage.cluster.detach(volume, 1);
}

fn fence(stage: &mut Stage) {
    dead_client(stage, ["shot-a", "shot-b"]);
    assert_eq!(stage.attached_to(OTHER).len(), 3);
    stage.forget();
    let output = stage.spvirt(&["fence", "7", "--yes"]).ok();
    assert_eq!(
        stage.calls(),
        [SERVICES, SERVICES, SERVICES, LIST, REASSIGN, LIST]
    );
    assert_eq!(stage.attached_to(OTHER), [""; 0]);
    let asked = reassigns(stage);
    assert_eq!(asked.len(), 1, "one request");
    for item in &asked[0] {
        assert_eq!((&item["detach"], &item["force"]), (&json!([7]), &json!(true)));
        assert!(item.get("rw").is_none() && item.get("ro").is_none());
    }
    assert!(
        output.stdout.contains("Client 7 has nothing attached any more"),
        "{output}"
    );
    let told = format!(
        "detach volume \"{}\" from client 7, even if it is open there",
        listed(stage, "shot-a")
    );
    assert!(output.stdout.contains(&told), "{output}");
    stage.cluster.forget_requests();
    let again = stage.spvirt(&["fence", "7", "--yes"]).ok();
    assert!(
        again.stdout.contains("Nothing is attached to client 7"),
        "{again}"
    );
    assert!(!stage.calls().contains(&REASSIGN.to_owned()));
    end_fence(stage, "shot-b");
}

fn fence_refuses(stage: &mut Stage) {
    dead_client(stage, ["lives-a", "lives-b"]);
    stage.cluster.client_up(OTHER, true);
    stage.forget();
    for (arguments, why) in [
        (&["fence", "7", "--yes"][..], "client 7 is up"),
        (&["fence", "1", "--yes", "--even-if-up"], "client 1 is this host"),
        (
            &["fence", "99", "--yes", "--even-if-up"],
            "StorPool knows no client 99",
        ),
    ] {
        let output = stage.spvirt(arguments).failed();
        assert_eq!(output.code, 1);
        assert!(output.stderr.contains(why), "{output}");
    }
    assert_eq!(stage.spvirt(&["fence", "x"]).code, 2);
    assert!(!stage.calls().contains(&REASSIGN.to_owned()));
    assert_eq!(stage.attached_to(OTHER).len(), 3);
    // Told twice.
    let _ = stage.spvirt(&["fence", "7", "--yes", "--even-if-up"]).ok();
    assert_eq!(stage.attached_to(OTHER), [""; 0]);
    end_fence(stage, "lives-b");
}

fn fence_comes_back(stage: &mut Stage) {
    dead_client(stage, ["back-a", "back-b"]);
    stage.forget();
    let fencing = stage.host.spawn(&["spvirt", "fence", "7", "--yes"]);
    stage.host.wait_for("the first readings", SOON, || {
        stage.calls().iter().filter(|call| *call == SERVICES).count() >= 2
    });
    stage.cluster.client_up(OTHER, true);
    let output = fencing.wait(SOON).failed();
    assert!(output.stderr.contains("client 7 is up"), "{output}");
    assert!(!stage.calls().contains(&REASSIGN.to_owned()));
    assert_eq!(stage.attached_to(OTHER).len(), 3);
    for volume in ["back-a", "back-b"] {
        stage.cluster.detach(volume, OTHER);
    }
    let _ = stage.spvirt(&["fence", "7", "--yes", "--even-if-up"]).ok();
    end_fence(stage, "back-b");
}

fn fence_left(stage: &mut Stage) {
    dead_client(stage, ["stuck-a", "stuck-b"]);
    let no = json!({"kind": "error", "name": "internal", "descr": "not today"});
    stage.cluster.fault_with(REASSIGN, &no, 1);
    let (code, report) = stage.spvirt_json(&["fence", "7", "--yes"]);
    assert_eq!(code, 1);
    let left: Vec<_> = report["left"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(left.len(), 3, "{report}");
    stage.cluster.forget_requests();
    // The reply is lost, and the list knows better.
    stage.cluster.fault(REASSIGN, "drop-after", 1);
    let (code, report) = stage.spvirt_json(&["fence", "7", "--yes"]);
    assert_eq!((code, &report["left"]), (0, &json!([])));
    end_fence(stage, "stuck-b");
}

fn fence_asks(stage: &mut Stage) {
    dead_client(stage, ["asked-a", "asked-b"]);
    let silent = stage.spvirt(&["fence", "7"]);
    assert_eq!(silent.code, 2, "{silent}");
    assert!(silent.stderr.contains("spvirt fence 7 --yes"), "{silent}");
    let no = stage.on_a_terminal("spvirt fence 7", "y");
    assert_eq!(no.code, 1, "{no}");
    assert_eq!(stage.attached_to(OTHER).len(), 3);
    let yes = stage.on_a_terminal("spvirt fence 7", "yes");
    assert_eq!(yes.code, 0, "{yes}");
    assert_eq!(stage.attached_to(OTHER), [""; 0]);
    end_fence(stage, "asked-b");
}
