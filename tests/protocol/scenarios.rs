// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The scenarios of the explicit-state model in which the protocol was checked before it was written, one test
//! each, under the model's names: who may do what, and how often. There every order of steps was looked at, of
//! rules; here many random orders, of the shipped code.

use spvirt::config::Takeover;
use spvirt::volume::Access::{Ro, Rw};

use crate::search::holds;
use crate::story::What::{self, *};
use crate::story::{Disk, Stage, Ticket, id, name, shared};

/// Stories per scenario.
const STORIES: u32 = 200;

/// So many hosts, one domain with one disk.
pub fn hosts(hosts: usize) -> Stage {
    Stage::new(hosts, vec![vec![name(1, Rw)]])
}

/// One domain with two disks.
pub fn two_disks(hosts: usize) -> Stage {
    Stage::new(hosts, vec![vec![name(1, Rw), name(2, Rw)]])
}

/// One host with two domains.
pub fn one_host(first: Disk, second: Disk) -> Stage {
    Stage::new(1, vec![vec![first], vec![second]])
}

/// Two domains of one host share a volume.
pub fn share() -> Stage {
    one_host(shared(name(1, Rw)), shared(name(1, Rw)))
}

/// The same, one by name, one by id.
pub fn share_by_two_names() -> Stage {
    one_host(shared(name(1, Rw)), shared(id(1, Rw)))
}

impl Stage {
    pub fn budget(self, budget: &[(What, u32)]) -> Self {
        budget
            .iter()
            .fold(self, |stage, (what, times)| stage.may(*what, *times))
    }

    pub fn policy(mut self, policy: Takeover) -> Self {
        self.policy = policy;
        self
    }

    pub fn by_time(mut self) -> Self {
        self.ticket = Ticket::Time;
        self
    }

    pub fn startable(mut self, hosts: &[usize]) -> Self {
        self.startable = hosts.to_vec();
        self
    }

    pub fn by_hand(mut self, by_hand: &[(usize, u32, spvirt::volume::Access)]) -> Self {
        self.by_hand = by_hand.to_vec();
        self
    }

    pub fn piecemeal(mut self) -> Self {
        self.piecemeal = true;
        self
    }

    pub fn absent_is_error(mut self) -> Self {
        self.absent_is_error = true;
        self
    }

    pub fn nothing_in_the_way(mut self) -> Self {
        self.nothing_in_the_way = true;
        self
    }

    pub fn one_must_run(mut self) -> Self {
        self.one_must_run = true;
        self.prepared_runs = true;
        self
    }

    /// Time passes only when nobody has anything to do, or as the story says.
    pub fn slow(self) -> Self {
        self.may(Wait, 10)
    }
}

/// A scenario: its test.
macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident: $stage:expr, $budget:expr;)*) => {
        $($(#[$doc])* #[test]
        fn $name() {
            holds(&$stage.budget(&$budget), STORIES);
        })*
    };
}

// Starters at the same moment.
scenarios! {
    a1_two_starters_never: hosts(2).policy(Takeover::Never).slow(), [(Start, 3), (Stop, 1), (Kill, 1), (Reconcile, 1)];
    a2_two_starters_safe: hosts(2).slow(), [(Start, 3), (Stop, 1), (Kill, 1), (Reconcile, 1)];
    a3_two_starters_always: hosts(2).policy(Takeover::Always).slow(), [(Start, 3), (Stop, 1), (Kill, 1), (Reconcile, 1)];
    a4_two_starters_api_faults: hosts(2).slow(), [(Start, 2), (Stop, 1), (Refused, 1), (ReplyLost, 1), (Repeated, 1), (Reconcile, 1)];
    a5_two_starters_two_volumes: two_disks(2).slow(), [(Start, 2), (Stop, 1)];
    a6_batch_not_atomic: two_disks(2).piecemeal().slow(), [(Start, 2), (Stop, 1)];
    a7_two_starters_udev_probes: hosts(2).slow(), [(Start, 2), (Stop, 1), (Probe, 6)];
    a8_three_starters: hosts(3).slow(), [(Start, 3)];
    a9_two_hosts_two_domains: Stage::new(2, vec![vec![name(1, Rw)], vec![name(1, Rw)]]).slow(), [(Start, 3)];
    a10_late_attach: hosts(2).slow(), [(Start, 2), (Late, 1), (KillInFlight, 1), (Arrives, 2), (Stop, 1), (Reconcile, 1)];
    a11_leftover_and_running_two_volumes: Stage::new(2, vec![vec![name(1, Rw), name(2, Rw)], vec![name(1, Rw)]])
        .by_hand(&[(0, 2, Rw)]).slow(), [(Start, 3), (Stop, 1)];
    a12_the_same_not_atomic: Stage::new(2, vec![vec![name(1, Rw), name(2, Rw)], vec![name(1, Rw)]])
        .by_hand(&[(0, 2, Rw)]).piecemeal().slow(), [(Start, 3), (Stop, 1)];
    a13_two_hosts_two_domains_two_names: Stage::new(2, vec![vec![name(1, Rw)], vec![id(1, Rw)]]).slow(), [(Start, 3), (Stop, 1)];
    a14_at_least_one_runs: hosts(2).one_must_run(), [(Start, 2)];
    a15_at_least_one_runs_udev: hosts(2).one_must_run(), [(Start, 2), (Probe, 4)];
    a16_at_least_one_runs_two_volumes_not_atomic: two_disks(2).piecemeal().one_must_run(), [(Start, 2)];
    a17_at_least_one_runs_of_three: hosts(3).one_must_run(), [(Start, 3)];
    a18_at_least_one_runs_absent_is_error: hosts(2).absent_is_error().one_must_run(), [(Start, 2)];
    a19_two_starters_and_a_stale_holder: hosts(3).startable(&[0, 1]).by_hand(&[(2, 1, Rw)]).slow(), [(Start, 2)];
    a20_two_starters_and_a_dead_host: hosts(3).slow(), [(Start, 3), (Host, 1)];
}

// Migrations.
scenarios! {
    b1_migration_and_faults: hosts(2).startable(&[0]).slow(),
        [(Start, 1), (Migrate, 1), (Abort, 1), (Stop, 1), (Split, 1), (Daemon, 2), (Reconcile, 1)];
    b2_offline_or_failed_after_the_first_hook: hosts(2).slow(), [(Start, 2), (MigrateFails, 1), (MigrateOffline, 1)];
    b3_migrate_and_start_at_the_destination: hosts(2).slow(), [(Start, 2), (Migrate, 1), (Abort, 1)];
    b4_migration_to_itself: hosts(2).slow(), [(Start, 3), (MigrateSelf, 1), (Stop, 1)];
    b5_migration_and_a_starter_on_a_third: hosts(3).startable(&[0, 2]).slow(), [(Start, 2), (Migrate, 1), (Abort, 1)];
    b6_ticket_takeover_and_a_crash: hosts(3).startable(&[0, 2]).slow(), [(Start, 2), (Migrate, 1), (Host, 2)];
}

// The same, known by the looks of the call.
scenarios! {
    b1_migration_and_faults_time: hosts(2).startable(&[0]).by_time().slow(),
        [(Start, 1), (Migrate, 1), (Abort, 1), (Stop, 1), (Split, 1), (Daemon, 2), (Reconcile, 1)];
    b2_offline_or_failed_after_the_first_hook_time: hosts(2).by_time().slow(), [(Start, 2), (MigrateFails, 1), (MigrateOffline, 1)];
    b3_migrate_and_start_at_the_destination_time: hosts(2).by_time().slow(), [(Start, 2), (Migrate, 1), (Abort, 1)];
    b4_migration_to_itself_time: hosts(2).by_time().slow(), [(Start, 3), (MigrateSelf, 1), (Stop, 1)];
    b5_migration_and_a_starter_on_a_third_time: hosts(3).startable(&[0, 2]).by_time().slow(), [(Start, 2), (Migrate, 1), (Abort, 1)];
    b6_ticket_takeover_and_a_crash_time: hosts(3).startable(&[0, 2]).by_time().slow(), [(Start, 2), (Migrate, 1), (Host, 2)];
}

// Crashes, and claims of earlier lives.
scenarios! {
    c1_crash_in_prepare_and_again: hosts(1).slow(), [(Start, 3), (Stop, 1), (Daemon, 2), (Kill, 1), (Reconcile, 1)];
    c2_earlier_boot: hosts(2).slow(), [(Start, 3), (Stop, 1), (Host, 2), (Reconcile, 1)];
    c3_back_and_forth: hosts(2).startable(&[0]).slow(), [(Start, 1), (Migrate, 2), (Daemon, 2), (Kill, 1), (Reconcile, 1), (Stop, 1)];
    c4_back_and_forth_split: hosts(2).startable(&[0]).slow(),
        [(Start, 1), (Migrate, 2), (Split, 1), (Abort, 1), (Stop, 2), (Reconcile, 1), (Resume, 1)];
    c5_back_and_forth_no_fault: hosts(2).startable(&[0]).nothing_in_the_way(), [(Start, 1), (Migrate, 10), (Stop, 1), (Reconcile, 1)];
    c6_back_and_forth_three_hosts: hosts(3).startable(&[0]).slow(), [(Start, 1), (Migrate, 3), (Kill, 1), (Reconcile, 1)];
}

// Two domains of one host.
scenarios! {
    d1_share: share().nothing_in_the_way(), [(Start, 3), (Stop, 2)];
    d2_share_by_two_names: share_by_two_names().nothing_in_the_way(), [(Start, 3), (Stop, 2)];
    d3_share_kill_reconcile: share().slow(), [(Start, 3), (Stop, 2), (Kill, 1), (Reconcile, 1)];
    d4_share_by_two_names_kill: share_by_two_names().slow(), [(Start, 3), (Stop, 2), (Kill, 1), (Reconcile, 1)];
    d5_not_shareable: one_host(name(1, Rw), name(1, Rw)).slow(), [(Start, 3), (Stop, 1), (Reconcile, 1)];
    d6_not_shareable_two_names: one_host(name(1, Rw), id(1, Rw)).slow(), [(Start, 3), (Stop, 1), (Reconcile, 1)];
    d7_one_reads_one_writes: one_host(shared(name(1, Ro)), shared(name(1, Rw))).nothing_in_the_way(), [(Start, 3), (Stop, 2)];
    d8_share_daemon_killed: share().slow(), [(Start, 3), (Stop, 1), (Daemon, 2), (Reconcile, 1)];
    d9_undo_beside_a_start: Stage::new(2, vec![vec![name(1, Rw), name(2, Rw)], vec![shared(name(1, Rw))]])
        .policy(Takeover::Never).startable(&[0]).by_hand(&[(1, 2, Rw)]).slow(), [(Start, 3), (Stop, 1)];
    d10_one_reads_one_writes_by_two_names: one_host(shared(name(1, Ro)), shared(id(1, Rw))).nothing_in_the_way(),
        [(Start, 3), (Stop, 2)];
    d11_each_reads_what_the_other_writes: Stage::new(1, vec![
            vec![shared(name(1, Ro)), shared(id(2, Rw))],
            vec![shared(id(1, Rw)), shared(name(2, Ro))],
        ]).nothing_in_the_way(), [(Start, 3), (Stop, 2)];
}

// Reconcile beside everything.
scenarios! {
    e1_reconcile_beside_a_start: hosts(1).nothing_in_the_way(), [(Start, 2), (Stop, 2), (Reconcile, 2)];
    e2_reconcile_beside_a_migration: hosts(2).startable(&[0]).slow(),
        [(Start, 1), (Migrate, 1), (Abort, 1), (Split, 1), (Stop, 1), (Reconcile, 2)];
    e3_two_reconciles_on_two_hosts: two_disks(2).slow(), [(Start, 4), (Stop, 3), (Kill, 2), (Reconcile, 4), (Host, 2)];
}

// Hosts that are cut off, clients that restart. (`g8`, a guest that lost its volumes and is migrated on, is open.)
scenarios! {
    g1_partition: hosts(2).slow(), [(Start, 2), (Stop, 1), (Cut, 2), (Reconcile, 1)];
    g2_partition_daemon_killed: hosts(2).slow(), [(Start, 2), (Stop, 1), (Cut, 2), (Reconcile, 1), (Daemon, 2)];
    g3_client_restarts: hosts(2).slow(), [(Start, 2), (ClientRestart, 1), (Reconcile, 1)];
    g4_crash: hosts(2).slow(), [(Start, 3), (Stop, 1), (Host, 2), (Reconcile, 1)];
    g5_crash_three_hosts: hosts(3).slow(), [(Start, 3), (Host, 2)];
    g6_partition_three_hosts: hosts(3).slow(), [(Start, 3), (Cut, 2)];
    g7_partition_always: hosts(2).policy(Takeover::Always).slow(), [(Start, 2), (Stop, 1), (Cut, 2), (Reconcile, 1)];
}

// Daemons that are killed, releases that are lost.
scenarios! {
    h1_daemon_killed_anywhere: hosts(2).slow(), [(Start, 3), (Stop, 1), (Daemon, 2), (Reconcile, 1)];
    h2_daemon_killed_orphans: hosts(1).nothing_in_the_way(), [(Start, 3), (Stop, 2), (Daemon, 4), (Reconcile, 1)];
    h3_daemon_killed_shared_volume: share().nothing_in_the_way(), [(Start, 3), (Stop, 2), (Daemon, 2), (Reconcile, 1)];
    h4_daemon_killed_beside_a_migration: hosts(2).startable(&[0]).slow(),
        [(Start, 2), (Stop, 2), (Migrate, 1), (Daemon, 2), (Reconcile, 1)];
    i1_release_lost: hosts(2).slow(), [(Start, 3), (Stop, 2), (Kill, 1), (Refused, 1), (ReplyLost, 1), (Reconcile, 1)];
    i2_detach_of_absent_is_error: hosts(2).absent_is_error().slow(), [(Start, 3), (Stop, 2), (Kill, 1), (Reconcile, 1)];
}

// People.
scenarios! {
    j1_by_hand_rw: hosts(2).by_hand(&[(0, 1, Rw)]).slow(), [(Start, 2), (Stop, 2), (Kill, 1), (Reconcile, 1)];
    j2_by_hand_ro: hosts(2).by_hand(&[(0, 1, Ro)]).slow(), [(Start, 2), (Stop, 2), (Kill, 1), (Reconcile, 1)];
    /// `j3`, at any time, is open.
    j5_by_hand_in_quiet_times: hosts(2).slow(), [(Start, 2), (Stop, 2), (Hand, 2), (Kill, 1), (Reconcile, 1)];
    j4_share_and_by_hand: share().by_hand(&[(0, 1, Rw)]).slow(), [(Start, 3), (Stop, 2), (Kill, 1), (Reconcile, 1)];
}

// The rest.
scenarios! {
    k1_unkillable_qemu: hosts(2).slow(), [(Start, 3), (Stop, 1), (StopStuck, 1), (Unstuck, 1), (Reconcile, 1)];
    k2_unkillable_at_the_end_of_a_migration: hosts(2).startable(&[0]).slow(),
        [(Start, 1), (Migrate, 2), (ConfirmStuck, 1), (Unstuck, 1), (Stop, 1), (Reconcile, 1)];
    k3_rename: Stage::new(2, vec![vec![name(1, Rw)]]).slow(), [(Start, 2), (Stop, 2), (Rename, 1), (Kill, 1), (Reconcile, 1)];
}
