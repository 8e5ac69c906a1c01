// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A start, while the API misbehaves in every way the simulator can: afterwards the domain runs, its volume is
//! attached and its claim is live, or the start was refused and everything is undone. Never anything between.

use serde_json::{Value, json};
use spvirt_rig::{Guest, Suite};

use crate::stage::{SOON, Stage};

/// The two calls of a start, and of its undo.
pub const REASSIGN: &str = "VolumesReassignWait";
const LIST: &str = "AttachmentsList";
/// Settings of a case in which something hangs.
pub const IMPATIENT: &str = "SPVIRT_DEADLINE=5\n";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared(
            "start: the attach is tried again where that may help",
            attach_retried,
        )
        .shared("start: the attach was done, whatever the answer", attach_done)
        .shared("start: the attach is refused", attach_refused)
        .shared("start: the attach hangs", attach_hangs)
        .shared(
            "start: the attach is done, but no answer comes",
            attach_unanswered,
        )
        .shared("start: the list is tried again where that may help", list_retried)
        .shared("start: a list that is not one is an error", list_malformed)
        .shared("start: the list fails or hangs", list_fails)
        .shared("start: a list of 100,000 lines", list_huge)
}

/// A fault without parameters.
pub fn plain(kind: &str) -> Value {
    json!({"kind": kind})
}

/// A reply that is this text.
pub fn garbage(text: &str) -> Value {
    json!({"kind": "garbage", "text": text})
}

/// What [`Stage::start`] or [`Stage::refused`] would say, with these faults in the way of a call.
fn with<T>(stage: &Stage, call: &str, fault: &Value, count: u64, what: impl FnOnce() -> T) -> T {
    stage.cluster.fault_with(call, fault, count);
    let answer = what();
    stage.cluster.clear_faults();
    answer
}

/// The domain starts all the same, in these calls; then it stops, and nothing is left.
#[track_caller]
fn starts(stage: &Stage, domain: &str, call: &str, fault: &Value, count: u64, calls: &[&str]) {
    let took = with(stage, call, fault, count, || stage.start(domain));
    assert_eq!(took, calls, "{call} {fault}");
    assert_eq!(stage.phase(), "live", "{fault}");
    stage.only_attached(&[&format!("{domain} rw")]);
    let _ = stage.host.virsh(&["destroy", domain]).ok();
    stage.nothing_is_left();
}

/// The start is refused with words that hold `says`, and everything is undone.
#[track_caller]
fn refuses(stage: &Stage, domain: &str, call: &str, fault: &Value, says: &str) {
    let line = with(stage, call, fault, 1, || stage.refused(domain));
    assert!(line.contains(says), "{call} {fault}: {line}");
    assert_eq!(stage.host.state(domain).as_deref(), Some("shut off"));
    stage.nothing_is_left();
}

fn attach_retried(stage: &mut Stage) {
    stage.domain("again", Guest::Idle);
    for (fault, count) in [
        (plain("transient"), 2),
        (json!({"kind": "transient", "status": 200}), 1),
        (plain("reset-before"), 1),
        (plain("reset-after"), 1),
        (plain("drop-after"), 2),
        (plain("truncate"), 1),
        (plain("truncate-chunk"), 1),
    ] {
        let tries = usize::try_from(count).unwrap() + 1;
        let calls = [vec![REASSIGN; tries], vec![LIST]].concat();
        starts(stage, "again", REASSIGN, &fault, count, &calls);
    }
}

fn attach_done(stage: &mut Stage) {
    stage.domain("done", Guest::Idle);
    for fault in [
        json!({"kind": "slow", "before": 200, "after": 200}),
        json!({"kind": "drip", "ms": 5}),
        plain("garbage"),
        garbage("{\"data\":{\"ok\":false}}"),
        plain("wrong-type"),
        json!({"kind": "huge", "mb": 100}),
        plain("huge"),
    ] {
        starts(stage, "done", REASSIGN, &fault, 1, &[REASSIGN, LIST]);
    }
}

fn attach_refused(stage: &mut Stage) {
    stage.domain("no", Guest::Idle);
    let no = json!({"name": "insufficientResources", "descr": "No space"});
    let words = "StorPool refused VolumesReassignWait: insufficientResources: No space";
    for kind in ["error", "ok-error"] {
        let mut fault = no.clone();
        fault["kind"] = kind.into();
        refuses(stage, "no", REASSIGN, &fault, words);
    }
    let teapot = json!({"kind": "error", "name": "invalidParam", "descr": "odd\nand more", "status": 418});
    refuses(stage, "no", REASSIGN, &teapot, "invalidParam: odd\\nand more");
    let away = json!({"kind": "redirect", "to": format!("{}/ctrl/1.0/{REASSIGN}", stage.cluster.url())});
    refuses(
        stage,
        "no",
        REASSIGN,
        &away,
        "HTTP 302 (a redirect; is this the StorPool API?)",
    );
    refuses(stage, "no", REASSIGN, &plain("refuse"), "refuses the token");
    let down = json!({"kind": "client-down", "client": 1});
    stage.settings(IMPATIENT);
    let line = with(stage, REASSIGN, &down, 1, || stage.refused("no"));
    assert!(line.contains("client 1, this host, is down"), "{line}");
    stage.cluster.client_up(1, true);
    stage.settings("");
    let _ = stage.start("no");
    let _ = stage.host.virsh(&["destroy", "no"]).ok();
    stage.only_attached(&[]);
    let _ = stage.reconcile();
    stage.nothing_is_left();
}

/// Nobody knows whether what hangs will still be done: the claim stays to undo it, and the next start does.
fn attach_hangs(stage: &mut Stage) {
    stage.domain("hangs", Guest::Idle);
    stage.settings(IMPATIENT);
    stage.cluster.fault(REASSIGN, "hang-before", 1);
    let line = stage.refused("hangs");
    assert!(
        line.ends_with("did not answer VolumesReassignWait in time"),
        "{line}"
    );
    assert_eq!(stage.phase(), "releasing");
    stage.only_attached(&[]);
    stage.cluster.clear_faults();
    stage
        .host
        .wait_for("the late attach", SOON, || stage.attached() == ["hangs rw"]);
    stage.settings("");
    let _ = stage.start("hangs");
    assert_eq!(stage.phase(), "live");
    let _ = stage.host.virsh(&["destroy", "hangs"]).ok();
    stage.only_attached(&[]);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

/// The request was carried out, its answer never comes: reading the list again decides.
fn attach_unanswered(stage: &mut Stage) {
    stage.domain("silent", Guest::Idle);
    stage.settings(IMPATIENT);
    // What hangs is logged when it ends.
    let hang = plain("hang-after");
    let calls = with(stage, REASSIGN, &hang, 1, || stage.start("silent"));
    assert_eq!(calls, [LIST]);
    stage.settings("");
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["silent rw"]);
    let _ = stage.host.virsh(&["destroy", "silent"]).ok();
    // The server might still be at it, for all we know: the claim is looked at once more.
    stage.only_attached(&[]);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn list_retried(stage: &mut Stage) {
    stage.domain("relist", Guest::Idle);
    for (fault, count) in [
        (plain("transient"), 2),
        (plain("reset-before"), 1),
        (plain("drop-after"), 1),
        (plain("truncate"), 1),
        (plain("truncate-chunk"), 1),
        (json!({"kind": "drip", "ms": 5}), 0),
    ] {
        let tries = usize::try_from(count).unwrap() + 1;
        let calls = [vec![REASSIGN], vec![LIST; tries]].concat();
        starts(stage, "relist", LIST, &fault, count.max(1), &calls);
    }
}

/// "No attachments" is what no damage may look like: it would let a second writer in.
fn list_malformed(stage: &mut Stage) {
    stage.domain("bad", Guest::Idle);
    let line = |change: &str| {
        let good = r#"{"volume":"bad","snapshot":false,"client":7,"rights":"rw","pos":0,"globalId":"s.b.1"}"#;
        let (from, to) = change.split_once(" -> ").unwrap();
        assert!(good.contains(from), "{change}");
        garbage(&format!(
            r#"{{"generation":1,"data":[{}]}}"#,
            good.replace(from, to)
        ))
    };
    for fault in [
        plain("garbage"),
        plain("wrong-type"),
        garbage(""),
        garbage("null"),
        garbage("[]"),
        garbage("{}"),
        garbage(r#"{"generation":1}"#),
        garbage(r#"{"data":null}"#),
        garbage(r#"{"data":[]}x"#),
        garbage(r#"{"data":[null]}"#),
        garbage(r#"{"data":[{}]}"#),
        line(r#""bad" -> 5"#),
        line(r#""client":7, -> "#),
        line(r#"7 -> 70000"#),
        line(r#""rights":"rw" -> "rights":"r""#),
        line("false -> \"no\""),
    ] {
        refuses(
            stage,
            "bad",
            LIST,
            &fault,
            "answered AttachmentsList with something else: ",
        );
    }
}

fn list_fails(stage: &mut Stage) {
    stage.domain("blind", Guest::Idle);
    let named = json!({"kind": "error", "name": "invalidParam", "descr": "odd"});
    refuses(
        stage,
        "blind",
        LIST,
        &named,
        "StorPool refused AttachmentsList: invalidParam: odd",
    );
    refuses(stage, "blind", LIST, &plain("refuse"), "refuses the token");
    let away = json!({"kind": "redirect", "to": "http://127.0.0.1:1/"});
    refuses(stage, "blind", LIST, &away, "HTTP 302");
    stage.settings(IMPATIENT);
    for fault in [
        plain("hang-before"),
        plain("hang-after"),
        json!({"kind": "drip", "ms": 1000}),
    ] {
        refuses(
            stage,
            "blind",
            LIST,
            &fault,
            "did not answer AttachmentsList in time",
        );
    }
    for fault in [json!({"kind": "huge", "mb": 100}), plain("huge")] {
        refuses(stage, "blind", LIST, &fault, "AttachmentsList");
    }
    stage.settings("");
}

fn list_huge(stage: &mut Stage) {
    stage.domain("small", Guest::Idle);
    stage.cluster.control("fill", Some(&json!({"value": 100_000})));
    assert_eq!(stage.start("small"), [REASSIGN, LIST]);
    stage.cluster.control("fill", Some(&json!({"value": 0})));
    stage.only_attached(&["small rw"]);
    let _ = stage.host.virsh(&["destroy", "small"]).ok();
    stage.nothing_is_left();
}
