// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A simulated host: its files, its devices, its daemon, and what libvirt does with each domain.

use std::collections::{BTreeMap, BTreeSet};

use spvirt::claim::{Claim, Entry, Process, file};
use spvirt::ticket::Ticket;
use spvirt::volume::{Access, DomainUuid};

/// What libvirt does with a domain on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does not run here.
    Off,
    /// Its `prepare` runs.
    Preparing,
    /// QEMU starts, and opens its volumes one after the other.
    Launching,
    /// It runs.
    Running,
    /// Its QEMU waits for a migration to come in.
    Incoming,
    /// It is paused: the source of a migration.
    Paused,
    /// Its `release` runs.
    Releasing,
    /// Its QEMU died while there was no daemon.
    Gone,
}

/// A volume that a QEMU has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// How.
    pub access: Access,
    /// The domain says that it shares it.
    pub shareable: bool,
    /// It came by hot-plug, without a hook.
    pub by_hand: bool,
    /// Its QEMU will never write again.
    pub frozen: bool,
}

/// A domain on a host.
#[derive(Debug, Clone)]
pub struct Domain {
    /// How far it is.
    pub life: Life,
    /// It migrates in.
    pub incoming: bool,
    /// How often it was defined here.
    pub definitions: u32,
    /// The number that a migration left in the definition.
    pub defined_nonce: Option<String>,
    /// The definition has a `<resource>`, as a running domain has.
    pub defined_resource: bool,
    /// When its QEMU was started.
    pub launched: u64,
    /// The hook that libvirt waits for.
    pub hook: Option<usize>,
    /// What its QEMU has open.
    pub open: BTreeMap<u32, Open>,
    /// What a QEMU that cannot be killed still has open.
    pub stuck: BTreeMap<u32, Open>,
    /// What was taken from it by the rules of a takeover.
    pub lost: BTreeSet<u32>,
}

impl Domain {
    /// A domain that does not run.
    fn new() -> Self {
        Self {
            life: Life::Off,
            incoming: false,
            definitions: 0,
            defined_nonce: None,
            defined_resource: false,
            launched: 0,
            hook: None,
            open: BTreeMap::new(),
            stuck: BTreeMap::new(),
            lost: BTreeSet::new(),
        }
    }

    /// The QEMU is gone.
    pub fn ends(&mut self, life: Life) {
        self.life = life;
        self.incoming = false;
        self.open.clear();
        self.lost.clear();
    }
}

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Its letter.
    pub name: char,
    /// Its client.
    pub client: u16,
    /// It is up.
    pub up: bool,
    /// Its client is up.
    pub client_up: bool,
    /// When a client that restarts is up again, if it does by itself.
    pub client_back: Option<u64>,
    /// It reaches the API.
    pub reaches: bool,
    /// Which boot it is in.
    pub boot: u32,
    /// When that began.
    pub booted: u64,
    /// Its libvirt daemon.
    pub daemon: Option<Process>,
    /// How many it had.
    daemons: i32,
    /// The worker thread that did the last job.
    pub thread: i32,
    /// The tickets.
    pub tickets: BTreeMap<String, Ticket>,
    /// The claim files.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Its devices.
    pub devices: BTreeMap<u32, Access>,
    /// Devices that udev has open for a moment, and since when.
    pub probed: BTreeMap<u32, u64>,
    /// Its domains.
    pub domains: Vec<Domain>,
}

impl Host {
    /// A host that just booted.
    pub fn new(number: usize, domains: usize) -> Self {
        let mut host = Self {
            name: char::from(b'A' + u8::try_from(number).unwrap()),
            client: u16::try_from(number + 1).unwrap(),
            up: false,
            client_up: false,
            client_back: None,
            reaches: true,
            boot: 0,
            booted: 0,
            daemon: None,
            daemons: 0,
            thread: 0,
            tickets: BTreeMap::new(),
            files: BTreeMap::new(),
            devices: BTreeMap::new(),
            probed: BTreeMap::new(),
            domains: vec![Domain::new(); domains],
        };
        host.boots(0);
        host
    }

    /// Everything but the claim files is new.
    pub fn boots(&mut self, now: u64) {
        self.up = true;
        self.client_up = true;
        self.client_back = None;
        self.reaches = true;
        self.boot += 1;
        self.booted = now;
        self.daemon_starts(now);
    }

    /// A new daemon, not to be mistaken for an earlier one.
    pub fn daemon_starts(&mut self, now: u64) {
        self.daemons += 1;
        self.daemon = Some(Process {
            pid: self.daemons,
            started: now - self.booted,
        });
    }

    /// Everything but the claim files is gone.
    pub fn crashes(&mut self) {
        self.up = false;
        self.client_up = false;
        self.client_back = None;
        self.daemon = None;
        self.devices.clear();
        self.tickets.clear();
        self.probed.clear();
        for domain in &mut self.domains {
            *domain = Domain {
                definitions: domain.definitions,
                defined_nonce: domain.defined_nonce.take(),
                defined_resource: domain.defined_resource,
                ..Domain::new()
            };
        }
    }

    /// The name of this boot.
    pub fn boot_id(&self) -> String {
        format!("boot-{}{}", self.name, self.boot)
    }

    /// The claims, readable or not.
    pub fn entries(&self) -> Vec<Entry> {
        let files = self.files.iter();
        files
            .map(|(name, bytes)| file::decode(&DomainUuid::parse(name).unwrap(), bytes.clone()))
            .collect()
    }

    /// The readable claims.
    pub fn claims(&self) -> Vec<Claim> {
        let readable = |entry| match entry {
            Entry::Claim(claim) => Some(claim),
            Entry::Unreadable { .. } => None,
        };
        self.entries().into_iter().filter_map(readable).collect()
    }

    /// The claim of one domain.
    pub fn entry(&self, uuid: &DomainUuid) -> Option<Entry> {
        let bytes = self.files.get(uuid.as_str())?;
        Some(file::decode(uuid, bytes.clone()))
    }

    /// What is open on this host, by anybody.
    pub fn open(&self) -> BTreeSet<u32> {
        let by_domains = self
            .domains
            .iter()
            .flat_map(|domain| domain.open.keys().chain(domain.stuck.keys()));
        by_domains.chain(self.probed.keys()).copied().collect()
    }
}
