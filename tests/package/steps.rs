// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What docs/install.md tells to type, typed.

use std::fs;
use std::path::Path;

use spvirt_rig::{Domain, Guest, Suite};

use crate::blocks;
use crate::stage::{SOON, Stage, dpkg};

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite.shared("the document: from a package to a live migration", typed)
}

fn typed(stage: &mut Stage) {
    for host in [&stage.a, &stage.b] {
        let _ = dpkg(host, &["--purge", "spvirt"]).ok();
        let _ = host
            .exec(&["cp", "/root/older.deb", "/root/spvirt_0.1.0_amd64.deb"])
            .ok();
    }
    stage.cluster.volume("web1", 1, Guest::Idle);
    let domain = Domain::new("web1").disk("/dev/storpool/web1");
    stage.a.write("/root/web1.xml", domain.xml());
    for step in steps() {
        let host = if step.host == "hostb" { &stage.b } else { &stage.a };
        // No test host has an ssh server; and as a person would, look again when the daemon is about to reload.
        let command = format!("cd /root && {}", step.command.replace("qemu+ssh:", "qemu+tcp:"));
        let mut said = host.exec(&["sh", "-c", &command]);
        if step.command.starts_with("virsh start") {
            host.wait_for("the hook is known", SOON, || {
                said.code == 0 || {
                    said = host.exec(&["sh", "-c", &command]);
                    said.code == 0
                }
            });
        }
        // What a check of a test host comes to is tested elsewhere.
        let checks = step.command.starts_with("spvirt check");
        let said = if checks { said } else { said.ok() };
        let shown = blocks::missing(&step.shown, &said.stdout);
        assert_eq!(shown, None, "docs/install.md:{}: {said}", step.line);
    }
    assert!(stage.cluster.attachments().is_empty());
    let _ = stage.b.virsh(&["undefine", "web1"]).ok();
    for host in [&stage.a, &stage.b] {
        let _ = host.exec(&["rm", "/root/spvirt_0.1.0_amd64.deb"]).ok();
    }
}

/// The commands of the document.
fn steps() -> Vec<blocks::Step> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md");
    let document = fs::read_to_string(file).expect("the document");
    let steps = blocks::steps(&document.replace("```console package", "```console run"));
    let steps = steps.expect("commands");
    assert!(steps.len() > 10, "{steps:?}");
    steps
}
