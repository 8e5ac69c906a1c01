// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The shipped hook under real libvirt, on a simulated StorPool cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod lifecycle;
mod stage;

use std::process::ExitCode;

use spvirt_rig::Suite;

use crate::stage::Stage;

fn main() -> ExitCode {
    spvirt_rig::enter();
    lifecycle::cases(Suite::sharing("e2e", Stage::new)).run()
}
