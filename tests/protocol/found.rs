// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every mistake is found, on a stage where it should show: a search that finds none would prove nothing.

use spvirt::config::Takeover;
use spvirt::volume::Access::{Ro, Rw};

use crate::mistakes::Mistake;
use crate::scenarios::{hosts, one_host, share};
use crate::search::search;
use crate::story::What::*;
use crate::story::{Stage, Ticket, id, name, shared};

/// So many stories find it, with any seed.
const STORIES: u32 = 5000;

/// Plays stories on a stage where the mistake should show; fails if it does not.
fn is_found(mistake: Mistake, stage: Stage, expected: &str) {
    let stage = Stage {
        mistake: Some(mistake),
        ..stage
    };
    let broken = search(stage, STORIES, 1).expect_err("the mistake is found");
    assert!(
        broken.what.contains(expected),
        "{}\n{}",
        broken.what,
        broken.lines.join("\n")
    );
}

#[test]
fn detach_all() {
    is_found(
        Mistake::DetachAll,
        hosts(2).budget(&[(Start, 3), (Stop, 1)]),
        "a request",
    );
}
#[test]
fn ids_not_compared() {
    is_found(
        Mistake::IdsNotCompared,
        one_host(name(1, Rw), id(1, Rw)).budget(&[(Start, 2)]),
        "I1",
    );
}
#[test]
fn undo_skipped() {
    is_found(Mistake::UndoSkipped, hosts(2).budget(&[(Start, 2)]), "I4");
}
#[test]
fn ticket_stays() {
    is_found(
        Mistake::TicketStays,
        Stage {
            ticket: Ticket::Time,
            resource: true,
            ..hosts(2).budget(&[(Start, 4), (Migrate, 1), (Abort, 1)])
        },
        "I1",
    );
}
#[test]
fn readers_not_awaited() {
    let stage = one_host(shared(name(1, Ro)), shared(name(1, Rw)));
    is_found(Mistake::ReadersNotAwaited, stage.budget(&[(Start, 2)]), "I2");
}
#[test]
fn names_not_asked() {
    let domains = vec![vec![name(1, Rw)], vec![id(1, Rw)]];
    let stage = Stage::new(2, domains).policy(Takeover::Always);
    is_found(Mistake::NamesNotAsked, stage.budget(&[(Start, 3)]), "I1");
}
#[test]
fn links_believed() {
    let stage = hosts(1).budget(&[(Start, 2), (Stop, 1), (ClientRestart, 1)]);
    is_found(Mistake::LinksBelieved, stage, "I4");
}
#[test]
fn own_qemu_not_seen() {
    let domains = vec![vec![shared(name(1, Rw))], vec![shared(name(1, Rw))]];
    let stage = Stage::new(1, domains).budget(&[(Start, 3), (StopStuck, 1)]);
    is_found(Mistake::OwnQemuNotSeen, stage, "I1");
}
#[test]
fn force_all() {
    is_found(Mistake::ForceAll, hosts(2).budget(&[(Start, 2)]), "forces");
}
#[test]
fn others_forgotten() {
    is_found(
        Mistake::OthersForgotten,
        share().budget(&[(Start, 2), (Stop, 1)]),
        "",
    );
}
#[test]
fn no_settling() {
    is_found(
        Mistake::NoSettling,
        hosts(3).one_must_run().budget(&[(Start, 3)]),
        "lost its volumes",
    );
}
#[test]
fn down_once() {
    is_found(
        Mistake::DownOnce,
        hosts(2).slow().budget(&[(Start, 2), (ClientRestart, 1)]),
        "known to be down",
    );
}
#[test]
fn before_forgotten() {
    is_found(
        Mistake::BeforeForgotten,
        hosts(1).by_hand(&[(0, 1, Rw)]).budget(&[(Start, 1), (Stop, 1)]),
        "I3",
    );
}
#[test]
fn forgets_early() {
    is_found(
        Mistake::ForgetsEarly,
        hosts(1).budget(&[(Start, 1), (Stop, 1), (Kill, 1)]),
        "I4",
    );
}
#[test]
fn late_forgotten() {
    is_found(
        Mistake::LateForgotten,
        hosts(1).budget(&[(Start, 1), (Late, 1), (Arrives, 1)]),
        "I4",
    );
}
#[test]
fn claims_late() {
    is_found(
        Mistake::ClaimsLate,
        hosts(1).budget(&[(Start, 1), (Kill, 1)]),
        "I4",
    );
}
#[test]
fn orphans_go_on() {
    is_found(
        Mistake::OrphansGoOn,
        hosts(1)
            .nothing_in_the_way()
            .budget(&[(Start, 3), (Stop, 2), (Daemon, 4), (Reconcile, 2)]),
        "",
    );
}
#[test]
fn not_verified() {
    is_found(Mistake::NotVerified, hosts(2).budget(&[(Start, 2)]), "I1");
}
#[test]
fn no_locks() {
    is_found(
        Mistake::NoLocks,
        hosts(1).budget(&[(Start, 2), (Stop, 1), (Reconcile, 2)]),
        "I4",
    );
}
