// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! StorPool's JSON-over-HTTP API, as far as attaching needs it: what we ask, what we are told, what can go
//! wrong. [`wire`] is the JSON, [`transport`] one request, [`client`] the five calls with retries.

pub mod client;
pub mod transport;
pub mod wire;

use std::collections::BTreeMap;
use std::fmt;

use crate::volume::{Access, ClientId, GlobalId, VolumeRef};

/// Attachments the API allows per client.
pub const ATTACHMENTS_MAX: usize = 1024;

/// A change of one object's attachments: an item of `VolumesReassignWait`.
///
/// There is no way to say `detach: "all"` here: nothing we do may touch a client that was not named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassign {
    /// The object.
    pub object: Object,
    /// Clients that get it, and how. Snapshots can only be had `Ro`.
    pub attach: Option<(ClientId, Access)>,
    /// Clients that lose it.
    pub detach: Vec<ClientId>,
    /// Detach even where it is open. Only ever set for clients that are down, or by policy `always`.
    pub force: bool,
}

impl fmt::Display for Reassign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(&self.object.volume.api()))
    }
}

impl Reassign {
    /// What it does, with the object called `name`.
    #[must_use]
    pub fn words(&self, name: &str) -> String {
        let what = if self.object.snapshot {
            format!("snapshot \"{name}\"")
        } else {
            format!("volume \"{name}\"")
        };
        let from: Vec<_> = self
            .detach
            .iter()
            .map(|client| format!("client {client}"))
            .collect();
        let from = from.join(" and ");
        let mut words = match (self.attach, self.detach.is_empty()) {
            (Some((client, access)), true) => format!("attach {what} {access} to client {client}"),
            (Some((client, access)), false) => {
                format!("attach {what} {access} to client {client} and detach it from {from}")
            }
            (None, _) => format!("detach {what} from {from}"),
        };
        if self.force {
            words.push_str(", even if it is open there");
        }
        words
    }
}

/// A volume or a snapshot: the API keeps them apart, device paths do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name or global id.
    pub volume: VolumeRef,
    /// Whether it is a snapshot.
    pub snapshot: bool,
}

/// One line of `AttachmentsList`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the object, or `~GLOBALID` if it has none. A snapshot's may hold `@` or `*`.
    pub name: String,
    /// Its global id. Servers before 2022 do not report it.
    pub global_id: Option<GlobalId>,
    /// Whether it is a snapshot.
    pub snapshot: bool,
    /// Where it is attached.
    pub client: ClientId,
    /// How.
    pub rights: Access,
}

/// What a list said about the objects that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Their attachments, at every client.
    pub attachments: Vec<Attachment>,
    /// How many attachments of anything the asking client has (the API allows 1024).
    pub mine: usize,
    /// Some line had no global id: an old server.
    pub lacks_ids: bool,
}

/// A volume or snapshot as `Volume/…` and `Snapshot/…` describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name, or `~GLOBALID`.
    pub name: String,
    /// Its global id.
    pub global_id: Option<GlobalId>,
}

/// Which clients are running: `ServicesList`, the clients' part of it.
pub type Clients = BTreeMap<ClientId, bool>;

/// What StorPool itself answered instead of doing what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Machine-readable, e.g. `busy`.
    pub name: String,
    /// For people.
    pub descr: String,
    /// Worth trying again.
    pub transient: bool,
}

impl Fault {
    /// No object of that name.
    #[must_use]
    pub fn is_missing_object(&self) -> bool {
        self.name == "objectDoesNotExist"
    }

    /// The volume is open where it would be detached. Older servers call this `invalidParam`, so the text
    /// decides.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.name.as_str(), "busy" | "invalidParam") && self.descr.contains("is open at")
            || self.name == "busy"
    }

    /// The client id was never seen by the cluster.
    #[must_use]
    pub fn is_unknown_client(&self) -> bool {
        self.descr.contains("No such client registered")
    }
}

/// Why a call brought no answer we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers at the address. Nothing was changed.
    #[error("the StorPool API at {address} cannot be reached: {why}")]
    Unreachable {
        /// `host:port` from the configuration.
        address: String,
        /// The system's words.
        why: String,
    },
    /// The connection broke after the request went out. The change may have been made.
    #[error("the StorPool API at {address} broke off {call}: {why}")]
    Broken {
        /// `host:port` from the configuration.
        address: String,
        /// The call.
        call: &'static str,
        /// The system's words.
        why: String,
    },
    /// No answer in time. The change may have been made, or may still be made later.
    #[error("the StorPool API at {address} did not answer {call} in time")]
    Timeout {
        /// `host:port` from the configuration.
        address: String,
        /// The call.
        call: &'static str,
    },
    /// The token is not accepted.
    #[error("the StorPool API at {address} refuses the token (HTTP {status}): check SP_AUTH_TOKEN")]
    Unauthorized {
        /// `host:port` from the configuration.
        address: String,
        /// HTTP status.
        status: u16,
    },
    /// The API understood and said no. Nothing was changed.
    #[error("StorPool refused {call}: {}: {}", .fault.name, .fault.descr)]
    Refused {
        /// The call.
        call: &'static str,
        /// What it said.
        fault: Fault,
    },
    /// The answer is not what the API answers. The change may have been made.
    #[error("the StorPool API at {address} answered {call} with something else: {why}")]
    Malformed {
        /// `host:port` from the configuration.
        address: String,
        /// The call.
        call: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl ApiError {
    /// The fault, if StorPool itself said no.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Refused { fault, .. } => Some(fault),
            _ => None,
        }
    }

    /// Whether the change may have been taken down, although the answer is not yes: not if it is about something
    /// that does not exist.
    #[must_use]
    pub fn may_be_pending(&self) -> bool {
        !self
            .fault()
            .is_some_and(|fault| fault.is_missing_object() || fault.is_unknown_client())
    }

    /// Whether the server may still apply the request after this answer.
    #[must_use]
    pub fn may_come_later(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether trying the same again soon may help. A timeout is not: the time is gone.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused { fault, .. } => fault.transient,
            Self::Timeout { .. } | Self::Unauthorized { .. } | Self::Malformed { .. } => false,
        }
    }
}
