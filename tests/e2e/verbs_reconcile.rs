// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt reconcile`: finishes what is left, adopts what runs, reports what only a person can put right.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Signal, Suite};

use crate::acts::LIST;
use crate::conflicts::{OTHER, give_to_other, reassigns, second_host};
use crate::stage::{SOON, Stage};
use crate::verbs::planned;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("reconcile: one list for all claims", one_list)
        .shared("reconcile: a dry run says what a real one does", dry_run)
        .shared("reconcile: adopts what runs without a claim", adopts)
        .shared("reconcile: a domain that another host has too", split)
        .shared("reconcile: a migration under way is fine", migration)
        .shared("reconcile: a device that is still open", still_open)
        .shared(
            "reconcile: a QEMU that is not dead, and nothing to detach",
            not_dead,
        )
        .shared("reconcile: libvirt or StorPool is silent", silent)
        .shared("reconcile: a claim of another client", other_client)
        .shared("reconcile: beside itself and a hook", beside)
}

/// The lines of a report of `reconcile --json`, `domain result`.
fn results(report: &Value) -> Vec<String> {
    let lines = report.as_array().unwrap().iter();
    let brief = |line: &Value| {
        let domain = line["domain"].as_str().unwrap_or("-");
        format!("{domain} {}", line["result"].as_str().unwrap())
    };
    let mut lines: Vec<_> = lines.map(brief).collect();
    lines.sort();
    lines
}

/// Domains of these names run.
pub fn run(stage: &Stage, names: &[&str]) {
    for name in names {
        stage.domain(name, Guest::Idle);
        stage.start(name);
    }
}

#[track_caller]
pub fn end(stage: &Stage, names: &[&str]) {
    for name in names {
        let _ = stage.host.virsh(&["destroy", name]).ok();
    }
    stage.nothing_is_left();
}

/// Stops a domain so that no release runs.
pub fn stop_unseen(stage: &Stage, name: &str) {
    stage.install_hook("/bin/true");
    let _ = stage.host.virsh(&["destroy", name]).ok();
    stage.is_off(name);
    stage.install_own_hook();
}

fn one_list(stage: &mut Stage) {
    run(stage, &["one-a", "one-b", "one-c"]);
    stage.forget();
    let (code, report) = stage.spvirt_json(&["reconcile"]);
    assert_eq!(results(&report), ["one-a kept", "one-b kept", "one-c kept"]);
    assert_eq!((code, stage.calls()), (0, vec![LIST.to_owned()]));
    end(stage, &["one-a", "one-b", "one-c"]);
    stage.forget();
    assert!(stage.reconcile().contains("No claims on this host."));
    assert_eq!(stage.calls(), [""; 0]);
}

fn dry_run(stage: &mut Stage) {
    run(stage, &["dry-a", "dry-b"]);
    stage.volumes(&["dry-hand"]);
    stage.cluster.attach("dry-hand", 1, "rw");
    stop_unseen(stage, "dry-a");
    let claims = stage.host.claims();
    stage.forget();
    let (code, report) = stage.spvirt_json(&["reconcile", "--dry-run"]);
    assert_eq!(
        (code, results(&report)),
        (1, vec!["dry-a would_release".to_owned(), "dry-b kept".to_owned()])
    );
    assert_eq!(stage.calls(), [LIST]);
    assert_eq!(stage.host.claims(), claims);
    let lines = report.as_array().unwrap();
    let plans: Vec<_> = lines.iter().flat_map(planned).collect();
    let text = stage.spvirt(&["reconcile", "-n"]).failed().stdout;
    assert!(
        text.contains("1.  detach volume \"dry-a\" from client 1"),
        "{text}"
    );
    stage.forget();
    assert!(stage.reconcile().contains("released"));
    assert_eq!(reassigns(stage), plans, "what was said is what is done");
    assert_eq!(
        stage.attached(),
        ["dry-b rw", "dry-hand rw"],
        "what no claim names is not ours"
    );
    stage.cluster.detach("dry-hand", 1);
    end(stage, &["dry-b"]);
}

fn adopts(stage: &mut Stage) {
    run(stage, &["found-r"]);
    stage.host.define(&Domain::new("plain-r"));
    stage.start("plain-r");
    let claim = stage.claim_file("found-r");
    let _ = stage.host.exec(&["rm", &claim]).ok();
    let (code, report) = stage.spvirt_json(&["reconcile", "-n"]);
    assert_eq!(
        (code, results(&report)),
        (1, vec!["found-r would_adopt".to_owned()])
    );
    assert_eq!(stage.host.claims().len(), 0);
    stage.survives("found-r", || {
        let (code, report) = stage.spvirt_json(&["reconcile"]);
        assert_eq!((code, results(&report)), (0, vec!["found-r adopted".to_owned()]));
    });
    assert_eq!(
        stage.claim("found-r")["volumes"][0]["before"],
        "rw",
        "we did not attach it"
    );
    let (_, report) = stage.spvirt_json(&["reconcile"]);
    assert_eq!(results(&report), ["found-r kept"]);
    for name in ["found-r", "plain-r"] {
        let _ = stage.host.virsh(&["destroy", name]).ok();
    }
    stage.only_attached(&["found-r rw"]);
    stage.cluster.detach("found-r", 1);
    stage.nothing_is_left();
}

fn split(stage: &mut Stage) {
    run(stage, &["split"]);
    give_to_other(stage, "split", "rw");
    stage.forget();
    let output = stage.spvirt(&["reconcile"]).failed();
    let told = "volume \"split\" is attached rw on client 7 too, and no migration is under way";
    assert!(output.stdout.contains(told), "{output}");
    assert_eq!(
        stage.calls(),
        [LIST, LIST],
        "looked at twice, and nothing is done"
    );
    assert_eq!(stage.attached_to(OTHER), ["split rw"]);
    stage.cluster.detach("split", OTHER);
    // A person detaches the volume by force: it is never given back.
    let item = json!({"reassign": [{"volume": "split", "detach": [1], "force": true}]});
    stage.cluster.control("api/VolumesReassignWait", Some(&item));
    let output = stage.spvirt(&["reconcile"]).failed();
    assert!(
        output
            .stdout
            .contains("the domain runs, but is without volume \"split\" (vda)"),
        "{output}"
    );
    assert_eq!(stage.attached(), [""; 0]);
    end(stage, &["split"]);
}

fn migration(stage: &mut Stage) {
    let other = second_host(stage);
    stage.cluster.volume("moving-v", 1, Guest::Dirty);
    stage
        .host
        .define(&Domain::new("moving-v").disk("/dev/storpool/moving-v"));
    stage.start("moving-v");
    // Slower than the guest writes: it does not end by itself.
    let arguments = [
        "migrate",
        "--live",
        "--bandwidth",
        "1",
        "moving-v",
        "qemu+tcp://hostb/system",
    ];
    let moving = stage.host.virsh_spawn(&arguments);
    stage.host.wait_for("both hosts have it open", SOON * 2, || {
        other.qemu_pid("moving-v").is_some() && stage.attached_to(2) == ["moving-v rw"]
    });
    stage.host.wait_for("the transfer", SOON, || {
        let job = stage.host.virsh(&["domjobinfo", "moving-v"]).stdout;
        job.contains("Unbounded")
    });
    for host in [&stage.host, &other] {
        let output = host.exec(&["spvirt", "reconcile"]).ok();
        assert!(output.stdout.contains("in use"), "{output}");
        let output = host.exec(&["spvirt", "explain", "moving-v"]).ok();
        assert!(!output.stdout.contains("Trouble"), "{output}");
    }
    let _ = stage.host.virsh(&["domjobabort", "moving-v"]).ok();
    let _ = moving.wait(SOON).failed();
    stage.host.wait_for("the destination has let go", SOON, || {
        stage.attached_to(2).is_empty()
    });
    assert!(stage.reconcile().contains("in use"));
    let writers = |seen: &Value| seen["volume"] == "moving-v";
    assert!(stage.cluster.monitor().iter().all(writers));
    stage.cluster.control("monitor/reset", Some(&json!({})));
    end(stage, &["moving-v"]);
}

/// As with a QEMU that cannot be killed: it is off for libvirt, and its device stays open.
fn still_open(stage: &mut Stage) {
    run(stage, &["stuck-v"]);
    let hold = "exec 3<>/dev/storpool/stuck-v; exec tail -f /dev/null";
    let holder = stage.host.spawn(&["sh", "-c", hold]);
    stage
        .host
        .wait_for("the holder", SOON, || stage.cluster.openers().len() > 1);
    let _ = stage.host.virsh(&["destroy", "stuck-v"]).ok();
    assert_eq!(stage.phase(), "releasing");
    for arguments in [&["reconcile", "-n"][..], &["reconcile"]] {
        let output = stage.spvirt(arguments).failed();
        let told = "not released: volume \"stuck-v\" is still open on this host (process ";
        assert!(
            output.stdout.contains(told) && output.stdout.contains(", tail)"),
            "{output}"
        );
    }
    let explained = stage.spvirt(&["explain", "stuck-v"]).failed().stdout;
    assert!(
        explained.contains("an earlier run of this domain still holds its volumes"),
        "{explained}"
    );
    stage.only_attached(&["stuck-v rw"]);
    holder.signal(Signal::SIGKILL);
    let _ = holder.wait(SOON);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

/// The same where the volume was attached before the domain came: no detach is refused, and two QEMUs of one domain
/// would write.
fn not_dead(stage: &mut Stage) {
    stage.cluster.volume("undead-v", 1, Guest::Idle);
    stage.cluster.attach("undead-v", stage.host.client(), "rw");
    stage
        .host
        .define(&Domain::new("undead-v").disk("/dev/storpool/undead-v"));
    let _ = stage.start("undead-v");
    // A process that is being killed: its first thread has ended, one hangs.
    let dying = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); \
                 ctypes.CDLL(None).pthread_exit(None)";
    let uuid = stage.uuid("undead-v");
    let qemu = stage.host.spawn(&["python3", "-c", dying, "-uuid", &uuid]);
    stage.host.wait_for("it is half dead", SOON, || {
        let processes = stage.host.exec(&["ps", "-eo", "stat,comm"]).stdout;
        let mut lines = processes.lines();
        lines.any(|line| line.starts_with("Zl") && line.contains("python3"))
    });
    let _ = stage.host.virsh(&["destroy", "undead-v"]).ok();
    assert_eq!(stage.phase(), "releasing");
    let lives = "the domain's QEMU still lives on this host (QEMU process ";
    for arguments in [&["reconcile", "-n"][..], &["reconcile"]] {
        let output = stage.spvirt(arguments).failed();
        assert!(output.stdout.contains(lives), "{output}");
    }
    let refused = stage.refused("undead-v");
    assert!(refused.contains("an earlier run of this domain"), "{refused}");
    assert!(refused.contains(lives), "{refused}");
    qemu.signal(Signal::SIGKILL);
    let _ = qemu.wait(SOON);
    assert!(stage.reconcile().contains("released"));
    stage.only_attached(&["undead-v rw"]);
    stage.cluster.detach("undead-v", stage.host.client());
    stage.nothing_is_left();
}

fn silent(stage: &mut Stage) {
    run(stage, &["quiet-v"]);
    stage.host.libvirtd_stop();
    let (code, report) = stage.spvirt_json(&["reconcile"]);
    assert_eq!(
        (code, results(&report)),
        (1, vec!["- skipped".to_owned(), "quiet-v skipped".to_owned()])
    );
    assert!(report[0]["why"].as_str().unwrap().contains("libvirt"), "{report}");
    stage.host.libvirtd_start();
    stop_unseen(stage, "quiet-v");
    stage.host.api_reachable(false);
    let output = stage.spvirt(&["reconcile"]).failed();
    assert!(
        output.stdout.contains("not released: the StorPool API at"),
        "{output}"
    );
    stage.host.api_reachable(true);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn other_client(stage: &mut Stage) {
    run(stage, &["moved-v"]);
    let file = stage.claim_file("moved-v");
    let claim = stage.host.read(&file).unwrap();
    stop_unseen(stage, "moved-v");
    let foreign = claim.replace("\"client\": 1", "\"client\": 7");
    stage.host.write(&file, &foreign);
    stage.forget();
    let output = stage.spvirt(&["reconcile"]).failed();
    assert!(
        output
            .stdout
            .contains("made when this host was client 7, now it is client 1"),
        "{output}"
    );
    assert_eq!(stage.calls(), [LIST]);
    assert_eq!(stage.host.read(&file).as_ref(), Some(&foreign));
    stage.host.write(&file, &claim);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn beside(stage: &mut Stage) {
    run(stage, &["beside-a", "beside-b"]);
    let call = stage.hold_domain("beside-a");
    let (code, report) = stage.spvirt_json(&["reconcile"]);
    assert_eq!(
        (code, results(&report)),
        (0, vec!["beside-a busy".to_owned(), "beside-b kept".to_owned()])
    );
    drop(call);
    for name in ["beside-a", "beside-b"] {
        stop_unseen(stage, name);
    }
    let several: Vec<_> = (0..4)
        .map(|_| stage.host.spawn(&["spvirt", "reconcile"]))
        .collect();
    for one in several {
        let _ = one.wait(SOON).ok();
    }
    stage.nothing_is_left();
}
