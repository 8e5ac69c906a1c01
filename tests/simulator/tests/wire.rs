// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Faults, transport and control as they look on the wire. Needs root; fails without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    dead_code,
    missing_docs
)]

mod harness;

use std::time::{Duration, Instant};

use harness::{Sim, until};
use serde_json::{Value, json};

const LIST: &str = "GET /ctrl/1.0/AttachmentsList HTTP/1.1\r\nHost: x\r\n\r\n";

/// A simulator with volume `v`, and a call that attaches it.
fn simulator() -> (Sim, String) {
    let sim = Sim::start(&[]);
    sim.volume("v");
    let body = r#"[{"volume":"v","rw":[3]}]"#;
    let call = format!(
        "POST /ctrl/1.0/VolumesReassignWait HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    (sim, call)
}

fn attached(sim: &Sim) -> bool {
    sim.control("GET", "api/AttachmentsList", Value::Null) != json!([])
}

/// Sends the attach under a fault: the reply, whether the connection ended well, whether it was applied.
fn struck(fault: Value) -> (String, bool, bool) {
    let (sim, call) = simulator();
    sim.fault("VolumesReassignWait", fault);
    let (reply, end) = sim.raw(&call);
    (String::from_utf8(reply).unwrap(), end.is_ok(), attached(&sim))
}

fn body(reply: &str) -> Value {
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn errors_are_not_applied() {
    for (fault, status, name, transient) in [
        (json!({"kind": "transient"}), 500, "transientError", true),
        (
            json!({"kind": "transient", "status": 503}),
            503,
            "transientError",
            true,
        ),
        (
            json!({"kind": "error", "name": "busy", "descr": "x"}),
            500,
            "busy",
            false,
        ),
        (
            json!({"kind": "error", "name": "busy", "status": 404}),
            404,
            "busy",
            false,
        ),
        (json!({"kind": "ok-error", "name": "busy"}), 200, "busy", false),
        (json!({"kind": "refuse"}), 403, "unauthorized", false),
    ] {
        let (reply, well, applied) = struck(fault.clone());
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status} ")),
            "{fault}: {reply}"
        );
        assert_eq!(body(&reply)["error"]["name"], name, "{fault}");
        assert_eq!(body(&reply)["error"]["transient"], transient, "{fault}");
        assert!(well && !applied, "{fault}");
    }
}

#[test]
fn lost_replies_are_applied_or_not() {
    for (kind, well, applied) in [
        ("reset-before", false, false),
        ("reset-after", false, true),
        ("drop-after", true, true),
    ] {
        assert_eq!(
            struck(json!({"kind": kind})),
            (String::new(), well, applied),
            "{kind}"
        );
    }
}

#[test]
fn bad_replies_are_applied() {
    let (reply, well, applied) = struck(json!({"kind": "garbage"}));
    assert!(well && applied && reply.ends_with("</html>"));
    for kind in ["truncate", "truncate-chunk"] {
        let (reply, _, applied) = struck(json!({"kind": kind}));
        let (head, part) = reply.split_once("\r\n\r\n").unwrap();
        let part = part.rsplit("\r\n").next().unwrap();
        assert!(
            applied && serde_json::from_str::<Value>(part).is_err(),
            "{kind}: {reply}"
        );
        assert_eq!(head.contains("chunked"), kind == "truncate-chunk");
        assert!(part.starts_with("{\"gen"));
    }
    let (reply, _, applied) = struck(json!({"kind": "wrong-type"}));
    assert!(applied);
    assert_eq!(body(&reply)["data"], json!([]));
    let (reply, _, applied) = struck(json!({"kind": "huge", "mb": 3}));
    assert!(applied && reply.len() > 3 << 20);
    assert!(body(&reply)["data"].as_array().unwrap().len() > 10_000);
    let (reply, _, applied) = struck(json!({"kind": "redirect", "to": "http://127.0.0.1:1/x"}));
    assert!(!applied && reply.contains("\r\nLocation: http://127.0.0.1:1/x\r\n") && reply.contains(" 302 "));
}

#[test]
fn slow_replies_take_their_time() {
    for fault in [
        json!({"kind": "slow", "before": 150, "after": 150}),
        json!({"kind": "hang-before", "ms": 300}),
        json!({"kind": "hang-after", "ms": 300}),
        json!({"kind": "drip", "ms": 100}),
    ] {
        let (sim, call) = simulator();
        sim.fault("VolumesReassignWait", fault.clone());
        let started = Instant::now();
        let (reply, end) = sim.raw(&call);
        assert!(started.elapsed() >= Duration::from_millis(300), "{fault}");
        assert_eq!(body(&String::from_utf8(reply).unwrap())["data"]["ok"], true);
        assert!(end.is_ok() && attached(&sim));
    }
}

#[test]
fn a_hang_is_before_or_after_and_ends_when_released() {
    for (kind, applied) in [("hang-before", false), ("hang-after", true)] {
        let (sim, call) = simulator();
        sim.fault("*", json!({"kind": kind}));
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| sim.raw(&call));
            until("the fault has struck", || {
                sim.control("GET", "faults", Value::Null) == json!([])
            });
            if applied {
                until("it is applied", || attached(&sim));
            }
            assert_eq!(attached(&sim), applied);
            assert!(!caller.is_finished());
            until("it goes on", || {
                sim.control("POST", "fault/release", Value::Null);
                caller.is_finished()
            });
            caller.join().unwrap().1.unwrap();
        });
        assert!(attached(&sim));
    }
}

#[test]
fn a_client_goes_down_in_the_middle() {
    let (sim, _) = simulator();
    sim.fault("AttachmentsList", json!({"kind": "client-down", "client": 3}));
    sim.api("GET", "AttachmentsList", Value::Null).unwrap();
    assert_eq!(
        sim.api("GET", "ServicesList", Value::Null).unwrap()["clients"]["3"]["status"],
        "down"
    );
}

#[test]
fn faults_that_do_not_exist_are_refused() {
    let sim = Sim::start(&[]);
    for fault in [
        json!({"kind": "nosuch"}),
        json!({"kind": "drip"}),
        json!({"kind": "refuse", "x": 1}),
    ] {
        let request = json!({"call": "*", "fault": fault}).to_string();
        assert_eq!(
            sim.exchange("POST", "/sim/1.0/fault", &request).0,
            500,
            "{request}"
        );
    }
}

#[test]
fn the_token_is_asked_for() {
    let sim = Sim::start(&["--token=t"]);
    sim.api("GET", "VolumesList", Value::Null).unwrap();
    for header in [
        "",
        "Authorization: Storpool v1:x\r\n",
        "Authorization: storpool v1:t\r\n",
    ] {
        let (reply, _) = sim.raw(&format!("GET /ctrl/1.0/VolumesList HTTP/1.1\r\n{header}\r\n"));
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 403 "), "{header:?}: {reply}");
    }
    sim.control("POST", "switch", json!({"name": "unauthorized", "value": "401"}));
    assert!(sim.raw(LIST).0.starts_with(b"HTTP/1.1 401 "));
}

#[test]
fn targets_stand_raw_in_calls_and_log() {
    let sim = Sim::start(&[]);
    sim.volume("#sys");
    let (status, _) = sim.exchange("GET", "/ctrl/1.0/MultiCluster/Volume/#sys", "");
    assert_eq!(status, 200);
    let (status, _) = sim.exchange(
        "GET",
        "/ctrl/1.0/RemoteCommand/~s.b/MultiCluster/AllClusters/VolumesList",
        "",
    );
    assert_eq!(status, 200);
    let (status, reply) = sim.exchange("POST", "/ctrl/1.0/VolumeCreate", "{\"name\": \"x\", }");
    assert_eq!((status, reply.contains("jsonError")), (500, true));
    for (method, target, expected) in [
        ("GET", "/ctrl/1.0/Nothing", 404),
        ("GET", "/ctrl/1.0/MultiCluster/ServicesList", 404),
        ("POST", "/ctrl/1.0/VolumesList", 405),
        ("GET", "/", 404),
    ] {
        assert_eq!(sim.exchange(method, target, "").0, expected, "{target}");
    }
    let (reply, _) = sim.raw("no such thing\r\n\r\n");
    assert!(reply.starts_with(b"HTTP/1.1 400 "));
    let log = sim.control("GET", "requests?since=1", Value::Null);
    assert_eq!(log[0]["target"], "/ctrl/1.0/MultiCluster/Volume/#sys");
    assert_eq!(log[0]["headers"][0], json!(["Authorization", "Storpool v1:t"]));
    assert_eq!(
        (log[0]["call"].clone(), log[0]["status"].clone()),
        (json!("Volume"), json!(200))
    );
    assert_eq!(
        (log[2]["error"].clone(), log[2]["body"].clone()),
        (json!("jsonError"), json!("{\"name\": \"x\", }"))
    );
    sim.control("POST", "requests/reset", Value::Null);
    assert_eq!(sim.control("GET", "requests", Value::Null), json!([]));
}

#[test]
fn errors_may_come_with_status_200() {
    let sim = Sim::start(&["--switch=error-status=200", "--switch=multicluster=no"]);
    let (status, reply) = sim.exchange("GET", "/ctrl/1.0/Volume/none", "");
    assert_eq!((status, reply.contains("objectDoesNotExist")), (200, true));
    let error = sim
        .api("GET", "MultiCluster/VolumesList", Value::Null)
        .unwrap_err();
    assert_eq!(error.0, "multiCluster");
}

#[test]
fn a_hundred_thousand_attachments_are_quick() {
    let sim = Sim::start(&["--fill-attachments=100000"]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
    sim.api("GET", "AttachmentsList", Value::Null).unwrap();
    let started = Instant::now();
    let (reply, _) = sim.raw(LIST);
    assert!(started.elapsed() < Duration::from_secs(1));
    let list = body(&String::from_utf8(reply).unwrap());
    assert_eq!(list["data"].as_array().unwrap().len(), 100_001);
}

#[test]
fn many_at_once_get_what_each_asked_for() {
    let sim = Sim::start(&[]);
    let names: Vec<String> = (0..24).map(|n| format!("v{n}")).collect();
    for name in &names {
        sim.volume(name);
    }
    std::thread::scope(|scope| {
        for name in &names {
            let sim = &sim;
            scope.spawn(move || {
                sim.reassign(json!({"volume": name, "rw": [1], "ro": [2]}))
                    .unwrap();
                assert!(sim.dev(1, &format!("storpool/{name}")).exists());
                sim.reassign(json!({"volume": name, "detach": [2]})).unwrap();
            });
        }
    });
    assert_eq!(sim.loops(), 24);
    assert_eq!(sim.entries(1).len(), 72);
    assert!(sim.entries(2).is_empty());
}
