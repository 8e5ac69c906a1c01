// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What is offered at TAB where there are domains and volumes.

use spvirt_rig::{Domain, Guest, Suite};

use crate::stage::Stage;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("a shell is offered the domains there are", domains)
        .shared("a shell is offered the volumes there are", volumes)
}

/// What the script of bash asks at TAB behind `words`, the last of which is being typed.
fn offered(stage: &Stage, words: &[&str]) -> Vec<String> {
    let index = format!("_CLAP_COMPLETE_INDEX={}", words.len() - 1);
    let asks = [
        "env",
        "SPVIRT_COMPLETE=bash",
        &index,
        "_CLAP_IFS=\n",
        "spvirt",
        "--",
    ];
    let output = stage.host.exec(&[&asks, words].concat()).ok();
    assert_eq!(output.stderr, "");
    output.stdout.lines().map(str::to_owned).collect()
}

fn domains(stage: &mut Stage) {
    for name in ["tab-one", "tab-two", "other"] {
        stage.host.define(&Domain::new(name));
    }
    assert_eq!(
        offered(stage, &["spvirt", "takeover", "tab-"]),
        ["tab-one", "tab-two"]
    );
    assert_eq!(offered(stage, &["spvirt", "explain", "oth"]), ["other"]);
    // Nobody who is typing wants to read an error.
    stage.host.libvirtd_stop();
    assert_eq!(offered(stage, &["spvirt", "takeover", "tab-"]), [""; 0]);
    stage.host.libvirtd_start();
    for name in ["tab-one", "tab-two", "other"] {
        let _ = stage.host.virsh(&["undefine", name]).ok();
    }
}

fn volumes(stage: &mut Stage) {
    for name in ["tab-root", "tab-data"] {
        stage.cluster.volume(name, 1, Guest::None);
    }
    let id = stage.cluster.global_id("tab-root");
    let offered = |typed: &str| offered(stage, &["spvirt", "xml", "disk", typed]);
    let mut names = offered("tab-");
    names.sort();
    assert_eq!(names, ["tab-data", "tab-root"]);
    assert_eq!(offered(&format!("~{id}")), [format!("~{id}")]);
    assert_eq!(offered("/dev/storpool/tab-r"), ["/dev/storpool/tab-root"]);
    assert_eq!(
        offered(&format!("/dev/storpool-byid/{id}")),
        [format!("/dev/storpool-byid/{id}")]
    );
    stage.cluster.fault("*", "refuse", 9);
    assert_eq!(offered("tab-"), [""; 0]);
    stage.cluster.clear_faults();
    // What is offered is taken, in every form, and Cinder's too.
    let uuid = "c0ffee00-0000-4000-8000-0000000000c1";
    for (named, path) in [
        ("tab-root", "/dev/storpool/tab-root".to_owned()),
        (&format!("~{id}"), format!("/dev/storpool-byid/{id}")),
        ("/dev/storpool/tab-root", "/dev/storpool/tab-root".to_owned()),
        (
            &format!("cinder:{uuid}"),
            format!("/dev/storpool/os--volume-{uuid}"),
        ),
    ] {
        let printed = stage.host.exec(&["spvirt", "xml", "disk", named]).ok().stdout;
        assert!(printed.contains(&format!("'{path}'")), "{named}: {printed}");
    }
    let refused = stage.host.exec(&["spvirt", "xml", "disk", "/dev/sda"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("not a StorPool device"), "{refused}");
}
