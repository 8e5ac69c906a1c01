// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt check` on a host that something is wrong with, and what `--fix` does about it. What needs another kernel
//! or another distribution (AppArmor, SELinux, LVM, multipath) is in `tests/inspect.rs`.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use spvirt_rig::{Domain, Guest, Output, Signal, Suite, process};

use crate::acts::{CLAIMS, HOOK};
use crate::stage::Stage;

const MAIN: &str = "/etc/storpool.conf";
const EXTRA: &str = "/etc/storpool.conf.d/zz-case.conf";
/// For the two questions to a libvirt that does not answer, and the ones to StorPool.
const PATIENCE: Duration = Duration::from_mins(1);

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("a good host passes its check", good)
        .shared("a check says what is wrong with the configuration", configuration)
        .shared("a check says what is wrong with StorPool", storpool)
        .shared("a check says what is wrong with the hook", hook)
        .shared("a check that may repair brings the hook back to life", repair)
        .shared("a check says what is wrong with the state", state)
        .shared("a check finds what is attached for nobody", leftovers)
        .shared("a check finds risky disks", disks)
        .shared("a check ends although libvirt does not answer", silent)
}

/// The findings of a check, `(what, verdict, advice)`.
struct Found {
    output: Output,
    findings: Vec<(String, String, String)>,
}

impl Found {
    /// The verdict on what begins so, and the advice.
    #[track_caller]
    fn on(&self, what: &str) -> (&str, &str) {
        let found = self.findings.iter().find(|(of, _, _)| of.starts_with(what));
        let (_, verdict, advice) = found.unwrap_or_else(|| panic!("nothing on {what:?} in {}", self.output));
        (verdict, advice)
    }

    /// All that begins so has this verdict, and the first of it this in its advice.
    #[track_caller]
    fn has(&self, what: &str, verdict: &str, advice: &str) {
        let found = self.on(what);
        assert_eq!(found.0, verdict, "{what}: {}", self.output);
        assert!(found.1.contains(advice), "{what}: {}", self.output);
    }
}

fn checked(stage: &Stage, arguments: &[&str]) -> Found {
    let argv = [&["spvirt", "check", "--json"], arguments].concat();
    let output = stage.host.spawn(&argv).wait(PATIENCE);
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            (
                text(&found["what"]),
                text(&found["verdict"]),
                text(&found["advice"]),
            )
        })
        .collect();
    let fails = findings.iter().any(|(_, verdict, _)| verdict == "fail");
    assert_eq!(output.code, i32::from(fails), "{output}");
    Found { output, findings }
}

fn good(stage: &mut Stage) {
    stage.domain("fit-host", Guest::Idle);
    let _ = stage.start("fit-host");
    stage.forget();
    let found = checked(stage, &[]);
    assert_eq!(found.output.code, 0, "{}", found.output);
    for what in [
        "that the configuration can be read (client 1)",
        "that all readers of it would agree",
        "that StorPool answers and accepts the token",
        "that client 1, this host, is running",
        "for room for more attachments (1 of 1024 used)",
        "that what is attached is used (1)",
        "that /usr/sbin/spvirt-hook is installed",
        "that libvirt finds the hook",
        "the other hooks of libvirt",
        "that libvirtd knows of the hook",
        "that only root can reach the state of spvirt",
        "the claims of domains (1)",
    ] {
        assert_eq!(found.on(what), ("pass", ""), "{what}: {}", found.output);
    }
    found.has(
        "that only root and its group can read the token",
        "warn",
        "chmod o-r",
    );
    assert_eq!(
        stage.calls(),
        ["ServicesList", "AttachmentsList"],
        "two questions"
    );
    // For people: the shape of virt-host-validate.
    let text = stage.host.exec(&["spvirt", "check"]).ok().stdout;
    for line in text.lines() {
        let end = line.get(line.len().min(83)..).unwrap_or_default();
        assert!(line.starts_with("SPVIRT: Checking "), "{line}");
        assert!(
            ["PASS", "WARN (", "FAIL ("].iter().any(|word| end.contains(word)),
            "{line}"
        );
    }
    let _ = stage.destroy("fit-host");
    stage.nothing_is_left();
}

fn configuration(stage: &mut Stage) {
    let main = stage.host.read(MAIN).unwrap();
    stage.host.write(EXTRA, "SP_OURID=1\n[hosta]\nSP_OURID=1\n");
    stage
        .host
        .write("/etc/storpool.conf.d/zzz-case.conf", "SP_OURID=2\n");
    checked(stage, &[]).has(
        "that all readers of it would agree",
        "warn",
        "os-brick would use the latter",
    );
    fs::remove_file(stage.host.path("/etc/storpool.conf.d/zzz-case.conf")).unwrap();
    stage.host.write(EXTRA, "SPVIRT_DEADLINE=never\n");
    let found = checked(stage, &[]);
    found.has(
        "that the configuration can be read",
        "fail",
        "zz-case.conf:1: SPVIRT_DEADLINE must be",
    );
    fs::remove_file(stage.host.path(EXTRA)).unwrap();
    for (mode, verdict, advice) in [("666", "fail", "everybody can write"), ("640", "pass", "")] {
        let _ = stage.host.exec(&["chmod", mode, MAIN]).ok();
        checked(stage, &[]).has("that only root and its group", verdict, advice);
    }
    stage.host.write(MAIN, main);
    let _ = stage.host.exec(&["chmod", "644", MAIN]).ok();
    stage.nothing_is_left();
}

fn storpool(stage: &mut Stage) {
    const ANSWERS: &str = "that StorPool answers";
    stage.cluster.client_up(1, false);
    checked(stage, &[]).has(
        "that client 1, this host, is running",
        "fail",
        "systemctl status storpool_block",
    );
    stage.cluster.client_up(1, true);
    stage.host.write(EXTRA, "[hosta]\nSP_OURID=77\n");
    checked(stage, &[]).has(
        "that client 77, this host, is running",
        "fail",
        "knows no such client",
    );
    stage.host.write(EXTRA, "SP_AUTH_TOKEN=wrong\n");
    checked(stage, &[]).has(ANSWERS, "fail", "check SP_AUTH_TOKEN");
    fs::remove_file(stage.host.path(EXTRA)).unwrap();
    stage.host.api_reachable(false);
    checked(stage, &[]).has(ANSWERS, "fail", "cannot be reached");
    stage.host.api_reachable(true);
    stage.cluster.fault("ServicesList", "hang-before", 1);
    checked(stage, &[]).has(ANSWERS, "fail", "did not answer ServicesList in time");
    stage.cluster.clear_faults();
    checked(stage, &[]).has(ANSWERS, "pass", "");
    stage.nothing_is_left();
}

fn hook(stage: &mut Stage) {
    let sh = |script: &str| {
        let _ = stage.host.exec(&["sh", "-c", script]).ok();
    };
    let folder = "/etc/libvirt/hooks/qemu.d";
    sh(&format!("cp {HOOK} {folder}/50-storpool.dpkg-old"));
    checked(stage, &[]).has(
        "that libvirt finds the hook",
        "fail",
        "it runs 2 times for every event: rm ",
    );
    sh(&format!(
        "rm {folder}/50-storpool.dpkg-old; cp /bin/true {folder}/10-net~"
    ));
    checked(stage, &[]).has(
        "the other hooks of libvirt (10-net~)",
        "warn",
        "libvirt runs backup copies too: rm ",
    );
    sh(&format!("mv {folder}/10-net~ {folder}/10-net"));
    checked(stage, &[]).has("the other hooks of libvirt (10-net)", "pass", "");
    sh(&format!("rm {folder}/10-net; ln -sfn /usr/sbin/gone {HOOK}"));
    checked(stage, &["--fix"]).has("that libvirt finds the hook", "fail", "leads to /usr/sbin/gone");
    sh(&format!("rm {HOOK}; cp /usr/sbin/spvirt-hook {HOOK}"));
    checked(stage, &[]).has("that libvirt finds the hook", "warn", "is a copy");
    sh(&format!("ln -sfn /usr/sbin/spvirt-hook {HOOK}"));
    let installed = checked(stage, &[]);
    installed.has("that libvirt finds the hook", "pass", "");
    stage.nothing_is_left();
}

/// As after an installation by hand while libvirt runs: no link, and a daemon that has seen no hook.
fn repair(stage: &mut Stage) {
    stage.domain("revived", Guest::Idle);
    fs::remove_file(stage.host.path(HOOK)).unwrap();
    stage.host.libvirtd_stop();
    stage.host.libvirtd_start();
    let _ = stage.host.virsh(&["start", "revived"]).failed();
    let found = checked(stage, &[]);
    found.has("that libvirt finds the hook", "fail", "there is no link: ln -s");
    found.has("that libvirtd knows of the hook", "fail", "there is no hook");
    assert!(
        !stage.host.path(HOOK).is_symlink(),
        "nothing is changed without --fix"
    );

    let daemon = stage.host.libvirtd_pid();
    let found = checked(stage, &["--fix"]);
    found.has("that libvirt finds the hook", "pass", "");
    found.has("that libvirtd knows of the hook (reloaded now)", "pass", "");
    let report: Value = serde_json::from_str(&found.output.stdout).unwrap();
    let repaired: Vec<_> = report["repaired"]
        .as_array()
        .unwrap()
        .iter()
        .map(|done| done["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        repaired,
        [&format!("ln -s /usr/sbin/spvirt-hook {HOOK}"), "reload libvirtd"]
    );
    assert_eq!(stage.host.libvirtd_pid(), daemon, "reloaded, never restarted");
    let _ = stage.start("revived");
    // A claim of this daemon is what proves that it calls.
    checked(stage, &[]).has("that libvirtd knows of the hook", "pass", "");
    let _ = stage.destroy("revived");
    stage.nothing_is_left();
}

fn state(stage: &mut Stage) {
    stage.domain("stately", Guest::Idle);
    let _ = stage.start("stately");
    let mode = |path: &str| {
        stage
            .host
            .exec(&["stat", "--format=%a", path])
            .ok()
            .stdout
            .trim()
            .to_owned()
    };
    let file = stage.claim_file("stately");
    let _ = stage.host.exec(&["chmod", "755", CLAIMS]).ok();
    let _ = stage.host.exec(&["chmod", "644", &file]).ok();
    let open = checked(stage, &[]);
    open.has(
        "that only root can reach the state of spvirt",
        "fail",
        "is open to others: chmod 700",
    );
    assert_eq!(mode(CLAIMS), "755", "nothing is changed without --fix");
    checked(stage, &["--fix"]).has("that only root can reach the state of spvirt", "pass", "");
    assert_eq!((mode(CLAIMS).as_str(), mode(&file).as_str()), ("700", "600"));

    let claim = stage.host.read(&file).unwrap();
    let write = |text: String| {
        stage.host.write(&file, text);
        let _ = stage.host.exec(&["chmod", "600", &file]).ok();
    };
    write("not a claim".into());
    checked(stage, &[]).has("the claims of domains (1)", "fail", "cannot be read");
    write(
        claim
            .replace("\"client\":1,", "\"client\":9,")
            .replace("\"client\": 1,", "\"client\": 9,"),
    );
    checked(stage, &[]).has("the claims of domains (1)", "warn", "when this host was client 9");
    write(claim.replace("\"live\"", "\"releasing\""));
    checked(stage, &["--fix"]).has(
        "the claims of domains (1)",
        "warn",
        "stately (not everything was detached)",
    );
    write(claim);
    checked(stage, &[]).has("the claims of domains (1)", "pass", "");
    assert_eq!(stage.attached(), ["stately rw"], "--fix asks nothing of StorPool");
    let _ = stage.destroy("stately");
    stage.nothing_is_left();
}

fn leftovers(stage: &mut Stage) {
    const USED: &str = "that what is attached is used (1)";
    stage.cluster.volume("nobodys", 1, Guest::None);
    stage.cluster.attach("nobodys", 1, "rw");
    let found = checked(stage, &["--fix"]);
    found.has(USED, "warn", "storpool detach volume NAME client 1");
    assert_eq!(stage.attached(), ["nobodys rw"], "never ours to detach");
    let script = "exec 3</dev/storpool/nobodys; echo open; exec sleep 600";
    let opener = stage.host.spawn(&["sh", "-c", script]);
    stage.host.wait_for("the device is open", PATIENCE, || {
        opener.stdout().contains("open")
    });
    checked(stage, &[]).has(USED, "pass", "");
    opener.signal(Signal::SIGKILL);
    let _ = opener.wait(PATIENCE);
    stage.cluster.detach("nobodys", 1);
    stage.nothing_is_left();
}

fn disks(stage: &mut Stage) {
    let driver = |attributes: &str| {
        format!(
            "<disk type='block'><driver name='qemu' type='raw' {attributes}/><source dev='/dev/storpool/x'/><target dev='vda' bus='virtio'/></disk>"
        )
    };
    let uuid = "<uuid>a15c0000-0000-4000-8000-000000000001</uuid>";
    let define = |devices: &str| {
        stage
            .host
            .define(&Domain::new("risky").element(uuid).device(devices));
    };
    define(&driver("cache='writeback' io='threads'"));
    checked(stage, &[]).has(
        "the disks of risky",
        "warn",
        "vda cache is not none and io is not native and discard",
    );
    define("<disk type='file'><source file='/dev/storpool/x'/><target dev='vda' bus='virtio'/></disk>");
    checked(stage, &[]).has("the disks of risky", "fail", "only as type='block': vda");
    define(&driver("cache='none' io='native' discard='unmap'"));
    let now = checked(stage, &[]);
    assert!(
        now.findings
            .iter()
            .all(|(what, _, _)| what != "the disks of risky")
    );
    let _ = stage.host.virsh(&["undefine", "risky"]).ok();
}

fn silent(stage: &mut Stage) {
    let daemon = stage.host.libvirtd_pid().unwrap();
    process::signal(daemon, Signal::SIGSTOP);
    let found = checked(stage, &[]);
    process::signal(daemon, Signal::SIGCONT);
    found.has("the disks of domains", "warn", "libvirt does not answer");
    found.has(
        "that libvirt looks into qemu.d",
        "warn",
        "libvirt does not answer",
    );
    found.has("that StorPool answers", "pass", "");
    stage.nothing_is_left();
}
