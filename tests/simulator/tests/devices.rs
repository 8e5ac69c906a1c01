// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The real binary with real loop devices. Needs root; fails without.
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

use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use harness::{Sim, device_size, read_only, until};
use serde_json::{Value, json};

#[test]
fn an_attachment_is_a_device_with_its_links() {
    let sim = Sim::start(&[]);
    let gid = sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1], "ro": [2]}))
        .unwrap();
    assert_eq!(sim.entries(1), [gid.as_str(), "sp-0", "v"]);
    for link in ["storpool/v".to_owned(), format!("storpool-byid/{gid}")] {
        assert_eq!(
            fs::read_link(sim.dev(1, &link)).unwrap().to_str(),
            Some("../sp-0")
        );
        assert_eq!(device_size(&sim.dev(1, &link)), Some(1 << 20));
    }
    assert!(!read_only(&sim.dev(1, "sp-0")));
    assert!(read_only(&sim.dev(2, "sp-0")));
    let refused = File::options()
        .write(true)
        .open(sim.dev(2, "storpool/v"))
        .and_then(|mut f| f.write(&[1; 512]));
    assert!(refused.is_err());
    let mut file = File::options()
        .write(true)
        .open(sim.dev(1, "storpool/v"))
        .unwrap();
    file.write_all(&[7; 4096]).unwrap();
    file.sync_all().unwrap();
    drop(file);
    let mut content = [0; 4096];
    File::open(sim.dev(2, "storpool/v"))
        .unwrap()
        .read_exact(&mut content)
        .unwrap();
    assert_eq!(content, [7; 4096]);
    assert_eq!(sim.loops(), 2);
    sim.reassign(json!({"volume": "v", "detach": "all"})).unwrap();
    assert_eq!(sim.loops(), 0);
    assert!(sim.entries(1).is_empty() && sim.entries(2).is_empty());
}

#[test]
fn rights_size_and_name_change_under_an_open_device() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "ro": [1]})).unwrap();
    let open = File::open(sim.dev(1, "storpool/v")).unwrap();
    for (key, expected) in [("rw", false), ("ro", true), ("rw", false)] {
        sim.reassign(json!({"volume": "v", key: [1]})).unwrap();
        assert_eq!(read_only(&sim.dev(1, "sp-0")), expected);
    }
    let mut writer = File::options()
        .write(true)
        .open(sim.dev(1, "storpool/v"))
        .unwrap();
    writer.write_all(&[1; 512]).unwrap();
    writer.sync_all().unwrap();
    sim.api("POST", "VolumeUpdate/v", json!({"size": 2 << 20, "rename": "w"}))
        .unwrap();
    assert_eq!(device_size(&sim.dev(1, "storpool/w")), Some(2 << 20));
    assert!(fs::symlink_metadata(sim.dev(1, "storpool/v")).is_err());
    drop(open);
}

#[test]
fn an_open_device_is_busy_and_keeps_its_links() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1, 2]})).unwrap();
    let before = sim.entries(1);
    let open = File::open(sim.dev(1, "storpool/v")).unwrap();
    let error = sim.reassign(json!({"volume": "v", "detach": [1]})).unwrap_err();
    assert_eq!(error, ("busy".to_owned(), "'v' is open at client 1".to_owned()));
    assert_eq!(sim.entries(1), before);
    // The same volume at the other client is another device, and not open.
    sim.reassign(json!({"volume": "v", "detach": [2]})).unwrap();
    drop(open);
    sim.reassign(json!({"volume": "v", "detach": [1]})).unwrap();
    assert_eq!(sim.loops(), 0);
}

#[test]
fn force_takes_an_open_device_away() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
    let open = File::open(sim.dev(1, "storpool/v")).unwrap();
    sim.reassign(json!({"volume": "v", "detach": "all", "rw": [2], "force": true}))
        .unwrap();
    assert!(sim.entries(1).is_empty());
    assert_eq!(sim.control("GET", "state", Value::Null)["cutOff"][0]["client"], 1);
    assert_eq!(sim.loops(), 2);
    drop(open);
    until("the closed device is freed", || sim.loops() == 1);
}

#[test]
fn the_state_survives_an_end_and_a_kill() {
    let mut sim = Sim::start(&[]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1], "ro": [2]}))
        .unwrap();
    sim.control("POST", "switch", json!({"name": "batch", "value": "prefix"}));
    let list = sim.api("GET", "AttachmentsList", Value::Null).unwrap();
    let entries = sim.entries(1);
    sim.restart("-TERM", |sim| {
        assert_eq!(sim.loops(), 0);
        assert!(sim.entries(1).is_empty() && sim.entries(2).is_empty());
    });
    for records in [true, false] {
        assert_eq!(sim.api("GET", "AttachmentsList", Value::Null).unwrap(), list);
        assert_eq!(sim.entries(1), entries);
        assert!(read_only(&sim.dev(2, "storpool/v")));
        assert_eq!(sim.loops(), 2);
        assert_eq!(sim.control("GET", "switches", Value::Null)["batch"], "prefix");
        sim.restart("-KILL", |sim| {
            assert_eq!(sim.loops(), 2);
            if !records {
                // Killed before it could write down which devices it had.
                fs::remove_file(sim.dir.path().join("state/devices.json")).unwrap();
            }
        });
    }
    assert_eq!(sim.loops(), 2);
}

#[test]
fn attach_timeout_waits_for_a_client_that_is_down() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.control("POST", "client", json!({"id": 1, "up": false}));
    let attach = |timeout: Value| {
        let mut body = json!({"reassign": [{"volume": "v", "rw": [1]}]});
        if !timeout.is_null() {
            body["attachTimeout"] = timeout;
        }
        let started = Instant::now();
        sim.api("POST", "VolumesReassignWait", body)
            .map(|_| started.elapsed())
    };
    assert!(attach(json!(0)).unwrap() < Duration::from_millis(900));
    assert!(attach(json!(1)).unwrap() >= Duration::from_secs(1));
    assert!(sim.entries(1).is_empty());
    sim.control(
        "POST",
        "switch",
        json!({"name": "attach-timeout-reply", "value": "error"}),
    );
    assert_eq!(attach(json!(1)).unwrap_err().0, "timeout");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| attach(Value::Null));
        // It waits for ever, that is: until the client is back.
        until("the call has been made", || {
            let open = sim.control("GET", "requests", Value::Null);
            open.as_array().unwrap().len() >= 4
        });
        assert!(!waiter.is_finished());
        sim.control("POST", "client", json!({"id": 1, "up": true}));
        waiter.join().unwrap().unwrap();
    });
    assert_eq!(sim.entries(1).len(), 3);
}

#[test]
fn a_slow_client_is_waited_for() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.control("POST", "client", json!({"id": 1, "lag_ms": 400}));
    let started = Instant::now();
    sim.api("POST", "VolumesReassign", json!([{"volume": "v", "rw": [1]}]))
        .unwrap();
    assert!(sim.entries(1).is_empty() || started.elapsed() > Duration::from_millis(400));
    let config = sim.api("GET", "ClientConfigWait/1", Value::Null).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert_eq!(sim.entries(1).len(), 3);
    assert_eq!(
        (config[0]["configStatus"].clone(), config[0]["id"].clone()),
        (json!("ok"), json!(1))
    );
    let started = Instant::now();
    sim.api("POST", "VolumeUpdate/v", json!({"sizeAdd": 1 << 20}))
        .unwrap();
    sim.api("GET", "ClientConfigWait/1", Value::Null).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert_eq!(device_size(&sim.dev(1, "storpool/v")), Some(2 << 20));
}

#[test]
fn a_late_device_comes_in_stages() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    let link = sim.dev(1, "storpool/v");
    for (early, there) in [("nothing", 0), ("node", 1), ("empty", 3)] {
        sim.fault(
            "VolumesReassignWait",
            json!({"kind": "late-device", "ms": 1000, "early": early}),
        );
        sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
        assert_eq!(sim.entries(1).len(), there, "{early}");
        assert!(device_size(&link).unwrap_or(0) == 0, "{early}");
        until("the device is complete", || device_size(&link) == Some(1 << 20));
        sim.reassign(json!({"volume": "v", "detach": "all"})).unwrap();
        assert_eq!(sim.loops(), 0);
    }
}

#[test]
fn the_monitor_sees_two_writers_and_no_less() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1, 2]})).unwrap();
    let writer = |client| {
        File::options()
            .write(true)
            .open(sim.dev(client, "storpool/v"))
            .unwrap()
    };
    let first = writer(1);
    let _reader = File::open(sim.dev(2, "storpool/v")).unwrap();
    // Time enough for several looks; a reader beside a writer is none of its business.
    std::thread::park_timeout(Duration::from_millis(300));
    assert_eq!(sim.control("GET", "monitor", Value::Null), json!([]));
    let second = writer(2);
    until("two writers are seen", || {
        sim.control("GET", "monitor", Value::Null) != json!([])
    });
    drop((first, second));
    let seen = sim.control("GET", "monitor", Value::Null);
    let pid = std::process::id();
    assert_eq!(seen[0]["clients"], json!({"1": [pid], "2": [pid]}));
    assert_eq!(seen[0]["volume"], "v");
    assert_eq!(seen[0]["cutOff"], json!([]));
}

#[test]
fn a_root_that_is_new_under_the_same_path_is_filled_again() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
    let before = sim.entries(1);
    fs::remove_dir_all(sim.dev(1, "")).unwrap();
    sim.control("POST", "client", json!({"id": 1, "root": sim.dev(1, "")}));
    fs::create_dir(sim.dev(1, "")).unwrap();
    sim.control("POST", "client", json!({"id": 1, "root": sim.dev(1, "")}));
    assert_eq!(sim.entries(1), before);
    sim.control("POST", "client", json!({"id": 1, "root": ""}));
    assert!(sim.entries(1).is_empty());
    assert_eq!(sim.loops(), 0);
}

#[test]
fn snapshots_and_clones_have_the_content_of_then() {
    let sim = Sim::start(&[]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
    let mut file = File::options()
        .write(true)
        .open(sim.dev(1, "storpool/v"))
        .unwrap();
    file.write_all(&[1; 512]).unwrap();
    sim.api("POST", "VolumeSnapshot/v", json!({"name": "s"})).unwrap();
    file.write_all(&[2; 512]).unwrap();
    drop(file);
    sim.reassign(json!({"volume": "v", "detach": "all"})).unwrap();
    sim.reassign(json!({"snapshot": "s", "ro": [1]})).unwrap();
    let head = |path: &str| {
        let mut content = [9; 1024];
        File::open(sim.dev(1, path))
            .unwrap()
            .read_exact(&mut content)
            .unwrap();
        (content[0], content[512])
    };
    assert_eq!(head("storpool/s"), (1, 0));
    assert!(read_only(&sim.dev(1, "storpool/s")));
    sim.api("POST", "VolumeCreate", json!({"name": "c", "parent": "s"}))
        .unwrap();
    sim.api(
        "POST",
        "VolumeCreate",
        json!({"name": "d", "baseOn": "v", "size": 2 << 20}),
    )
    .unwrap();
    sim.api("POST", "VolumeRevert/v", json!({"toSnapshot": "s"}))
        .unwrap();
    for (name, expected) in [("c", (1, 0)), ("d", (1, 2)), ("v", (1, 0))] {
        sim.reassign(json!({"volume": name, "ro": [1]})).unwrap();
        assert_eq!(head(&format!("storpool/{name}")), expected, "{name}");
    }
}

#[test]
fn open_questions_are_answered_as_switched() {
    let sim = Sim::start(&["--switch=forced-open=node-stays", "--switch=down-detach=busy"]);
    sim.volume("v");
    sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
    let open = File::open(sim.dev(1, "storpool/v")).unwrap();
    sim.reassign(json!({"volume": "v", "detach": "all", "force": true}))
        .unwrap();
    assert_eq!(sim.entries(1).len(), 3);
    drop(open);
    until("the closed device is gone", || {
        sim.entries(1).is_empty() && sim.loops() == 0
    });
    sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
    sim.control("POST", "client", json!({"id": 1, "up": false}));
    assert_eq!(
        sim.reassign(json!({"volume": "v", "detach": [1]})).unwrap_err().0,
        "busy"
    );
    assert_eq!(sim.entries(1).len(), 3);
    sim.reassign(json!({"volume": "v", "detach": [1], "force": true}))
        .unwrap();
    until("the device is gone", || sim.loops() == 0);
}

#[test]
fn deleting_what_is_attached() {
    let sim = Sim::start(&[]);
    let delete = |how: Value| sim.api("POST", "VolumeDelete/v", how).map_err(|e| e.0);
    for how in ["detach", "detachForce"] {
        sim.volume("v");
        sim.reassign(json!({"volume": "v", "rw": [1]})).unwrap();
        assert_eq!(delete(Value::Null), Err("busy".to_owned()));
        let open = File::open(sim.dev(1, "storpool/v")).unwrap();
        if how == "detach" {
            assert_eq!(delete(json!({"onAttached": how})), Err("busy".to_owned()));
            assert_eq!(sim.entries(1).len(), 3);
            drop(open);
        }
        delete(json!({"onAttached": how})).unwrap();
        assert!(sim.entries(1).is_empty());
        assert_eq!(delete(Value::Null), Err("objectDoesNotExist".to_owned()));
    }
    assert_eq!(
        delete(json!({"onAttached": "maybe"})),
        Err("invalidParam".to_owned())
    );
}
