// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Why a domain may not start, in words for the person who typed `virsh start`: what is wrong with which
//! volume or client, and what to do. Pure.

mod holders;

use std::fmt;
use std::path::PathBuf;

use crate::api::ApiError;
use crate::claim::lock::LockError;
use crate::config::{ConfigError, Takeover};
use crate::persist::PathError;
use crate::volume::{ClientId, DomainUuid, VolumeRef};

pub use holders::{Holders, handle, state};

/// Where a domain uses a volume: enough for a person to find it in the domain's XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// How the domain names it.
    pub volume: VolumeRef,
    /// The guest's name of the disk, or what else it is.
    pub disk: String,
    /// The path as it stands in the XML.
    pub path: String,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "volume \"{}\" (disk {}, {})",
            self.volume, self.disk, self.path
        )
    }
}

/// The reason of a refused start.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The XML cannot be read, and may name a volume.
    #[error("its XML is not understood and speaks of storpool: {why}")]
    NotUnderstood {
        /// With line and column.
        why: String,
    },
    /// Our metadata element says something that means nothing.
    #[error("its metadata element <spvirt:domain> has {attribute}=\"{value}\"; {allowed}")]
    Metadata {
        /// The attribute.
        attribute: &'static str,
        /// Its value.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// Two disks of one domain want different things of one volume.
    #[error("{first} and {second} are one volume, but only one of them says <shareable/>")]
    Contradiction {
        /// One disk.
        first: Use,
        /// The other.
        second: Use,
    },
    /// A snapshot cannot be written to.
    #[error("{0} is a snapshot, which can only be read: add <readonly/> to the disk")]
    WritableSnapshot(Use),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// StorPool knows no such volume.
    #[error("volume \"{}\" does not exist in StorPool (disk {}, {})", .0.volume, .0.disk, .0.path)]
    Missing(Use),
    /// Another domain of this host uses it.
    #[error(
        "{volume} is in use by domain {domain} on this host ({proof}): stop that domain, or add <shareable/> to the disk in both"
    )]
    UsedHere {
        /// The volume.
        volume: Use,
        /// The other domain's name.
        domain: String,
        /// What shows that it lives.
        proof: String,
    },
    /// Another client has it, and the policy is not to take it.
    #[error("{volume} is attached rw on {holders}, and SPVIRT_TAKEOVER={policy} leaves it there: stop its domain and detach it there first{}", .holders.advice())]
    HeldElsewhere {
        /// The volume.
        volume: Use,
        /// Who has it.
        holders: Holders,
        /// The policy.
        policy: Takeover,
    },
    /// Another client has it open, and that client is not known to be down.
    #[error("{volume} is open on {holders}: stop the domain that uses it there first ({why}){}", .holders.advice())]
    OpenElsewhere {
        /// The volume.
        volume: Use,
        /// Who has it.
        holders: Holders,
        /// StorPool's words.
        why: String,
    },
    /// A domain migrates in, and not only its source has the volume.
    #[error(
        "{volume}: its domain migrates in, so only the source may have its volumes rw, but {} have: detach them on all but the source, or start nothing else on them",
        .holders.names()
    )]
    NotOneSource {
        /// A volume of the domain.
        volume: Use,
        /// Everybody who may write to one of its volumes.
        holders: Holders,
    },
    /// Another host started the same domain at the same moment and won.
    #[error(
        "{volume} was taken by {} while this host was attaching it: the domain is being started there",
        .holders.names()
    )]
    LostRace {
        /// The volume.
        volume: Use,
        /// Who has it.
        holders: Holders,
    },
    /// It was attached and is not any more.
    #[error("{0} does not stay attached: it was detached again while the domain was being started")]
    NotMine(Use),
    /// `SP_OURID` is not a client of this cluster.
    #[error("StorPool knows no client {0}: is SP_OURID right, and has storpool_block ever run on this host?")]
    UnknownClient(ClientId),
    /// The client of this host is down.
    #[error("StorPool says that client {0}, this host, is down: is storpool_block running?")]
    ClientDown(ClientId),
    /// The API allows 1024 attachments per client.
    #[error(
        "client {client}, this host, has {count} of at most 1024 volumes attached: detach some first ({why})"
    )]
    TooMany {
        /// This host's client.
        client: ClientId,
        /// How many it has.
        count: usize,
        /// StorPool's words.
        why: String,
    },
    /// Attached, but the device did not come.
    #[error("{volume} is attached, but its device {link} did not appear: {what}")]
    NoDevice {
        /// The volume.
        volume: Use,
        /// The link that was waited for.
        link: String,
        /// What is there instead.
        what: &'static str,
    },
    /// The server does not report global ids.
    #[error(
        "StorPool does not report the global id of {0}: this cluster is too old for spvirt (it needs one of 2022 or later)"
    )]
    OldServer(Use),
    /// Some other failure of the API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What an earlier life of the domain left could not be released.
    #[error("an earlier run of this domain still holds its volumes: {0}")]
    Unfinished(String),
    /// The domain's own claim cannot be read.
    #[error("the claim of this domain, {}, cannot be read ({why}): see what it says, then move it away", .path.display())]
    UnreadableClaim {
        /// The domain's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The state folder cannot be used.
    #[error("the state of this host cannot be kept: {0}")]
    State(#[from] PathError),
    /// A lock was not to be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The daemon that asked is gone.
    #[error("the libvirt daemon that asked for this start is gone")]
    Orphaned,
    /// The time is over.
    #[error("the time is over (SPVIRT_DEADLINE)")]
    OutOfTime,
}

impl Refusal {
    /// The claim of `uuid`, in the folder where claims are.
    #[must_use]
    pub fn unreadable(uuid: &DomainUuid, why: String) -> Self {
        let path = PathBuf::from(crate::claim::store::DIR).join(format!("{uuid}.json"));
        Self::UnreadableClaim { path, why }
    }

    /// The clients that stand in the way, if that is the reason.
    pub fn holders_mut(&mut self) -> Option<&mut Holders> {
        match self {
            Self::HeldElsewhere { holders, .. }
            | Self::OpenElsewhere { holders, .. }
            | Self::NotOneSource { holders, .. }
            | Self::LostRace { holders, .. } => Some(holders),
            _ => None,
        }
    }
}
