// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The simulated cluster: volumes, who has them, what was asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use spvirt::api::{Fault, Object, Reassign};
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
    /// Who has it open.
    pub open: BTreeSet<u16>,
}

/// The cluster: volumes by number (their global id is `d.n.NUMBER`).
#[derive(Debug, Default)]
pub struct Cluster {
    /// All volumes.
    pub volumes: RefCell<BTreeMap<u32, Volume>>,
    /// Clients that are down.
    pub down: RefCell<BTreeSet<u16>>,
    /// Requests that will be carried out later.
    pub pending: RefCell<Vec<Vec<Reassign>>>,
    /// What so many looks at the devices still show.
    pub stale: RefCell<(u32, BTreeMap<u32, Volume>)>,
    /// Every request, for the invariants.
    pub log: RefCell<Vec<(u16, Reassign)>>,
}

/// The global id of a volume.
pub fn gid(number: u32) -> GlobalId {
    GlobalId::parse(&format!("d.n.{number}")).unwrap()
}

/// A reference by name.
pub fn by_name(name: &str) -> VolumeRef {
    VolumeRef::Name(VolumeName::parse(name).unwrap())
}

impl Cluster {
    /// Adds a volume.
    pub fn volume(&self, number: u32, name: &str) {
        let volume = Volume {
            name: name.into(),
            snapshot: false,
            attached: BTreeMap::new(),
            open: BTreeSet::new(),
        };
        self.volumes.borrow_mut().insert(number, volume);
    }

    /// Attaches as an admin would.
    pub fn attach(&self, number: u32, client: u16, access: Access) {
        self.volumes
            .borrow_mut()
            .get_mut(&number)
            .unwrap()
            .attached
            .insert(client, access);
    }

    /// Opens or closes a volume at a client.
    pub fn open(&self, number: u32, client: u16, open: bool) {
        let mut volumes = self.volumes.borrow_mut();
        let set = &mut volumes.get_mut(&number).unwrap().open;
        if open {
            set.insert(client);
        } else {
            set.remove(&client);
        }
    }

    /// All attachments, as `(volume, client, access)`.
    pub fn attachments(&self) -> Vec<(u32, u16, Access)> {
        let volumes = self.volumes.borrow();
        volumes
            .iter()
            .flat_map(|(n, v)| v.attached.iter().map(|(c, a)| (*n, *c, *a)))
            .collect()
    }

    /// Carries out what was put off.
    pub fn catch_up(&self) {
        for items in self.pending.take() {
            let _ = self.apply(&items);
        }
    }

    /// The volume that `object` names now.
    pub fn find(&self, object: &Object) -> Option<u32> {
        let volumes = self.volumes.borrow();
        let is = |(number, volume): &(&u32, &Volume)| match &object.volume {
            VolumeRef::Name(name) => volume.name == name.as_str() && volume.snapshot == object.snapshot,
            VolumeRef::Id(id) => *id == gid(**number) && volume.snapshot == object.snapshot,
        };
        volumes.iter().find(is).map(|(number, _)| *number)
    }

    /// Carries out a change, wholly or not at all.
    pub fn apply(&self, items: &[Reassign]) -> Result<(), Fault> {
        let fault = |name: &str, descr: String| Fault {
            name: name.into(),
            descr,
            transient: false,
        };
        for item in items {
            let number = self
                .find(&item.object)
                .ok_or_else(|| fault("objectDoesNotExist", item.object.volume.api()))?;
            let volumes = self.volumes.borrow();
            let busy = |client: &&ClientId| volumes[&number].open.contains(&u16::from(**client));
            if let Some(client) = item.detach.iter().find(busy).filter(|_| !item.force) {
                return Err(fault("busy", format!("'{number}' is open at client {client}")));
            }
        }
        for item in items {
            let number = self.find(&item.object).unwrap();
            let mut volumes = self.volumes.borrow_mut();
            let volume = volumes.get_mut(&number).unwrap();
            if let Some((client, access)) = item.attach {
                volume.attached.insert(client.into(), access);
            }
            for client in &item.detach {
                volume.attached.remove(&u16::from(*client));
                volume.open.remove(&u16::from(*client));
            }
        }
        Ok(())
    }
}
