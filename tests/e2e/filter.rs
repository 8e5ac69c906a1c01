// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The filter: migrations between hosts whose paths differ, restores of images whose names are of yesterday.

use std::os::unix::fs::PermissionsExt as _;

use spvirt_rig::{Domain, Guest, Host, Suite};

use crate::stage::Stage;

/// What another tool does to XML, as every one that uses Python's own parser does: names of namespaces, quotes and
/// comments are gone.
const MANGLE: &str = "#!/usr/bin/python3\n\
    import sys, xml.etree.ElementTree as tree\n\
    document = tree.parse(sys.stdin.buffer)\n\
    if sys.argv[2] in ('migrate', 'restore'):\n    \
        document.write(sys.stdout.buffer)\n";
const MANGLER: &str = "/etc/libvirt/hooks/qemu.d/10-mangle";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared(
            "a migration between hosts that name volumes otherwise",
            |stage: &mut Stage| {
                migrations(stage, false);
            },
        )
        .shared(
            "the same after another hook has mangled the XML",
            |stage: &mut Stage| {
                migrations(stage, true);
            },
        )
        .shared("a restore by id of an image with names", restore_by_id)
        .shared(
            "a restore by name of an image with ids, renamed since",
            restore_of_renamed,
        )
        .shared("a filter that fails changes nothing and stops nothing", fails)
}

fn settings(host: &Host, lines: &str) {
    host.write(
        "/etc/storpool.conf.d/spvirt.conf",
        format!("SPVIRT_DEADLINE=15\n{lines}"),
    );
}

#[track_caller]
fn live(host: &Host, domain: &str) -> String {
    host.virsh(&["dumpxml", domain]).ok().stdout
}

#[track_caller]
fn migrate(from: &Host, to: &Host, domain: &str) {
    let uri = format!("qemu+tcp://{}/system", to.name());
    let _ = from.virsh(&["migrate", "--live", domain, &uri]).ok();
    assert_eq!(to.state(domain).as_deref(), Some("running"));
}

/// libvirt says so of a domain whose XML a hook has changed.
fn is_tainted(host: &Host, domain: &str) -> bool {
    let log = host
        .read(&format!("/var/log/libvirt/qemu/{domain}.log"))
        .unwrap_or_default();
    log.contains("is tainted: hook-script")
}

fn mangle(host: &Host) {
    host.write(MANGLER, MANGLE);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(host.path(MANGLER), mode).unwrap();
}

fn migrations(stage: &mut Stage, mangled: bool) {
    let other = stage.cluster.host("hostb", 2);
    if mangled {
        mangle(&stage.host);
        mangle(&other);
    }
    let name = if mangled { "mangled" } else { "goes" };
    stage.cluster.volume(name, 1, Guest::Idle);
    stage.host.define(
        &Domain::new(name)
            .element("<metadata><app:x xmlns:app='urn:app'>&lt;y/&gt;</app:x></metadata>")
            .disk_with(&format!("/dev/storpool/{name}"), "<serial>S1</serial>"),
    );
    let (by_name, by_id) = (format!("/dev/storpool/{name}"), stage.by_id(name));
    stage.start(name);

    settings(&other, "SPVIRT_FILTER=by-id tune\n");
    stage.forget();
    migrate(&stage.host, &other, name);
    let there = live(&other, name);
    assert!(there.contains(&by_id) && !there.contains(&by_name), "{there}");
    assert!(
        there.contains("discard='unmap'") && there.contains("<serial>S1</serial>"),
        "{there}"
    );
    assert!(there.contains("urn:app"), "{there}");
    assert!(
        stage.calls().contains(&"Volume".to_owned()),
        "{:?}",
        stage.calls()
    );
    assert_eq!(stage.attached_to(2), [format!("{name} rw")]);
    assert!(is_tainted(&other, name));

    stage.settings("SPVIRT_FILTER=by-name\n");
    migrate(&other, &stage.host, name);
    let here = live(&stage.host, name);
    assert!(here.contains(&by_name) && !here.contains(&by_id), "{here}");

    // Nothing to change: nothing is printed, or libvirt would call it tainted.
    if !mangled {
        let _ = other
            .exec(&["rm", "-f", &format!("/var/log/libvirt/qemu/{name}.log")])
            .ok();
        settings(&other, "SPVIRT_FILTER=by-name,tune\n");
        migrate(&stage.host, &other, name);
        assert!(live(&other, name).contains(&by_name));
        assert!(!is_tainted(&other, name));
        migrate(&other, &stage.host, name);
    }
    stage.destroy(name);
    assert_eq!(stage.attached_to(2), [""; 0]);
    let _ = stage.host.exec(&["rm", "-f", MANGLER]).ok();
    stage.settings("");
    stage.nothing_is_left();
}

fn restore_by_id(stage: &mut Stage) {
    stage.domain("preserved", Guest::Idle);
    stage.start("preserved");
    let _ = stage
        .host
        .virsh(&["save", "preserved", "/var/tmp/preserved"])
        .ok();
    stage.is_off("preserved");
    stage.settings("SPVIRT_FILTER=by-id\n");
    let _ = stage.host.virsh(&["restore", "/var/tmp/preserved"]).ok();
    let here = live(&stage.host, "preserved");
    assert!(here.contains(&stage.by_id("preserved")), "{here}");
    stage.settings("");
    stage.destroy("preserved");
    stage.nothing_is_left();
}

fn restore_of_renamed(stage: &mut Stage) {
    stage.cluster.volume("yesterday", 1, Guest::Idle);
    // The domain's own word, against that of the host.
    let metadata = "<metadata><s:domain xmlns:s='urn:spvirt:domain:1' filter='by-name'/></metadata>";
    let domain = Domain::new("image2")
        .element(metadata)
        .disk(&stage.by_id("yesterday"));
    stage.host.define(&domain);
    stage.start("image2");
    let _ = stage.host.virsh(&["save", "image2", "/var/tmp/image2"]).ok();
    stage.is_off("image2");
    stage.cluster.rename("yesterday", "today");
    stage.settings("SPVIRT_FILTER=tune\n");
    let _ = stage.host.virsh(&["restore", "/var/tmp/image2"]).ok();
    let here = live(&stage.host, "image2");
    assert!(
        here.contains("'/dev/storpool/today'") && !here.contains("discard="),
        "{here}"
    );
    stage.only_attached(&["today rw"]);
    stage.settings("");
    stage.destroy("image2");
    stage.nothing_is_left();
}

fn fails(stage: &mut Stage) {
    stage.domain("stubborn", Guest::Idle);
    stage.start("stubborn");
    let save = |stage: &Stage| {
        let _ = stage.host.virsh(&["save", "stubborn", "/var/tmp/stubborn"]).ok();
        stage.is_off("stubborn");
    };
    save(stage);
    stage.settings("SPVIRT_FILTER=by-id\n");
    // StorPool's answer is nonsense for the filter, and good for the start.
    for fault in ["garbage", "hang-before"] {
        stage.cluster.fault("Volume", fault, 1);
        let _ = stage.host.virsh(&["restore", "/var/tmp/stubborn"]).ok();
        let here = live(&stage.host, "stubborn");
        assert!(here.contains("'/dev/storpool/stubborn'"), "{fault}: {here}");
        stage.cluster.clear_faults();
        save(stage);
    }
    stage.settings("");
    let _ = stage.host.virsh(&["restore", "/var/tmp/stubborn"]).ok();
    stage.destroy("stubborn");
    stage.nothing_is_left();
}
