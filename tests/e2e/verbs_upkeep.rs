// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What keeps a host in order: `reconcile`, `adopt` and `boot`.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Signal, Suite};

use crate::acts::{LIST, REASSIGN, START, sharing};
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
        .shared("reconcile: libvirt or StorPool is silent", silent)
        .shared("reconcile: a claim of another client", other_client)
        .shared("reconcile: beside itself and a hook", beside)
        .shared("adopt: hands over what was attached by hand", adopt)
        .shared("adopt: domains that share a volume", adopt_shared)
        .shared("adopt: what it leaves alone", adopt_manners)
        .case("boot: starts what a refused prepare left off", boot)
        .case("boot: the client does not come", boot_without_client)
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
fn run(stage: &Stage, names: &[&str]) {
    for name in names {
        stage.domain(name, Guest::Idle);
        stage.start(name);
    }
}

#[track_caller]
fn end(stage: &Stage, names: &[&str]) {
    for name in names {
        let _ = stage.host.virsh(&["destroy", name]).ok();
    }
    stage.nothing_is_left();
}

/// Stops a domain so that no release runs.
fn stop_unseen(stage: &Stage, name: &str) {
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
    stage.cluster.volume("moving", 1, Guest::Dirty);
    stage
        .host
        .define(&Domain::new("moving").disk("/dev/storpool/moving"));
    stage.start("moving");
    // Slower than the guest writes: it does not end by itself.
    let arguments = [
        "migrate",
        "--live",
        "--bandwidth",
        "1",
        "moving",
        "qemu+tcp://hostb/system",
    ];
    let moving = stage.host.virsh_spawn(&arguments);
    stage.host.wait_for("both hosts have it open", SOON * 2, || {
        other.qemu_pid("moving").is_some() && stage.attached_to(2) == ["moving rw"]
    });
    stage.host.wait_for("the transfer", SOON, || {
        let job = stage.host.virsh(&["domjobinfo", "moving"]).stdout;
        job.contains("Unbounded")
    });
    for host in [&stage.host, &other] {
        let output = host.exec(&["spvirt", "reconcile"]).ok();
        assert!(output.stdout.contains("in use"), "{output}");
        let output = host.exec(&["spvirt", "explain", "moving"]).ok();
        assert!(!output.stdout.contains("Trouble"), "{output}");
    }
    let _ = stage.host.virsh(&["domjobabort", "moving"]).ok();
    let _ = moving.wait(SOON).failed();
    stage.host.wait_for("the destination has let go", SOON, || {
        stage.attached_to(2).is_empty()
    });
    assert!(stage.reconcile().contains("in use"));
    let writers = |seen: &Value| seen["volume"] == "moving";
    assert!(stage.cluster.monitor().iter().all(writers));
    stage.cluster.control("monitor/reset", Some(&json!({})));
    end(stage, &["moving"]);
}

/// As with a QEMU that cannot be killed: it is off for libvirt, and its device stays open.
fn still_open(stage: &mut Stage) {
    run(stage, &["stuck"]);
    let hold = "exec 3<>/dev/storpool/stuck; exec tail -f /dev/null";
    let holder = stage.host.spawn(&["sh", "-c", hold]);
    stage
        .host
        .wait_for("the holder", SOON, || stage.cluster.openers().len() > 1);
    let _ = stage.host.virsh(&["destroy", "stuck"]).ok();
    assert_eq!(stage.phase(), "releasing");
    for arguments in [&["reconcile", "-n"][..], &["reconcile"]] {
        let output = stage.spvirt(arguments).failed();
        let told = "not released: volume \"stuck\" is still open on this host (process ";
        assert!(
            output.stdout.contains(told) && output.stdout.contains(", tail)"),
            "{output}"
        );
    }
    let explained = stage.spvirt(&["explain", "stuck"]).failed().stdout;
    assert!(
        explained.contains("an earlier run of this domain still holds its volumes"),
        "{explained}"
    );
    stage.only_attached(&["stuck rw"]);
    holder.signal(Signal::SIGKILL);
    let _ = holder.wait(SOON);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn silent(stage: &mut Stage) {
    run(stage, &["quiet"]);
    stage.host.libvirtd_stop();
    let (code, report) = stage.spvirt_json(&["reconcile"]);
    assert_eq!(
        (code, results(&report)),
        (1, vec!["- skipped".to_owned(), "quiet skipped".to_owned()])
    );
    assert!(report[0]["why"].as_str().unwrap().contains("libvirt"), "{report}");
    stage.host.libvirtd_start();
    stop_unseen(stage, "quiet");
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
    run(stage, &["moved"]);
    let file = stage.claim_file("moved");
    let claim = stage.host.read(&file).unwrap();
    stop_unseen(stage, "moved");
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

/// A domain that was started before the hook was installed.
fn by_hand(stage: &Stage, name: &str) {
    stage.domain(name, Guest::Idle);
    stage.cluster.attach(name, 1, "rw");
    stage.start(name);
    assert_eq!(stage.claim(name)["volumes"][0]["before"], "rw");
}

fn adopt(stage: &mut Stage) {
    by_hand(stage, "hand-a");
    by_hand(stage, "hand-b");
    let before = stage.host.claims();
    let (code, report) = stage.spvirt_json(&["adopt", "--all", "--dry-run"]);
    assert_eq!(code, 0);
    let changes = json!([{"domain": "hand-a", "volume": "hand-a", "before": "rw"}]);
    assert_eq!(
        (&report[0]["result"], &report[0]["changes"]),
        (&json!("would_adopt"), &changes)
    );
    assert_eq!(stage.host.claims(), before);
    stage.forget();
    stage.survives("hand-a", || {
        let said = stage.spvirt(&["adopt", "hand-a"]).ok().stdout;
        assert!(
            said.contains("volume \"hand-a\": detached when hand-a stops"),
            "{said}"
        );
    });
    assert_eq!(stage.calls(), [LIST]);
    assert_eq!(stage.claim("hand-a")["volumes"][0]["before"], Value::Null);
    assert_eq!(
        stage.claim("hand-b")["volumes"][0]["before"],
        "rw",
        "not asked for"
    );
    let said = stage.spvirt(&["adopt", "hand-a"]).ok().stdout;
    assert!(said.contains("nothing to change"), "{said}");
    // Without a claim, and with a volume that was plugged in by hand.
    stage.volumes(&["plugged"]);
    stage.cluster.attach("plugged", 1, "rw");
    let plug = [
        "attach-disk",
        "hand-b",
        "/dev/storpool/plugged",
        "vdx",
        "--sourcetype",
        "block",
    ];
    let _ = stage.host.virsh(&plug).ok();
    let (_, report) = stage.spvirt_json(&["adopt", "hand-b"]);
    assert_eq!(report[0]["changes"].as_array().unwrap().len(), 2, "{report}");
    for name in ["hand-a", "hand-b"] {
        assert_eq!(stage.destroy(name), [REASSIGN]);
    }
    stage.nothing_is_left();
}

fn adopt_shared(stage: &mut Stage) {
    stage.volumes(&["common"]);
    stage.cluster.attach("common", 1, "rw");
    for name in ["share-a", "share-b"] {
        stage.host.define(&sharing(name, "common"));
        stage.start(name);
    }
    let file = stage.claim_file("share-a");
    let _ = stage.host.exec(&["rm", &file]).ok();
    let (code, report) = stage.spvirt_json(&["adopt", "share-a"]);
    assert_eq!(code, 0);
    let changes = report[0]["changes"].to_string();
    assert!(
        changes.contains("unclaimed") && changes.contains("share-b"),
        "{changes}"
    );
    for name in ["share-a", "share-b"] {
        assert_eq!(stage.claim(name)["volumes"][0]["before"], Value::Null, "{name}");
    }
    let _ = stage.host.virsh(&["destroy", "share-a"]).ok();
    stage.only_attached(&["common rw"]);
    end(stage, &["share-b"]);
}

fn adopt_manners(stage: &mut Stage) {
    stage.domain("off-h", Guest::Idle);
    let refused = stage.spvirt(&["adopt", "off-h"]).failed();
    assert!(refused.stderr.contains("does not run"), "{refused}");
    assert_eq!(stage.spvirt(&["adopt"]).code, 2);
    assert_eq!(stage.spvirt(&["adopt", "--all", "off-h"]).code, 2);
    by_hand(stage, "lost-h");
    let call = stage.hold_domain("lost-h");
    let busy = stage.spvirt(&["adopt", "lost-h"]).failed();
    assert!(busy.stdout.contains("a hook is working on it"), "{busy}");
    drop(call);
    // It has lost its volume: there is nothing to hand over.
    let item = json!({"reassign": [{"volume": "lost-h", "detach": [1], "force": true}]});
    stage.cluster.control("api/VolumesReassignWait", Some(&item));
    let lost = stage.spvirt(&["adopt", "lost-h"]).failed();
    assert!(
        lost.stdout.contains("volume \"lost-h\" is not attached here"),
        "{lost}"
    );
    assert_eq!(stage.claim("lost-h")["volumes"][0]["before"], "rw");
    end(stage, &["lost-h"]);
}

fn boot() {
    let stage = Stage::new();
    run(&stage, &["auto", "crashed"]);
    stage.domain("manual", Guest::Idle);
    stage.host.define(&Domain::new("plain"));
    for name in ["auto", "plain"] {
        let _ = stage.host.virsh(&["autostart", name]).ok();
    }
    let stage = stage.power_cut();
    stage.host.wait_for("the domains that start at boot", SOON, || {
        ["auto", "plain"]
            .iter()
            .all(|name| stage.host.qemu_pid(name).is_some())
    });
    // The same once more with a client that comes later than libvirt, which tries once.
    for name in ["auto", "plain"] {
        stop_unseen(&stage, name);
    }
    stage.cluster.client_up(1, false);
    stage.host.libvirtd_stop();
    let _ = stage
        .host
        .exec(&["rm", "-f", "/run/libvirt/qemu/autostarted"])
        .ok();
    stage.forget();
    stage.host.libvirtd_start();
    stage.host.wait_for("libvirt's own attempt", SOON * 2, || {
        stage.calls().iter().any(|call| call == LIST) && stage.hooks().is_empty()
    });
    assert_eq!(
        stage.host.state("auto").as_deref(),
        Some("shut off"),
        "its prepare was refused"
    );
    let _ = stage.host.virsh(&["destroy", "plain"]).ok();
    let booting = stage.host.spawn(&["spvirt", "boot", "--wait", "60"]);
    stage.forget();
    stage.host.wait_for("it asks for the client", SOON, || {
        stage.calls().iter().any(|call| call == "ServicesList")
    });
    assert_eq!(stage.host.state("auto").as_deref(), Some("shut off"));
    stage.cluster.client_up(1, true);
    let said = booting.wait(SOON * 2).ok().stdout;
    assert!(said.contains("auto (") && said.contains(": started"), "{said}");
    assert_eq!(stage.host.state("auto").as_deref(), Some("running"));
    for name in ["manual", "crashed", "plain"] {
        assert_eq!(stage.host.state(name).as_deref(), Some("shut off"), "{name}");
    }
    stage.only_attached(&["auto rw"]);
    // Once more: there is nothing to do. And a start that fails is told.
    let said = stage.spvirt(&["boot"]).ok().stdout;
    assert!(!said.contains("started"), "{said}");
    stage.destroy("auto");
    give_to_other(&stage, "auto", "rw");
    stage.settings("SPVIRT_TAKEOVER=never\n");
    let output = stage.spvirt(&["boot"]).failed();
    assert!(
        output.stdout.contains("not started") && output.stdout.contains("client 7"),
        "{output}"
    );
    stage.settings("");
    stage.cluster.detach("auto", OTHER);
    assert_eq!(stage.start("auto"), START);
    end(&stage, &["auto"]);
}

fn boot_without_client() {
    let stage = Stage::new();
    run(&stage, &["waits-b"]);
    let _ = stage.host.virsh(&["autostart", "waits-b"]).ok();
    let _ = stage.host.virsh(&["destroy", "waits-b"]).ok();
    stage.cluster.client_up(1, false);
    let output = stage.spvirt(&["boot", "--wait", "2"]).failed();
    assert!(
        output
            .stderr
            .contains("client 1, this host, is not up after 2 s: it is down"),
        "{output}"
    );
    assert_eq!(stage.host.state("waits-b").as_deref(), Some("shut off"));
    stage.cluster.client_up(1, true);
    stage.nothing_is_left();
}
