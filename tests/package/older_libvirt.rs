// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The two lines for a libvirt that has no `qemu.d`, beside a script that was there before.

use spvirt_rig::{Host, Suite};

use crate::stage::{LINK, Stage, shell};

/// What the package brings.
const SHIPPED: &str = "/usr/share/doc/spvirt/examples/qemu";
/// The script of the site, where the documents say to put it. It refuses domains named "bad", and keeps the XML.
const SITE: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>/var/tmp/site.log
cat >"/var/tmp/site-$2.xml"
[ "$1-$2" != bad-prepare ]
"#;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite.shared(
        "libvirt without qemu.d: two lines, and the site's own script",
        two_lines,
    )
}

fn two_lines(stage: &mut Stage) {
    stage.installed();
    let host = &stage.a;
    let _ = shell(host, &format!("rm {LINK}"));
    host.write("/etc/libvirt/hooks/qemu.site", SITE);
    let _ = shell(
        host,
        &format!("chmod 755 /etc/libvirt/hooks/qemu.site && install {SHIPPED} /etc/libvirt/hooks/qemu"),
    );
    stage.domain("old");
    stage.start("old");
    let xml = host.read("/var/tmp/site-prepare.xml").expect("the site's XML");
    assert!(
        xml.contains("/dev/storpool/old") && xml.ends_with("</domain>\n"),
        "{xml}"
    );
    stage.stop(host, "old");
    let calls = host.read("/var/tmp/site.log").expect("the site's calls");
    for call in ["old prepare begin", "old started begin", "old release end"] {
        assert!(calls.contains(call), "{calls}");
    }
    // Its refusal counts, and what was attached by then is detached.
    stage.domain("bad");
    let _ = host.virsh(&["start", "bad"]).failed();
    assert_eq!(stage.attached(host), [] as [&str; 0]);
    // Ours counts too, with our words.
    stage.domain("gone");
    let _ = stage
        .cluster
        .control("api/VolumeDelete/gone", Some(&serde_json::json!({})));
    let refused = host.virsh(&["start", "gone"]).failed();
    assert!(refused.stderr.contains("spvirt: hosta: gone:"), "{refused}");
    reconnects(stage);
    // The program is gone, the script is not: domains that are none of ours start.
    let _ = shell(host, "mv /usr/sbin/spvirt-hook /usr/sbin/spvirt-hook.away");
    let plain = spvirt_rig::Domain::new("diskless");
    host.define(&plain);
    let _ = host.virsh(&["start", "diskless"]).ok();
    let _ = host.virsh(&["destroy", "diskless"]).ok();
    let _ = shell(host, "mv /usr/sbin/spvirt-hook.away /usr/sbin/spvirt-hook");
    put_back(host);
}

/// A running domain survives libvirtd through the two lines too.
fn reconnects(stage: &Stage) {
    stage.domain("lasting");
    stage.start("lasting");
    let qemu = stage.a.qemu_pid("lasting");
    stage.a.libvirtd_stop();
    stage.a.libvirtd_start();
    assert_eq!(stage.a.qemu_pid("lasting"), qemu, "the same QEMU");
    stage.stop(&stage.a, "lasting");
}

fn put_back(host: &Host) {
    let back = "rm /etc/libvirt/hooks/qemu /etc/libvirt/hooks/qemu.site /var/tmp/site*";
    let _ = shell(host, &format!("{back} && ln -s /usr/sbin/spvirt-hook {LINK}"));
}
