// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The shipped hook under real libvirt, on a simulated StorPool cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod acts;
mod check;
mod completion;
mod conflicts;
mod crash;
mod errors;
mod faults;
mod filter;
mod journal;
mod lifecycle;
mod panicking;
mod races;
mod reconnect;
mod rewriting;
mod rewriting_many;
mod secrets;
mod settings;
mod sharing;
mod sources;
mod stage;
mod stops;
mod verbs;
mod verbs_adopt;
mod verbs_force;
mod verbs_reconcile;

use std::process::ExitCode;

use spvirt_rig::Suite;

use crate::stage::Stage;

fn main() -> ExitCode {
    if let Some(ended) = panicking::hook() {
        return ended;
    }
    spvirt_rig::enter();
    let suite = Suite::sharing("e2e", Stage::new);
    let suite = if stage::is_contrary() {
        suite
    } else {
        // On a host to which nothing has happened yet.
        check::cases(suite)
    };
    let suite = lifecycle::cases(suite);
    let suite = reconnect::cases(suite);
    let suite = sharing::cases(suite);
    let suite = sources::cases(suite);
    let suite = crash::cases(suite);
    let suite = errors::cases(suite);
    let suite = settings::cases(suite);
    let suite = faults::cases(suite);
    let suite = stops::cases(suite);
    let suite = conflicts::cases(suite);
    // What follows asks StorPool nothing, or through the same rooms: once is enough.
    if stage::is_contrary() {
        return suite.run();
    }
    let suite = races::cases(suite);
    let suite = journal::cases(suite);
    let suite = sources::cases_of_names(suite);
    let suite = completion::cases(suite);
    let suite = secrets::cases(suite);
    let suite = verbs::cases(suite);
    let suite = verbs_force::cases(suite);
    let suite = verbs_reconcile::cases(suite);
    let suite = verbs_adopt::cases(suite);
    let suite = rewriting::cases(suite);
    let suite = rewriting_many::cases(suite);
    let suite = filter::cases(suite);
    suite.run()
}
