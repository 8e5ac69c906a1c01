// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The shipped acquire, release, adopt and reconcile against a simulated world of hosts, clients, libvirt
//! daemons, people and bad luck. The calls run at once, a step of one between any two steps of another; after
//! each step the invariants of `ARCHITECTURE.md` hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::enum_glob_use,
    clippy::missing_panics_doc,
    clippy::must_use_candidate
)]

mod api;
mod calls;
mod cluster;
mod engine;
mod events;
mod found;
mod host;
mod invariants;
mod life;
mod lives;
mod migrate;
mod mistakes;
mod scenarios;
mod search;
mod state;
mod steps;
mod story;
mod task;
mod world;
