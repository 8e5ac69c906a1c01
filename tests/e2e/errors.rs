// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Refused starts: the exact line that virsh shows, and that nothing is left of the attempt.
//!
//! libvirt calls `release` after a failed `prepare` too; what each case finds at its end is found after that.

use serde_json::json;
use spvirt_rig::{Domain, Guest, Suite};

use crate::stage::Stage;

/// Read after every other file, so what stands here wins; taken away by [`as_usual`].
const EXTRA: &str = "/etc/storpool.conf.d/zz-case.conf";
/// Settings of a case in which something hangs.
const IMPATIENT: &str = "SPVIRT_DEADLINE=5\n";
/// A domain's UUID, where a path with it is expected.
const UUID: &str = "5eed0000-0000-4000-8000-000000000001";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("a volume does not exist", volume_missing)
        .shared("one of three volumes does not exist", one_of_three_missing)
        .shared("a snapshot cannot be written to", writable_snapshot)
        .shared("two disks of one domain disagree about sharing", contradiction)
        .shared("another domain of this host has the volume", used_here)
        .shared("the token is refused", token_refused)
        .shared("the API cannot be reached", unreachable)
        .shared("the API hangs", hangs)
        .shared("the client is not registered", unknown_client)
        .shared("storpool_block is down on this host", client_down)
        .shared("the device does not appear", no_device)
        .shared("the device appears late", late_device)
        .shared("1024 volumes are attached already", too_many)
        .shared("the server does not report global ids", old_server)
        .shared("the state disk is full", state_disk_full)
        .shared("the claim of the domain is unreadable", claim_unreadable)
        .shared("a bad word in the domain's metadata", bad_metadata)
}

/// The start is refused with exactly this line, and leaves nothing.
#[track_caller]
fn refuses(stage: &Stage, domain: &str, expected: &str) {
    assert_eq!(stage.refused(domain), format!("hosta: {domain}: {expected}"));
    stage.nothing_is_left();
}

/// As [`refuses`], where the API cannot confirm that nothing is attached: the claim waits as *releasing*. With the
/// cause gone the next start, or `spvirt reconcile`, clears it away.
#[track_caller]
fn refuses_unsure(stage: &Stage, domain: &str, expected: &str, mend: impl FnOnce()) {
    assert_eq!(stage.refused(domain), format!("hosta: {domain}: {expected}"));
    assert_eq!(stage.phase(), "releasing");
    mend();
    as_usual(stage);
    let _ = stage.start(domain);
    assert_eq!(stage.phase(), "live");
    let _ = stage.host.virsh(&["destroy", domain]).ok();
    stage.only_attached(&[]);
    let _ = stage.reconcile();
    stage.nothing_is_left();
}

/// The domain starts and stops, and leaves nothing.
#[track_caller]
fn runs(stage: &Stage, domain: &str) {
    let _ = stage.start(domain);
    assert_eq!(stage.phase(), "live");
    let _ = stage.host.virsh(&["destroy", domain]).ok();
    stage.nothing_is_left();
}

/// No settings of this case any more.
fn as_usual(stage: &Stage) {
    stage.settings("");
    stage.cluster.clear_faults();
    let _ = std::fs::remove_file(stage.host.path(EXTRA));
}

/// `host:port` of the API.
fn address(stage: &Stage) -> &str {
    stage.cluster.url().trim_start_matches("http://")
}

fn volume_missing(stage: &mut Stage) {
    stage
        .host
        .define(&Domain::new("web1").disk("/dev/storpool/web1-root"));
    refuses(
        stage,
        "web1",
        "volume \"web1-root\" does not exist in StorPool (disk vda, /dev/storpool/web1-root)",
    );
    stage
        .host
        .define(&Domain::new("byid").disk("/dev/storpool-byid/s.b.none"));
    refuses(
        stage,
        "byid",
        "volume \"~s.b.none\" does not exist in StorPool (disk vda, /dev/storpool-byid/s.b.none)",
    );
}

fn one_of_three_missing(stage: &mut Stage) {
    stage.cluster.volume("three-a", 1, Guest::Idle);
    stage.cluster.volume("three-c", 1, Guest::None);
    let disks = ["a", "b", "c"].map(|disk| format!("/dev/storpool/three-{disk}"));
    let domain = disks
        .iter()
        .fold(Domain::new("three"), |domain, disk| domain.disk(disk));
    stage.host.define(&domain);
    refuses(
        stage,
        "three",
        "volume \"three-b\" does not exist in StorPool (disk vdb, /dev/storpool/three-b)",
    );
}

fn writable_snapshot(stage: &mut Stage) {
    stage.cluster.volume("golden", 1, Guest::Idle);
    stage.cluster.snapshot("golden", "golden-snap");
    stage
        .host
        .define(&Domain::new("onsnap").disk("/dev/storpool/golden-snap"));
    refuses(
        stage,
        "onsnap",
        "volume \"golden-snap\" (disk vda, /dev/storpool/golden-snap) is a snapshot, which can only be read: add <readonly/> to the disk",
    );
}

fn contradiction(stage: &mut Stage) {
    stage.cluster.volume("torn", 1, Guest::Idle);
    let id = format!("/dev/storpool-byid/{}", stage.cluster.global_id("torn"));
    let domain = Domain::new("torn")
        .disk("/dev/storpool/torn")
        .disk_with("/dev/storpool/torn", "<shareable/>");
    stage.host.define(&domain);
    refuses(
        stage,
        "torn",
        "volume \"torn\" (disk vda, /dev/storpool/torn) and volume \"torn\" (disk vdb, /dev/storpool/torn) are one volume, but only one of them says <shareable/>",
    );
    assert_eq!(stage.calls(), [""; 0], "decided without StorPool");
    // One disk by name and one by id is one volume too.
    let domain = Domain::new("torn2")
        .disk_with("/dev/storpool/torn", "<shareable/>")
        .disk_with(&id, "<shareable/>");
    stage.host.define(&domain);
    let _ = stage.start("torn2");
    stage.only_attached(&["torn rw"]);
    let _ = stage.host.virsh(&["destroy", "torn2"]).ok();
    stage.nothing_is_left();
}

fn used_here(stage: &mut Stage) {
    stage.domain("owner", Guest::Idle);
    stage
        .host
        .define(&Domain::new("second").disk("/dev/storpool/owner"));
    let _ = stage.start("owner");
    let line = stage.refused("second");
    let (before, after) = line.split_once("(QEMU process ").expect(&line);
    assert_eq!(
        before,
        "hosta: second: volume \"owner\" (disk vda, /dev/storpool/owner) is in use by domain owner on this host "
    );
    let (pid, after) = after.split_once(')').expect(&line);
    assert!(pid.parse::<u32>().is_ok(), "{line}");
    assert_eq!(
        after,
        ": stop that domain, or add <shareable/> to the disk in both"
    );
    assert_eq!(stage.calls(), [""; 0], "refused before attaching anything");
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["owner rw"]);
    // A claim whose domain is dead does not block.
    stage.host.qemu_kill("owner");
    stage.is_off("owner");
    runs(stage, "second");
}

fn token_refused(stage: &mut Stage) {
    stage.domain("token", Guest::Idle);
    let switches = stage.cluster.control("switches", None);
    let key = if switches["error-status"] == "200" {
        "error-status"
    } else {
        "unauthorized"
    };
    let status = switches[key].clone();
    stage.host.write(EXTRA, "SP_AUTH_TOKEN=0badc0de0badc0de\n");
    let expected = format!(
        "the StorPool API at {} refuses the token (HTTP {}): check SP_AUTH_TOKEN",
        address(stage),
        status.as_str().unwrap()
    );
    refuses_unsure(stage, "token", &expected, || ());
}

fn unreachable(stage: &mut Stage) {
    stage.domain("cut", Guest::Idle);
    stage.settings(IMPATIENT);
    stage.host.api_reachable(false);
    let expected = format!(
        "the StorPool API at {} cannot be reached: No route to host (os error 113)",
        address(stage)
    );
    refuses_unsure(stage, "cut", &expected, || stage.host.api_reachable(true));

    stage
        .host
        .write(EXTRA, "SP_API_HTTP_HOST=127.0.0.1\nSP_API_HTTP_PORT=9\n");
    stage.settings(IMPATIENT);
    let expected = "the StorPool API at 127.0.0.1:9 cannot be reached: Connection refused (os error 111)";
    refuses_unsure(stage, "cut", expected, || ());
}

fn hangs(stage: &mut Stage) {
    stage.domain("hang", Guest::Idle);
    stage.settings(IMPATIENT);
    stage.cluster.fault("*", "hang-before", 100);
    let expected = format!(
        "the StorPool API at {} did not answer AttachmentsList in time",
        address(stage)
    );
    // What hangs is applied when it goes on: the claim must still be there to undo that.
    refuses_unsure(stage, "hang", &expected, || {
        stage.cluster.clear_faults();
        let late = || stage.attached() == ["hang rw"];
        stage.host.wait_for("the late attach", crate::stage::SOON, late);
    });
}

fn unknown_client(stage: &mut Stage) {
    stage.domain("nobody", Guest::Idle);
    stage.host.write(EXTRA, "[hosta]\nSP_OURID=99\n");
    refuses(
        stage,
        "nobody",
        "StorPool knows no client 99: is SP_OURID right, and has storpool_block ever run on this host?",
    );
    as_usual(stage);
}

fn client_down(stage: &mut Stage) {
    stage.domain("blockdown", Guest::Idle);
    stage.settings(IMPATIENT);
    stage.cluster.client_up(1, false);
    let expected = "StorPool says that client 1, this host, is down: is storpool_block running?";
    assert_eq!(
        stage.refused("blockdown"),
        format!("hosta: blockdown: {expected}")
    );
    // What is asked of a client that is down may come when it is up, or not be seen until then.
    let sure = stage.switched("down-detach", "ok") && stage.switched("down-client-recorded", "yes");
    assert_eq!(stage.host.claims().is_empty(), sure);
    stage.cluster.client_up(1, true);
    if sure {
        stage.nothing_is_left();
    }
    as_usual(stage);
    let _ = stage.start("blockdown");
    let _ = stage.host.virsh(&["destroy", "blockdown"]).ok();
    stage.only_attached(&[]);
    let _ = stage.reconcile();
    stage.nothing_is_left();
}

fn no_device(stage: &mut Stage) {
    stage.domain("nodev", Guest::Idle);
    stage.settings(IMPATIENT);
    let late = json!({"kind": "late-device", "ms": 600_000});
    stage.cluster.fault_with("VolumesReassignWait", &late, 1);
    refuses(
        stage,
        "nodev",
        "volume \"nodev\" (disk vda, /dev/storpool/nodev) is attached, but its device /dev/storpool/nodev did not appear: there is no link to a block device",
    );
    as_usual(stage);
}

fn late_device(stage: &mut Stage) {
    stage.domain("latedev", Guest::Idle);
    let late = json!({"kind": "late-device", "ms": 700});
    stage.cluster.fault_with("VolumesReassignWait", &late, 1);
    let calls = stage.start("latedev");
    if stage.switched("attachment-names", "name") {
        let expected = ["VolumesReassignWait", "AttachmentsList"];
        assert_eq!(calls, expected, "a device that takes a moment costs no request");
    }
    let _ = stage.host.virsh(&["destroy", "latedev"]).ok();
    stage.nothing_is_left();
}

fn too_many(stage: &mut Stage) {
    stage.domain("full", Guest::Idle);
    // Client 3001 has all the simulator's synthetic attachments up to the limit.
    stage
        .cluster
        .control("client", Some(&json!({"id": 3001, "up": true})));
    stage.cluster.control("fill", Some(&json!({"value": 1024})));
    stage.host.write(EXTRA, "[hosta]\nSP_OURID=3001\n");
    let words = "Client 3001 has 1024 attachments: no more can be made";
    let fault = json!({"kind": "error", "name": "invalidParam", "descr": words});
    stage.cluster.fault_with("VolumesReassignWait", &fault, 1);
    refuses(
        stage,
        "full",
        &format!(
            "client 3001, this host, has 1024 of at most 1024 volumes attached: detach some first ({words})"
        ),
    );
    stage.cluster.control("fill", Some(&json!({"value": 0})));
    as_usual(stage);
}

fn old_server(stage: &mut Stage) {
    stage.domain("old", Guest::Idle);
    let as_it_was = stage.cluster.control("switches", None)["global-ids"].clone();
    stage.cluster.switch("global-ids", "no");
    let line = stage.refused("old");
    stage.cluster.switch("global-ids", as_it_was.as_str().unwrap());
    assert_eq!(
        line,
        "hosta: old: StorPool does not report the global id of volume \"old\" (disk vda, /dev/storpool/old): this cluster is too old for spvirt (it needs one of 2022 or later)"
    );
    stage.nothing_is_left();
}

fn state_disk_full(stage: &mut Stage) {
    stage.domain("fulldisk", Guest::Idle);
    let domain = Domain::new("fulldisk")
        .element(&format!("<uuid>{UUID}</uuid>"))
        .disk("/dev/storpool/fulldisk");
    let _ = stage.host.virsh(&["undefine", "fulldisk"]).ok();
    stage.host.define(&domain);
    let full = "mkdir -p /var/lib/spvirt && mount -t tmpfs -o size=4k none /var/lib/spvirt && mkdir -m 700 /var/lib/spvirt/claims && ! dd if=/dev/zero of=/var/lib/spvirt/ballast bs=4k 2>/dev/null";
    let _ = stage.host.exec(&["sh", "-c", full]).ok();
    let line = stage.refused("fulldisk");
    assert_eq!(
        line,
        format!(
            "hosta: fulldisk: the state of this host cannot be kept: writing /var/lib/spvirt/claims/{UUID}.json: No space left on device (os error 28)"
        )
    );
    assert_eq!(stage.calls(), [""; 0], "no claim, no attachment");
    assert_eq!(stage.host.claims().len(), 0, "no half-written claim");
    let _ = stage.host.exec(&["umount", "/var/lib/spvirt"]).ok();
    stage.nothing_is_left();
    runs(stage, "fulldisk");
}

fn claim_unreadable(stage: &mut Stage) {
    stage.cluster.volume("odd", 1, Guest::Idle);
    let uuid = UUID.replace("0001", "0002");
    let domain = Domain::new("odd")
        .element(&format!("<uuid>{uuid}</uuid>"))
        .disk("/dev/storpool/odd");
    stage.host.define(&domain);
    let path = format!("/var/lib/spvirt/claims/{uuid}.json");
    stage
        .host
        .write(&path, "{\"format\": 2, \"from\": \"the future\"}");
    assert_eq!(
        stage.refused("odd"),
        format!(
            "hosta: odd: the claim of this domain, {path}, cannot be read (it has format 2, this program knows 1): see what it says, then move it away"
        )
    );
    assert_eq!(stage.calls(), [""; 0]);
    assert!(
        stage.host.read(&path).unwrap().contains("the future"),
        "left as it was"
    );
    std::fs::remove_file(stage.host.path(&path)).unwrap();
    stage.nothing_is_left();
}

fn bad_metadata(stage: &mut Stage) {
    stage.cluster.volume("words", 1, Guest::Idle);
    for (attribute, allowed) in [
        ("takeover", "\"never\", \"safe\" or \"always\""),
        ("manage", "\"yes\" or \"no\""),
    ] {
        let element = format!(
            "<metadata><spvirt:domain xmlns:spvirt='urn:spvirt:domain:1' {attribute}='maybe'/></metadata>"
        );
        let domain = Domain::new("words").element(&element).disk("/dev/storpool/words");
        let _ = stage.host.virsh(&["undefine", "words"]);
        stage.host.define(&domain);
        let expected =
            format!("its metadata element <spvirt:domain> has {attribute}=\"maybe\"; it may be {allowed}");
        refuses(stage, "words", &expected);
        assert_eq!(stage.calls(), [""; 0]);
    }
}
