// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Three hosts start one domain in the same millisecond, hundreds of times, while StorPool takes its time over every
//! answer: never two of them can write to a volume, and if one was told to go on, one runs.
//!
//! `SPVIRT_RACES_SEED` chooses the pauses (the seed of a run is printed), `SPVIRT_RACES_TIMES` is a multiple of the
//! usual number of rounds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod chance;
mod round;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use spvirt_rig::Suite;

use crate::stage::{Policy, Stage};

/// For one policy, times the multiple of `SPVIRT_RACES_TIMES`.
const DEADLINE: Duration = Duration::from_mins(4);

fn main() -> ExitCode {
    spvirt_rig::enter();
    let multiple = chance::multiple();
    Suite::sharing("races", Stage::new)
        .deadline(DEADLINE * multiple)
        .shared("safe: one runs, and it keeps its volumes", |stage: &mut Stage| {
            stage.races(Policy::Safe, 7);
        })
        .shared("never: at most one runs", |stage: &mut Stage| {
            stage.races(Policy::Never, 10);
        })
        .shared(
            "always: the last one runs, the others are cut off",
            |stage: &mut Stage| {
                stage.races(Policy::Always, 10);
            },
        )
        .run()
}
