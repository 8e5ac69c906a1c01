// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Somebody else has the volume: when a start leaves it to them, when it takes it, and in how many requests.
//!
//! The other holder is client 7, which exists in the cluster only and has no device anywhere, or a second host.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Host, Running, Signal, Suite};

use crate::stage::{SOON, Stage};

const REASSIGN: &str = "VolumesReassignWait";
const LIST: &str = "AttachmentsList";
const SERVICES: &str = "ServicesList";
/// A client without devices.
pub const OTHER: u16 = 7;
const NEVER: &str = "SPVIRT_TAKEOVER=never\n";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("conflict: never leaves the volume where it is", never)
        .shared("conflict: a domain's own never", never_by_metadata)
        .shared("conflict: safe takes from a client that is idle", idle_holder)
        .shared(
            "conflict: safe takes by force from a client that is down",
            dead_holder,
        )
        .shared(
            "conflict: a client that comes back is not forced",
            holder_comes_back,
        )
        .shared(
            "conflict: safe leaves it to a client that has it open",
            open_holder,
        )
        .shared("conflict: only what is contested is taken", one_of_two)
        .shared("conflict: readers and sharers are none", no_conflict)
        .shared(
            "conflict: somebody else's volume is never detached by the undo",
            undo_is_own,
        )
}

/// Client 7 is up and has the volume.
pub fn give_to_other(stage: &Stage, volume: &str, rights: &str) {
    stage
        .cluster
        .control("client", Some(&json!({"id": OTHER, "up": true})));
    stage.cluster.attach(volume, OTHER, rights);
}

/// Destroys the domain; nothing is left, neither here nor at client 7.
#[track_caller]
fn ends(stage: &Stage, domain: &str) {
    let _ = stage.host.virsh(&["destroy", domain]).ok();
    stage.nothing_is_left();
}

/// The items of all reassigns since the requests were last forgotten, a list for each.
pub fn reassigns(stage: &Stage) -> Vec<Vec<Value>> {
    let requests = stage.cluster.requests();
    let bodies = requests.iter().filter(|request| request.call == REASSIGN);
    let items = bodies.map(|request| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        body["reassign"].as_array().unwrap().clone()
    });
    items.collect()
}

fn never(stage: &mut Stage) {
    stage.domain("mine", Guest::Idle);
    give_to_other(stage, "mine", "rw");
    stage.settings(NEVER);
    assert_eq!(
        stage.refused("mine"),
        "hosta: mine: volume \"mine\" (disk vda, /dev/storpool/mine) is attached rw on client 7, which is up, and SPVIRT_TAKEOVER=never leaves it there: stop its domain and detach it there first; see \"spvirt explain mine\"; to take it all the same: \"spvirt takeover mine\""
    );
    assert_eq!(
        stage.calls(),
        [REASSIGN, LIST, REASSIGN, SERVICES],
        "two, the undo, and who is up, for the message"
    );
    assert_eq!(stage.attached_to(OTHER), ["mine rw"]);
    stage.settings("");
    stage.nothing_is_left();
    stage.cluster.detach("mine", OTHER);
}

fn never_by_metadata(stage: &mut Stage) {
    stage.cluster.volume("shy", 1, Guest::Idle);
    let never = "<metadata><spvirt:domain xmlns:spvirt='urn:spvirt:domain:1' takeover='never'/></metadata>";
    let shy = Domain::new("shy").element(never).disk("/dev/storpool/shy");
    stage.host.define(&shy);
    give_to_other(stage, "shy", "rw");
    let line = stage.refused("shy");
    assert!(line.contains("is attached rw on client 7"), "{line}");
    assert_eq!(stage.calls(), [REASSIGN, LIST, REASSIGN, SERVICES]);
    assert_eq!(stage.attached_to(OTHER), ["shy rw"]);
    stage.nothing_is_left();
    // And the other way round: the host says never, the domain safe.
    stage.settings(NEVER);
    let set = [
        "metadata",
        "shy",
        "--uri",
        "urn:spvirt:domain:1",
        "--config",
        "--key",
        "spvirt",
        "--set",
        "<domain takeover='safe'/>",
    ];
    let _ = stage.host.virsh(&set).ok();
    let _ = stage.start("shy");
    assert_eq!(stage.attached_to(OTHER), [""; 0]);
    stage.settings("");
    ends(stage, "shy");
}

fn idle_holder(stage: &mut Stage) {
    stage.domain("idle", Guest::Idle);
    give_to_other(stage, "idle", "rw");
    let calls = stage.start("idle");
    assert_eq!(
        calls,
        [REASSIGN, LIST, LIST, SERVICES, REASSIGN, LIST],
        "at most six"
    );
    let id = format!("~{}", stage.cluster.global_id("idle"));
    assert_eq!(
        reassigns(stage)[1],
        [json!({"volume": id, "rw": [1], "detach": [OTHER]})],
        "by id, only from the holder, without force"
    );
    stage.only_attached(&["idle rw"]);
    assert_eq!(stage.attached_to(OTHER), [""; 0]);
    ends(stage, "idle");
}

fn dead_holder(stage: &mut Stage) {
    stage.domain("dead", Guest::Idle);
    give_to_other(stage, "dead", "rw");
    stage.cluster.client_up(OTHER, false);
    let calls = stage.start("dead");
    assert_eq!(
        calls,
        [REASSIGN, LIST, LIST, SERVICES, SERVICES, LIST, REASSIGN, LIST],
        "two readings of who is down; at most eight"
    );
    let id = format!("~{}", stage.cluster.global_id("dead"));
    assert_eq!(
        reassigns(stage)[1],
        [json!({"volume": id, "rw": [1], "detach": [OTHER], "force": true})]
    );
    stage.cluster.client_up(OTHER, true);
    assert_eq!(stage.attached_to(OTHER), [""; 0]);
    ends(stage, "dead");
}

fn holder_comes_back(stage: &mut Stage) {
    stage.domain("back", Guest::Idle);
    give_to_other(stage, "back", "rw");
    stage.cluster.client_up(OTHER, false);
    stage.forget();
    let start = stage.host.virsh_spawn(&["start", "back"]);
    stage.host.wait_for("the first reading", SOON, || {
        stage.calls().iter().any(|call| call == SERVICES)
    });
    stage.cluster.client_up(OTHER, true);
    let _ = start.wait(SOON).ok();
    let forced = |item: &Value| item.get("force").is_some();
    assert!(
        !reassigns(stage).iter().flatten().any(forced),
        "{:?}",
        reassigns(stage)
    );
    assert_eq!(stage.attached_to(OTHER), [""; 0], "it was idle");
    ends(stage, "back");
}

/// A second host that is StorPool client 2.
pub fn second_host(stage: &mut Stage) -> Host {
    let host = stage.cluster.host("hostb", 2);
    host.write("/etc/storpool.conf.d/spvirt.conf", "SPVIRT_DEADLINE=15\n");
    host
}

/// A process of the host that has the device open for writing, until it is told to end.
pub fn opener(stage: &Stage, host: &Host, volume: &str) -> Running {
    let hold = format!("exec 3<>/dev/storpool/{volume}; exec tail -f /dev/null");
    let holder = host.spawn(&["sh", "-c", &hold]);
    host.wait_for("the device is open", SOON, || !stage.cluster.openers().is_empty());
    holder
}

fn open_holder(stage: &mut Stage) {
    let other = second_host(stage);
    stage.domain("open", Guest::Idle);
    stage.cluster.attach("open", 2, "rw");
    let holder = opener(stage, &other, "open");
    assert_eq!(
        stage.refused("open"),
        "hosta: open: volume \"open\" (disk vda, /dev/storpool/open) is open on client 2, which is up: stop the domain that uses it there first ('open' is open at client 2); see \"spvirt explain open\"; to take it all the same: \"spvirt takeover open\""
    );
    assert_eq!(stage.attached_to(2), ["open rw"]);
    stage.nothing_is_left();
    // Closed, it is an idle holder's.
    holder.signal(Signal::SIGKILL);
    let _ = holder.wait(SOON);
    let _ = stage.start("open");
    assert_eq!(stage.attached_to(2), [""; 0]);
    ends(stage, "open");
}

fn one_of_two(stage: &mut Stage) {
    stage.cluster.volume("free", 1, Guest::Idle);
    stage.cluster.volume("taken", 1, Guest::None);
    let two = Domain::new("two")
        .disk("/dev/storpool/free")
        .disk("/dev/storpool/taken");
    stage.host.define(&two);
    give_to_other(stage, "taken", "rw");
    let _ = stage.start("two");
    let taken = format!("~{}", stage.cluster.global_id("taken"));
    assert_eq!(
        reassigns(stage)[1],
        [json!({"volume": taken, "rw": [1], "detach": [OTHER]})]
    );
    stage.only_attached(&["free rw", "taken rw"]);
    ends(stage, "two");
}

fn no_conflict(stage: &mut Stage) {
    stage.settings(NEVER);
    // Somebody reads what we write.
    stage.domain("read", Guest::Idle);
    give_to_other(stage, "read", "ro");
    assert_eq!(stage.start("read"), [REASSIGN, LIST]);
    assert_eq!(stage.attached_to(OTHER), ["read ro"]);
    ends(stage, "read");
    stage.cluster.detach("read", OTHER);
    // Somebody writes what we read, or what we share.
    stage.cluster.volume("write", 1, Guest::Idle);
    give_to_other(stage, "write", "rw");
    let reader = Domain::new("reader").disk_with("/dev/storpool/write", "<readonly/>");
    let sharer = Domain::new("sharer").disk_with("/dev/storpool/write", "<shareable/>");
    stage.host.define(&reader);
    assert_eq!(stage.start("reader"), ["Snapshot", REASSIGN, LIST]);
    stage.only_attached(&["write ro"]);
    ends(stage, "reader");
    stage.host.define(&sharer);
    assert_eq!(stage.start("sharer"), [REASSIGN, LIST]);
    ends(stage, "sharer");
    assert_eq!(stage.attached_to(OTHER), ["write rw"]);
    stage.cluster.detach("write", OTHER);
    stage.settings("");
}

fn undo_is_own(stage: &mut Stage) {
    // One volume was attached here before, by hand; of the other, a client that is none of our business has it.
    for volume in ["before", "theirs"] {
        stage.cluster.volume(volume, 1, Guest::None);
    }
    stage.cluster.attach("before", 1, "ro");
    give_to_other(stage, "theirs", "rw");
    stage.settings(NEVER);
    let both = Domain::new("both")
        .disk("/dev/storpool/before")
        .disk("/dev/storpool/theirs");
    stage.host.define(&both);
    let line = stage.refused("both");
    assert!(line.contains("\"theirs\""), "{line}");
    stage.only_attached(&["before ro"]);
    assert_eq!(stage.attached_to(OTHER), ["theirs rw"]);
    assert_eq!(stage.host.claims().len(), 0);
    stage.settings("");
    stage.cluster.detach("before", 1);
    stage.cluster.detach("theirs", OTHER);
    stage.nothing_is_left();
}
