// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Attaching, detaching, changing rights.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

#[test]
fn attaching_again_changes_nothing() {
    let mut c = cluster();
    reassign(&mut c, json!([{"volume": "v1", "rw": [1]}])).unwrap();
    let generation = c.generation;
    reassign(&mut c, json!([{"volume": "v1", "rw": [1]}])).unwrap();
    assert_eq!(attachments(&c), ["v1@1:rw"]);
    assert_eq!(c.generation, generation);
}

#[test]
fn rights_go_up_and_down_and_the_position_stays() {
    let mut c = cluster();
    reassign(
        &mut c,
        json!([{"volume": "v2", "rw": [1]}, {"volume": "v1", "ro": [1]}]),
    )
    .unwrap();
    let pos = |c: &Cluster| c.attached[&1][&c.volume("v1").unwrap().id].pos;
    assert_eq!(pos(&c), 1);
    for (key, shown) in [("rw", "v1@1:rw"), ("ro", "v1@1:ro")] {
        reassign(&mut c, json!([{"volume": "v1", key: [1]}])).unwrap();
        assert!(attachments(&c).contains(&shown.to_owned()));
        assert_eq!(pos(&c), 1);
    }
    with(
        &mut c,
        json!([{"volume": "v1", "rw": [1]}]),
        false,
        &["pos-on-change=new"],
        &[],
    )
    .unwrap();
    assert_eq!(pos(&c), 2);
}

#[test]
fn two_clients_may_write() {
    let mut c = cluster();
    reassign(&mut c, json!([{"volume": "v1", "rw": [1, "2"]}])).unwrap();
    assert_eq!(attachments(&c), ["v1@1:rw", "v1@2:rw"]);
    assert_eq!(c.doubly_writable(), BTreeSet::from([c.volume("v1").unwrap().id]));
}

#[test]
fn one_call_is_one_generation() {
    let mut c = cluster();
    let generation = c.generation;
    let body = json!({"reassign": [{"volume": "v1", "rw": [1]}, {"snapshot": "s1", "ro": [2]}], "attachTimeout": 20});
    reassign(&mut c, body).unwrap();
    assert_eq!(attachments(&c), ["v1@1:rw", "s1@2:ro"]);
    assert_eq!(c.generation, generation + 1);
}

#[test]
fn rw_here_and_detach_all_leaves_here() {
    let mut c = cluster();
    reassign(&mut c, json!([{"volume": "v1", "rw": [1], "ro": [2]}])).unwrap();
    reassign(&mut c, json!([{"volume": "v1", "rw": [3], "detach": "all"}])).unwrap();
    assert_eq!(attachments(&c), ["v1@3:rw"]);
    reassign(&mut c, json!([{"volume": "v1", "rw": [3], "detach": "all"}])).unwrap();
    assert_eq!(attachments(&c), ["v1@3:rw"]);
    reassign(&mut c, json!([{"volume": "v1", "detach": "all"}])).unwrap();
    assert!(attachments(&c).is_empty());
}

#[test]
fn an_open_volume_is_busy_unless_forced() {
    let mut c = cluster();
    let attach = json!([{"volume": "v1", "rw": [1]}, {"volume": "v2", "rw": [1]}]);
    reassign(&mut c, attach.clone()).unwrap();
    let open = [place(&c, "v2", 1)];
    let detach = json!([{"volume": "v1", "detach": [1]}, {"volume": "v2", "detach": [1]}]);
    let error = with(&mut c, detach.clone(), false, &[], &open).unwrap_err();
    assert_eq!(
        (error.name.as_str(), error.descr.as_str()),
        ("busy", "'v2' is open at client 1")
    );
    assert_eq!(attachments(&c), ["v1@1:rw", "v2@1:rw"]);
    let old = with(
        &mut c,
        detach.clone(),
        false,
        &["busy-name=invalidParam", "batch=prefix"],
        &open,
    );
    assert_eq!(name(old), "invalidParam");
    assert_eq!(attachments(&c), ["v2@1:rw"]);
    with(
        &mut c,
        json!([{"volume": "v2", "detach": [1], "force": true}]),
        false,
        &[],
        &open,
    )
    .unwrap();
    assert!(attachments(&c).is_empty());
}

#[test]
fn a_bad_item_stops_all_or_what_follows() {
    let body =
        json!([{"volume": "v1", "rw": [1]}, {"volume": "none", "rw": [1]}, {"volume": "v2", "rw": [1]}]);
    let mut c = cluster();
    assert_eq!(name(reassign(&mut c, body.clone())), "objectDoesNotExist");
    assert!(attachments(&c).is_empty());
    assert_eq!(
        name(with(&mut c, body, false, &["batch=prefix"], &[])),
        "objectDoesNotExist"
    );
    assert_eq!(attachments(&c), ["v1@1:rw"]);
}

#[test]
fn detaching_what_is_not_attached() {
    let mut c = cluster();
    for at in [json!([1]), json!([77]), json!("all")] {
        reassign(&mut c, json!([{"volume": "v1", "detach": at}])).unwrap();
    }
    let strict = ["detach-absent=error"];
    assert_eq!(
        name(with(
            &mut c,
            json!([{"volume": "v1", "detach": [1]}]),
            false,
            &strict,
            &[]
        )),
        "invalidParam"
    );
    with(
        &mut c,
        json!([{"volume": "v1", "detach": "all"}]),
        false,
        &strict,
        &[],
    )
    .unwrap();
}

#[test]
fn an_unknown_client_cannot_attach() {
    let error = reassign(&mut cluster(), json!([{"volume": "v1", "rw": [9]}])).unwrap_err();
    assert_eq!(
        (error.name.as_str(), error.descr.as_str()),
        ("invalidParam", "No such client registered")
    );
}

#[test]
fn a_client_has_at_most_1024_attachments() {
    let mut c = cluster();
    let names: Vec<String> = (0..1024).map(|n| format!("n{n}")).collect();
    for name in &names {
        create(&mut c, json!({"name": name, "size": "512"})).unwrap();
    }
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"volume": name, "rw": [1]}))
        .collect();
    reassign(&mut c, json!(items)).unwrap();
    assert_eq!(
        name(reassign(&mut c, json!([{"volume": "v1", "rw": [1]}]))),
        "invalidParam"
    );
    assert_eq!(c.attached[&1].len(), 1024);
    assert!(c.attached[&1].values().all(|a| a.pos < 1024));
    reassign(
        &mut c,
        json!([{"volume": "n7", "detach": [1]}, {"volume": "v1", "rw": [1]}]),
    )
    .unwrap();
    assert_eq!(c.attached[&1][&c.volume("v1").unwrap().id].pos, 7);
}

#[test]
fn snapshots_attach_read_only() {
    let mut c = cluster();
    reassign(&mut c, json!([{"snapshot": "s1", "ro": [1], "force": false}])).unwrap();
    assert_eq!(attachments(&c), ["s1@1:ro"]);
    for item in [
        json!({"snapshot": "s1", "rw": [1]}),
        json!({"snapshot": "s1", "ro": [2], "allowRemoteExported": true}),
        json!({"volume": "v1", "snapshot": "s1", "ro": [1]}),
    ] {
        assert_eq!(name(reassign(&mut c, json!([item]))), "invalidParam");
    }
    assert_eq!(
        name(reassign(&mut c, json!([{"volume": "s1", "ro": [1]}]))),
        "objectDoesNotExist"
    );
    assert_eq!(
        name(reassign(&mut c, json!([{"snapshot": "v1", "ro": [1]}]))),
        "objectDoesNotExist"
    );
}

#[test]
fn input_is_read_strictly() {
    for item in [
        json!({"volume": "v1", "rw": [1], "extra": 1}),
        json!({"volume": "v1", "rw": 1}),
        json!({"volume": "v1", "rw": ["x"]}),
        json!({"volume": "v1", "rw": [0]}),
        json!({"volume": "v1", "rw": [4096]}),
        json!({"volume": "v1", "rw": [1.5]}),
        json!({"volume": "v1", "rw": [1], "ro": [1]}),
        json!({"volume": "v1", "rw": [1], "detach": [1]}),
        json!({"volume": "v1", "detach": "some"}),
        json!({"volume": "v1", "force": "yes"}),
        json!({"volume": "a b", "rw": [1]}),
        json!({"volume": "~v1", "rw": [1]}),
        json!({"rw": [1]}),
        json!("v1"),
        json!({"volume": "v1", "rw": [1], "mcMode": "move"}),
    ] {
        let mut c = cluster();
        let shown = item.to_string();
        assert_eq!(name(reassign(&mut c, json!([item]))), "invalidParam", "{shown}");
        assert!(attachments(&c).is_empty(), "{shown}");
    }
    let mut c = cluster();
    for body in [
        json!({}),
        json!({"reassign": []  , "x": 1}),
        json!({"reassign": {}}),
        json!(3),
    ] {
        assert_eq!(name(reassign(&mut c, body)), "invalidParam");
    }
    assert_eq!(
        crate::cluster::requests::body(b"[{]").unwrap_err().name,
        "jsonError"
    );
    assert_eq!(
        crate::cluster::requests::body(br#"[{"volume": null}]"#)
            .unwrap_err()
            .name,
        "invalidParam"
    );
    let ints = with(
        &mut c,
        json!([{"volume": "v1", "rw": ["1"]}]),
        false,
        &["client-ids=int"],
        &[],
    );
    assert_eq!(name(ints), "invalidParam");
}

#[test]
fn multicluster_members_need_a_multicluster_call() {
    let mut c = cluster();
    let item = json!([{"volume": "v1", "rw": [1], "mcMode": "move", "onRemoteAttached": "detachForce"}]);
    with(&mut c, item, true, &[], &[]).unwrap();
    for item in [
        json!({"volume": "v1", "mcMode": "x"}),
        json!({"volume": "v1", "onRemoteAttached": "x"}),
    ] {
        assert_eq!(name(with(&mut c, json!([item]), true, &[], &[])), "invalidParam");
    }
}

#[test]
fn a_client_that_is_down_gets_its_attachment_recorded_or_not() {
    for (pair, shown) in [("down-client-recorded=yes", 1), ("down-client-recorded=no", 0)] {
        let mut c = cluster();
        c.clients.get_mut(&1).unwrap().up = false;
        with(&mut c, json!([{"volume": "v1", "rw": [1]}]), false, &[pair], &[]).unwrap();
        assert_eq!(attachments(&c).len(), shown, "{pair}");
    }
}

#[test]
fn the_list_has_what_the_switches_say() {
    let mut c = cluster();
    reassign(&mut c, json!([{"volume": "v1", "rw": [1]}])).unwrap();
    let first = |mc, pairs: &[&str]| {
        let list: Value = serde_json::from_str(&c.attachments(mc, &switches(pairs))).unwrap();
        list[0].clone()
    };
    let gid = c.volume("v1").unwrap().gid.clone();
    let plain =
        json!({"volume": "v1", "snapshot": false, "client": 1, "rights": "rw", "pos": 0, "globalId": gid});
    assert_eq!(first(false, &[]), plain);
    assert_eq!(first(true, &[])["clusterId"], "s.b");
    assert_eq!(first(false, &["global-ids=no"]).get("globalId"), None);
    assert_eq!(
        first(false, &["attachment-names=gid"])["volume"],
        format!("~{gid}")
    );
}

#[test]
fn synthetic_attachments_are_well_formed() {
    let mut c = cluster();
    c.fill = 2050;
    let list: Value = serde_json::from_str(&format!("[{}]", c.synthetic(true, true))).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2050);
    assert_eq!(
        (list[2049]["client"].clone(), list[2049]["pos"].clone()),
        (json!(3003), json!(1))
    );
}
