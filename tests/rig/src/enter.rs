// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Where a test process begins: in namespaces of its own, or as one of the rig's helper processes.

use std::path::Path;
use std::process::exit;

use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};

use crate::{caller, command, init, keeper, prerequisites};

/// Role of a process that the rig starts from its own binary: first argument.
pub(crate) const HOST: &str = "__rig-host";
/// Process 1 of a host.
pub(crate) const INIT: &str = "__rig-init";
/// The process that cleans up after a cluster.
pub(crate) const KEEPER: &str = "__rig-keeper";
/// A process in a host that calls hooks.
pub(crate) const CALLER: &str = "__rig-caller";
/// A process in a host that stands for QEMU.
pub(crate) const QEMU: &str = "__rig-qemu";

/// Moves this process into a network and a mount namespace of its own; must be the first statement of `main`, while
/// there is only one thread.
///
/// What the rig makes (bridges, cables, mounts) never appears on the machine, ends with this process, and several
/// runs can go side by side. The rig's helper processes are this same program: in them `enter` never returns.
///
/// # Panics
/// When something the rig needs is missing; the message names the package.
pub fn enter() {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    let plan = arguments.next().unwrap_or_default();
    let code = match role.as_str() {
        HOST => init::parent(&plan),
        INIT => init::run(&plan),
        KEEPER => keeper::run(&plan),
        CALLER => caller::run(),
        QEMU => caller::qemu(),
        _ => return enter_namespaces(),
    };
    exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

/// The part that the test process itself needs.
fn enter_namespaces() {
    if let Err(missing) = prerequisites::check() {
        eprintln!("{missing}");
        exit(1);
    }
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces of our own");
    init::bind_flags(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC);
    command::run(&["ip", "link", "set", "lo", "up"]);
}
