// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Random lives of domains on three hosts, in which everything may happen that the scenarios have, together.

use spvirt::config::Takeover;
use spvirt::volume::Access::{Ro, Rw};

use crate::search::{Seen, holds};
use crate::story::What::*;
use crate::story::{Stage, id, name, shared};

/// Stories of each kind.
const STORIES: u32 = 1000;

/// Two domains that exclude each other on volume 1, two that share 2, one that reads 3 which another writes, and
/// two that read a snapshot.
fn everything(policy: Takeover) -> Stage {
    let domains = vec![
        vec![name(1, Rw), id(4, Rw)],
        // By another name under `always`, a start between the `prepare` of another domain of this host and its
        // QEMU would be told from it only after the attach, and that would give the other one back what was taken
        // from it by force.
        vec![if policy == Takeover::Always {
            name(1, Rw)
        } else {
            id(1, Rw)
        }],
        vec![shared(name(2, Rw)), shared(name(3, Ro)), name(5, Ro)],
        vec![shared(id(2, Rw)), name(5, Ro)],
        vec![shared(name(3, Rw))],
    ];
    let mut stage = Stage::new(3, domains);
    stage.volumes = 6;
    stage.snapshots = vec![5];
    stage.policy = policy;
    stage.length = 1..120;
    stage.menu = vec![(Go, 120, u32::MAX)];
    stage.menu.extend([
        (Wait, 4, u32::MAX),
        (Start, 12, u32::MAX),
        (Stop, 4, u32::MAX),
        (StopStuck, 2, 2),
        (Unstuck, 2, 2),
        (Kill, 2, u32::MAX),
        (KillInFlight, 4, 2),
        (Refused, 1, u32::MAX),
        (ReplyLost, 1, u32::MAX),
        (Repeated, 1, u32::MAX),
        (Late, 2, 3),
        (Arrives, 3, u32::MAX),
        (Daemon, 2, u32::MAX),
        (Host, 1, u32::MAX),
        (Cut, 1, u32::MAX),
        (ClientRestart, 1, u32::MAX),
        (Reconcile, 3, u32::MAX),
        (Hand, 1, u32::MAX),
        (HotPlug, 4, u32::MAX),
        (Probe, 2, u32::MAX),
        (Rename, 1, 1),
        (Migrate, 16, u32::MAX),
        (MigrateSelf, 1, u32::MAX),
        (MigrateFails, 1, u32::MAX),
        (MigrateOffline, 1, u32::MAX),
        (Abort, 3, u32::MAX),
        (Split, 4, u32::MAX),
        (ConfirmStuck, 4, 2),
        (Resume, 4, u32::MAX),
    ]);
    stage
}

/// Stories in which nothing happens prove nothing. (A domain is seldom resumed here; c4 has that.)
fn got_somewhere(stage: &Stage, seen: &Seen, outcomes: &[&str]) {
    let events = stage.menu.iter().map(|(what, ..)| format!("{what:?}"));
    let events = events.filter(|what| !matches!(what.as_str(), "Go" | "Wait" | "Resume"));
    for what in events.chain(outcomes.iter().map(ToString::to_string)) {
        assert!(seen.contains_key(&what), "never: {what}; {seen:?}");
    }
    println!("{seen:?}");
}

/// What comes of these lives.
const OUTCOMES: &[&str] = &[
    "runs",
    "runs beside another domain",
    "migrated",
    "split",
    "the source could not be killed",
    "refused",
    "left claims",
    "found a claim that is being released",
    "was busy",
    "did not get a lock",
    "was an orphan",
];

#[test]
fn with_policy_safe() {
    let stage = everything(Takeover::Safe);
    let seen = holds(&stage, STORIES);
    got_somewhere(&stage, &seen, OUTCOMES);
    got_somewhere(&stage, &seen, &["took over", "took over by force"]);
}

#[test]
fn with_policy_never() {
    let stage = everything(Takeover::Never);
    let seen = holds(&stage, STORIES);
    got_somewhere(&stage, &seen, OUTCOMES);
    assert!(!seen.contains_key("took over") && !seen.contains_key("took over by force"));
}

#[test]
fn with_policy_always() {
    let stage = everything(Takeover::Always);
    let seen = holds(&stage, STORIES);
    got_somewhere(&stage, &seen, OUTCOMES);
    got_somewhere(&stage, &seen, &["took over by force"]);
}

#[test]
fn with_a_server_of_other_habits() {
    let mut stage = everything(Takeover::Safe);
    stage.piecemeal = true;
    stage.absent_is_error = true;
    let seen = holds(&stage, STORIES);
    got_somewhere(&stage, &seen, OUTCOMES);
}
