// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt rewrite --all`.

use std::fmt::Write as _;

use spvirt_rig::{Domain, Suite};

use crate::acts::on;
use crate::rewriting::forget;
use crate::stage::Stage;

/// The cases of this file, each on a host that has no other domains.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .case(
            "all domains are shown, then defined, with one request",
            all_domains,
        )
        .case("500 domains take one request, and show how far it is", many)
}

fn all_domains() {
    let stage = Stage::new();
    let names = ["all-1", "all-2", "all-3"];
    stage.volumes(&names);
    for name in names {
        stage.host.define(&on(name, &[name]));
    }
    stage.host.define(&on("all-4", &["no-such-volume"]));
    stage.host.define(&Domain::new("all-5"));
    stage.forget();
    let before = stage.definition("all-1");
    let shown = stage
        .spvirt_rewrites(&["rewrite", "--to", "by-id", "--all"])
        .failed();
    assert!(
        shown
            .stdout
            .contains("5 domains: 3 would change, 2 need no change\n"),
        "{shown}"
    );
    assert!(
        shown
            .stdout
            .ends_with("Nothing was changed: say --define to do it.\n"),
        "{shown}"
    );
    assert!(
        shown
            .stderr
            .contains("all-4: vda: volume \"no-such-volume\" is not known to StorPool"),
        "{shown}"
    );
    // What is no volume may be a snapshot.
    assert_eq!(stage.calls(), ["VolumesList", "Snapshot"]);
    assert_eq!(stage.definition("all-1"), before);
    let json = stage
        .spvirt_rewrites(&["rewrite", "--to", "by-id", "--all", "--define", "--json"])
        .failed();
    let lines: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let results: Vec<_> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["result"].as_str().unwrap())
        .collect();
    assert_eq!(
        results,
        ["defined", "defined", "defined", "unchanged", "unchanged"]
    );
    assert_eq!(lines[3]["left"], true);
    for name in names {
        assert!(stage.definition(name).contains(&stage.by_id(name)));
    }
    let missing = stage
        .spvirt_rewrites(&["rewrite", "--tune", "all-1", "nobody"])
        .failed();
    assert!(
        missing
            .stderr
            .contains("libvirt knows no domain with the name or UUID \"nobody\""),
        "{missing}"
    );
    assert!(
        stage.definition("all-1").contains("discard='unmap'"),
        "the others are done"
    );
    for name in names.iter().chain(&["all-4", "all-5"]) {
        forget(&stage, name);
    }
    stage.nothing_is_left();
}

#[allow(clippy::print_stdout)] // where the time went, for who asks
fn many() {
    const COUNT: usize = 500;
    let stage = Stage::new();
    // Tiny, and on two volumes: what takes time is libvirt.
    stage.volumes(&["flood-a", "flood-b"]);
    let mut commands = String::new();
    for number in 0..COUNT {
        let path = format!("/run/rig/many/{number}.xml");
        let volume = ["flood-a", "flood-b"][number % 2];
        stage
            .host
            .write(&path, on(&format!("many{number}"), &[volume]).xml());
        writeln!(commands, "define {path}").unwrap();
    }
    stage.host.write("/run/rig/many/define", commands);
    let define = "virsh -q -c qemu:///system < /run/rig/many/define > /dev/null";
    let _ = stage.host.exec(&["sh", "-c", define]).ok();
    stage.forget();
    // With a terminal, which `script` gives it.
    let command = "spvirt --debug rewrite --to by-id --all --define";
    let began = std::time::Instant::now();
    let shown = stage
        .host
        .exec(&["script", "--quiet", "--return", "--command", command, "/dev/null"])
        .ok()
        .stdout;
    let elapsed = began.elapsed();
    assert_eq!(stage.calls(), ["VolumesList"]);
    assert!(shown.contains("\x1b[K250 read: "), "{shown}");
    assert!(shown.contains("\x1b[K250 rewritten: "), "{shown}");
    assert!(shown.contains("500 domains: 500 defined"), "{shown}");
    let waited = shown.lines().find(|line| line.contains("libvirt: ")).unwrap();
    println!(
        "       500 domains in {} ms; {}",
        elapsed.as_millis(),
        waited.trim()
    );
    assert!(stage.definition("many499").contains(&stage.by_id("flood-b")));
    let _ = stage
        .host
        .exec(&[
            "sh",
            "-c",
            "sed -i 's/^define .*many.\\([0-9]*\\).xml/undefine many\\1/' /run/rig/many/define",
        ])
        .ok();
    let _ = stage.host.exec(&["sh", "-c", define]).ok();
    let _ = stage
        .host
        .exec(&["rm", "-rf", "/var/lib/spvirt/backup", "/run/rig/many"])
        .ok();
    stage.nothing_is_left();
}
