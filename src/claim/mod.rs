// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A claim: what this host has attached for one domain, and what was there before.
//!
//! The claim is on disk before an attachment exists and goes only after the attachment is gone, so whatever
//! dies in between, it says what has to be looked at. It is intent, not truth: truth is `AttachmentsList` and
//! the devices, and nothing is ever attached because a claim says so.
//!
//! This file is the live form, pure. [`mod@file`] is the saved form, [`store`] the folder, [`lock`] the locks.

pub mod file;
pub mod lock;
pub mod store;

use serde::{Deserialize, Serialize};

use crate::api::{Attachment, Listing};
use crate::volume::{Access, ClientId, DomainUuid, GlobalId, VolumeRef};

/// What one domain holds on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The domain: the key.
    pub uuid: DomainUuid,
    /// Its name when the claim was made. For messages, and to find the claim when a `release` comes with
    /// unreadable XML.
    pub domain: String,
    /// The client the volumes are attached to. A claim of another client (host replaced, `SP_OURID` changed)
    /// is reported, never acted on.
    pub client: ClientId,
    /// The boot in which it was made. No QEMU of an earlier boot can be alive.
    pub boot: String,
    /// Milliseconds on the boot clock when the claim was made.
    pub made: u64,
    /// The libvirt daemon whose hook made it: it will call `release`, as long as it lives.
    pub daemon: Option<Process>,
    /// How far it is.
    pub phase: Phase,
    /// An attach was sent whose outcome nobody knows: the server may apply it long after its reply timed out,
    /// so the claim outlives its first release by one more look.
    pub unsure: bool,
    /// The volumes, one entry per volume.
    pub volumes: Vec<Held>,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub started: u64,
}

/// How far a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Written before the attach was sent. Protects its volumes.
    Acquiring,
    /// The volumes are attached and verified. Protects them.
    Live,
    /// A detach was decided; it may have been sent. Protects nothing.
    Releasing,
}

/// One volume of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// How the domain names it.
    pub volume: VolumeRef,
    /// A snapshot rather than a volume.
    pub snapshot: bool,
    /// Its global id, once known: from the local link or the first list.
    pub global_id: Option<GlobalId>,
    /// The access the domain needs.
    pub access: Access,
    /// Whether the domain says `<shareable/>`.
    pub shareable: bool,
    /// What was attached on this client before any of us came: `None` is detached on release, `Some(Ro)` is
    /// lowered to ro, `Some(Rw)` is left alone.
    pub before: Option<Access>,
    /// Where the domain uses it, e.g. `vda`. For messages.
    pub disk: String,
}

/// A file in the claims folder, readable or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A claim.
    Claim(Claim),
    /// A file that is damaged or of a newer format. It counts as a claim: nothing is detached because of it,
    /// and what its bytes name stays protected.
    Unreadable {
        /// The domain, from the file name.
        uuid: DomainUuid,
        /// Why it cannot be read.
        why: String,
        /// Its bytes, to look for names and ids in.
        bytes: Vec<u8>,
    },
}

impl Entry {
    /// The domain this entry is about.
    #[must_use]
    pub fn uuid(&self) -> &DomainUuid {
        match self {
            Self::Claim(claim) => &claim.uuid,
            Self::Unreadable { uuid, .. } => uuid,
        }
    }

    /// The domain's name for messages.
    #[must_use]
    pub fn domain(&self) -> &str {
        match self {
            Self::Claim(claim) => &claim.domain,
            Self::Unreadable { uuid, .. } => uuid.as_str(),
        }
    }

    /// Whether it protects what it names: a claim of this boot that is not being released. Of a damaged file
    /// nobody can tell, so it does.
    #[must_use]
    pub fn protects(&self, boot: &str) -> bool {
        match self {
            Self::Claim(claim) => claim.phase != Phase::Releasing && claim.boot == boot,
            Self::Unreadable { .. } => true,
        }
    }

    /// The entry's own record of the volume `id`, if it is a readable claim that has one.
    #[must_use]
    pub fn held(&self, id: &Identity) -> Option<&Held> {
        match self {
            Self::Claim(claim) => claim.volumes.iter().find(|held| id.is(held)),
            Self::Unreadable { .. } => None,
        }
    }

    /// Whether this entry names the volume.
    #[must_use]
    pub fn names(&self, id: &Identity) -> bool {
        match self {
            Self::Claim(_) => self.held(id).is_some(),
            Self::Unreadable { bytes, .. } => id.occurs_in(bytes),
        }
    }
}

/// Everything known about which volume is meant. Two records mean the same volume when their global ids are
/// equal, or, while one of them has none yet, when the domain named them the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How it is named.
    pub volume: VolumeRef,
    /// Its global id, if known.
    pub global_id: Option<GlobalId>,
}

impl Identity {
    /// The identity of a record.
    #[must_use]
    pub fn of(held: &Held) -> Self {
        Self {
            volume: held.volume.clone(),
            global_id: held.known_id(),
        }
    }

    /// Whether `held` is this volume.
    #[must_use]
    pub fn is(&self, held: &Held) -> bool {
        match (&self.global_id, held.known_id()) {
            (Some(mine), Some(theirs)) => *mine == theirs,
            _ => self.volume == held.volume,
        }
    }

    /// Whether bytes that nobody understands speak of this volume.
    fn occurs_in(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        let named = |word: &str| text.contains(&format!("\"{word}\""));
        let by_ref = match &self.volume {
            VolumeRef::Name(name) => named(name.as_str()),
            VolumeRef::Id(id) => named(id.as_str()),
        };
        by_ref || self.global_id.as_ref().is_some_and(|id| named(id.as_str()))
    }
}

impl Held {
    /// The global id, also when the domain itself names the volume by it.
    #[must_use]
    pub fn known_id(&self) -> Option<GlobalId> {
        self.global_id.clone().or_else(|| match &self.volume {
            VolumeRef::Id(id) => Some(id.clone()),
            VolumeRef::Name(_) => None,
        })
    }

    /// The surest way to name the volume: by global id as soon as one is known.
    #[must_use]
    pub fn reference(&self) -> VolumeRef {
        self.known_id().map_or_else(|| self.volume.clone(), VolumeRef::Id)
    }

    /// How the volume is attached to `client`, by a list that was asked for it; `None` if it is not.
    #[must_use]
    pub fn rights(&self, listing: &Listing, client: ClientId) -> Option<Access> {
        let mut mine = listing.attachments.iter().filter(|line| line.client == client);
        mine.find(|line| self.is_line(line)).map(|line| line.rights)
    }

    /// Whether a line of a list is about this volume.
    #[must_use]
    pub fn is_line(&self, line: &Attachment) -> bool {
        match (self.known_id(), &line.global_id) {
            (Some(mine), Some(listed)) => mine == *listed,
            _ => line.name == self.volume.api(),
        }
    }
}
