// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Private libvirt hosts and a simulated StorPool cluster on one machine, for tests that drive real binaries.
//!
//! ```no_run
//! use spvirt_rig::{Binaries, Cluster, Domain, Guest, Suite};
//!
//! fn main() -> std::process::ExitCode {
//!     spvirt_rig::enter(); // first statement: namespaces of our own
//!     Suite::new("example").case("a domain starts", start).run()
//! }
//!
//! fn start() {
//!     let binaries = Binaries::new("target/debug/storpool-sim", "target/debug/spvirt-hook");
//!     let mut cluster = Cluster::start(&binaries);
//!     let host = cluster.host("hosta", 1);
//!     cluster.volume("web1-root", 16, Guest::Idle);
//!     host.define(&Domain::new("web1").disk("/dev/storpool/web1-root"));
//!     let _ = host.virsh(&["start", "web1"]).ok();
//! }
//! ```
//!
//! A wrong expectation in the rig is a failed test, so its functions panic with the whole story instead of
//! returning errors that every test would unwrap. Everything that waits has a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::missing_panics_doc
)]

mod caller;
mod cluster;
mod command;
mod daemons;
mod domain;
mod enter;
mod evidence;
mod freezer;
mod guest;
mod host;
mod init;
mod journal;
mod keeper;
mod leftovers;
mod numbers;
mod prerequisites;
pub mod process;
mod simulator;
mod suite;
mod system;
mod tracer;
mod userfaultfd;
pub mod wait;

pub use caller::{Call, Caller, Ended, Life, Start};
pub use cluster::{Binaries, Cluster, binary};
pub use command::{Output, Running, domain_starts};
pub use domain::Domain;
pub use enter::enter;
pub use freezer::Frozen;
pub use guest::Guest;
pub use host::Host;
pub use leftovers::{assert_no_leftovers, left_of, leftovers};
pub use nix::sys::signal::Signal;
pub use nix::sys::stat::{major, minor};
pub use numbers::Numbers;
pub use simulator::{Attachment, Request, Simulator};
pub use suite::Suite;
pub use system::System;
pub use tracer::{Moment, Syscall, Trace};
pub use userfaultfd::{PostCopyAllowed, post_copy_allowed};
