// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The one boundary between deciding and doing: everything [`crate::acquire`], [`crate::release`] and
//! [`crate::adopt`] can see or change. [`crate::host::Host`] is the real one; a model may be another.
//!
//! Every method is one step: the process may die between any two of them, and what is on disk and in StorPool
//! by then must be something `spvirt reconcile` can finish.

use std::time::Duration;

use crate::api::{ApiError, Clients, Description, Listing, Object, Reassign};
use crate::claim::lock::{Lock, LockError};
use crate::claim::{Claim, Entry, Identity, Process};
use crate::persist::PathError;
use crate::ticket::Ticket;
use crate::volume::{Access, ClientId, DomainUuid, GlobalId, VolumeRef};

/// Which part of the call's time is being spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Attaching and verifying.
    Work,
    /// Taking back what this call attached.
    Undo,
    /// Letting go after a stop.
    Release,
}

/// A device link on this host that leads to a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Device number, `major:minor`.
    pub device: String,
    /// Whether the device is read-only: the rights of the attachment, as the kernel has them.
    pub read_only: bool,
    /// Size in sectors of 512 bytes; 0 while the device is not usable yet.
    pub sectors: u64,
    /// The global id, if a link in the by-id folder leads to the same device.
    pub global_id: Option<GlobalId>,
}

impl Link {
    /// The rights of the attachment behind the device.
    #[must_use]
    pub fn access(&self) -> Access {
        if self.read_only { Access::Ro } else { Access::Rw }
    }
}

/// One host, its StorPool client and its StorPool cluster.
pub trait World {
    /// A held lock; dropping it lets go.
    type Guard;

    /// This host's StorPool client.
    fn me(&self) -> ClientId;
    /// Which boot this is.
    fn boot(&self) -> &str;
    /// Milliseconds since boot.
    fn now(&self) -> u64;
    /// When this call began, in milliseconds since boot.
    fn began(&self) -> u64;
    /// The libvirt daemon that called us.
    fn daemon(&self) -> Option<Process>;
    /// The thread of that daemon which called us, where the kernel tells it.
    fn daemon_thread(&self) -> Option<i32>;
    /// What the persistent definition of the domain of this name looks like from outside: something that changes
    /// whenever it is written. `None` when there is none.
    fn definition(&self, domain: &str) -> Option<String>;
    /// The daemon that called us is gone: nobody waits for what we do, and its successor may act already.
    fn orphaned(&self) -> bool;
    /// From here on the time of `stage` is spent.
    fn enter(&self, stage: Stage);
    /// Waits; false when the stage's time is over.
    fn pause(&self, time: Duration) -> bool;

    /// Takes a lock within the stage's time.
    fn lock(&self, lock: &Lock) -> Result<Self::Guard, LockError>;
    /// The claim of a domain.
    fn claim(&self, uuid: &DomainUuid) -> Result<Option<Entry>, PathError>;
    /// All claims of this host.
    fn claims(&self) -> Result<Vec<Entry>, PathError>;
    /// Writes a claim, durably. Needs the claims lock.
    fn save(&self, claim: &Claim) -> Result<(), PathError>;
    /// Removes a claim, durably. Needs the claims lock.
    fn forget(&self, uuid: &DomainUuid) -> Result<(), PathError>;
    /// Leaves a ticket in place of any older one of its domain.
    fn leave_ticket(&self, ticket: &Ticket) -> Result<(), PathError>;
    /// Takes a domain's ticket away: nobody finds it a second time.
    fn take_ticket(&self, uuid: &DomainUuid) -> Result<Option<Ticket>, PathError>;
    /// Whether a call of ours works on the domain right now: its lock is held.
    fn is_worked_on(&self, uuid: &DomainUuid) -> bool;
    /// The QEMU of a domain, in words, if one lives on this host, also one that cannot be killed.
    fn qemu(&self, uuid: &DomainUuid) -> Option<String>;
    /// Proof, in words, that the domain of `entry` lives or is being started on this host and may use the volume.
    fn proof_of_life(&self, entry: &Entry, volume: &Identity) -> Option<String>;

    /// The device behind each volume's own link; `None` where there is no link or it leads nowhere.
    fn links(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>>;
    /// As [`World::links`], for who does not need the global ids: finding that of a name takes a look at every link
    /// of the host.
    fn devices(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>> {
        self.links(volumes)
    }
    /// Who holds the device of `volume` open on this host, in words.
    fn holder(&self, volume: &VolumeRef) -> Option<String>;

    /// `VolumesReassignWait`.
    fn reassign(&self, items: &[Reassign]) -> Result<(), ApiError>;
    /// `AttachmentsList`, what concerns `volumes`.
    fn attachments(&self, volumes: &[VolumeRef]) -> Result<Listing, ApiError>;
    /// `Volume/…` or `Snapshot/…`; `None` when there is none of that name.
    fn describe(&self, object: &Object) -> Result<Option<Description>, ApiError>;
    /// The clients' part of `ServicesList`.
    fn clients(&self) -> Result<Clients, ApiError>;
}
