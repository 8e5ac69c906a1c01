// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A host on which one domain is started and stopped over and over, and what may happen to it.

use std::fs;
use std::time::Duration;

use spvirt_rig::{Call, Caller, Cluster, Domain, Ended, Guest, Host, Moment, Simulator, Trace, process};

use crate::deaths::Next;
use crate::world::World;

/// For what a dead hook has still asked.
const SOON: Duration = Duration::from_secs(20);
/// Where libvirt is not.
const SILENT: &str = "qemu+unix:///system?socket=/run/nobody";
/// What `spvirt reconcile` says when once is not enough.
const ONCE_MORE: &str = "run reconcile once more later";

/// A host.
pub struct Stage {
    // Dropped before its host.
    caller: Caller,
    host: Host,
    simulator: Simulator,
    prepare: Call,
    release: Call,
    before: World,
    running: World,
    /// Process of the neighbour's QEMU.
    neighbour: Option<i32>,
}

/// What is called, and killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `prepare begin`
    Prepare,
    /// `release end`
    Release,
}

impl Stage {
    /// A host with a domain on a volume that is detached, one that somebody has attached read-only by hand, one that
    /// it shares with a neighbour, and a CD-ROM on a snapshot. The neighbour is a real one and runs, unless the host is
    /// going to be booted.
    pub fn new(cluster: &mut Cluster, next: Next) -> Self {
        let id = next as u16 + 1;
        let host = cluster.host(&format!("host{id}"), id);
        host.journald_start();
        // Without the thousands of connections that are over and only remembered, `settled` has little to read.
        let forget = "echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets";
        let _ = host.exec(&["sh", "-c", forget]).ok();
        let name = |what: &str| format!("{what}{id}");
        for volume in ["root", "data", "shared", "iso", "swap"] {
            cluster.volume(&name(volume), 1, Guest::Idle);
        }
        cluster.snapshot(&name("iso"), &name("cd"));
        cluster.attach(&name("data"), id, "ro");
        let path = |what: &str| format!("/dev/storpool/{what}{id}");
        let neighbour = (next != Next::Boot).then(|| {
            host.define(
                &Domain::new("neighbour")
                    .disk(&path("swap"))
                    .disk_with(&path("shared"), "<shareable/>"),
            );
            let _ = host.virsh(&["start", "neighbour"]).ok();
            host.qemu_pid("neighbour").expect("a neighbour that runs")
        });
        let domain = Domain::new("web")
            .element(&format!("<uuid>5eed0000-0000-4000-8000-00000000000{id}</uuid>"))
            .disk(&path("root"))
            .disk(&path("data"))
            .disk_with(&path("shared"), "<shareable/>")
            .cdrom(&path("cd"));
        let mut stage = Self {
            caller: host.caller(),
            simulator: (*cluster).clone(),
            prepare: Call::hook("web", "prepare begin", &domain.xml()),
            release: Call::hook("web", "release end", &domain.xml()),
            before: World::of(&host, cluster),
            running: World::of(&host, cluster),
            host,
            neighbour,
        };
        assert_eq!(stage.run(&stage.prepare.clone()).code, 0);
        stage.running = stage.world();
        let all = ["root", "data", "shared"].map(|volume| format!("{volume}{id} rw"));
        assert!(
            all.iter().all(|it| stage.running.attached.contains(it)),
            "{}",
            stage.running
        );
        stage.stops();
        stage
    }

    /// The host now.
    pub fn world(&self) -> World {
        World::of(&self.host, &self.simulator)
    }

    fn run(&mut self, call: &Call) -> Ended {
        self.caller.run(call)
    }

    /// Calls the hook and kills it then; true if it got there, else it has done all its work.
    #[track_caller]
    pub fn kill(&mut self, operation: Operation, moment: Moment) -> Trace {
        let call = match operation {
            Operation::Prepare => self.prepare.clone(),
            Operation::Release => self.release.clone(),
        };
        let ended = self.run(&call.killed_at(moment));
        let trace = ended.trace.clone().expect("a trace");
        assert_eq!(
            ended.code,
            if trace.killed { 128 + 9 } else { 0 },
            "{operation:?}: {ended:?}"
        );
        trace
    }

    /// Waits until nobody works any more on what a dead hook has asked of StorPool.
    pub fn settled(&self) {
        let table = format!("/proc/{}/net/tcp", self.host.init());
        self.host.wait_for("its requests are done", SOON, || {
            let sockets = fs::read_to_string(&table).expect("the sockets of the host");
            !sockets.lines().skip(1).any(to_storpool)
        });
    }

    /// A start that succeeds, whatever was before.
    #[track_caller]
    pub fn starts(&mut self) {
        let ended = self.run(&self.prepare.clone());
        assert_eq!(ended.code, 0, "{ended:?}");
        self.is_running();
    }

    /// All the domain needs is there.
    #[track_caller]
    pub fn is_running(&self) {
        self.settled();
        assert_eq!(self.world(), self.running, "after a start");
    }

    /// A stop.
    #[track_caller]
    pub fn stops(&mut self) {
        self.releases();
        self.is_stopped();
    }

    /// Nothing is left, or a claim that asks for one more look, which it gets.
    #[track_caller]
    pub fn is_stopped(&mut self) {
        self.settled();
        let claims = self.world().claims;
        if claims != self.before.claims {
            assert!(claims.contains(&"web releasing".to_owned()), "{claims:?}");
            self.reconciles();
        }
        assert_eq!(self.world(), self.before, "after a stop");
    }

    /// `release end`, as libvirt calls it after a stop, and after a failed `prepare`.
    #[track_caller]
    pub fn releases(&mut self) {
        let ended = self.run(&self.release.clone());
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        self.settled();
    }

    /// `spvirt reconcile`, twice if it says so.
    #[track_caller]
    pub fn reconciles(&mut self) {
        self.reconcile(&[]);
    }

    fn reconcile(&mut self, options: &[&str]) {
        let argv: Vec<&str> = ["/usr/sbin/spvirt"]
            .iter()
            .chain(options)
            .chain(&["reconcile"])
            .copied()
            .collect();
        let first = self.run(&Call::program(&argv));
        if first.code != 0 {
            assert!(first.stdout.contains(ONCE_MORE), "{first:?}");
            self.settled();
            let second = self.run(&Call::program(&argv));
            assert_eq!(second.code, 0, "{second:?}");
        }
        self.settled();
    }

    /// The host boots: `/run` is empty, the boot another one, and libvirtd not yet up when `reconcile` runs.
    #[track_caller]
    pub fn boots(&mut self) {
        let boot = fs::read("/proc/sys/kernel/random/uuid").expect("a fresh UUID");
        self.host.write("/run/boot-id", boot);
        let _ = fs::remove_dir_all(self.host.path("/run/spvirt"));
        self.reconcile(&["--connect", SILENT]);
    }

    /// As on a host where no domain of ours has ever run.
    pub fn is_fresh(&self) {
        for folder in ["/run/spvirt", "/var/lib/spvirt"] {
            let _ = fs::remove_dir_all(self.host.path(folder));
        }
    }

    /// As if the domain had never started, or had been stopped as usual.
    #[track_caller]
    pub fn is_as_before(&self, story: &str) {
        assert_eq!(self.world().without_half_written(), self.before, "{story}");
        assert!(
            self.neighbour.is_none_or(process::lives),
            "{story}: the neighbour is gone"
        );
    }
}

/// Whether a line of `/proc/net/tcp` is a connection to StorPool's API (port 81) on which something may still happen.
fn to_storpool(line: &str) -> bool {
    const TIME_WAIT: &str = "06";
    let words: Vec<&str> = line.split_whitespace().collect();
    words[2].ends_with(":0051") && words[3] != TIME_WAIT
}
