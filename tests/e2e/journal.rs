// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the journal tells afterwards, by fields that can be searched for; and what nothing ever tells: secrets.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Suite};

use crate::stage::Stage;

const OURS: &str = "SYSLOG_IDENTIFIER=spvirt-hook";
const PASSWORD: &str = "s3cr3tpw";
const UUID: &str = "5eed0000-0000-4000-8000-0000000000a1";

/// The cases of this file, in this order: a journald that was started stays.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("journal: without one everything works", without)
        .shared(
            "journal: a start and a stop can be followed by their fields",
            fields,
        )
        .shared("journal: a refusal is there, with its reason", refusal)
        .shared("journal: a domain's name may be in any script", any_script)
        .shared("secrets are never told", secrets)
}

/// Starts journald if this stage has none yet.
fn journal(stage: &Stage) {
    if !stage.host.path("/run/systemd/journal/socket").exists() {
        stage.host.journald_start();
    }
}

fn without(stage: &mut Stage) {
    assert!(!stage.host.path("/run/systemd/journal/socket").exists());
    stage.domain("quiet", Guest::Idle);
    let _ = stage.start("quiet");
    stage.only_attached(&["quiet rw"]);
    let _ = stage.host.virsh(&["destroy", "quiet"]).ok();
    stage.nothing_is_left();
    stage.host.define(&Domain::new("mute").disk("/dev/storpool/mute"));
    let line = stage.refused("mute");
    assert!(line.contains("\"mute\" does not exist"), "{line}");
}

/// The values of a field in some records, in order, without repetitions.
fn values(records: &[Value], field: &str) -> Vec<String> {
    // A field that stands several times in one record is a list.
    let mut values: Vec<_> = records
        .iter()
        .filter_map(|record| record.get(field))
        .flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]))
        .filter_map(|value| Some(value.as_str()?.to_owned()))
        .collect();
    values.dedup();
    values
}

fn fields(stage: &mut Stage) {
    journal(stage);
    stage.cluster.volume("log-a", 1, Guest::Idle);
    stage.cluster.volume("log-b", 1, Guest::None);
    let logged = Domain::new("logged")
        .element(&format!("<uuid>{UUID}</uuid>"))
        .disk("/dev/storpool/log-a")
        .disk("/dev/storpool/log-b");
    stage.host.define(&logged);
    let _ = stage.start("logged");
    let _ = stage.host.virsh(&["destroy", "logged"]).ok();
    for (operation, requests, calls) in [
        (
            "prepare begin",
            "2",
            &["VolumesReassignWait", "AttachmentsList"][..],
        ),
        ("release end", "1", &["VolumesReassignWait"]),
    ] {
        let of = |field: &str| {
            let operation = format!("SPVIRT_OPERATION={operation}");
            stage
                .host
                .journal(&[OURS, "SPVIRT_DOMAIN=logged", &operation, field])
        };
        let all = of(&format!("SPVIRT_UUID={UUID}"));
        assert_eq!(values(&all, "SPVIRT_CALL"), calls, "{all:?}");
        assert_eq!(values(&all, "SPVIRT_VOLUME"), ["log-a", "log-b"], "{all:?}");
        assert_eq!(of("SPVIRT_VOLUME=log-b").len(), 1, "{all:?}");
        let summary = of(&format!("SPVIRT_REQUESTS={requests}"));
        assert_eq!(summary.len(), 1, "{all:?}");
        for record in summary.iter().chain(&of("SPVIRT_CALL=VolumesReassignWait")) {
            let elapsed = record["SPVIRT_ELAPSED_MS"].as_str().unwrap();
            assert!(elapsed.parse::<u64>().is_ok(), "{record}");
        }
        for record in &all {
            assert_eq!(record["_COMM"], "50-storpool");
            assert_eq!(record["SPVIRT_DOMAIN"], "logged");
            assert!(record["PRIORITY"].is_string(), "{record}");
        }
    }
    // What is none of our business leaves no record.
    let events = stage.host.journal(&[OURS, "SPVIRT_DOMAIN=logged"]);
    let mut operations = values(&events, "SPVIRT_OPERATION");
    operations.sort();
    operations.dedup();
    assert_eq!(operations, ["prepare begin", "release end"]);
    stage.nothing_is_left();
}

fn refusal(stage: &mut Stage) {
    journal(stage);
    stage
        .host
        .define(&Domain::new("unlucky").disk("/dev/storpool/unlucky"));
    let line = stage.refused("unlucky");
    let reason = line.strip_prefix("hosta: unlucky: ").unwrap();
    let records = stage.host.journal(&[OURS, "SPVIRT_DOMAIN=unlucky", "PRIORITY=3"]);
    assert_eq!(values(&records, "MESSAGE"), [format!("refused: {reason}")]);
    stage.nothing_is_left();
}

fn any_script(stage: &mut Stage) {
    journal(stage);
    for (number, name) in ["вѣб-1", "ウェブ", "ويب", "w e'b\"1", "%s\\n"].iter().enumerate() {
        let volume = format!("script{number}");
        stage.cluster.volume(&volume, 1, Guest::Idle);
        let disk = format!("/dev/storpool/{volume}");
        stage.host.define(&Domain::new(name).disk(&disk));
        let _ = stage.start(name);
        let claim = stage.host.claims().into_values().next().unwrap();
        assert_eq!(claim["domain"], *name);
        let _ = stage.host.virsh(&["destroy", name]).ok();
        stage.nothing_is_left();
        let records = stage.host.journal(&[OURS, &format!("SPVIRT_DOMAIN={name}")]);
        assert!(!records.is_empty(), "{name}");
        stage
            .host
            .define(&Domain::new(&format!("{name}2")).disk("/dev/storpool/nothing"));
        let line = stage.refused(&format!("{name}2"));
        assert!(
            line.starts_with(&format!("hosta: {name}2: volume \"nothing\" does not exist")),
            "{line}"
        );
    }
}

/// The token and the password of the screen: everything that can go wrong with them in reach does, and all that
/// anybody could read afterwards is searched for both.
fn secrets(stage: &mut Stage) {
    journal(stage);
    let screen = format!("<graphics type='vnc' port='-1' autoport='yes' passwd='{PASSWORD}'/>");
    stage.cluster.volume("hush", 1, Guest::Idle);
    let disk = "/dev/storpool/hush";
    stage.host.define(&Domain::new("hush").disk(disk).device(&screen));
    let token = stage.cluster.token().to_owned();
    let mut shown = String::new();
    let mut start = |stage: &Stage| {
        let output = stage.host.virsh(&["start", "hush"]);
        let claims = format!("{:?}", stage.host.claims());
        let stop = stage.host.virsh(&["destroy", "hush"]);
        shown.extend([output.to_string(), claims, stop.to_string()]);
    };
    start(stage);
    // A server that quotes what it was sent, in every way it can.
    for fault in [
        json!({"kind": "error", "name": token, "descr": format!("token {token} is odd")}),
        json!({"kind": "garbage", "text": format!("{{\"data\":\"{token}\"}}")}),
        json!({"kind": "garbage", "text": format!("Storpool v1:{token}")}),
        json!({"kind": "refuse"}),
        json!({"kind": "redirect", "to": format!("http://{token}@127.0.0.1:1/")}),
    ] {
        for call in ["VolumesReassignWait", "AttachmentsList"] {
            stage.cluster.fault_with(call, &fault, 1);
            start(stage);
            stage.cluster.clear_faults();
        }
    }
    // A configuration in which the token stands where it does not belong.
    let extra = "/etc/storpool.conf.d/zz-case.conf";
    for lines in [
        format!("SP_AUTH_TOKEN {token}\n"),
        format!("SP_OURID={token}\n"),
        format!("SPVIRT_DEADLINE=\\\nSP_AUTH_TOKEN={token}\n"),
        format!("SP_AUTH_TOKEN={token} {token}\n"),
    ] {
        stage.host.write(extra, lines);
        start(stage);
    }
    std::fs::remove_file(stage.host.path(extra)).unwrap();
    // XML that is cut off behind the password, and a claim that cannot be read.
    let cut = format!("<domain><name>hush</name><devices>{screen}<disk type='block'><source dev='{disk}'");
    stage.host.write("/run/rig/cut.xml", cut);
    let hook = "/usr/sbin/spvirt-hook hush prepare begin - < /run/rig/cut.xml";
    let refused = stage.host.exec(&["sh", "-c", hook]).failed();
    shown += &refused.to_string();

    let everything = stage
        .host
        .exec(&["journalctl", "--quiet", "--no-pager", "--all", "--output=json"])
        .ok();
    assert!(
        everything.stdout.contains("SPVIRT_DOMAIN"),
        "the journal was read"
    );
    let log = stage.host.read("/var/log/libvirt/libvirtd.log").unwrap();
    assert!(log.contains("spvirt: hosta: hush:"), "the log was read");
    for (place, text) in [
        ("virsh and claims", &shown),
        ("the journal", &everything.stdout),
        ("libvirtd.log", &log),
    ] {
        assert!(!text.contains(&token), "the token is in {place}:\n{text}");
        assert!(!text.contains(PASSWORD), "the password is in {place}:\n{text}");
    }
    let _ = stage.start("hush");
    let _ = stage.host.virsh(&["destroy", "hush"]).ok();
    stage.nothing_is_left();
}
