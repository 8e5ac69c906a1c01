// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What cases do to a stage: stop domains, break the host, cut its power, look into claims.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::Value;
use spvirt_rig::{Domain, Guest, Signal};

use crate::stage::{SOON, Stage};

/// The simulator's calls, as its log names them.
pub const REASSIGN: &str = "VolumesReassignWait";
/// See [`REASSIGN`].
pub const LIST: &str = "AttachmentsList";
/// What a start asks of StorPool when all its disks are writable volumes.
pub const START: [&str; 2] = [REASSIGN, LIST];
/// Settings for a case in which a hook call runs out of time: a third of this is a release's.
pub const SHORT: &str = "SPVIRT_DEADLINE=6\n";
/// Where libvirt finds the hook.
pub const HOOK: &str = "/etc/libvirt/hooks/qemu.d/50-storpool";
/// Where the claims are.
pub const CLAIMS: &str = "/var/lib/spvirt/claims";
/// The configuration file that no case but the one that breaks it writes.
const BROKEN: &str = "/etc/storpool.conf.d/zz-broken.conf";

impl Stage {
    /// Makes data volumes of 1 MiB.
    pub fn volumes(&self, names: &[&str]) {
        for name in names {
            self.cluster.volume(name, 1, Guest::None);
        }
    }

    /// Defines a domain from XML, which a case has changed in a way the rig's [`Domain`] does not know.
    #[track_caller]
    pub fn define_xml(&self, xml: &str) {
        self.host.write("/run/rig/changed.xml", xml);
        let _ = self.host.virsh(&["define", "/run/rig/changed.xml"]).ok();
    }

    /// Destroys a domain, and says which API calls that took.
    #[track_caller]
    pub fn destroy(&self, domain: &str) -> Vec<String> {
        self.forget();
        let _ = self.host.virsh(&["destroy", domain]).ok();
        self.calls()
    }

    /// The file of a domain's claim.
    #[track_caller]
    pub fn claim_file(&self, domain: &str) -> String {
        format!("{CLAIMS}/{}.json", self.uuid(domain))
    }

    /// A domain's UUID.
    #[track_caller]
    pub fn uuid(&self, domain: &str) -> String {
        let output = self.host.virsh(&["domuuid", domain]).ok();
        output.stdout.trim().to_owned()
    }

    /// The claim of the domain with this name.
    #[track_caller]
    pub fn claim(&self, domain: &str) -> Value {
        let claims = self.host.claims();
        let mut own = claims.values().filter(|claim| claim["domain"] == domain);
        own.next()
            .unwrap_or_else(|| panic!("{domain} has no claim: {claims:?}"))
            .clone()
    }

    /// Does something to the host, and the domain does not notice: the same QEMU runs as before.
    #[track_caller]
    pub fn survives(&self, domain: &str, act: impl FnOnce()) {
        let qemu = self.host.qemu_pid(domain);
        assert!(qemu.is_some(), "{domain} does not run");
        act();
        assert_eq!(self.host.qemu_pid(domain), qemu, "the same QEMU of {domain}");
        assert_eq!(self.host.state(domain).as_deref(), Some("running"));
    }

    /// Stops libvirtd and starts it again, which calls the `reconnect` hook of every running domain.
    #[track_caller]
    pub fn libvirtd_restarts(&self) {
        self.host.libvirtd_stop();
        self.host.libvirtd_start();
        // libvirt calls a domain running before it has found its QEMU again; a destroy in between ends QEMU and fails.
        // This question waits until it has.
        for uuid in self
            .host
            .virsh(&["list", "--uuid"])
            .ok()
            .stdout
            .split_whitespace()
        {
            let _ = self.host.virsh(&["domblkerror", uuid]);
        }
    }

    /// Puts another program in the place of the hook, as libvirt sees it.
    #[track_caller]
    pub fn install_hook(&self, target: &str) {
        let _ = self.host.exec(&["ln", "-sfn", target, HOOK]).ok();
    }

    /// Installs the shipped hook again.
    #[track_caller]
    pub fn install_own_hook(&self) {
        self.install_hook("/usr/sbin/spvirt-hook");
    }

    /// Makes the configuration unreadable, or good again.
    #[track_caller]
    pub fn configuration_is_broken(&self, broken: bool) {
        if broken {
            self.host.write(BROKEN, "SPVIRT_TAKEOVER=perhaps\n");
        } else {
            let _ = self.host.exec(&["rm", BROKEN]).ok();
        }
    }

    /// Runs `spvirt reconcile`, which must find nothing that it cannot finish; returns what it printed.
    #[track_caller]
    pub fn reconcile(&self) -> String {
        self.host.exec(&["spvirt", "reconcile"]).ok().stdout
    }

    /// Holds the lock of a domain as another hook call would, until the file is dropped.
    #[track_caller]
    pub fn hold_domain(&self, domain: &str) -> File {
        let path = format!("/run/spvirt/lock/domain-{}.lock", self.uuid(domain));
        let mut how = File::options();
        let how = how.read(true).write(true).create(true).truncate(false);
        let file = how.mode(0o600).open(self.host.path(&path)).unwrap();
        file.lock().unwrap();
        file
    }

    /// Waits until a hook call has sent the request that the simulator's fault keeps hanging.
    #[track_caller]
    pub fn request_hangs(&self) {
        self.host.wait_for("the request hangs", SOON, || {
            self.cluster.control("faults", None) == Value::Array(Vec::new())
        });
    }

    /// Processes of the hook in the host, by their numbers there.
    pub fn hooks(&self) -> Vec<String> {
        let found = self.host.exec(&["pgrep", "--exact", "50-storpool"]);
        found.stdout.lines().map(str::to_owned).collect()
    }

    /// Kills the only hook that runs.
    #[track_caller]
    pub fn kill_hook(&self) {
        let hooks = self.hooks();
        assert_eq!(hooks.len(), 1, "hooks that run");
        let signal = format!("-{}", Signal::SIGKILL as i32);
        let _ = self.host.exec(&["kill", &signal, &hooks[0]]).ok();
    }

    /// Waits until no hook runs any more, that of a dead libvirtd included.
    #[track_caller]
    pub fn hooks_have_ended(&self) {
        self.host
            .wait_for("the hooks have ended", SOON, || self.hooks().is_empty());
    }

    /// The host loses power and boots again: every process is gone, what was on its disk is there.
    pub fn power_cut(self) -> Self {
        let Self { host, mut cluster } = self;
        let (name, client) = (host.name().to_owned(), host.client());
        drop(host);
        let host = cluster.host(&name, client);
        Self { host, cluster }
    }
}

/// A domain on volumes of these names, all writable.
pub fn on(name: &str, volumes: &[&str]) -> Domain {
    let disk = |domain: Domain, volume: &&str| domain.disk(&format!("/dev/storpool/{volume}"));
    volumes.iter().fold(Domain::new(name), disk)
}

/// A domain on one volume that it shares.
pub fn sharing(name: &str, volume: &str) -> Domain {
    Domain::new(name).disk_with(&format!("/dev/storpool/{volume}"), "<shareable/>")
}
