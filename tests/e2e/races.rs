// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Two hosts start one domain at the same moment, over and over: at most one runs, one does, and the loser takes
//! back nothing but its own.

use std::time::Duration;

use spvirt_rig::{Domain, Guest, Host, Output, Suite};

use crate::stage::Stage;

const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(40);

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("race: two hosts start one domain, safe", safe)
        .shared("race: two hosts start one domain, never", never)
}

fn safe(stage: &mut Stage) {
    race(stage, "racea", "SPVIRT_TAKEOVER=safe\n", ROUNDS, true);
}

/// Under `never` both may refuse: each has seen the other.
fn never(stage: &mut Stage) {
    race(stage, "raceb", "SPVIRT_TAKEOVER=never\n", 3, false);
}

fn race(stage: &mut Stage, domain: &str, settings: &str, rounds: usize, one_must_run: bool) {
    let other = stage.cluster.host("hostb", 2);
    stage.cluster.volume(domain, 1, Guest::Idle);
    let xml = Domain::new(domain)
        .element("<uuid>5eed0000-0000-4000-8000-00000000ace0</uuid>")
        .disk(&format!("/dev/storpool/{domain}"));
    stage.settings(settings);
    other.write(
        "/etc/storpool.conf.d/spvirt.conf",
        format!("SPVIRT_DEADLINE=15\n{settings}"),
    );
    for host in [&stage.host, &other] {
        host.define(&xml);
    }
    for round in 0..rounds {
        stage.forget();
        let starts = [&stage.host, &other].map(|host| host.virsh_spawn(&["start", domain]));
        let outputs = starts.map(|start| start.wait(PATIENCE));
        let winners = outputs.iter().filter(|output| output.code == 0).count();
        assert!(winners <= 1, "round {round}: {outputs:?}");
        assert!(winners == 1 || !one_must_run, "round {round}: {outputs:?}");
        for (host, output) in [(&stage.host, &outputs[0]), (&other, &outputs[1])] {
            is_consistent(stage, host, domain, output);
        }
        for host in [&stage.host, &other] {
            let _ = host.virsh(&["destroy", domain]);
            assert_eq!(stage.attached_to(host.client()), [""; 0], "round {round}");
            assert!(host.claims().is_empty(), "round {round}");
        }
        stage.nothing_is_left();
    }
    stage.settings("");
    for host in [&stage.host, &other] {
        let _ = host.virsh(&["undefine", domain]).ok();
    }
}

/// The winner runs, has the volume and a live claim; the loser has nothing and says who won.
#[track_caller]
fn is_consistent(stage: &Stage, host: &Host, domain: &str, output: &Output) {
    let name = host.name();
    let attached = stage.attached_to(host.client());
    let phases: Vec<_> = host
        .claims()
        .values()
        .map(|claim| claim["phase"].clone())
        .collect();
    if output.code == 0 {
        assert_eq!(host.state(domain).as_deref(), Some("running"), "{name}");
        assert_eq!(attached, [format!("{domain} rw")], "{name}");
        assert_eq!(phases, ["live"], "{name}");
    } else {
        assert_eq!(host.state(domain).as_deref(), Some("shut off"), "{name}");
        assert_eq!(
            (attached.len(), phases.len()),
            (0, 0),
            "{name}: {attached:?} {phases:?}"
        );
        let other = if host.client() == 1 {
            "client 2"
        } else {
            "client 1"
        };
        assert!(output.stderr.contains(other), "{output}");
    }
}
