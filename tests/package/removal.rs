// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Away with it, and back again.

use spvirt_rig::Suite;

use crate::stage::{CLAIMS, LINK, SOON, Stage, dpkg, reloads, shell, status};

/// Everything of ours that may be on a host, but for the two packages that the tests have put there.
const TRACES: &str = "find / -xdev \\( -path /proc -o -path /sys \\) -prune -o \
    \\( -name '*spvirt*' -o -name '50-storpool' -o -name qemu.d \\) -print; ls -d /run/spvirt 2>/dev/null || true";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("remove and purge are refused while a domain runs", refused)
        .shared("remove: the link goes before the program", link_first)
        .shared("remove: what a crash has left is finished first", finishes)
        .shared("remove and install again: libvirtd reloads", again)
        .shared("install where virtqemud runs: it reloads", virtqemud)
        .shared("install where there is no procps", without_procps)
        .shared("purge is refused while a claim's domain lives", purge_refused)
        .shared("purge leaves nothing", purge)
}

fn refused(stage: &mut Stage) {
    stage.running("holds");
    for how in ["--remove", "--purge"] {
        let output = dpkg(&stage.a, &[how, "spvirt"]).failed();
        assert!(output.stderr.contains("\n    holds\n"), "{output}");
        assert_eq!(status(&stage.a), "installed", "after {how}");
    }
    assert_eq!(
        shell(&stage.a, &format!("readlink {LINK}")),
        "/usr/sbin/spvirt-hook\n"
    );
    assert_eq!(stage.a.state("holds").as_deref(), Some("running"));
    stage.stop(&stage.a, "holds");
}

/// Between dpkg's first script and its first deletion, and back.
fn link_first(stage: &mut Stage) {
    stage.installed();
    let exists = format!("for f in {LINK} /usr/sbin/spvirt-hook; do [ -e $f ] && echo $f; done; true");
    let _ = shell(&stage.a, "sh -e /var/lib/dpkg/info/spvirt.prerm remove");
    assert_eq!(shell(&stage.a, &exists), "/usr/sbin/spvirt-hook\n");
    let _ = shell(&stage.a, "sh -e /var/lib/dpkg/info/spvirt.postinst abort-remove");
    assert_eq!(
        shell(&stage.a, &exists),
        format!("{LINK}\n/usr/sbin/spvirt-hook\n")
    );
}

/// QEMU has died with libvirtd away: the claim and the attachment are there, the domain is not.
fn finishes(stage: &mut Stage) {
    stage.running("died");
    let _ = shell(&stage.a, &format!("mv {LINK} /root/link"));
    let _ = stage.a.virsh(&["destroy", "died"]).ok();
    let _ = shell(&stage.a, &format!("mv /root/link {LINK}"));
    assert_eq!(stage.attached(&stage.a), ["died"]);
    let _ = dpkg(&stage.a, &["--remove", "spvirt"]).ok();
    assert_eq!(stage.attached(&stage.a), [] as [&str; 0]);
    assert!(stage.a.claims().is_empty());
}

fn again(stage: &mut Stage) {
    stage.installed();
    let _ = dpkg(&stage.a, &["--remove", "spvirt"]).ok();
    assert_eq!(status(&stage.a), "config-files");
    assert_eq!(shell(&stage.a, "ls /etc/storpool.conf.d"), "spvirt.conf\n");
    let before = (stage.a.libvirtd_pid(), reloads(&stage.a));
    let _ = Stage::install(&stage.a, "older");
    let after = (stage.a.libvirtd_pid(), reloads(&stage.a));
    assert_eq!(after, (before.0, before.1 + 1), "libvirtd, reloads");
    stage.domain("again");
    stage.start("again");
    stage.stop(&stage.a, "again");
}

/// A host with a daemon for each driver, as far as a package's scripts can see it.
fn virtqemud(stage: &mut Stage) {
    stage.installed();
    let host = &stage.a;
    let _ = dpkg(host, &["--remove", "spvirt"]).ok();
    host.write(
        "/run/systemd/system/virtqemud.service",
        "[Service]\nExecStart=/usr/bin/sleep infinity\nExecReload=/usr/bin/touch /run/virtqemud-has-reloaded\n",
    );
    let unit = "systemctl daemon-reload; systemctl start virtqemud; systemctl show -p MainPID virtqemud";
    let daemon = shell(host, unit);
    // A libvirtd that does not run is left alone.
    host.libvirtd_stop();
    let said = Stage::install(host, "older");
    assert!(
        said.stdout.contains("Telling virtqemud") && !said.stdout.contains("libvirtd"),
        "{said}"
    );
    assert_eq!(host.libvirtd_pid(), None);
    let _ = shell(host, "rm /run/virtqemud-has-reloaded");
    assert_eq!(shell(host, "systemctl show -p MainPID virtqemud"), daemon);
    let away = "systemctl stop virtqemud; rm /run/systemd/system/virtqemud.service; systemctl daemon-reload";
    let _ = shell(host, away);
    host.libvirtd_start();
}

/// The unit of libvirtd's reloads with a program that a small Debian need not have.
fn without_procps(stage: &mut Stage) {
    stage.installed();
    let _ = dpkg(&stage.a, &["--remove", "spvirt"]).ok();
    // libvirtd forgets that there were hooks.
    let _ = shell(
        &stage.a,
        "systemctl reload libvirtd && mv /bin/kill /bin/kill.away",
    );
    stage.domain("small");
    stage.a.wait_for("the hook is forgotten", SOON, || {
        stage.a.virsh(&["start", "small"]).code != 0
    });
    let daemon = stage.a.libvirtd_pid();
    let _ = Stage::install(&stage.a, "older");
    let _ = shell(&stage.a, "mv /bin/kill.away /bin/kill");
    stage.start("small");
    assert_eq!(stage.a.libvirtd_pid(), daemon, "the same libvirtd");
    stage.stop(&stage.a, "small");
}

/// As after a removal by force, or with the programs gone for another reason.
fn purge_refused(stage: &mut Stage) {
    stage.running("last");
    let files = stage
        .a
        .exec(&["sh", "-c", &format!("cp -a {CLAIMS} /root/claims")]);
    let _ = files.ok();
    stage.stop(&stage.a, "last");
    let _ = dpkg(&stage.a, &["--remove", "spvirt"]).ok();
    let uuid = stage.a.virsh(&["domuuid", "last"]).ok().stdout;
    let uuid = format!("<uuid>{}</uuid>", uuid.trim());
    let _ = stage.a.virsh(&["undefine", "last"]).ok();
    let lives = spvirt_rig::Domain::new("last").element(&uuid);
    let _ = stage.a.virsh(&["create", &stage.a.put(&lives)]).ok();
    let _ = shell(&stage.a, &format!("cp -a /root/claims/. {CLAIMS}/"));
    let output = dpkg(&stage.a, &["--purge", "spvirt"]).failed();
    assert!(output.stderr.contains("\n    last\n"), "{output}");
    assert!(!stage.a.claims().is_empty(), "the claim is still there");
    let _ = stage.a.virsh(&["destroy", "last"]).ok();
    let _ = dpkg(&stage.a, &["--purge", "spvirt"]).ok();
    let _ = shell(&stage.a, "rm -r /root/claims");
    assert_eq!(status(&stage.a), "");
    assert_eq!(shell(&stage.a, TRACES), "");
}

fn purge(stage: &mut Stage) {
    stage.running("ended");
    stage.stop(&stage.a, "ended");
    let daemon = stage.a.libvirtd_pid();
    let _ = dpkg(&stage.a, &["--purge", "spvirt"]).ok();
    assert_eq!(status(&stage.a), "");
    assert_eq!(shell(&stage.a, TRACES), "");
    assert_eq!(stage.a.libvirtd_pid(), daemon, "the same libvirtd");
    // And libvirtd goes on without: what is not StorPool's starts, what is does not.
    let plain = spvirt_rig::Domain::new("other");
    stage.a.define(&plain);
    let _ = stage.a.virsh(&["start", "other"]).ok();
    let _ = stage.a.virsh(&["destroy", "other"]).ok();
    let _ = stage.a.virsh(&["start", "ended"]).failed();
}
