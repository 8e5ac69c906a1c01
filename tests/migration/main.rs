// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Live migration between two real libvirts, with the shipped hook on both: every kind of it, every way for it to
//! fail, and the splits after which two hosts have a domain. The guest writes numbered sectors the whole time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
// What a pair of hosts can do reads alike in the cases, whichever of the two it is about.
#![allow(clippy::unused_self)]

#[path = "../e2e/acts.rs"]
#[allow(dead_code)] // the other suite uses the rest
mod acts;
mod downtime;
mod faults;
mod kinds;
mod pacemaker;
mod pair;
mod splits;
#[path = "../e2e/stage.rs"]
#[allow(dead_code)]
mod stage;
mod tickets;

use std::process::ExitCode;
use std::time::Duration;

use spvirt_rig::Suite;

use crate::pair::Pair;

fn main() -> ExitCode {
    spvirt_rig::enter();
    let suite = Suite::sharing("migration", Pair::new).deadline(Duration::from_mins(6));
    let suite = kinds::cases(suite);
    let suite = pacemaker::cases(suite);
    let suite = downtime::cases(suite);
    let suite = tickets::cases(suite);
    let suite = faults::cases(suite);
    let suite = splits::cases(suite);
    suite.run()
}
