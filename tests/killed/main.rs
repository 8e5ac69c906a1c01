// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The shipped hook is killed at the entry of every single system call of `prepare` and of `release`, over all its
//! threads, and what libvirt, an operator or a boot would do next is done. Afterwards the world is as if the domain
//! had never started, or had been stopped; its neighbour notices nothing; and the next start succeeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod deaths;
mod report;
mod stage;
mod world;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use spvirt_rig::{Binaries, Cluster, Suite};

use crate::deaths::{Next, all_deaths};
use crate::stage::Stage;

/// For all deaths there are; one takes a tenth of a second.
const DEADLINE: Duration = Duration::from_mins(10);

fn main() -> ExitCode {
    spvirt_rig::enter();
    Suite::new("killed")
        .deadline(DEADLINE)
        .case("killed at every system call", every_call)
        .run()
}

/// One host for each that may come next, side by side.
fn every_call() {
    let binaries = Binaries::new(
        spvirt_rig::binary("storpool-sim"),
        env!("CARGO_BIN_EXE_spvirt-hook"),
    );
    let mut cluster = Cluster::start(&binaries.with_ctl(env!("CARGO_BIN_EXE_spvirt")));
    let stages = [Next::Release, Next::Reconcile, Next::Boot, Next::Start]
        .map(|next| (next, Stage::new(&mut cluster, next)));
    let reports = thread::scope(|scope| {
        let threads = stages.map(|(next, stage)| scope.spawn(move || all_deaths(stage, next)));
        threads.map(|thread| thread.join().expect("what is printed above"))
    });
    for report in &reports {
        report.print();
    }
    assert!(cluster.monitor().is_empty(), "two writers");
}
