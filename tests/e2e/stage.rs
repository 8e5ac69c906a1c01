// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What every case plays on: a cluster, a host with the shipped programs, and the question that ends each case,
//! whether everything is as it should be.

use std::path::PathBuf;
use std::time::Duration;

use spvirt_rig::{Binaries, Cluster, Domain, Guest, Host, System};

/// Settings that keep refusals short; the defaults are for people, who are more patient than tests.
const SETTINGS: &str = "SPVIRT_DEADLINE=15\n";
/// Environment: switches of the simulator, `name=value` separated by blanks. What StorPool's documents leave
/// open is a switch, and the suite must pass either way.
const SWITCHES: &str = "SPVIRT_E2E_SWITCHES";
/// Environment: folders, separated by `:`, the topmost first, that hosts have as their root instead of the machine's.
/// Both programs are those that are installed there.
const ROOT: &str = "SPVIRT_E2E_ROOT";
/// For what libvirt does by itself after virsh has returned.
pub const SOON: Duration = Duration::from_secs(20);

/// Whether this run is the one with the other answers to what StorPool's documents leave open.
pub fn is_contrary() -> bool {
    std::env::var(SWITCHES).is_ok_and(|switches| !switches.trim().is_empty())
}

/// One host on one cluster.
pub struct Stage {
    /// The host, StorPool client 1.
    pub host: Host,
    /// The cluster; derefs to the simulator.
    pub cluster: Cluster,
}

impl Stage {
    /// A fresh cluster with one host.
    pub fn new() -> Self {
        let simulator = spvirt_rig::binary("storpool-sim");
        let binaries = match std::env::var(ROOT) {
            Ok(root) => {
                let layers: Vec<PathBuf> = root.split(':').map(PathBuf::from).collect();
                Binaries::on(simulator, System::unbooted(&layers))
            }
            Err(_) => Binaries::new(simulator, env!("CARGO_BIN_EXE_spvirt-hook"))
                .with_ctl(env!("CARGO_BIN_EXE_spvirt")),
        };
        let mut cluster = Cluster::start(&binaries);
        for switch in std::env::var(SWITCHES).unwrap_or_default().split_whitespace() {
            let (name, value) = switch.split_once('=').expect("name=value in the switches");
            cluster.switch(name, value);
        }
        let host = cluster.host("hosta", 1);
        let stage = Self { host, cluster };
        stage.settings("");
        stage
    }

    /// Sets `SPVIRT_*` keys for the rest of the case.
    pub fn settings(&self, lines: &str) {
        self.host
            .write("/etc/storpool.conf.d/spvirt.conf", format!("{SETTINGS}{lines}"));
    }

    /// Makes a volume of the domain's name with a guest on it, and defines the domain.
    pub fn domain(&self, name: &str, guest: Guest) {
        self.cluster.volume(name, 1, guest);
        self.host
            .define(&Domain::new(name).disk(&format!("/dev/storpool/{name}")));
    }

    /// Starts a domain, and says which API calls that took.
    #[track_caller]
    pub fn start(&self, domain: &str) -> Vec<String> {
        self.forget();
        let _ = self.host.virsh(&["start", domain]).ok();
        self.calls()
    }

    /// Forgets the requests so far, after a last look at them.
    #[track_caller]
    pub fn forget(&self) {
        self.only_polite_requests();
        self.cluster.forget_requests();
    }

    /// No request so far has said `all`, and force was used only together with an attach of this client: never on
    /// the way out.
    #[track_caller]
    pub fn only_polite_requests(&self) {
        for request in self.cluster.requests() {
            let body: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
            let items = body["reassign"].as_array().cloned().unwrap_or_default();
            for item in &items {
                let attaches = item["rw"].is_array() || item["ro"].is_array();
                assert!(!item.to_string().contains("\"all\""), "{}", request.body);
                assert!(attaches || item.get("force").is_none(), "{}", request.body);
            }
            let patience = body["attachTimeout"].as_u64();
            assert!(items.is_empty() || patience > Some(0), "{}", request.body);
        }
    }

    /// The API calls since they were last forgotten.
    pub fn calls(&self) -> Vec<String> {
        self.cluster
            .requests()
            .into_iter()
            .map(|request| request.call)
            .collect()
    }

    /// Starts a domain that must be refused, and returns the line of ours that virsh shows.
    #[track_caller]
    pub fn refused(&self, domain: &str) -> String {
        self.forget();
        let output = self.host.virsh(&["start", domain]).failed();
        let ours = output.stderr.split_once("spvirt: ").map(|(_, ours)| ours);
        let ours = ours.unwrap_or_else(|| panic!("no word of ours in {output}"));
        let (line, rest) = ours.split_once('\n').unwrap_or((ours, ""));
        assert_eq!(rest.trim(), "", "more than one line in {output}");
        line.trim_end().to_owned()
    }

    /// Waits until the domain is off and its release has run.
    #[track_caller]
    pub fn is_off(&self, domain: &str) {
        self.host.wait_for("the domain is off", SOON, || {
            self.host.state(domain).is_none_or(|s| s == "shut off")
        });
        assert_eq!(self.host.qemu_pid(domain), None);
    }

    /// What is attached to the host, `name rights`.
    pub fn attached(&self) -> Vec<String> {
        self.attached_to(self.host.client())
    }

    /// What is attached to a client, `name rights`.
    pub fn attached_to(&self, client: u16) -> Vec<String> {
        let list = self.cluster.control("api/AttachmentsList", None);
        let list = list.as_array().cloned().unwrap_or_default();
        let here = list.iter().filter(|line| line["client"] == client);
        let mut lines: Vec<_> = here.map(|line| self.named(line)).collect();
        lines.sort();
        lines
    }

    /// `name rights` of an attachment, also where the list tells ids instead of names.
    fn named(&self, line: &serde_json::Value) -> String {
        let listed = line["volume"].as_str().unwrap();
        let call = if line["snapshot"] == true {
            "Snapshot"
        } else {
            "Volume"
        };
        let name = match listed.strip_prefix('~') {
            Some(_) => self.cluster.control(&format!("api/{call}/{listed}"), None)[0]["name"].clone(),
            None => line["volume"].clone(),
        };
        format!("{} {}", name.as_str().unwrap(), line["rights"].as_str().unwrap())
    }

    /// The simulator's answer to one of the open questions about the real server.
    pub fn switched(&self, name: &str, value: &str) -> bool {
        self.cluster.control("switches", None)[name] == value
    }

    /// The phase of the only claim.
    #[track_caller]
    pub fn phase(&self) -> String {
        let claims = self.host.claims();
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.values().next().unwrap()["phase"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Nothing is left: no attachment of this host, no device, no claim, no half-written file, no held lock, no
    /// two writers.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        self.only_attached(&[]);
        let state = self.host.exec(&["find", "/var/lib/spvirt", "-type", "f"]);
        assert_eq!(state.stdout, "", "files in the state folder");
    }

    /// Exactly this is attached to the host (`name rights`), with a device each; no lock is held, and the monitor
    /// saw no two writers.
    #[track_caller]
    pub fn only_attached(&self, expected: &[&str]) {
        self.only_attached_on(&self.host, expected);
        assert_eq!(
            self.cluster.monitor(),
            Vec::<serde_json::Value>::new(),
            "two writers"
        );
    }

    /// Exactly this is attached to a host, with a device each, and no lock is held there.
    #[track_caller]
    pub fn only_attached_on(&self, host: &Host, expected: &[&str]) {
        self.only_polite_requests();
        let name = host.name();
        assert_eq!(self.attached_to(host.client()), expected, "attachments of {name}");
        let devices = host
            .exec(&["sh", "-c", "ls -d /dev/sp-* 2>/dev/null | wc -l"])
            .ok();
        assert_eq!(
            devices.stdout.trim(),
            expected.len().to_string(),
            "devices of {name}"
        );
        let held = host.exec(&[
            "sh",
            "-c",
            "for f in /run/spvirt/lock/*.lock; do [ -e $f ] && ! flock -n $f true && echo $f; done; true",
        ]);
        assert_eq!(held.ok().stdout, "", "held locks on {name}");
    }
}
