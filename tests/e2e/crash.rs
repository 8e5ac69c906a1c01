// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirtd, the hook or the whole host die at the worst moment.

use spvirt_rig::{Guest, Suite};

use crate::acts::{LIST, REASSIGN, START};
use crate::stage::{SOON, Stage};

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("libvirtd dies while a hook attaches", libvirtd_dies_in_prepare)
        .shared(
            "a hook whose libvirtd has died while it waited does nothing",
            orphan_does_nothing,
        )
        .shared(
            "a hook dies before its attach is applied, which comes late",
            |stage: &mut Stage| hook_dies(stage, "before"),
        )
        .shared("a hook dies after its attach was applied", |stage: &mut Stage| {
            hook_dies(stage, "after");
        })
        .case("a power cut, then a start", power_cut_and_start)
        .case("a power cut, then reconcile", power_cut_and_reconcile)
        .case("a power cut in the middle of an attach", power_cut_in_prepare)
}

fn libvirtd_dies_in_prepare(stage: &mut Stage) {
    stage.domain("orphan", Guest::Idle);
    stage.cluster.fault(REASSIGN, "hang-before", 1);
    let start = stage.host.virsh_spawn(&["start", "orphan"]);
    stage.request_hangs();
    stage.host.libvirtd_kill();
    let _ = start.wait(SOON).failed();
    assert_eq!(stage.phase(), "acquiring");
    stage.host.libvirtd_start();
    assert_eq!(stage.host.state("orphan").as_deref(), Some("shut off"));
    // Another domain is not kept from starting.
    stage.domain("unhindered", Guest::Idle);
    assert_eq!(stage.start("unhindered"), START);
    stage.destroy("unhindered");
    // The next start waits for the orphan, then begins by undoing what it has done.
    let next = stage.host.virsh_spawn(&["start", "orphan"]);
    stage
        .host
        .wait_for("the next start's hook", SOON, || stage.hooks().len() == 2);
    stage.cluster.clear_faults();
    let _ = next.wait(SOON).ok();
    stage.hooks_have_ended();
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["orphan rw"]);
    stage.destroy("orphan");
    stage.nothing_is_left();
}

fn orphan_does_nothing(stage: &mut Stage) {
    stage.domain("late", Guest::Idle);
    let other_call = stage.hold_domain("late");
    stage.forget();
    let start = stage.host.virsh_spawn(&["start", "late"]);
    stage
        .host
        .wait_for("the hook waits", SOON, || stage.hooks().len() == 1);
    stage.host.libvirtd_kill();
    let _ = start.wait(SOON).failed();
    stage.host.libvirtd_start();
    drop(other_call);
    stage.hooks_have_ended();
    assert_eq!(stage.calls(), [] as [&str; 0]);
    stage.nothing_is_left();
    assert_eq!(stage.start("late"), START);
    stage.destroy("late");
    stage.nothing_is_left();
}

/// Nobody knows what becomes of a request whose sender is dead: `release` detaches, and the claim stays for one
/// more look.
fn hook_dies(stage: &Stage, when: &str) {
    let name = format!("dies-{when}");
    stage.domain(&name, Guest::Idle);
    stage.forget();
    stage.cluster.fault(REASSIGN, &format!("hang-{when}"), 1);
    let start = stage.host.virsh_spawn(&["start", &name]);
    stage.request_hangs();
    if when == "after" {
        stage.host.wait_for("the attach is applied", SOON, || {
            stage.attached() == [format!("{name} rw")]
        });
    }
    stage.kill_hook();
    let _ = start.wait(SOON * 2).failed();
    stage.hooks_have_ended();
    assert_eq!(stage.phase(), "releasing");
    assert_eq!(stage.attached(), [] as [&str; 0]);
    stage.cluster.clear_faults();
    if when == "before" {
        stage.host.wait_for("the late attach is applied", SOON, || {
            stage.attached() == [format!("{name} rw")]
        });
    }
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
    assert_eq!(stage.start(&name), START);
    stage.destroy(&name);
    stage.nothing_is_left();
}

fn power_cut_and_start() {
    let stage = Stage::new();
    stage.domain("cut", Guest::Idle);
    stage.start("cut");
    let stage = stage.power_cut();
    assert_eq!(stage.attached(), ["cut rw"], "StorPool remembers");
    assert_eq!(stage.phase(), "live");
    assert_eq!(stage.start("cut"), [REASSIGN, REASSIGN, LIST]);
    stage.only_attached(&["cut rw"]);
    assert_eq!(
        stage.claim("cut")["volumes"][0]["before"],
        serde_json::Value::Null
    );
    stage.destroy("cut");
    stage.nothing_is_left();
}

fn power_cut_and_reconcile() {
    let stage = Stage::new();
    for name in ["cut-a", "cut-b"] {
        stage.domain(name, Guest::Idle);
        stage.start(name);
    }
    let stage = stage.power_cut();
    stage.start("cut-b");
    assert!(stage.reconcile().contains("released"));
    stage.only_attached(&["cut-b rw"]);
    stage.destroy("cut-b");
    stage.nothing_is_left();
}

fn power_cut_in_prepare() {
    let stage = Stage::new();
    stage.domain("half", Guest::Idle);
    stage.cluster.fault(REASSIGN, "hang-after", 1);
    let start = stage.host.virsh_spawn(&["start", "half"]);
    stage.request_hangs();
    stage
        .host
        .wait_for("the attach is applied", SOON, || stage.attached() == ["half rw"]);
    let stage = stage.power_cut();
    let _ = start.wait(SOON).failed();
    stage.cluster.clear_faults();
    assert_eq!(stage.phase(), "acquiring");
    stage.start("half");
    stage.only_attached(&["half rw"]);
    stage.destroy("half");
    // What became of the first attach nobody has ever said: the claim stays for one more look.
    stage.only_attached(&[]);
    assert_eq!(stage.phase(), "releasing");
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}
