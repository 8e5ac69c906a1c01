// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Another version over the installed one, while domains run.

use spvirt_rig::{Signal, Suite};

use crate::stage::{CLAIMS, LINK, SOON, Stage, shell, version};

/// The file of settings that a person has changed.
const SETTINGS: &str = "/etc/storpool.conf.d/spvirt.conf";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("upgrade: a running domain does not notice", upgrade)
        .shared("upgrade: in the middle of a hook call", in_flight)
        .shared("downgrade: what a newer version wrote is left alone", downgrade)
}

fn upgrade(stage: &mut Stage) {
    stage.running("upgraded");
    let settings = stage.a.read(SETTINGS).expect("the settings");
    stage
        .a
        .write(SETTINGS, format!("{settings}SPVIRT_TAKEOVER=never\n"));
    let link = format!("stat --format '%i %z' {LINK}");
    let before = shell(&stage.a, &link);
    stage.undisturbed("upgraded", || Stage::install(&stage.a, "newer"));
    // Exchanged, it would have a second one beside it for a while, and libvirt would run both.
    assert_eq!(shell(&stage.a, &link), before, "the very same link");
    assert_eq!(
        shell(&stage.a, "dpkg --listfiles spvirt | grep hooks || true"),
        ""
    );
    assert_eq!(version(&stage.a), "0.1.0~test2");
    let kept = stage.a.read(SETTINGS).expect("the settings");
    assert!(kept.ends_with("SPVIRT_TAKEOVER=never\n"), "{kept}");
    stage.a.write(SETTINGS, settings);
    stage.stop(&stage.a, "upgraded");
    stage.domain("after");
    stage.start("after");
    stage.stop(&stage.a, "after");
}

/// The hook waits for a lock while its program is exchanged.
fn in_flight(stage: &mut Stage) {
    stage.running("bystander");
    stage.domain("caught");
    stage
        .a
        .write("/etc/storpool.conf.d/slow.conf", "SPVIRT_DEADLINE=150\n");
    let uuid = stage.a.virsh(&["domuuid", "caught"]).ok().stdout;
    let lock = format!("/run/spvirt/lock/domain-{}.lock", uuid.trim());
    let holder = stage.a.spawn(&["flock", "--close", &lock, "sleep", "600"]);
    stage.a.wait_for("the lock is held", SOON, || {
        stage.a.exec(&["flock", "--nonblock", &lock, "true"]).code != 0
    });
    let mut start = stage.a.virsh_spawn(&["start", "caught"]);
    let hooks = "grep -lx 50-storpool /proc/[0-9]*/comm";
    stage.a.wait_for("the hook runs", SOON, || {
        stage.a.exec(&["sh", "-c", hooks]).code == 0
    });
    stage.undisturbed("bystander", || Stage::install(&stage.a, "newer"));
    assert!(!start.has_ended(), "the hook was in flight");
    let program = shell(
        &stage.a,
        &format!("readlink $(dirname $({hooks} | head -n 1))/exe"),
    );
    assert_eq!(program, "/usr/sbin/spvirt-hook (deleted)\n", "the old program");
    holder.signal(Signal::SIGKILL);
    let _ = start.wait(SOON).ok();
    let _ = shell(&stage.a, "rm /etc/storpool.conf.d/slow.conf");
    let mut attached = stage.attached(&stage.a);
    attached.sort();
    assert_eq!(attached, ["bystander", "caught"]);
    for domain in ["bystander", "caught"] {
        let _ = stage.a.virsh(&["destroy", domain]).ok();
    }
    assert_eq!(stage.attached(&stage.a), [] as [&str; 0]);
}

fn downgrade(stage: &mut Stage) {
    stage.running("newer");
    let _ = Stage::install(&stage.a, "newer");
    let uuid = stage.a.virsh(&["domuuid", "newer"]).ok().stdout;
    let file = format!("{CLAIMS}/{}.json", uuid.trim());
    let claim = stage.a.read(&file).expect("a claim");
    // As a version to come may write it.
    let newer = claim.replacen(
        "\"format\": 1",
        "\"format\": 2,\n  \"more\": [\"than we know\"]",
        1,
    );
    assert_ne!(newer, claim);
    stage.a.write(&file, &newer);
    stage.undisturbed("newer", || {
        let _ = Stage::install(&stage.a, "older");
        let left = stage.a.exec(&["spvirt", "reconcile"]).failed();
        assert!(left.stdout.contains(uuid.trim()), "{left}");
    });
    assert_eq!(version(&stage.a), "0.1.0~test1");
    // Neither a stop nor a reconcile acts on it, or loses it.
    let _ = stage.a.virsh(&["destroy", "newer"]).ok();
    let _ = stage.a.exec(&["spvirt", "reconcile"]).failed();
    assert_eq!(stage.attached(&stage.a), ["newer"]);
    assert_eq!(stage.a.read(&file).as_deref(), Some(newer.as_str()));
    // The newer version comes back and does what is left.
    stage.a.write(&file, claim);
    let _ = Stage::install(&stage.a, "newer");
    let _ = stage.a.exec(&["spvirt", "reconcile"]).ok();
    assert_eq!(stage.attached(&stage.a), [] as [&str; 0]);
}
