// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The package on clean Debian 12 and Debian 13 hosts that systemd has booted, with the libvirt of each: installed,
//! upgraded, downgraded, removed and purged, while domains start, run, migrate and stop. `make package-test` builds what
//! this needs and runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../docs/src/blocks.rs"]
// With tests of its own, which this program does not run.
#[allow(dead_code, unused_imports)]
mod blocks;
mod guests;
mod older_libvirt;
mod removal;
mod stage;
mod steps;
mod units;
mod upgrade;

use std::process::ExitCode;
use std::time::Duration;

use spvirt_rig::Suite;

use crate::stage::Stage;

/// Environment: the Debian to test on, by the name of its suite.
const SUITE: &str = "SPVIRT_PACKAGE_SUITE";

fn main() -> ExitCode {
    spvirt_rig::enter();
    let suite = std::env::var(SUITE);
    let suite = match suite.as_deref() {
        Ok("bookworm") => Suite::sharing("the package on Debian 12", || Stage::new("bookworm", "9.0.0")),
        Ok("trixie") => Suite::sharing("the package on Debian 13", || Stage::new("trixie", "11.3.0")),
        other => panic!("{SUITE}: {other:?}: run `make package-test`"),
    };
    // Two hosts boot in the first case.
    let suite = suite.deadline(Duration::from_mins(3));
    let suite = guests::cases(suite);
    let suite = steps::cases(suite);
    let suite = units::cases(suite);
    let suite = upgrade::cases(suite);
    let suite = older_libvirt::cases(suite);
    removal::cases(suite).run()
}
