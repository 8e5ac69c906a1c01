// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Volumes and snapshots.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

#[test]
fn transient_and_deleted_snapshots_cannot_be_attached() {
    let mut c = cluster();
    let request: VolumeCreate = parse(br#"{"name": "clone", "baseOn": "v1"}"#).unwrap();
    let (made, transient) = c.volume_create(&request, NOW).unwrap();
    let transient = c.objects[&transient.unwrap()].name.clone();
    assert_eq!(c.objects[&made.id].size, 1 << 20);
    assert_eq!(
        name(reassign(&mut c, json!([{"snapshot": transient, "ro": [1]}]))),
        "invalidParam"
    );
    c.snapshot_delete("s1", true, NOW).unwrap();
    assert_eq!(
        name(reassign(&mut c, json!([{"snapshot": "*s1", "ro": [1]}]))),
        "invalidParam"
    );
    assert_eq!(
        name(reassign(&mut c, json!([{"snapshot": "s1", "ro": [1]}]))),
        "objectDoesNotExist"
    );
    assert!(c.collect(Now(NOW.0 + 299)).is_empty());
    assert_eq!(c.collect(Now(NOW.0 + 300)).len(), 1);
    assert!(c.snapshot("*s1").is_err());
}

#[test]
fn objects_are_called_by_name_or_id() {
    let mut c = cluster();
    let gid = c.volume("v1").unwrap().gid.clone();
    reassign(&mut c, json!([{"volume": format!("~{gid}"), "rw": [1]}])).unwrap();
    // The id without ~ is a name, and nothing bears it.
    assert_eq!(
        name(reassign(&mut c, json!([{"volume": gid, "rw": [1]}]))),
        "objectDoesNotExist"
    );
    let unnamed = create(&mut c, json!({"size": 512})).unwrap();
    assert_eq!(c.label(unnamed), format!("~{}", c.objects[&unnamed].gid));
    assert_eq!(
        create(&mut c, json!({"name": "v1", "size": 512}))
            .unwrap_err()
            .name,
        "objectExists"
    );
    assert_eq!(
        create(&mut c, json!({"name": "s1", "size": 512}))
            .unwrap_err()
            .name,
        "objectExists"
    );
}

#[test]
fn volumes_are_made_with_care() {
    let mut c = cluster();
    for body in [
        json!({"name": "x"}),
        json!({"name": "x", "size": 100}),
        json!({"name": "x", "size": 513}),
        json!({"name": "x", "size": -512}),
        json!({"name": "x@1", "size": 512}),
        json!({"name": "list", "size": 512}),
        json!({"name": "x", "size": 512, "replication": 4}),
        json!({"name": "x", "size": 512, "limitType": "x"}),
        json!({"name": "x", "size": 512, "tags": {"a b": "c"}}),
        json!({"name": "x", "size": 512, "nosuch": 1}),
        json!({"name": "x", "parent": "s1", "size": 512}),
    ] {
        let shown = body.to_string();
        assert_eq!(create(&mut c, body).unwrap_err().name, "invalidParam", "{shown}");
    }
    let child = create(
        &mut c,
        json!({"name": "child", "parent": "s1", "bw": "-", "iops": 5}),
    )
    .unwrap();
    assert_eq!(c.summary(&c.objects[&child], false)["parentName"], "s1");
    assert_eq!(
        create(&mut c, json!({"name": "x", "template": "none"}))
            .unwrap_err()
            .name,
        "objectDoesNotExist"
    );
}

#[test]
fn a_volume_shrinks_only_when_told() {
    let mut c = cluster();
    let update = |c: &mut Cluster, body: Value| {
        let request: VolumeUpdate = crate::cluster::requests::from_value(body)?;
        c.volume_update("v1", &request).map(|(_, size)| size)
    };
    assert_eq!(update(&mut c, json!({})).unwrap(), None);
    assert_eq!(
        update(&mut c, json!({"sizeAdd": 512})).unwrap(),
        Some((1 << 20) + 512)
    );
    assert_eq!(
        update(&mut c, json!({"size": 512})).unwrap_err().name,
        "invalidParam"
    );
    assert_eq!(
        update(&mut c, json!({"size": 512, "shrinkOk": true})).unwrap(),
        Some(512)
    );
    assert_eq!(
        update(&mut c, json!({"size": 512, "sizeAdd": 512}))
            .unwrap_err()
            .name,
        "invalidParam"
    );
    assert_eq!(
        update(&mut c, json!({"rename": "v2"})).unwrap_err().name,
        "objectExists"
    );
    update(&mut c, json!({"tags": {"a": "1", "b": "2"}})).unwrap();
    update(&mut c, json!({"tags": {"a": ""}, "rename": "v9"})).unwrap();
    assert_eq!(c.volume("v9").unwrap().tags.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn an_attached_object_is_not_deleted() {
    let mut c = cluster();
    reassign(
        &mut c,
        json!([{"volume": "v1", "rw": [2]}, {"snapshot": "s1", "ro": [2]}]),
    )
    .unwrap();
    let id = c.volume("v1").unwrap().id;
    assert_eq!(c.delete_detaches(id, OnAttached::Fail).unwrap_err().name, "busy");
    assert_eq!(
        c.delete_detaches(id, OnAttached::Detach).unwrap(),
        BTreeSet::from([2])
    );
    assert_eq!(c.snapshot_delete("s1", true, NOW).unwrap_err().name, "busy");
}

#[test]
fn a_bound_snapshot_goes_with_its_last_child_and_attachment() {
    let mut c = cluster();
    snapshot(&mut c, "v2", json!({"name": "bound", "bind": true})).unwrap();
    assert!(c.collect(NOW).is_empty());
    reassign(&mut c, json!([{"snapshot": "bound", "ro": [1]}])).unwrap();
    let volume = c.volume("v2").unwrap().id;
    c.remove(volume);
    assert!(c.collect(NOW).is_empty());
    reassign(&mut c, json!([{"snapshot": "bound", "detach": "all"}])).unwrap();
    assert_eq!(c.collect(NOW).len(), 1);
}

#[test]
fn the_state_survives_as_json() {
    let mut c = cluster();
    reassign(
        &mut c,
        json!([{"volume": "v1", "rw": [1]}, {"snapshot": "s1", "ro": [2]}]),
    )
    .unwrap();
    let back: Cluster = serde_json::from_slice(&serde_json::to_vec(&c).unwrap()).unwrap();
    assert_eq!(back.objects, c.objects);
    assert_eq!(back.attached, c.attached);
    assert_eq!(back.attached[&2].values().next().unwrap().rights, Rights::Ro);
}
