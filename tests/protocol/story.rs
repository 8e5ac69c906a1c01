// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a story is made of: the stage it plays on, what may happen and how often, and the events themselves.
//!
//! An event says what happens next, and to whom by number, modulo how many there are: any list of events is a
//! story, so proptest can leave out whatever it likes when it looks for the shortest one that still breaks.

use std::ops::Range;

use proptest::prelude::*;
use spvirt::config::Takeover;
use spvirt::policy::Want;
use spvirt::refusal::Use;
use spvirt::volume::{Access, DomainUuid, VolumeRef};

use crate::cluster::{by_name, gid};
use crate::mistakes::Mistake;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// One who can go on goes on, for some steps.
    Go,
    /// One who waits is done waiting, while the others were that slow.
    Wait,
    /// A person starts a domain.
    Start,
    /// A domain stops.
    Stop,
    /// A domain "stops", but its QEMU cannot be killed.
    StopStuck,
    /// A QEMU that could not be killed is gone at last.
    Unstuck,
    /// A hook or a reconcile is killed.
    Kill,
    /// As `Kill`; the request it was about to make is on its way.
    KillInFlight,
    /// The next request of one who works is refused.
    Refused,
    /// Its reply is lost.
    ReplyLost,
    /// Its reply is lost, and it is sent again.
    Repeated,
    /// It is carried out when nobody waits for it any more.
    Late,
    /// A late request is carried out.
    Arrives,
    /// A libvirt daemon is killed, or starts again.
    Daemon,
    /// A host crashes, or boots again.
    Host,
    /// A host is cut off from StorPool, or is back.
    Cut,
    /// A client restarts: down for a moment.
    ClientRestart,
    /// A domain migrates.
    Migrate,
    /// A domain migrates to the host it runs on: `migrate` runs there, nothing else.
    MigrateSelf,
    /// A migration fails after the destination's `migrate`.
    MigrateFails,
    /// An offline migration: the destination's `migrate`, and its definition.
    MigrateOffline,
    /// A migration is aborted, or its client dies.
    Abort,
    /// The end of a migration gets lost: its source stays paused.
    Split,
    /// A migration ends, but the source's QEMU cannot be killed.
    ConfirmStuck,
    /// A person resumes a paused domain that runs nowhere else.
    Resume,
    /// `spvirt reconcile` runs.
    Reconcile,
    /// A person attaches or detaches by hand, while nothing of ours goes on there.
    Hand,
    /// A running domain gets one more volume by hand.
    HotPlug,
    /// udev has a new device open for a moment.
    Probe,
    /// Two volumes exchange their names.
    Rename,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What happens.
    pub what: What,
    /// To whom.
    pub who: u8,
    /// How much or which.
    pub which: u8,
}

/// One line of a menu: how likely it is, and how often it may happen in one story.
pub type Dish = (What, u32, u32);

/// A domain's use of a volume.
#[derive(Debug, Clone)]
pub struct Disk {
    /// How it is named.
    pub volume: VolumeRef,
    /// How it is used.
    pub access: Access,
    /// `<shareable/>`.
    pub shareable: bool,
}

/// A disk by the name of a volume: volume N is called `vN` when the story begins.
pub fn name(number: u32, access: Access) -> Disk {
    Disk {
        volume: by_name(&format!("v{number}")),
        access,
        shareable: false,
    }
}

/// A disk by global id.
pub fn id(number: u32, access: Access) -> Disk {
    Disk {
        volume: VolumeRef::Id(gid(number)),
        access,
        shareable: false,
    }
}

/// The disk, shareable.
pub fn shared(disk: Disk) -> Disk {
    Disk {
        shareable: true,
        ..disk
    }
}

/// `SPVIRT_TICKET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// By the looks of the call.
    Time,
    /// By a number in the XML.
    Nonce,
}

/// The stage of a story.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)]
pub struct Stage {
    /// How many hosts.
    pub hosts: usize,
    /// The domains.
    pub domains: Vec<Vec<Disk>>,
    /// How many volumes.
    pub volumes: u32,
    /// Snapshots among them.
    pub snapshots: Vec<u32>,
    /// What to do about other holders.
    pub policy: Takeover,
    /// Hosts on which people start domains.
    pub startable: Vec<usize>,
    /// Attached by hand when the story begins: host, volume, access.
    pub by_hand: Vec<(usize, u32, Access)>,
    /// A batch is carried out item by item.
    pub piecemeal: bool,
    /// To detach what is not attached is an error.
    pub absent_is_error: bool,
    /// A refused start is a violation: nothing is in its way.
    pub nothing_in_the_way: bool,
    /// Whoever was prepared runs: no rival takes its volumes away before its QEMU opens them.
    pub prepared_runs: bool,
    /// At least one starter must have succeeded.
    pub one_must_run: bool,
    /// What may happen.
    pub menu: Vec<Dish>,
    /// How many events.
    pub length: Range<usize>,
    /// How a migration is known.
    pub ticket: Ticket,
    /// Definitions have a `<resource>`, as running domains have.
    pub resource: bool,
    /// No two jobs of a daemon are done by the same worker thread.
    pub threads_differ: bool,
    /// A seeded mistake.
    pub mistake: Option<Mistake>,
}

impl Stage {
    /// Hosts and domains, `safe`, with starts and stops.
    pub fn new(hosts: usize, domains: Vec<Vec<Disk>>) -> Self {
        Self {
            hosts,
            domains,
            volumes: 4,
            snapshots: Vec::new(),
            policy: Takeover::Safe,
            startable: (0..hosts).collect(),
            by_hand: Vec::new(),
            piecemeal: false,
            absent_is_error: false,
            nothing_in_the_way: false,
            prepared_runs: false,
            one_must_run: false,
            menu: vec![(What::Go, 60, u32::MAX)],
            length: 1..60,
            ticket: Ticket::Nonce,
            resource: false,
            threads_differ: false,
            mistake: None,
        }
    }

    /// With something that may happen so often.
    #[must_use]
    pub fn may(mut self, what: What, times: u32) -> Self {
        self.menu.push((what, 4, times));
        self
    }

    /// How often something may happen.
    pub fn times(&self, what: What) -> u32 {
        let dishes = self.menu.iter().filter(|(dish, ..)| *dish == what);
        dishes.map(|(.., times)| *times).max().unwrap_or(0)
    }

    /// Random stories on this stage.
    pub fn stories(&self) -> impl Strategy<Value = Vec<Event>> + use<> {
        let what = proptest::strategy::Union::new_weighted(
            self.menu
                .iter()
                .map(|(what, weight, _)| (*weight, Just(*what)))
                .collect(),
        );
        let event =
            (what, any::<u8>(), any::<u8>()).prop_map(|(what, who, which)| Event { what, who, which });
        proptest::collection::vec(event, self.length.clone())
    }

    /// What a domain wants, as `prepare` reads it from its XML.
    pub fn wants(&self, domain: usize) -> Vec<Want> {
        let want = |(number, disk): (usize, &Disk)| Want {
            used: Use {
                volume: disk.volume.clone(),
                disk: format!("vd{number}"),
                path: "/dev/storpool/v".into(),
            },
            snapshot: false,
            access: disk.access,
            shareable: disk.shareable,
            optional: false,
            global_id: None,
        };
        self.domains[domain].iter().enumerate().map(want).collect()
    }
}

/// UUID of a domain.
pub fn uuid(domain: usize) -> DomainUuid {
    DomainUuid::parse(&format!("{domain:032x}")).unwrap()
}
