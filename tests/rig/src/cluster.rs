// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A simulated StorPool cluster with its network, and the hosts that join it.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::evidence::{self, Registered, Source};
use crate::{Host, Simulator, System, command, enter, init, keeper, leftovers, wait};

/// StorPool's port.
const PORT: u16 = 81;
/// Token of the cluster's API.
const TOKEN: &str = "4ba7c9e3a5d84f20";
/// How long the simulator may take to become ready, and a cluster to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many clusters this process has made: each has a network of its own.
static CLUSTERS: AtomicU8 = AtomicU8::new(0);

/// The programs under test.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `storpool-sim`.
    pub simulator: PathBuf,
    /// The hook; shown in every host as `/usr/sbin/spvirt-hook`.
    pub hook: PathBuf,
    /// The helper; shown in every host as `/usr/sbin/spvirt`.
    pub ctl: Option<PathBuf>,
    /// What every host has as its root instead of the machine's. The hook and the helper are those it holds.
    pub system: Option<System>,
}

impl Binaries {
    /// A simulator and a hook.
    pub fn new(simulator: impl Into<PathBuf>, hook: impl Into<PathBuf>) -> Self {
        Self {
            simulator: simulator.into(),
            hook: hook.into(),
            ctl: None,
            system: None,
        }
    }

    /// A simulator, and hosts on another system, with what is installed there.
    pub fn on(simulator: impl Into<PathBuf>, system: System) -> Self {
        Self {
            simulator: simulator.into(),
            hook: PathBuf::new(),
            ctl: None,
            system: Some(system),
        }
    }

    /// Adds the helper.
    #[must_use]
    pub fn with_ctl(mut self, ctl: impl Into<PathBuf>) -> Self {
        self.ctl = Some(ctl.into());
        self
    }

    /// What a host shows under which path.
    fn shown(&self) -> Vec<(PathBuf, PathBuf)> {
        if self.system.is_some() {
            return Vec::new();
        }
        let here = |path: &Path| fs::canonicalize(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut shown = vec![(here(&self.hook), PathBuf::from("/usr/sbin/spvirt-hook"))];
        shown.extend(
            self.ctl
                .iter()
                .map(|ctl| (here(ctl), PathBuf::from("/usr/sbin/spvirt"))),
        );
        shown
    }
}

/// A simulated StorPool cluster: simulator, folder, bridge. Derefs to the [`Simulator`] that controls it.
///
/// Dropped, or when this process ends in any way, it goes and takes the loop devices and the folder with it.
#[derive(Debug)]
pub struct Cluster {
    simulator: Simulator,
    keeper: Child,
    folder: PathBuf,
    programs: Vec<(PathBuf, PathBuf)>,
    system: Option<System>,
    /// Number of the cluster in this process; part of its addresses.
    number: u8,
    /// Names of the hosts there have been; the place in this list is part of a host's address.
    hosts: Vec<String>,
    _evidence: [Registered; 2],
}

impl Deref for Cluster {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.simulator
    }
}

impl Cluster {
    /// Starts a simulator on a network of its own.
    #[must_use]
    pub fn start(binaries: &Binaries) -> Self {
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        // Not /tmp, which may be a tmpfs: the simulator's loop devices want direct I/O.
        let folder = tempfile::Builder::new()
            .prefix("spvirt-rig-")
            .tempdir_in("/var/tmp")
            .expect("a folder for the cluster")
            .keep();
        leftovers::made_folder(&folder);
        fs::write(folder.join("hosts"), "127.0.0.1 localhost\n").expect("the hosts' file of addresses");
        init::disks(&folder.join(keeper::DISKS));
        let bridge = bridge(number);
        // An address of its own: else it has the lowest of its ports' and changes it when that host goes, and the
        // others keep talking to the old one for seconds.
        let hardware = format!("02:00:00:00:00:{number:02x}");
        command::run(&[
            "ip", "link", "add", &bridge, "address", &hardware, "type", "bridge",
        ]);
        command::run(&[
            "ip",
            "address",
            "add",
            &format!("{}/24", address(number, 254)),
            "dev",
            &bridge,
        ]);
        command::run(&["ip", "link", "set", &bridge, "up"]);

        let listen = format!("{}:{PORT}", address(number, 254));
        let (state, requests) = (folder.join("state"), folder.join("requests.log"));
        let simulator = binaries.simulator.to_str().expect("the simulator's path");
        let argv = [
            simulator,
            "serve",
            "--state",
            state.to_str().expect("a path"),
            "--listen",
            &listen,
            "--token",
            TOKEN,
            "--request-log",
            requests.to_str().expect("a path"),
        ];
        let keeper = start_keeper(&keeper::Plan {
            folder: folder.clone(),
            simulator: argv.map(str::to_owned).to_vec(),
        });
        let log = folder.join(keeper::LOG);
        let url = wait::until("the simulator's ready line", PATIENCE, || {
            if let Ok(status) = fs::read_to_string(folder.join(keeper::ENDED)) {
                let log = fs::read_to_string(&log).unwrap_or_default();
                panic!("the simulator ended too early, {status}:\n{log}");
            }
            let output = fs::read_to_string(folder.join(keeper::OUTPUT)).ok()?;
            output
                .lines()
                .find_map(|line| line.strip_prefix("ready ").map(str::to_owned))
        });
        let simulator = Simulator::new(&url, TOKEN, &state);
        let evidence = [
            evidence::register(format!("simulator {number}: log"), Source::File(log)),
            evidence::register(format!("simulator {number}: requests"), Source::File(requests)),
        ];
        Self {
            simulator,
            keeper,
            folder,
            programs: binaries.shown(),
            system: binaries.system.clone(),
            number,
            hosts: Vec::new(),
            _evidence: evidence,
        }
    }

    /// Boots a host: a libvirtd of its own, client `client` of this cluster, the hook installed.
    ///
    /// A host that was dropped and is asked for again by the same name has kept its disk: claims, domains, logs.
    pub fn host(&mut self, name: &str, client: u16) -> Host {
        if !self.hosts.iter().any(|known| known == name) {
            self.hosts.push(name.to_owned());
        }
        let place = self
            .hosts
            .iter()
            .position(|known| known == name)
            .expect("just added");
        let index = u8::try_from(place + 1).expect("fewer than 254 hosts");
        Host::start(&Place {
            name: name.to_owned(),
            client,
            folder: self.folder.clone(),
            bridge: bridge(self.number),
            cable: format!("sp{}-{index}", self.number),
            address: address(self.number, index),
            api: (address(self.number, 254), PORT),
            programs: self.programs.clone(),
            system: self.system.clone(),
            simulator: self.simulator.clone(),
            uuid: format!("a0000000-0000-4000-8000-{:06x}{index:06x}", self.number),
        })
    }

    /// The cluster's folder, for checks after its end.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The loop devices that are the cluster's attachments now.
    #[must_use]
    pub fn loop_devices(&self) -> Vec<String> {
        leftovers::loop_devices(&self.folder)
    }

    /// Process of the simulator's keeper.
    #[must_use]
    pub fn keeper(&self) -> i32 {
        i32::try_from(self.keeper.id()).expect("a pid")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let ended = wait::attempt("the cluster's end", PATIENCE, || {
            self.keeper.try_wait().ok().flatten()
        });
        let outcome = ended.map(|status| status.to_string());
        if outcome.as_deref() != Ok("exit status: 0") {
            println!("    the keeper of {}: {outcome:?}", self.folder.display());
        }
        let _ = Command::new("ip")
            .args(["link", "delete", &bridge(self.number)])
            .status();
    }
}

/// Where a host stands in its cluster.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) client: u16,
    pub(crate) folder: PathBuf,
    pub(crate) bridge: String,
    /// Name of the bridge's end of the host's network cable.
    pub(crate) cable: String,
    pub(crate) address: String,
    /// Address and port of StorPool's API.
    pub(crate) api: (String, u16),
    pub(crate) programs: Vec<(PathBuf, PathBuf)>,
    pub(crate) system: Option<System>,
    pub(crate) simulator: Simulator,
    /// UUID by which libvirt knows the host.
    pub(crate) uuid: String,
}

/// Bridge of a cluster.
fn bridge(cluster: u8) -> String {
    format!("sp{cluster}")
}

/// Address of a host in a cluster's network; 254 is the cluster itself.
fn address(cluster: u8, host: u8) -> String {
    format!("10.77.{cluster}.{host}")
}

/// Starts the process that runs the simulator and cleans up.
fn start_keeper(plan: &keeper::Plan) -> Child {
    let plan = serde_json::to_string(plan).expect("JSON");
    Command::new("/proc/self/exe")
        .args([enter::KEEPER, &plan])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the keeper")
}

/// A program of this workspace, which cargo has built into the folder above the test's own.
///
/// # Panics
/// When it is not there; the message says how to build it.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let built = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    built.unwrap_or_else(|| {
        panic!(
            "{name} is not beside {}: run `cargo build --package {name}` first",
            own.display()
        )
    })
}
