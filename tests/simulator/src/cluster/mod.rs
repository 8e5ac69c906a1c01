// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The cluster's configuration: objects, clients, attachments. Pure state that serialises as JSON; the
//! devices that follow from it are made elsewhere.

pub mod error;
pub mod names;
pub mod objects;
pub mod reassign;
pub mod record;
pub mod requests;
pub mod snapshots;
#[cfg(test)]
mod tests;
pub mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use error::ApiError;

/// Most attachments one client can have; positions are 0..1024.
pub const MAX_ATTACHMENTS: usize = 1024;

/// Rights of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rights {
    /// Read only.
    Ro,
    /// Read and write.
    Rw,
}

/// A volume or a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Internal number, never used again.
    pub id: u64,
    /// Name; empty for a volume that has none.
    pub name: String,
    /// Global id, without `~`.
    pub gid: String,
    /// Size in bytes.
    pub size: u64,
    /// Snapshot this one was made from.
    pub parent: Option<u64>,
    /// Name of its template, or empty.
    pub template: String,
    /// Unix time.
    pub created: u64,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Placement and limits.
    pub policy: requests::Policy,
    /// What only a snapshot has.
    pub snapshot: Option<Snapshot>,
}

/// What only a snapshot has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Volume it was taken of, by internal number.
    pub of: Option<u64>,
    /// The server chose its name.
    pub auto_name: bool,
    /// Goes away when it has no child and is not attached.
    pub bound: bool,
    /// Internal to a clone: cannot be attached.
    pub transient: bool,
    /// Is being deleted; gone at this time (Unix, ms).
    pub gone_at: Option<u64>,
    /// Is to be deleted by itself at this time (Unix, s).
    pub delete_at: Option<u64>,
}

/// A host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Client {
    /// Its `storpool_block` runs.
    pub up: bool,
    /// Folder that is its `/dev`; none: attachments without devices.
    pub root: Option<std::path::PathBuf>,
    /// How long it takes to apply a change, in ms.
    pub lag_ms: u64,
    /// Generation it has reached.
    #[serde(skip)]
    pub synced: u64,
    /// Changes it will apply later: generation and when.
    #[serde(skip)]
    pub due: Vec<(u64, Instant)>,
}

impl Client {
    /// A client that is up, without devices.
    pub fn new() -> Self {
        Self {
            up: true,
            root: None,
            lag_ms: 0,
            synced: 0,
            due: Vec::new(),
        }
    }
}

/// A device that comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// When it is complete.
    pub until: Instant,
    /// What is there before.
    pub early: Early,
}

/// What is already there of a device that comes late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Early {
    /// Nothing.
    #[default]
    Nothing,
    /// The node, without links.
    Node,
    /// Node and links, of a device with size 0.
    Empty,
}

/// An object at a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Rights.
    pub rights: Rights,
    /// Position, which is the N of `sp-N`.
    pub pos: u16,
    /// Not shown in `AttachmentsList` until its client is up.
    pub unseen: bool,
    /// Its device comes late.
    #[serde(skip)]
    pub late: Option<Late>,
}

/// A template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Internal number.
    pub id: u64,
    /// Default size in bytes.
    pub size: Option<u64>,
    /// Parent snapshot by name, or empty.
    pub parent: String,
    /// Placement and limits.
    pub policy: requests::Policy,
}

/// Attachments by client, then object.
pub type Attached = BTreeMap<u16, BTreeMap<u64, Attachment>>;

/// Everything the cluster knows.
#[allow(
    clippy::struct_field_names,
    reason = "`id` and `name` would be read as those of an object"
)]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cluster {
    /// Counts changes of the configuration.
    pub generation: u64,
    /// Next internal number.
    pub next_id: u64,
    /// `location.cluster`.
    pub cluster_id: String,
    /// Name of the cluster.
    pub cluster_name: String,
    /// Volumes and snapshots.
    pub objects: BTreeMap<u64, Object>,
    /// Templates by name.
    pub templates: BTreeMap<String, Template>,
    /// Registered clients.
    pub clients: BTreeMap<u16, Client>,
    /// Attachments.
    pub attached: Attached,
    /// Number of synthetic attachments of other clients in `AttachmentsList`.
    pub fill: u32,
}

impl Cluster {
    /// An empty cluster.
    pub fn new(cluster_id: &str, cluster_name: &str) -> Self {
        Self {
            generation: 1,
            // Global ids that look like the real ones: more than one digit and letters among them.
            next_id: 1296 * 10 + 10,
            cluster_id: cluster_id.to_owned(),
            cluster_name: cluster_name.to_owned(),
            objects: BTreeMap::new(),
            templates: BTreeMap::new(),
            clients: BTreeMap::new(),
            attached: Attached::new(),
            fill: 0,
        }
    }

    /// Counts one change. Clients that have nothing to do for it have reached it, `concerned` ones not yet.
    pub fn bump(&mut self, concerned: &BTreeSet<u16>) {
        self.generation += 1;
        let generation = self.generation;
        for (id, client) in &mut self.clients {
            if client.up
                && client.due.is_empty()
                && !concerned.contains(id)
                && client.synced + 1 == generation
            {
                client.synced = generation;
            }
        }
    }

    /// A fresh internal number and the global id that goes with it.
    fn fresh(&mut self) -> (u64, String) {
        let id = self.next_id;
        self.next_id += 1;
        (id, format!("{}.{}", self.cluster_id, names::base36(id)))
    }

    /// Clients at which the object is attached.
    pub fn holders(&self, object: u64) -> BTreeSet<u16> {
        let has = |(client, list): (&u16, &BTreeMap<u64, Attachment>)| {
            list.contains_key(&object).then_some(*client)
        };
        self.attached.iter().filter_map(has).collect()
    }

    /// Objects that are attached read-write at two clients or more.
    pub fn doubly_writable(&self) -> BTreeSet<u64> {
        let mut seen = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for (object, attachment) in self.attached.values().flatten() {
            if attachment.rights == Rights::Rw && !seen.insert(*object) {
                twice.insert(*object);
            }
        }
        twice
    }
}
