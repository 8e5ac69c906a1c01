// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! One test host: its files, its programs, its domains.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::Place;
use crate::evidence::{self, Registered, Source};
use crate::{Domain, Output, Running, command, enter, init, keeper, leftovers, process, wait};

/// How long a host's namespaces may take to come up or go.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a virsh call may take: a failed start waits for QEMU for up to 30 s.
const VIRSH_DEADLINE: Duration = Duration::from_mins(1);

/// A libvirt host in namespaces of its own. Dropped, everything in it is killed at once, as by a power cut.
#[derive(Debug)]
pub struct Host {
    place: Place,
    /// Parent of process 1. Its standard input is the pipe that keeps the host alive.
    parent: Child,
    /// Process 1 as the test sees it.
    init: i32,
    namespace: PathBuf,
    _evidence: [Registered; 2],
}

impl Host {
    /// Brings a host up, with libvirtd running.
    pub(crate) fn start(place: &Place) -> Self {
        let (parent, init) = start_init(place);
        let namespace = leftovers::made_namespace(init);
        let log = PathBuf::from(format!("/proc/{init}/root/var/log/libvirt/libvirtd.log"));
        let mut journal = enter_command(init);
        // What was sent so far is to be in it; without a journald the first command fails, and nobody minds.
        let read = "journalctl --sync 2>/dev/null; journalctl --no-pager --quiet --output=short-precise";
        journal.extend(["sh", "-c", read].map(str::to_owned));
        let evidence = [
            evidence::register(format!("{}: libvirtd.log", place.name), Source::File(log)),
            evidence::register(format!("{}: journal", place.name), Source::Command(journal)),
        ];
        let host = Self {
            place: place.clone(),
            parent,
            init,
            namespace,
            _evidence: evidence,
        };
        if host.booted() {
            host.await_boot();
        }
        host.connect();
        host.configure();
        place.simulator.add_client(place.client, &host.path("/dev"));
        host.libvirtd_start();
        host
    }

    /// Plugs the host into the cluster's network.
    fn connect(&self) {
        let (cable, init) = (&self.place.cable, self.init.to_string());
        command::run(&[
            "ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", &init,
        ]);
        command::run(&["ip", "link", "set", cable, "master", &self.place.bridge, "up"]);
        let address = format!("{}/24", self.place.address);
        let inside = |argv: &[&str]| self.exec(argv).ok();
        let _ = inside(&["ip", "link", "set", "lo", "up"]);
        let _ = inside(&[
            "ip",
            "link",
            "set",
            "eth0",
            "address",
            &hardware(&self.place.address),
        ]);
        let _ = inside(&["ip", "address", "add", &address, "dev", "eth0"]);
        let _ = inside(&["ip", "link", "set", "eth0", "up"]);
        let hosts = self.place.folder.join("hosts");
        let known = fs::read_to_string(&hosts).expect("the file of addresses");
        // Written in place: every host shows this very file as /etc/hosts.
        fs::write(
            hosts,
            format!("{known}{} {}\n", self.place.address, self.place.name),
        )
        .expect("an address");
    }

    /// Writes StorPool's configuration and libvirt's, and installs the hook as the package does.
    fn configure(&self) {
        let Place {
            name,
            client,
            api: (api_host, api_port),
            address,
            uuid,
            ..
        } = &self.place;
        let token = self.place.simulator.token();
        self.write(
            "/etc/storpool.conf",
            format!(
                "SP_API_HTTP_HOST={api_host}\nSP_API_HTTP_PORT={api_port}\nSP_AUTH_TOKEN={token}\n\n                 [{name}]\nSP_OURID={client}\n"
            ),
        );
        self.write(
            "/etc/libvirt/libvirtd.conf",
            format!(
                "listen_tls = 0\nlisten_tcp = 1\nlisten_addr = \"{address}\"\nauth_tcp = \"none\"\n                 auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nunix_sock_group = \"root\"\nhost_uuid = \"{uuid}\"\n                 log_outputs = \"2:file:/var/log/libvirt/libvirtd.log\"\n                 keepalive_interval = 2\nkeepalive_count = 3\n"
            ),
        );
        // Without cgroups: all hosts share the machine's, and would fight over the same names.
        self.write(
            "/etc/libvirt/qemu.conf",
            format!(
                "cgroup_controllers = [ ]\nmigration_host = \"{name}\"\nkeepalive_interval = 2\nkeepalive_count = 3\n"
            ),
        );
        if self.place.system.is_none() {
            let link = "/etc/libvirt/hooks/qemu.d/50-storpool";
            let _ = self.exec(&["ln", "-sfn", "/usr/sbin/spvirt-hook", link]).ok();
        }
    }

    /// Whether systemd is its process 1.
    pub(crate) fn booted(&self) -> bool {
        self.place.system.as_ref().is_some_and(|system| system.booted)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Its StorPool client id.
    #[must_use]
    pub fn client(&self) -> u16 {
        self.place.client
    }

    /// Its address in the cluster's network.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.place.address
    }

    /// Process 1 of the host as the test sees it.
    #[must_use]
    pub fn init(&self) -> i32 {
        self.init
    }

    /// A path of the host as the test sees it. Absolute symlinks on the way would lead back to the machine.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let inside = path.as_ref();
        let relative = inside.strip_prefix("/").unwrap_or(inside);
        Path::new(&format!("/proc/{}/root", self.init)).join(relative)
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.path(path);
        let folder = file.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&file, content))
            .unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    /// Reads a text file; nothing if there is none.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Starts a program inside the host.
    #[must_use]
    pub fn spawn(&self, argv: &[&str]) -> Running {
        let enter = enter_command(self.init);
        let whole: Vec<&str> = enter
            .iter()
            .map(String::as_str)
            .chain(argv.iter().copied())
            .collect();
        Running::start_as(&whole, &format!("{}: {}", self.place.name, argv.join(" "))).in_host()
    }

    /// Runs a program inside the host.
    #[track_caller]
    #[must_use]
    pub fn exec(&self, argv: &[&str]) -> Output {
        self.spawn(argv).wait(VIRSH_DEADLINE)
    }

    /// Starts a virsh call and leaves it running.
    #[must_use]
    pub fn virsh_spawn(&self, arguments: &[&str]) -> Running {
        let argv: Vec<&str> = ["virsh", "--connect", "qemu:///system"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let starts = matches!(arguments.first(), Some(&("start" | "create" | "restore")));
        self.spawn(&argv).starting_a_domain(starts)
    }

    /// Runs virsh.
    #[track_caller]
    #[must_use]
    pub fn virsh(&self, arguments: &[&str]) -> Output {
        self.virsh_spawn(arguments).wait(VIRSH_DEADLINE)
    }

    /// Defines a domain.
    #[track_caller]
    pub fn define(&self, domain: &Domain) {
        let _ = self.virsh(&["define", &self.put(domain)]).ok();
    }

    /// Writes a domain's XML into the host, for `virsh create`; returns the path there.
    #[must_use]
    pub fn put(&self, domain: &Domain) -> String {
        let path = "/run/rig/domain.xml";
        self.write(path, domain.xml());
        path.to_owned()
    }

    /// State of a domain as `virsh domstate` says it; nothing if there is no such domain.
    #[must_use]
    pub fn state(&self, domain: &str) -> Option<String> {
        let output = self.virsh(&["domstate", domain]);
        (output.code == 0).then(|| output.stdout.trim().to_owned())
    }

    /// Process of a domain's QEMU, as the test sees it; nothing if it does not live.
    #[must_use]
    pub fn qemu_pid(&self, domain: &str) -> Option<i32> {
        self.pid_in(&format!("/run/libvirt/qemu/{domain}.pid"))
    }

    /// The living process whose number inside the host stands in a file.
    pub(crate) fn pid_in(&self, file: &str) -> Option<i32> {
        let inner = self.read(file)?.trim().parse().ok()?;
        process::outer_pid(&self.namespace, inner).filter(|pid| process::lives(*pid))
    }

    /// Kills a domain's QEMU.
    pub fn qemu_kill(&self, domain: &str) {
        let pid = self
            .qemu_pid(domain)
            .unwrap_or_else(|| panic!("{domain} has no QEMU on {}", self.name()));
        process::signal(pid, Signal::SIGKILL);
    }

    /// The product's claims on this host: file name to content (a string where it is not JSON).
    #[must_use]
    pub fn claims(&self) -> BTreeMap<String, Value> {
        let Ok(entries) = fs::read_dir(self.path("/var/lib/spvirt/claims")) else {
            return BTreeMap::new();
        };
        let claim = |path: PathBuf| {
            let bytes = fs::read(&path).ok()?;
            let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, serde_json::from_slice(&bytes).unwrap_or_else(|_| text())))
        };
        entries.filter_map(|entry| claim(entry.ok()?.path())).collect()
    }

    /// Cuts the host's way to StorPool's API (connections fail at once: no route), or opens it again.
    pub fn api_reachable(&self, reachable: bool) {
        let verb = if reachable { "delete" } else { "add" };
        let _ = self
            .exec(&["ip", "route", verb, "unreachable", &self.place.api.0])
            .ok();
    }

    /// Pulls the host's network cable, or plugs it in again.
    pub fn plugged(&self, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        command::run(&["ip", "link", "set", &self.place.cable, state]);
    }

    /// Waits until `condition` holds.
    #[track_caller]
    pub fn wait_for(&self, what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
        wait::until(&format!("{}: {what}", self.name()), deadline, || {
            condition().then_some(())
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.parent.stdin.take());
        if wait::attempt("a host's end", PATIENCE, || self.parent.try_wait().ok().flatten()).is_err() {
            process::signal(self.init, Signal::SIGKILL);
            let _ = self.parent.wait();
        }
        // The folder that was the client's /dev hangs on a pid that may soon be another process's. Nobody may listen
        // any more: then there is nothing to tell.
        let _ = self.place.simulator.lost_client(self.place.client);
        let _ = Command::new("ip")
            .args(["link", "delete", &self.place.cable])
            .stderr(Stdio::null())
            .status();
    }
}

/// Starts process 1 and waits until it has built the host's view: (its parent, its pid as we see it).
fn start_init(place: &Place) -> (Child, i32) {
    let folder = place.folder.join(keeper::DISKS).join(&place.name);
    fs::create_dir_all(&folder).expect("a folder for the host");
    let plan = init::Plan {
        name: place.name.clone(),
        folder,
        hosts: place.folder.join("hosts"),
        programs: place.programs.clone(),
        system: place.system.clone(),
    };
    let mut parent = Command::new("/proc/self/exe")
        .args([enter::HOST, &serde_json::to_string(&plan).expect("JSON")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a host process");
    // Its two lines are read in a thread, as a pipe has no deadline.
    let lines = BufReader::new(parent.stdout.take().expect("a pipe")).lines();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .take(2)
            .try_for_each(|line| sender.send(line))
    });
    wait::doing("a host's process 1");
    // The pid comes from process 1's parent and "ready" from itself: either may be first.
    let mut said = [(); 2].map(|()| {
        receiver
            .recv_timeout(PATIENCE)
            .expect("the host's process 1 is ready")
    });
    said.sort();
    let [pid, ready] = said;
    assert_eq!(ready, "ready");
    (parent, pid.parse().expect("a pid"))
}

/// A command inside the host of this process 1.
pub(crate) fn inside(init: i32, argv: &[&str]) -> Command {
    let enter = enter_command(init);
    let mut command = Command::new(&enter[0]);
    command
        .args(&enter[1..])
        .args(argv)
        // Cargo's library path would travel into every program of the host.
        .env_remove("LD_LIBRARY_PATH");
    command
}

/// What to put before a command to run it inside a host.
fn enter_command(init: i32) -> Vec<String> {
    let target = format!("--target={init}");
    let words = [
        "nsenter", &target, "--mount", "--uts", "--net", "--ipc", "--pid", "--root", "--wd", "--",
    ];
    words.map(str::to_owned).to_vec()
}

/// The hardware address that goes with an address of the network: a host that comes again is found at once by those who
/// knew it before.
fn hardware(address: &str) -> String {
    let octets = address
        .split('.')
        .map(|octet| octet.parse::<u8>().expect("an octet"));
    octets.fold("02:00".to_owned(), |hardware, octet| {
        format!("{hardware}:{octet:02x}")
    })
}
