// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A stop, while the API misbehaves: the domain stops in any case, and either nothing is left or the claim waits
//! as *releasing* and still says everything that is attached, for the next start (or `spvirt reconcile`).

use serde_json::{Value, json};
use spvirt_rig::{Guest, Suite};

use crate::faults::{IMPATIENT, REASSIGN, garbage, plain};
use crate::stage::{SOON, Stage};

const LIST: &str = "AttachmentsList";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared(
            "stop: the detach is tried again where that may help",
            detach_retried,
        )
        .shared("stop: the detach was done, whatever the answer", detach_done)
        .shared("stop: the detach is not done, and not forgotten", detach_left)
        .shared("stop: the detach hangs and is done later", detach_hangs)
        .shared("stop: the API is away", api_away)
        .shared("stop: somebody else has detached it", detached_by_hand)
}

/// Starts the domain, makes the next calls go wrong and destroys it; the calls that took.
#[track_caller]
fn stop(stage: &Stage, domain: &str, faults: &[(&str, &Value, u64)]) -> Vec<String> {
    let _ = stage.start(domain);
    stage.forget();
    for (call, fault, count) in faults {
        stage.cluster.fault_with(call, fault, *count);
    }
    let _ = stage.host.virsh(&["destroy", domain]).ok();
    assert_eq!(stage.host.state(domain).as_deref(), Some("shut off"));
    let calls = stage.calls();
    stage.cluster.clear_faults();
    calls
}

/// What could not be detached is still attached, the claim knows it, and the next life of the domain clears it away.
#[track_caller]
fn is_left(stage: &Stage, domain: &str) {
    assert_eq!(stage.phase(), "releasing");
    stage.only_attached(&[&format!("{domain} rw")]);
    stage.settings("");
    let calls = stage.start(domain);
    assert_eq!(
        calls,
        [REASSIGN, REASSIGN, LIST],
        "the old release, then the start"
    );
    assert_eq!(stage.phase(), "live");
    let _ = stage.host.virsh(&["destroy", domain]).ok();
    stage.nothing_is_left();
}

fn detach_retried(stage: &mut Stage) {
    stage.domain("stop", Guest::Idle);
    for (fault, count) in [
        (plain("transient"), 2),
        (plain("reset-before"), 1),
        (plain("truncate"), 1),
        (plain("drop-after"), 1),
        (plain("reset-after"), 1),
    ] {
        let tries = usize::try_from(count).unwrap() + 1;
        let calls = stop(stage, "stop", &[(REASSIGN, &fault, count)]);
        // Where the first request was carried out, the server may or may not mind the second.
        let minded = stage.switched("detach-absent", "error")
            && fault != plain("transient")
            && fault != plain("reset-before");
        let expected = [vec![REASSIGN; tries], vec![LIST; usize::from(minded)]].concat();
        assert_eq!(calls, expected, "{fault}");
        stage.nothing_is_left();
    }
}

fn detach_done(stage: &mut Stage) {
    stage.domain("gone", Guest::Idle);
    for fault in [
        plain("garbage"),
        garbage("{\"data\":{\"ok\":false}}"),
        plain("wrong-type"),
        plain("huge"),
    ] {
        let calls = stop(stage, "gone", &[(REASSIGN, &fault, 1)]);
        assert_eq!(calls, [REASSIGN, LIST], "{fault}");
        stage.nothing_is_left();
    }
    for fault in [
        json!({"kind": "slow", "before": 200, "after": 200}),
        json!({"kind": "drip", "ms": 5}),
    ] {
        assert_eq!(
            stop(stage, "gone", &[(REASSIGN, &fault, 1)]),
            [REASSIGN],
            "{fault}"
        );
        stage.nothing_is_left();
    }
    stage.settings("SPVIRT_DEADLINE=9\n");
    // What hangs is logged when it ends.
    let calls = stop(stage, "gone", &[(REASSIGN, &plain("hang-after"), 1)]);
    assert_eq!(calls, [LIST]);
    stage.settings("");
    stage.nothing_is_left();
}

fn detach_left(stage: &mut Stage) {
    stage.domain("left", Guest::Idle);
    let named = json!({"kind": "error", "name": "insufficientResources"});
    let away = json!({"kind": "redirect", "to": "http://127.0.0.1:1/"});
    for fault in [named, away, plain("refuse")] {
        let calls = stop(stage, "left", &[(REASSIGN, &fault, 9)]);
        assert_eq!(calls, [REASSIGN, LIST], "{fault}");
        is_left(stage, "left");
    }
    // The token is refused for everything: not even the list can be read.
    let calls = stop(stage, "left", &[("*", &plain("refuse"), 9)]);
    assert_eq!(calls, [REASSIGN, LIST]);
    is_left(stage, "left");
    // A damaged list is not "not attached any more".
    let list = garbage(r#"{"data":null}"#);
    let calls = stop(
        stage,
        "left",
        &[(REASSIGN, &plain("refuse"), 9), (LIST, &list, 9)],
    );
    assert_eq!(calls, [REASSIGN, LIST]);
    is_left(stage, "left");
}

fn detach_hangs(stage: &mut Stage) {
    stage.domain("stuck", Guest::Idle);
    stage.settings(IMPATIENT);
    let _ = stage.start("stuck");
    stage.cluster.fault(REASSIGN, "hang-before", 1);
    let _ = stage.host.virsh(&["destroy", "stuck"]).ok();
    assert_eq!(stage.phase(), "releasing");
    stage.only_attached(&["stuck rw"]);
    stage.cluster.clear_faults();
    stage
        .host
        .wait_for("the late detach", SOON, || stage.attached().is_empty());
    stage.settings("");
    let _ = stage.start("stuck");
    assert_eq!(stage.phase(), "live");
    let _ = stage.host.virsh(&["destroy", "stuck"]).ok();
    stage.nothing_is_left();
}

fn api_away(stage: &mut Stage) {
    stage.domain("away", Guest::Idle);
    let _ = stage.start("away");
    stage.settings(IMPATIENT);
    stage.host.api_reachable(false);
    let _ = stage.host.virsh(&["destroy", "away"]).ok();
    stage.host.api_reachable(true);
    is_left(stage, "away");
}

fn detached_by_hand(stage: &mut Stage) {
    stage.domain("byhand", Guest::PowerOff(36));
    let _ = stage.start("byhand");
    let item = json!({"volume": "byhand", "detach": [1], "force": true});
    let _ = stage
        .cluster
        .control("api/VolumesReassignWait", Some(&json!({"reassign": [item]})));
    let _ = stage.host.virsh(&["destroy", "byhand"]);
    stage.is_off("byhand");
    stage.nothing_is_left();
}
