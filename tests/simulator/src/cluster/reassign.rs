// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `VolumesReassign(Wait)`: attach, detach, change rights, in bulk. All items are checked first; what they
//! change then happens under one generation.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::requests::ClientArg;
use super::{ApiError, Attached, Attachment, Cluster, Late, MAX_ATTACHMENTS, Rights};
use crate::switches::Switches;

/// (object, client)
pub type Place = (u64, u16);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    volume: Option<String>,
    snapshot: Option<String>,
    rw: Option<Vec<ClientArg>>,
    ro: Option<Vec<ClientArg>>,
    detach: Option<Detach>,
    force: Option<bool>,
    allow_remote_exported: Option<bool>,
    on_remote_attached: Option<OnRemoteAttached>,
    mc_mode: Option<McMode>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Detach {
    These(Vec<ClientArg>),
    Word(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum OnRemoteAttached {
    Fail,
    Detach,
    DetachForce,
    Export,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum McMode {
    Move,
    Export,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WaitBody {
    reassign: Vec<Value>,
    attach_timeout: Option<u32>,
}

/// A checked item of a reassign.
#[derive(Debug, Clone)]
pub struct Item {
    object: u64,
    name: String,
    wanted: BTreeMap<u16, Rights>,
    detach: BTreeSet<u16>,
    detach_all: bool,
    force: bool,
}

/// A whole request: the items in order as far as they are good, the first error, and the patience.
#[derive(Debug)]
pub struct Request {
    items: Vec<Item>,
    bad: Option<ApiError>,
    /// Seconds to wait for clients that are down; none: for ever.
    pub attach_timeout: Option<u32>,
}

/// One attachment that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Object.
    pub object: u64,
    /// Client.
    pub client: u16,
    /// Rights from now on; none: detached.
    pub to: Option<Rights>,
    /// Even if it is open.
    pub force: bool,
}

/// What a reassign did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What changed.
    pub changes: Vec<Change>,
    /// Where something was asked to be attached.
    pub attached_at: BTreeSet<Place>,
}

impl Request {
    /// Objects from which something is to be detached.
    pub fn detaching(&self) -> BTreeSet<u64> {
        self.items
            .iter()
            .filter(|i| i.detach_all || !i.detach.is_empty())
            .map(|i| i.object)
            .collect()
    }
}

impl Cluster {
    /// Reads the body of `VolumesReassign` (`wait` false: an array) or `VolumesReassignWait` (object or array).
    pub fn read_reassign(
        &self,
        body: Value,
        wait: bool,
        mc: bool,
        switches: &Switches,
    ) -> Result<Request, ApiError> {
        let (values, attach_timeout) = match body {
            Value::Array(values) => (values, None),
            Value::Object(_) if wait => {
                let body: WaitBody = super::requests::from_value(body)?;
                (body.reassign, body.attach_timeout)
            }
            _ => {
                return Err(ApiError::invalid(
                    "the body is not a list of volumes and snapshots to reassign",
                ));
            }
        };
        let mut items = Vec::new();
        let mut bad = None;
        for value in values {
            match self.read_item(value, mc, switches) {
                Ok(item) => items.push(item),
                Err(error) => {
                    bad = Some(error);
                    break;
                }
            }
        }
        Ok(Request {
            items,
            bad,
            attach_timeout,
        })
    }

    fn read_item(&self, value: Value, mc: bool, switches: &Switches) -> Result<Item, ApiError> {
        let wire: Wire = super::requests::from_value(value)?;
        let (object, name) = match (&wire.volume, &wire.snapshot) {
            (Some(name), None) => (self.volume(name)?.id, name),
            (None, Some(name)) => (self.attachable_snapshot(name)?, name),
            _ => return Err(ApiError::invalid("an item has either \"volume\" or \"snapshot\"")),
        };
        let beyond = wire.on_remote_attached.is_some() || wire.mc_mode.is_some();
        if wire.snapshot.is_some() && (wire.rw.is_some() || wire.allow_remote_exported.is_some() || beyond) {
            return Err(ApiError::invalid(
                "a snapshot takes \"ro\", \"detach\" and \"force\" only",
            ));
        }
        if beyond && !mc {
            return Err(ApiError::invalid(
                "onRemoteAttached and mcMode are for MultiCluster calls",
            ));
        }
        let rw = ids(wire.rw.unwrap_or_default(), switches)?;
        let ro = ids(wire.ro.unwrap_or_default(), switches)?;
        let (detach, detach_all) = match wire.detach {
            None => (BTreeSet::new(), false),
            Some(Detach::These(list)) => (ids(list, switches)?, false),
            Some(Detach::Word(word)) if word == "all" => (BTreeSet::new(), true),
            Some(Detach::Word(word)) => {
                return Err(ApiError::invalid(format!(
                    "detach is a list of clients or \"all\", not '{word}'"
                )));
            }
        };
        for client in rw.union(&ro) {
            if !self.clients.contains_key(client) {
                return Err(ApiError::invalid("No such client registered"));
            }
            if detach.contains(client) || (rw.contains(client) && ro.contains(client)) {
                return Err(ApiError::invalid(format!(
                    "client {client} stands in two lists of one item"
                )));
            }
        }
        let mut wanted: BTreeMap<u16, Rights> = ro.into_iter().map(|c| (c, Rights::Ro)).collect();
        wanted.extend(rw.into_iter().map(|c| (c, Rights::Rw)));
        Ok(Item {
            object,
            name: name.clone(),
            wanted,
            detach,
            detach_all,
            force: wire.force.unwrap_or(false),
        })
    }

    fn attachable_snapshot(&self, name: &str) -> Result<u64, ApiError> {
        let object = self.snapshot(name)?;
        match &object.snapshot {
            Some(s) if s.transient => Err(ApiError::invalid(format!("Snapshot '{name}' is transient"))),
            Some(s) if s.gone_at.is_some() => {
                Err(ApiError::invalid(format!("Snapshot '{name}' is being deleted")))
            }
            _ => Ok(object.id),
        }
    }

    /// Applies the request. `open` tells which of the given places have their device open; it is asked once.
    pub fn reassign(
        &mut self,
        request: &Request,
        switches: &Switches,
        late: Option<Late>,
        open: impl FnOnce(&BTreeSet<Place>) -> BTreeSet<Place>,
    ) -> (Outcome, Result<(), ApiError>) {
        let prefix = switches.is("batch", "prefix");
        if !prefix && let Some(bad) = &request.bad {
            return (Outcome::default(), Err(bad.clone()));
        }
        // A dry run finds out what each item would change, and where a device would have to be closed.
        let mut scratch = self.attached.clone();
        let mut steps = Vec::new();
        let mut bad = request.bad.clone();
        for item in &request.items {
            match Self::changes_of(item, &scratch, switches) {
                Ok(changes) => {
                    if let Err(error) = self.apply(&changes, &mut scratch, switches, None) {
                        bad = Some(error);
                        break;
                    }
                    steps.push((item, changes));
                }
                Err(error) => {
                    bad = Some(error);
                    break;
                }
            }
        }
        if !prefix && let Some(bad) = bad {
            return (Outcome::default(), Err(bad));
        }
        let gentle = |c: &Change| (c.to.is_none() && !c.force).then_some((c.object, c.client));
        let asked: BTreeSet<Place> = steps
            .iter()
            .flat_map(|(_, changes)| changes.iter().filter_map(gentle))
            .collect();
        let busy = if asked.is_empty() {
            BTreeSet::new()
        } else {
            open(&asked)
        };
        let in_the_way = |changes: &[Change]| {
            changes
                .iter()
                .find_map(|c| gentle(c).filter(|place| busy.contains(place)))
        };
        if let Some((index, (object, client))) = steps
            .iter()
            .enumerate()
            .find_map(|(i, (_, changes))| Some((i, in_the_way(changes)?)))
        {
            let name = self.label(object);
            bad = Some(ApiError::new(
                switches.get("busy-name"),
                format!("'{name}' is open at client {client}"),
            ));
            steps.truncate(if prefix { index } else { 0 });
        }
        let mut outcome = Outcome::default();
        for (item, changes) in steps {
            outcome
                .attached_at
                .extend(item.wanted.keys().map(|client| (item.object, *client)));
            outcome.changes.extend(changes);
        }
        let mut attached = std::mem::take(&mut self.attached);
        let applied = self.apply(&outcome.changes, &mut attached, switches, late);
        self.attached = attached;
        if !outcome.changes.is_empty() {
            let concerned = outcome.changes.iter().map(|c| c.client).collect();
            self.bump(&concerned);
        }
        (outcome, applied.and(bad.map_or(Ok(()), Err)))
    }

    fn changes_of(item: &Item, attached: &Attached, switches: &Switches) -> Result<Vec<Change>, ApiError> {
        let now = |client: u16| attached.get(&client).and_then(|list| list.get(&item.object));
        let mut detach = item.detach.clone();
        for client in &item.detach {
            if now(*client).is_none() {
                if switches.is("detach-absent", "error") {
                    let descr = format!("'{}' is not attached at client {client}", item.name);
                    return Err(ApiError::invalid(descr));
                }
                detach.remove(client);
            }
        }
        if item.detach_all {
            let holds = |(client, list): (&u16, &BTreeMap<u64, Attachment>)| {
                list.contains_key(&item.object).then_some(*client)
            };
            detach.extend(
                attached
                    .iter()
                    .filter_map(holds)
                    .filter(|c| !item.wanted.contains_key(c)),
            );
        }
        let change = |client, to| Change {
            object: item.object,
            client,
            to,
            force: item.force,
        };
        let mut changes: Vec<Change> = detach.into_iter().map(|client| change(client, None)).collect();
        for (client, rights) in &item.wanted {
            if now(*client).is_none_or(|a| a.rights != *rights) {
                changes.push(change(*client, Some(*rights)));
            }
        }
        Ok(changes)
    }

    fn apply(
        &self,
        changes: &[Change],
        attached: &mut Attached,
        switches: &Switches,
        late: Option<Late>,
    ) -> Result<(), ApiError> {
        for change in changes {
            let list = attached.entry(change.client).or_default();
            let Some(rights) = change.to else {
                list.remove(&change.object);
                continue;
            };
            let taken: BTreeSet<u16> = list.values().map(|a| a.pos).collect();
            let free = (0..=u16::MAX).find(|pos| !taken.contains(pos)).unwrap_or(0);
            let room = list.len() < MAX_ATTACHMENTS;
            if let Some(attachment) = list.get_mut(&change.object) {
                attachment.rights = rights;
                if switches.is("pos-on-change", "new") && room {
                    attachment.pos = free;
                }
                continue;
            }
            if !room {
                let descr = format!(
                    "Client {} has {MAX_ATTACHMENTS} attachments: no more can be made",
                    change.client
                );
                return Err(ApiError::invalid(descr));
            }
            let down = self.clients.get(&change.client).is_some_and(|c| !c.up);
            let attachment = Attachment {
                rights,
                pos: free,
                unseen: down && switches.is("down-client-recorded", "no"),
                late,
            };
            list.insert(change.object, attachment);
        }
        Ok(())
    }

    /// The name of an object as lists show it.
    pub fn label(&self, object: u64) -> String {
        self.objects
            .get(&object)
            .map(super::Object::label)
            .unwrap_or_default()
    }
}

fn ids(list: Vec<ClientArg>, switches: &Switches) -> Result<BTreeSet<u16>, ApiError> {
    if switches.is("client-ids", "int") && list.iter().any(|c| c.quoted) {
        return Err(ApiError::invalid("a client id is a number"));
    }
    Ok(list.into_iter().map(|c| c.id).collect())
}
