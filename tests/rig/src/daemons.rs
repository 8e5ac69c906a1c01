// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirt's daemons on a test host: real ones, started by the rig, or by systemd where a host has it.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{Host, process};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end: libvirt's own patience with its threads is 30 s, then it goes by force.
const END: Duration = Duration::from_mins(1);

impl Host {
    /// Starts libvirtd (and virtlogd, if it does not run) and waits until it answers and has found its running domains
    /// again, their `reconnect` hooks included.
    pub fn libvirtd_start(&self) {
        if self.booted() {
            // The socket that listens for migrations can only start before the daemon; at the next boot it does.
            let start = "systemctl enable --now libvirtd-tcp.socket && systemctl start libvirtd.service";
            let _ = self.exec(&["sh", "-c", start]).ok();
        } else {
            self.daemons_start();
        }
        self.wait_for("libvirtd answers", PATIENCE, || self.virsh(&["uri"]).code == 0);
        for domain in self.virsh(&["list", "--name"]).ok().stdout.split_whitespace() {
            // Has to wait for libvirtd's own job on the domain, and that is the reconnect.
            let _ = self.virsh(&["dommemstat", domain]);
        }
    }

    /// Starts the daemons that do not run.
    fn daemons_start(&self) {
        for (daemon, arguments) in [
            ("virtlogd", &["--daemon"][..]),
            ("libvirtd", &["--daemon", "--listen"]),
        ] {
            let file = pid_file(daemon);
            if self.pid_in(&file).is_none() {
                let _ = fs::remove_file(self.path(&file));
                let argv: Vec<&str> = [daemon].iter().chain(arguments).copied().collect();
                let _ = self.exec(&argv).ok();
            }
        }
    }

    /// Waits until systemd has started everything. Once, libvirtd is stopped, which is to read the rig's configuration.
    ///
    /// # Panics
    /// When something has failed.
    pub(crate) fn await_boot(&self) {
        self.wait_for("systemd listens", PATIENCE, || {
            self.path("/run/systemd/private").exists()
        });
        let state = self.exec(&["systemctl", "is-system-running", "--wait"]);
        assert!(
            state.stdout.trim() == "running",
            "{}: {state}\n{}",
            self.name(),
            self.exec(&["systemctl", "--failed", "--full"])
        );
        if self.read("/etc/storpool.conf").is_none() {
            self.libvirtd_stop();
        }
    }

    /// Stops libvirtd as `systemctl stop` does; domains keep running.
    pub fn libvirtd_stop(&self) {
        if self.booted() {
            let mut stop = vec!["systemctl", "stop"];
            stop.extend(SOCKETS.iter().chain(&["libvirtd.service"]));
            let _ = self.exec(&stop).ok();
            return;
        }
        self.libvirtd_end(Signal::SIGTERM);
    }

    /// Kills libvirtd; domains keep running.
    pub fn libvirtd_kill(&self) {
        self.libvirtd_end(Signal::SIGKILL);
    }

    /// Makes libvirtd read its configuration and its hooks again.
    pub fn libvirtd_reload(&self) {
        process::signal(self.libvirtd_pid().expect("libvirtd runs"), Signal::SIGHUP);
    }

    /// Process of libvirtd as the test sees it, if it runs.
    #[must_use]
    pub fn libvirtd_pid(&self) -> Option<i32> {
        self.pid_in(&pid_file("libvirtd"))
    }

    /// Sends a signal and waits for the end.
    fn libvirtd_end(&self, signal: Signal) {
        let pid = self.libvirtd_pid().expect("libvirtd runs");
        process::signal(pid, signal);
        self.wait_for("libvirtd has ended", END, || !process::lives(pid));
    }
}

/// By these systemd starts libvirtd again as soon as somebody calls.
const SOCKETS: [&str; 3] = ["libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"];

/// Where a daemon writes its pid.
fn pid_file(daemon: &str) -> String {
    format!("/run/{daemon}.pid")
}
