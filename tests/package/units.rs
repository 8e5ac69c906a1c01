// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The units under the systemd of each Debian, sandboxed as they are.

use spvirt_rig::{Signal, Suite};

use crate::stage::{LINK, SOON, Stage, shell};

/// Settings for what shall give up soon.
const QUICK: &str = "/etc/storpool.conf.d/quick.conf";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("units: enabled, and nothing but the timer is started", enabled)
        .shared("units: the timer's service finishes what is left", reconciles)
        .shared(
            "units: after a power cut, boot starts what autostart could not",
            boots,
        )
        .shared("units: an update starts none of them again", updated)
}

/// A property of a unit.
fn property(stage: &Stage, unit: &str, name: &str) -> String {
    let command = format!("systemctl show --property={name} --value {unit}");
    shell(&stage.a, &command).trim_end().to_owned()
}

fn enabled(stage: &mut Stage) {
    stage.installed();
    for (unit, enabled, active) in [
        ("spvirt-boot.service", "enabled", "inactive"),
        ("spvirt-reconcile.timer", "enabled", "active"),
        ("spvirt-reconcile.service", "static", "inactive"),
    ] {
        assert_eq!(property(stage, unit, "UnitFileState"), enabled, "{unit}");
        assert_eq!(property(stage, unit, "ActiveState"), active, "{unit}");
    }
    let verify = "systemd-analyze verify --man=no spvirt-boot.service spvirt-reconcile.timer spvirt-reconcile.service 2>&1";
    let said = shell(&stage.a, &format!("{verify} | grep spvirt || true"));
    assert_eq!(said, "");
}

/// What a lost call leaves: a claim without a domain.
fn reconciles(stage: &mut Stage) {
    stage.running("unheard");
    let _ = shell(&stage.a, &format!("mv {LINK} /root/link"));
    let _ = stage.a.virsh(&["destroy", "unheard"]).ok();
    let _ = shell(&stage.a, &format!("mv /root/link {LINK}"));
    assert_eq!(stage.attached(&stage.a), ["unheard"]);
    // Somebody else's process has the device open: inside its sandbox the service sees who.
    let hold = "exec setpriv --reuid=libvirt-qemu --clear-groups sleep 600 </dev/storpool/unheard";
    let holder = stage.a.spawn(&["sh", "-c", hold]);
    stage.a.write(QUICK, "SPVIRT_DEADLINE=15\n");
    stage.a.wait_for("the device is open", SOON, || {
        stage.a.exec(&["pgrep", "-xu", "libvirt-qemu", "sleep"]).code == 0
    });
    let _ = stage
        .a
        .exec(&["systemctl", "start", "spvirt-reconcile.service"])
        .failed();
    let log = shell(
        &stage.a,
        "journalctl --sync; journalctl --quiet -u spvirt-reconcile",
    );
    assert!(
        log.contains("still open on this host") && log.contains(", sleep)"),
        "{log}"
    );
    assert_eq!(stage.attached(&stage.a), ["unheard"]);
    holder.signal(Signal::SIGKILL);
    let _ = shell(&stage.a, &format!("rm {QUICK}"));
    let _ = shell(&stage.a, "systemctl start spvirt-reconcile.service");
    assert_eq!(stage.attached(&stage.a), [] as [&str; 0]);
    assert_eq!(property(stage, "spvirt-reconcile.service", "Result"), "success");
}

/// A power cut while a domain runs. In the boot that follows libvirt starts its domains before StorPool answers.
fn boots(stage: &mut Stage) {
    stage.running("wanted");
    let _ = stage.a.virsh(&["autostart", "wanted"]).ok();
    stage.a.write(QUICK, "SPVIRT_DEADLINE=5\n");
    stage
        .cluster
        .fault_forever("*", &serde_json::json!({"kind": "transient"}));
    stage.reboot();
    let log = "journalctl --sync; journalctl --quiet --boot -t spvirt-hook SPVIRT_DOMAIN=wanted";
    stage.a.wait_for("autostart is refused", SOON, || {
        shell(&stage.a, log).contains("]: refused: ")
    });
    assert_eq!(property(stage, "spvirt-boot.service", "SubState"), "running");
    stage.cluster.clear_faults();
    stage.a.wait_for("the domain runs", SOON, || {
        stage.a.state("wanted").as_deref() == Some("running")
    });
    stage.a.wait_for("the unit has done its work", SOON, || {
        property(stage, "spvirt-boot.service", "SubState") == "exited"
    });
    assert_eq!(property(stage, "spvirt-boot.service", "Result"), "success");
    assert_eq!(stage.attached(&stage.a), ["wanted"]);
    let folders = "stat --format '%a %n' /run/spvirt /var/lib/spvirt";
    assert_eq!(shell(&stage.a, folders), "700 /run/spvirt\n700 /var/lib/spvirt\n");
    assert_eq!(property(stage, "spvirt-reconcile.timer", "ActiveState"), "active");
    stage.stop(&stage.a, "wanted");
    let _ = shell(&stage.a, &format!("rm {QUICK}"));
}

/// A domain that somebody has stopped since the boot stays off.
fn updated(stage: &mut Stage) {
    stage.installed();
    let since = property(stage, "spvirt-boot.service", "ExecMainStartTimestampMonotonic");
    let _ = Stage::install(&stage.a, "newer");
    assert_eq!(
        property(stage, "spvirt-boot.service", "ExecMainStartTimestampMonotonic"),
        since
    );
    assert_eq!(property(stage, "spvirt-reconcile.timer", "ActiveState"), "active");
}
