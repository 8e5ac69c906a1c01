// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirtd comes and goes while guests run. Its `reconnect` hook kills the guest when it fails, so whatever is
//! broken on the host, the same QEMU runs afterwards, and the stop that comes later does what can be done.

use spvirt_rig::{Domain, Guest, Suite};

use crate::acts::{CLAIMS, REASSIGN, SHORT, START};
use crate::panicking;
use crate::stage::Stage;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("a guest outlives libvirtd", outlives)
        .shared(
            "a guest outlives libvirtd while the API is down",
            outlives_without_api,
        )
        .shared("QEMU dies while libvirtd is down", dies_unseen)
        .shared("a running domain without a claim gets one", adopted)
        .shared("a panic in reconnect", panic)
        .shared("reconnect meets its deadline", deadline)
        .shared("a hook with closed descriptors", closed_descriptors)
        .shared("a full disk", full_disk)
        .shared("a damaged claim", damaged_claim)
        .shared("a claim of a newer format", newer_claim)
        .shared("broken configuration", broken_configuration)
}

fn outlives(stage: &mut Stage) {
    stage.domain("stays", Guest::Idle);
    stage.start("stays");
    let claim = stage.claim("stays");
    stage.forget();
    stage.survives("stays", || {
        stage.libvirtd_restarts();
        stage.host.libvirtd_kill();
        stage.host.libvirtd_start();
    });
    assert_eq!(stage.calls(), [] as [&str; 0], "a reconnect asks nothing");
    assert_eq!(stage.claim("stays"), claim);
    stage.only_attached(&["stays rw"]);
    assert_eq!(stage.destroy("stays"), [REASSIGN]);
    stage.nothing_is_left();
}

fn outlives_without_api(stage: &mut Stage) {
    stage.domain("alone", Guest::Idle);
    stage.start("alone");
    stage.host.api_reachable(false);
    stage.survives("alone", || stage.libvirtd_restarts());
    stage.host.api_reachable(true);
    stage.only_attached(&["alone rw"]);
    assert_eq!(stage.destroy("alone"), [REASSIGN]);
    stage.nothing_is_left();
}

fn dies_unseen(stage: &mut Stage) {
    stage.domain("unseen", Guest::Idle);
    stage.start("unseen");
    stage.host.libvirtd_stop();
    stage.host.qemu_kill("unseen");
    stage.only_attached(&["unseen rw"]);
    stage.host.libvirtd_start();
    stage.is_off("unseen");
    stage.hooks_have_ended();
    stage.nothing_is_left();
}

/// As when the hook is installed on a host where domains run already: somebody else has attached their volumes.
fn adopted(stage: &mut Stage) {
    stage.domain("found", Guest::Idle);
    stage.start("found");
    let file = stage.claim_file("found");
    let _ = stage.host.exec(&["rm", &file]).ok();
    stage.survives("found", || stage.libvirtd_restarts());
    let claim = stage.claim("found");
    assert_eq!(claim["phase"], "live");
    assert_eq!(claim["volumes"][0]["before"], "rw");
    assert_eq!(
        claim["volumes"][0]["global_id"],
        stage.cluster.global_id("found").as_str()
    );
    stage.destroy("found");
    stage.only_attached(&["found rw"]);
    stage.cluster.detach("found", stage.host.client());
    stage.nothing_is_left();
}

fn panic(stage: &mut Stage) {
    stage.domain("panics", Guest::Idle);
    stage.start("panics");
    let hook = std::env::current_exe().unwrap();
    stage.install_hook(hook.to_str().unwrap());
    stage.survives("panics", || stage.libvirtd_restarts());
    let _ = stage.host.virsh(&["destroy", "panics"]).ok();
    stage.is_off("panics");
    assert!(stage.refused("panics").contains("internal error"));
    // A domain that does not speak of StorPool starts even then.
    stage.host.define(&Domain::new("bystander"));
    let _ = stage.host.virsh(&["start", "bystander"]).ok();
    let _ = stage.host.virsh(&["destroy", "bystander"]).ok();
    let trace = stage.host.read(panicking::TRACE).unwrap_or_default();
    for call in [
        "panics reconnect begin\n",
        "panics release end\n",
        "panics prepare begin\n",
        "bystander prepare begin\n",
    ] {
        assert!(trace.contains(call), "{call:?} is missing in {trace}");
    }
    stage.install_own_hook();
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["panics rw"]);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn deadline(stage: &mut Stage) {
    stage.domain("waits", Guest::Idle);
    stage.start("waits");
    stage.settings(SHORT);
    let other_call = stage.hold_domain("waits");
    stage.survives("waits", || stage.libvirtd_restarts());
    let _ = stage.host.virsh(&["destroy", "waits"]).ok();
    stage.is_off("waits");
    drop(other_call);
    stage.settings("");
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["waits rw"]);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn closed_descriptors(stage: &mut Stage) {
    stage.domain("closed", Guest::Idle);
    stage.start("closed");
    let (script, log) = ("/run/closed-hook", "/run/closed-calls");
    stage.host.write(
        script,
        format!("#!/bin/sh\necho \"$*\" >>{log}\nexec /usr/sbin/spvirt-hook \"$@\" <&- >&- 2>&-\n"),
    );
    let _ = stage.host.exec(&["chmod", "755", script]).ok();
    stage.install_hook(script);
    stage.survives("closed", || stage.libvirtd_restarts());
    // No XML comes in: the claim is found by the domain's name.
    assert_eq!(stage.destroy("closed"), [REASSIGN]);
    // Nor can it be told whether this one has volumes: it is not kept from starting.
    stage.host.define(&Domain::new("closed-plain"));
    let _ = stage.host.virsh(&["start", "closed-plain"]).ok();
    let _ = stage.host.virsh(&["destroy", "closed-plain"]).ok();
    let calls = stage.host.read(log).unwrap_or_default();
    for call in [
        "closed reconnect begin",
        "closed release end",
        "closed-plain prepare begin",
    ] {
        assert!(calls.contains(call), "{call:?} is missing in {calls}");
    }
    stage.install_own_hook();
    stage.nothing_is_left();
}

fn full_disk(stage: &mut Stage) {
    stage.domain("full", Guest::Idle);
    stage.start("full");
    let claim = stage.claim_file("full");
    let content = stage.host.read(&claim).unwrap();
    let mount = "mount -t tmpfs -o size=16k tmpfs /var/lib/spvirt && mkdir /var/lib/spvirt/claims";
    let _ = stage.host.exec(&["sh", "-c", mount]).ok();
    let refused = stage
        .host
        .exec(&["dd", "if=/dev/zero", "of=/var/lib/spvirt/zeros", "bs=4k"])
        .failed();
    assert!(refused.stderr.contains("No space left"), "{refused}");
    // No claim, and no place for one.
    stage.survives("full", || stage.libvirtd_restarts());
    assert_eq!(stage.host.claims().len(), 0);
    // A claim, and no place for a new version of it: the guest stops, and nothing is done that was not noted.
    let _ = stage.host.exec(&["rm", "/var/lib/spvirt/zeros"]).ok();
    stage.host.write(&claim, content);
    let _ = stage
        .host
        .exec(&["dd", "if=/dev/zero", "of=/var/lib/spvirt/zeros", "bs=4k"])
        .failed();
    stage.survives("full", || stage.libvirtd_restarts());
    assert_eq!(stage.destroy("full"), [] as [&str; 0]);
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["full rw"]);
    let why = stage.refused("full");
    assert!(why.contains("No space left"), "{why}");
    let _ = stage.host.exec(&["umount", "/var/lib/spvirt"]).ok();
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn damaged_claim(stage: &mut Stage) {
    unreadable_claim(stage, "damaged", |claim| claim[..claim.len() / 2].to_owned());
}

fn newer_claim(stage: &mut Stage) {
    unreadable_claim(stage, "newer", |claim| {
        claim.replace("\"format\": 1", "\"format\": 2")
    });
}

/// What nobody understands is left alone, and protects what it speaks of.
fn unreadable_claim(stage: &Stage, name: &str, damage: impl Fn(&str) -> String) {
    stage.domain(name, Guest::Idle);
    stage.start(name);
    let file = stage.claim_file(name);
    let good = stage.host.read(&file).unwrap();
    let bad = damage(&good);
    assert_ne!(bad, good);
    stage.host.write(&file, &bad);
    stage.survives(name, || stage.libvirtd_restarts());
    assert_eq!(stage.host.read(&file).as_ref(), Some(&bad));
    assert_eq!(stage.destroy(name), [] as [&str; 0]);
    stage.only_attached(&[&format!("{name} rw")]);
    let why = stage.refused(name);
    assert!(why.contains("cannot be read") && why.contains(CLAIMS), "{why}");
    let left = stage.host.exec(&["spvirt", "reconcile"]).failed();
    assert!(left.stdout.contains("left alone"), "{left}");
    stage.only_attached(&[&format!("{name} rw")]);
    stage.host.write(&file, &good);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}

fn broken_configuration(stage: &mut Stage) {
    stage.domain("misled", Guest::Idle);
    assert_eq!(stage.start("misled"), START);
    stage.configuration_is_broken(true);
    stage.survives("misled", || stage.libvirtd_restarts());
    assert_eq!(stage.destroy("misled"), [] as [&str; 0]);
    let why = stage.refused("misled");
    assert!(why.contains("SPVIRT_TAKEOVER"), "{why}");
    stage.configuration_is_broken(false);
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["misled rw"]);
    assert!(stage.reconcile().contains("released"));
    stage.nothing_is_left();
}
