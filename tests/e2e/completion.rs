// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What is offered at TAB where there are domains and volumes.

use spvirt_rig::{Domain, Suite};

use crate::stage::Stage;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite.shared("a shell is offered the domains there are", domains)
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
