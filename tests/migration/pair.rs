// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Two hosts on one cluster, a guest that travels between them, and the question that ends each case: is everything on
//! both sides as it should be?

use std::ops::Deref;
use std::time::Duration;

use spvirt_rig::{Domain, Guest, Host, Numbers, Output, Running};

use crate::stage::{SOON, Stage};

/// For a whole migration, and for the firmware of a guest on a busy machine.
pub const WHOLE: Duration = Duration::from_mins(2);
/// Size of a traveller's volume in MiB. Sparse, and more than it can write in a case's time.
const ROOM: u64 = 4096;
/// What a traveller has in its memory, for the whole way to take [`BALLAST`] seconds at [`CRAWL`].
const BALLAST: usize = 40;
/// A file of this many MiB on both hosts; QEMU loads it at 16 MiB, where no guest of ours looks.
const BALLAST_FILE: &str = "/var/lib/libvirt/images/ballast";
/// MiB a second.
const CRAWL: &str = "--bandwidth=1";

/// Host A is the stage's host, StorPool client 1; host B is client 2.
pub struct Pair {
    pub b: Host,
    pub stage: Stage,
}

impl Deref for Pair {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// A domain with a guest that writes numbered sectors; its volume has its name.
pub struct Traveller {
    pub name: String,
    pub numbers: Numbers,
}

impl Pair {
    /// A fresh cluster with two hosts.
    pub fn new() -> Self {
        let mut stage = Stage::new();
        let b = stage.cluster.host("hostb", 2);
        let pair = Self { b, stage };
        pair.both_set("");
        for host in [pair.a(), &pair.b] {
            host.write(BALLAST_FILE, vec![1; BALLAST << 20]);
        }
        pair
    }

    /// Host A.
    pub fn a(&self) -> &Host {
        &self.stage.host
    }

    /// The host that is not this one.
    pub fn other(&self, host: &Host) -> &Host {
        if host.client() == self.b.client() {
            self.a()
        } else {
            &self.b
        }
    }

    /// Sets `SPVIRT_*` keys on both hosts.
    pub fn both_set(&self, lines: &str) {
        let file = "/etc/storpool.conf.d/spvirt.conf";
        self.stage.settings(lines);
        self.b.write(file, self.a().read(file).unwrap());
    }

    /// A traveller's definition as its owner would write it for the other host: the same UUID.
    #[track_caller]
    pub fn definition(&self, name: &str) -> Domain {
        let uuid = format!("<uuid>{}</uuid>", self.uuid(name));
        xml(name).element(&uuid)
    }

    /// A volume with a traveller on it.
    pub fn volume(&self, name: &str) -> Traveller {
        self.cluster.volume(name, ROOM, Guest::Numbers);
        Traveller {
            name: name.to_owned(),
            numbers: Numbers::of(&self.cluster.file(name)),
        }
    }

    /// A traveller that is defined on host A and runs there.
    #[track_caller]
    pub fn traveller(&self, name: &str) -> Traveller {
        let traveller = self.volume(name);
        self.a().define(&xml(name));
        let _ = self.a().virsh(&["start", name]).ok();
        self.writes(&traveller, 1);
        traveller
    }

    /// The guest writes this many more sectors.
    #[track_caller]
    pub fn writes(&self, traveller: &Traveller, more: u64) {
        let from = traveller.numbers.complete();
        // Behind the last request that may be under way.
        let goal = from + more + 128;
        self.a()
            .wait_for(&format!("sector {goal} of {}", traveller.name), WHOLE, || {
                traveller.numbers.reached(goal)
            });
    }

    /// Starts to move a traveller: the memory crawls, the guest goes on at the source. Returns when it does.
    #[track_caller]
    pub fn departs(&self, traveller: &Traveller, from: &Host, options: &[&str]) -> Running {
        let name = &traveller.name;
        let mut migration = self.migrate(traveller, from, &[&[CRAWL], options].concat());
        from.wait_for("the transfer has begun", WHOLE, || {
            migration.has_ended() || sends(from, name)
        });
        assert!(
            !migration.has_ended(),
            "it should still go on: {}",
            migration.wait(SOON)
        );
        migration
    }

    /// Waits for the transfer of a migration that was not started by [`Pair::departs`].
    #[track_caller]
    pub fn transfers(&self, traveller: &Traveller, from: &Host) {
        from.wait_for("the transfer has begun", WHOLE, || sends(from, &traveller.name));
    }

    /// Lets the memory go as fast as it can.
    #[track_caller]
    pub fn hurry(&self, traveller: &Traveller, from: &Host) {
        let name = &traveller.name;
        let _ = from.virsh(&["migrate-setspeed", name, "4000"]).ok();
    }

    /// virsh moves a traveller to the other host.
    #[track_caller]
    pub fn migrate(&self, traveller: &Traveller, from: &Host, options: &[&str]) -> Running {
        let to = format!("qemu+tcp://{}/system", self.other(from).name());
        let command = [&["migrate", &traveller.name, &to][..], options].concat();
        from.virsh_spawn(&command)
    }

    /// A migration from its beginning to its end; the guest writes `least` sectors meanwhile.
    #[track_caller]
    pub fn moves(&self, traveller: &Traveller, from: &Host, options: &[&str], least: u64) -> Output {
        let migration = self.departs(traveller, from, options);
        self.writes(traveller, least);
        self.hurry(traveller, from);
        migration.wait(WHOLE).ok()
    }

    /// The traveller runs on this host and nowhere else, its data is complete, and it goes on writing. Attachments,
    /// claims, tickets and devices are exactly those of this.
    #[track_caller]
    pub fn runs_on(&self, traveller: &Traveller, host: &Host) {
        self.runs_on_as(traveller, host, &traveller.name);
    }

    /// As [`Pair::runs_on`], under another name.
    #[track_caller]
    pub fn runs_on_as(&self, traveller: &Traveller, host: &Host, name: &str) {
        let other = self.other(host);
        assert_eq!(host.state(name).as_deref(), Some("running"));
        self.is_off_on(other, &traveller.name);
        self.holds(host, &[&format!("{} rw", traveller.name)]);
        self.holds(other, &[]);
        self.one_claim(host, name, "live");
        self.tidy();
        self.writes(traveller, 1);
        self.only_one_writes(traveller, host);
    }

    /// The traveller has stopped, its data is complete, and nothing is left anywhere.
    #[track_caller]
    pub fn ends(&self, traveller: &Traveller, host: &Host, name: &str) {
        let _ = host.virsh(&["destroy", name]).ok();
        self.is_gone(traveller);
    }

    /// Nothing of a traveller is left, but for complete data.
    #[track_caller]
    pub fn is_gone(&self, traveller: &Traveller) {
        for host in [self.a(), &self.b] {
            self.is_off_on(host, &traveller.name);
            self.holds(host, &[]);
        }
        self.tidy();
        assert!(traveller.numbers.complete() > 0);
        let _ = self.a().virsh(&["undefine", &traveller.name]);
        let _ = self.b.virsh(&["undefine", &traveller.name]);
        self.cluster.forget_monitor();
    }

    /// The domain does not run on this host.
    #[track_caller]
    pub fn is_off_on(&self, host: &Host, domain: &str) {
        let state = host.state(domain);
        assert!(
            state.is_none() || state.as_deref() == Some("shut off"),
            "{domain} on {}: {state:?}",
            host.name()
        );
        assert_eq!(host.qemu_pid(domain), None, "QEMU of {domain} on {}", host.name());
    }

    /// Exactly this is attached to a host, and there is a claim if and only if something is.
    #[track_caller]
    pub fn holds(&self, host: &Host, attached: &[&str]) {
        self.only_attached_on(host, attached);
        assert_eq!(
            host.claims().is_empty(),
            attached.is_empty(),
            "claims on {}: {:?}",
            host.name(),
            host.claims()
        );
    }

    /// The only claim of a host is this domain's, in this phase, and it will give back all it has.
    #[track_caller]
    pub fn one_claim(&self, host: &Host, domain: &str, phase: &str) {
        let claims = host.claims();
        assert_eq!(claims.len(), 1, "{claims:?}");
        let claim = claims.values().next().unwrap();
        assert_eq!(claim["domain"], domain);
        assert_eq!(claim["phase"], phase, "{claim}");
        assert_eq!(claim["volumes"][0]["before"], serde_json::Value::Null, "{claim}");
    }

    /// No ticket, no half-written file, and a loop device for each attachment.
    #[track_caller]
    pub fn tidy(&self) {
        for host in [self.a(), &self.b] {
            let found = host.exec(&[
                "find",
                "/run/spvirt",
                "/var/lib/spvirt",
                "-type",
                "f",
                "!",
                "-name",
                "*.lock",
                "!",
                "-name",
                "*.json",
            ]);
            assert_eq!(found.stdout, "", "files on {}", host.name());
            assert_eq!(self.tickets(host), "", "tickets on {}", host.name());
        }
        assert_eq!(
            self.cluster.loop_devices().len(),
            self.cluster.attachments().len(),
            "loop devices"
        );
    }

    /// The tickets of a host.
    pub fn tickets(&self, host: &Host) -> String {
        host.exec(&["find", "/run/spvirt/ticket", "-type", "f"]).stdout
    }

    /// While both hosts were in it the volume may have been open on both, and only on them; now it is on one.
    #[track_caller]
    pub fn only_one_writes(&self, traveller: &Traveller, host: &Host) {
        let id = self.cluster.global_id(&traveller.name);
        for seen in self.cluster.monitor() {
            assert_eq!(seen["globalId"], id.as_str(), "{seen}");
        }
        self.cluster.forget_monitor();
        self.writes(traveller, 1);
        let openers = self.cluster.openers();
        assert!(!openers.is_empty());
        assert!(
            openers.iter().all(|o| o["client"] == host.client()),
            "{openers:?}"
        );
        assert_eq!(
            self.cluster.monitor(),
            [] as [serde_json::Value; 0],
            "two writers"
        );
    }
}

/// The XML of a traveller.
pub fn xml(name: &str) -> Domain {
    let load = format!("loader,file={BALLAST_FILE},addr=0x1000000,force-raw=on");
    let elements =
        format!("<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='{load}'/></qemu:commandline>");
    Domain::new(name)
        .disk(&format!("/dev/storpool/{name}"))
        .element(&elements)
}

/// Whether memory of the domain is on its way.
fn sends(host: &Host, domain: &str) -> bool {
    let job = host.virsh(&["domjobinfo", domain]).stdout;
    let sent = job
        .lines()
        .find_map(|line| line.strip_prefix("Memory processed:"));
    sent.is_some_and(|sent| !sent.trim_start().starts_with("0.000"))
}
