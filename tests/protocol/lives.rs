// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Random lives of domains on three hosts, in which everything may happen that the scenarios have, together.

use spvirt::config::Takeover;
use spvirt::volume::Access::{Ro, Rw};

use crate::search::holds;
use crate::story::What::*;
use crate::story::{Stage, id, name, shared};

/// Stories of each kind.
const STORIES: u32 = 1500;

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
    stage.length = 1..90;
    stage.menu.extend([
        (Wait, 4, u32::MAX),
        (Start, 10, u32::MAX),
        (Stop, 6, u32::MAX),
        (StopStuck, 1, 2),
        (Unstuck, 1, 2),
        (Kill, 2, u32::MAX),
        (KillInFlight, 1, 2),
        (Refused, 1, u32::MAX),
        (ReplyLost, 1, u32::MAX),
        (Repeated, 1, u32::MAX),
        (Late, 1, 3),
        (Arrives, 2, u32::MAX),
        (Daemon, 2, u32::MAX),
        (Host, 2, u32::MAX),
        (Cut, 2, u32::MAX),
        (ClientRestart, 1, u32::MAX),
        (Reconcile, 3, u32::MAX),
        (Hand, 1, u32::MAX),
        (HotPlug, 1, u32::MAX),
        (Probe, 2, u32::MAX),
        (Rename, 1, 1),
        (Migrate, 8, u32::MAX),
        (MigrateSelf, 1, u32::MAX),
        (MigrateFails, 1, u32::MAX),
        (MigrateOffline, 1, u32::MAX),
        (Abort, 1, u32::MAX),
        (Split, 1, u32::MAX),
        (ConfirmStuck, 1, 2),
        (Resume, 1, u32::MAX),
    ]);
    stage
}

#[test]
fn with_policy_safe() {
    holds(&everything(Takeover::Safe), STORIES);
}

#[test]
fn with_policy_never() {
    holds(&everything(Takeover::Never), STORIES);
}

#[test]
fn with_policy_always() {
    holds(&everything(Takeover::Always), STORIES);
}

#[test]
fn with_a_server_of_other_habits() {
    let mut stage = everything(Takeover::Safe);
    stage.piecemeal = true;
    stage.absent_is_error = true;
    holds(&stage, STORIES);
}
