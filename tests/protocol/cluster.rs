// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The simulated StorPool cluster: volumes, who has them attached, requests that are carried out late.

use std::collections::{BTreeMap, BTreeSet};

use spvirt::api::{Attachment, Fault, Listing, Object, Reassign};
use spvirt::volume::{Access, ClientId, GlobalId, VolumeName, VolumeRef};

/// A volume of the cluster.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name now.
    pub name: String,
    /// Whether it is a snapshot.
    pub snapshot: bool,
    /// Who has it attached, and how.
    pub attached: BTreeMap<u16, Access>,
}

/// A request on its way: the call that made it does not wait for it any more.
#[derive(Debug, Clone)]
pub struct Late {
    /// The host it came from.
    pub host: usize,
    /// The domain it is about.
    pub domain: usize,
    /// The request.
    pub items: Vec<Reassign>,
}

/// What a request did that its maker must answer for.
#[derive(Debug, Default)]
pub struct Effects {
    /// Volumes a client lost, with whether it was by force.
    pub lost: Vec<(u16, u32, bool)>,
}

/// The cluster: volumes by number (their global id is `d.n.NUMBER`).
#[derive(Debug, Default)]
pub struct Cluster {
    /// All volumes.
    pub volumes: BTreeMap<u32, Volume>,
    /// Requests that will be carried out later.
    pub late: Vec<Late>,
    /// What people attached by hand: `(client, volume)`.
    pub hand: BTreeMap<(u16, u32), Access>,
    /// Of these, what a takeover took by the rules: whoever had a part of it may put it back.
    pub taken: BTreeMap<(u16, u32), Access>,
    /// A batch is carried out item by item, up to the first that fails.
    pub piecemeal: bool,
    /// To detach what is not attached is an error.
    pub absent_is_error: bool,
}

/// The global id of a volume.
pub fn gid(number: u32) -> GlobalId {
    GlobalId::parse(&format!("d.n.{number}")).unwrap()
}

/// A reference by name.
pub fn by_name(name: &str) -> VolumeRef {
    VolumeRef::Name(VolumeName::parse(name).unwrap())
}

fn fault(name: &str, descr: String) -> Fault {
    Fault {
        name: name.into(),
        descr,
        transient: false,
    }
}

impl Cluster {
    /// The volume that an object names now.
    pub fn find(&self, object: &Object) -> Option<u32> {
        self.volumes
            .iter()
            .find(|(number, volume)| {
                volume.snapshot == object.snapshot && is(&object.volume, **number, volume)
            })
            .map(|(number, _)| *number)
    }

    /// As [`Cluster::find`], for who does not know whether it is a snapshot.
    pub fn resolve(&self, volume: &VolumeRef) -> Option<u32> {
        let found = self.volumes.iter().find(|(number, it)| is(volume, **number, it));
        found.map(|(number, _)| *number)
    }

    /// How a client has a volume.
    pub fn rights(&self, client: u16, number: u32) -> Option<Access> {
        self.volumes[&number].attached.get(&client).copied()
    }

    /// All attachments, as `(volume, client, access)`.
    pub fn attachments(&self) -> Vec<(u32, u16, Access)> {
        let of = |(number, volume): (&u32, &Volume)| {
            let lines = volume
                .attached
                .iter()
                .map(|(client, access)| (*number, *client, *access));
            lines.collect::<Vec<_>>()
        };
        self.volumes.iter().flat_map(of).collect()
    }

    /// Carries out a request. `open` are the volumes that clients have open.
    pub fn apply(&mut self, items: &[Reassign], open: &BTreeSet<(u16, u32)>) -> (Result<(), Fault>, Effects) {
        let mut effects = Effects::default();
        if !self.piecemeal
            && let Err(fault) = items.iter().try_for_each(|item| self.check(item, open).map(drop))
        {
            return (Err(fault), effects);
        }
        for item in items {
            match self.check(item, open) {
                Ok(number) => self.change(number, item, &mut effects),
                Err(fault) => return (Err(fault), effects),
            }
        }
        (Ok(()), effects)
    }

    fn check(&self, item: &Reassign, open: &BTreeSet<(u16, u32)>) -> Result<u32, Fault> {
        let missing = || fault("objectDoesNotExist", item.object.volume.api());
        let number = self.find(&item.object).ok_or_else(missing)?;
        for client in item.detach.iter().map(|client| u16::from(*client)) {
            if self.absent_is_error && self.rights(client, number).is_none() {
                return Err(fault("invalidParam", format!("not attached to client {client}")));
            }
            if !item.force && open.contains(&(client, number)) {
                return Err(fault("busy", format!("'{number}' is open at client {client}")));
            }
        }
        Ok(number)
    }

    fn change(&mut self, number: u32, item: &Reassign, effects: &mut Effects) {
        let attached = &mut self.volumes.get_mut(&number).unwrap().attached;
        if let Some((client, access)) = item.attach {
            attached.insert(client.into(), access);
        }
        for client in item.detach.iter().map(|client| u16::from(*client)) {
            if attached.remove(&client).is_some() {
                effects.lost.push((client, number, item.force));
            }
        }
    }

    /// `AttachmentsList`.
    pub fn list(&self, refs: &[VolumeRef], me: u16) -> Listing {
        let wanted = |(number, volume): &(&u32, &Volume)| refs.iter().any(|it| is(it, **number, volume));
        let lines = self.volumes.iter().filter(wanted).flat_map(|(number, volume)| {
            volume.attached.iter().map(|(client, rights)| Attachment {
                name: volume.name.clone(),
                global_id: Some(gid(*number)),
                snapshot: volume.snapshot,
                client: ClientId::new(*client).unwrap(),
                rights: *rights,
            })
        });
        let has = |volume: &&Volume| volume.attached.contains_key(&me);
        Listing {
            attachments: lines.collect(),
            mine: self.volumes.values().filter(has).count(),
            lacks_ids: false,
        }
    }
}

fn is(reference: &VolumeRef, number: u32, volume: &Volume) -> bool {
    match reference {
        VolumeRef::Name(name) => volume.name == name.as_str(),
        VolumeRef::Id(id) => *id == gid(number),
    }
}
