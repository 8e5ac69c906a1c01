// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The keeper of a cluster: runs the simulator, and cleans up when the test has gone, however it went.
//!
//! It is a process of its own, in a session of its own, and holds the read end of a pipe whose only write end is in
//! the test process. End of file means: stop the simulator, free the loop devices, remove the folder. The same path
//! serves a cluster that is dropped, a test that panics, and a test process that is killed.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{command, leftovers, process, wait};

/// What the keeper is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The cluster's folder; removed at the end.
    pub(crate) folder: PathBuf,
    /// The simulator and its arguments.
    pub(crate) simulator: Vec<String>,
}

/// Standard output of the simulator, in the cluster's folder.
pub(crate) const OUTPUT: &str = "simulator.out";
/// Standard error of the simulator, in the cluster's folder.
pub(crate) const LOG: &str = "simulator.log";
/// The file system of the hosts' disks, in the cluster's folder.
pub(crate) const DISKS: &str = "host";
/// Exists when the simulator has ended too early, and says how.
pub(crate) const ENDED: &str = "simulator.ended";

/// How long the simulator may take to end, and loop devices to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// The keeper's whole life.
pub(crate) fn run(plan: &str) -> ExitCode {
    let plan: Plan = serde_json::from_str(plan).expect("a keeper's plan");
    // A terminal's Ctrl-C is for the test; the keeper then still has to clean up.
    nix::unistd::setsid().expect("a session of its own");
    let mut simulator = start_simulator(&plan);
    watch(&plan, &mut simulator);
    match clean_up(&plan, &mut simulator) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("clean-up of {}: {message}", plan.folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Starts the simulator; its output is read by the test from files.
fn start_simulator(plan: &Plan) -> Child {
    let file = |name| File::create(plan.folder.join(name)).expect("a file in the cluster's folder");
    let started = Command::new(&plan.simulator[0])
        .args(&plan.simulator[1..])
        .stdin(Stdio::null())
        .stdout(file(OUTPUT))
        .stderr(file(LOG))
        .spawn();
    started.unwrap_or_else(|e| panic!("cannot run {:?}: {e}", plan.simulator))
}

/// Returns when the test has let go; meanwhile says if the simulator ends.
fn watch(plan: &Plan, simulator: &mut Child) {
    let stdin = std::io::stdin();
    loop {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, 100_u16);
        // Nobody ever writes: readable means that the test is gone.
        if fds[0].any().unwrap_or(true) {
            return;
        }
        if let Ok(Some(status)) = simulator.try_wait() {
            let _ = fs::write(plan.folder.join(ENDED), status.to_string());
        }
    }
}

/// Stops the simulator and removes what is left.
fn clean_up(plan: &Plan, simulator: &mut Child) -> Result<(), String> {
    if let Ok(None) = simulator.try_wait() {
        process::signal(
            i32::try_from(simulator.id()).map_err(|e| e.to_string())?,
            Signal::SIGTERM,
        );
    }
    let ended = wait::attempt("the simulator's end", PATIENCE, || {
        simulator.try_wait().ok().flatten()
    });
    if ended.is_err() {
        let _ = simulator.kill();
        let _ = simulator.wait();
    }
    let freed = wait::attempt("loop devices to go", PATIENCE, || {
        let devices = leftovers::loop_devices(&plan.folder);
        for device in &devices {
            // Still open: the kernel frees it when the last holder goes.
            let _ = command::Running::start(&["losetup", "--detach", device]).wait(PATIENCE);
        }
        devices.is_empty().then_some(())
    });
    let _ = umount2(&plan.folder.join(DISKS), MntFlags::MNT_DETACH);
    fs::remove_dir_all(&plan.folder).map_err(|e| e.to_string())?;
    ended.map(drop).and(freed)
}
