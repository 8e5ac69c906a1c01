// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Bringing the devices of a client in line with its attachments: what the client's own service does in a
//! real cluster. Each step works on one (object, client) without the lock, so clients and volumes go side
//! by side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::nodes::Placement;
use super::{Device, PROBE_PATIENCE, Slot, Wanted, openers};
use crate::cluster::reassign::Place;
use crate::cluster::{Early, Rights};
use crate::sim::{Core, Sim};

enum Step {
    Done,
    Wait,
    Make(Place, Wanted),
    Change(Place, Device, Wanted),
    Remove(Place, Device),
    Forget(Place),
}

impl Core {
    /// The devices a client should have, apart from those that are to appear later.
    fn wanted(&self, client: u16, sim: &Sim, now: Instant) -> BTreeMap<u64, Wanted> {
        let root = self.cluster.clients.get(&client).and_then(|c| c.root.clone());
        let (Some(root), Some(list)) = (root, self.cluster.attached.get(&client)) else {
            return BTreeMap::new();
        };
        let mut wanted = BTreeMap::new();
        for (id, attachment) in list {
            let early = attachment
                .late
                .filter(|late| late.until > now)
                .map(|late| late.early);
            let Some(object) = self
                .cluster
                .objects
                .get(id)
                .filter(|_| early != Some(Early::Nothing))
            else {
                continue;
            };
            let placement = Placement {
                root: root.clone(),
                pos: attachment.pos,
                name: (!object.name.is_empty()).then(|| object.name.clone()),
                gid: object.gid.clone(),
                linked: early != Some(Early::Node),
            };
            let empty = early == Some(Early::Empty);
            let device = Wanted {
                placement,
                file: if empty { sim.empty_file() } else { sim.file(*id) },
                size: if empty { 0 } else { object.size },
                read_only: attachment.rights == Rights::Ro,
                snapshot: object.snapshot.is_some(),
            };
            wanted.insert(*id, device);
        }
        wanted
    }

    fn next_step(&self, client: u16, sim: &Sim) -> Step {
        let wanted = self.wanted(client, sim, Instant::now());
        let attached = self.cluster.attached.get(&client);
        let rooted = self
            .cluster
            .clients
            .get(&client)
            .is_some_and(|c| c.root.is_some());
        let mut waiting = false;
        for (place, slot) in self.slots.iter().filter(|((_, c), _)| *c == client) {
            let stays = rooted && attached.is_some_and(|list| list.contains_key(&place.0));
            match slot {
                Slot::Busy => waiting = true,
                Slot::Here(device) if !stays => return Step::Remove(*place, device.clone()),
                Slot::Failed(_) if !stays => return Step::Forget(*place),
                _ => {}
            }
        }
        let up = self.cluster.clients.get(&client).is_some_and(|c| c.up) && !self.closing;
        for (id, wanted) in wanted.into_iter().filter(|_| up) {
            let place = (id, client);
            match self.slots.get(&place) {
                None => return Step::Make(place, wanted),
                Some(Slot::Failed(before)) if *before != wanted => return Step::Make(place, wanted),
                Some(Slot::Here(device)) if device.is != wanted || !device.placed => {
                    return Step::Change(place, device.clone(), wanted);
                }
                _ => {}
            }
        }
        if waiting { Step::Wait } else { Step::Done }
    }

    /// Devices by number.
    pub fn by_number(&self) -> BTreeMap<u64, Place> {
        let mut all: BTreeMap<u64, Place> = self.cut.iter().map(|(place, d)| (d.rdev, *place)).collect();
        all.extend(self.slots.iter().filter_map(|(place, slot)| match slot {
            Slot::Here(device) => Some((device.rdev, *place)),
            _ => None,
        }));
        all
    }
}

impl Sim {
    /// Brings the client's devices in line, and lets the client reach the generation it then stands for.
    pub fn sync_client(self: &Arc<Self>, client: u16) {
        let mut core = self.lock();
        let mut worked = false;
        loop {
            let (place, slot) = match core.next_step(client, self) {
                Step::Done => break,
                Step::Wait => {
                    core = self.changed.wait(core).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Step::Forget(place) => {
                    core.slots.remove(&place);
                    continue;
                }
                Step::Make(place, wanted) => {
                    let work = move || Some(Device::make(wanted));
                    (place, unlocked(core, place, work))
                }
                Step::Change(place, device, wanted) => {
                    let work = move || Some(device.change(wanted));
                    (place, unlocked(core, place, work))
                }
                Step::Remove(place, device) => {
                    unlocked(core, place, || None);
                    self.take_away(place, device);
                    (place, None)
                }
            };
            worked = true;
            core = self.lock();
            match slot {
                Some(slot) => core.slots.insert(place, slot),
                None => core.slots.remove(&place),
            };
            self.changed.notify_all();
        }
        let now = Instant::now();
        let generation = core.cluster.generation;
        if let Some(state) = core.cluster.clients.get_mut(&client).filter(|c| c.up) {
            state.due.retain(|(_, at)| *at > now);
            state.synced = state.due.first().map_or(generation, |(g, _)| g.saturating_sub(1));
        }
        if worked {
            self.save_devices(&core);
        }
        self.changed.notify_all();
    }

    /// Removes a device that is no longer attached; an open one is remembered until it is closed.
    fn take_away(self: &Arc<Self>, place: Place, device: Device) {
        let number = BTreeSet::from([device.rdev]);
        let stays = self.lock().switches.is("forced-open", "node-stays");
        if stays && !openers::scan(&number).is_empty() {
            self.lock().cut.push((place, device.clone()));
            let sim = Arc::clone(self);
            thread::spawn(move || {
                while !openers::scan(&number).is_empty() {
                    thread::sleep(Duration::from_millis(50));
                }
                device.remove();
                sim.forget_closed();
            });
        } else if !device.remove() {
            self.lock().cut.push((place, device));
        }
    }

    /// Drops what was cut off and has been closed since.
    pub fn forget_closed(&self) {
        self.lock().cut.retain(|(_, device)| device.lives());
    }

    /// Brings the client in line after `delay`.
    pub fn sync_later(self: &Arc<Self>, client: u16, delay: Duration) {
        let sim = Arc::clone(self);
        thread::spawn(move || {
            thread::sleep(delay);
            sim.sync_client(client);
        });
    }

    /// Waits until nobody works on a device of these objects.
    pub fn settled<'a>(
        &'a self,
        core: MutexGuard<'a, Core>,
        objects: &BTreeSet<u64>,
    ) -> MutexGuard<'a, Core> {
        let busy = |core: &mut Core| {
            core.slots
                .iter()
                .any(|((object, _), slot)| objects.contains(object) && matches!(slot, Slot::Busy))
        };
        self.changed
            .wait_while(core, busy)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `work` on one device without the lock; others leave it alone meanwhile.
fn unlocked(
    mut core: MutexGuard<'_, Core>,
    place: Place,
    work: impl FnOnce() -> Option<Slot>,
) -> Option<Slot> {
    core.slots.insert(place, Slot::Busy);
    drop(core);
    work()
}

/// Withdraws the devices at `places`, then tells which of them are open. `losetup -d` would succeed on an
/// open device, so the look comes first; and the nodes go first, so that nobody opens one after the look.
pub fn open_places(slots: &mut BTreeMap<Place, Slot>, places: &BTreeSet<Place>) -> BTreeSet<Place> {
    let mut numbers = BTreeMap::new();
    for place in places {
        if let Some(Slot::Here(device)) = slots.get_mut(place) {
            device.is.placement.withdraw(device.rdev);
            device.placed = false;
            numbers.insert(device.rdev, *place);
        }
    }
    if numbers.is_empty() {
        return BTreeSet::new();
    }
    let devices = numbers.keys().copied().collect();
    let patience = Instant::now() + PROBE_PATIENCE;
    loop {
        let found = openers::scan(&devices);
        let probed = !found.is_empty() && found.iter().all(openers::Opener::is_probe);
        if !probed || Instant::now() > patience {
            return found
                .iter()
                .filter_map(|o| numbers.get(&o.rdev))
                .copied()
                .collect();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Puts back what [`open_places`] withdrew and what is still attached.
pub fn restore(core: &mut Core) {
    for ((object, client), slot) in &mut core.slots {
        let attached = core
            .cluster
            .attached
            .get(client)
            .is_some_and(|list| list.contains_key(object));
        if let Slot::Here(device) = slot
            && !device.placed
            && attached
        {
            let placed = device.is.placement.place(device.rdev);
            device.placed = placed.is_ok();
            super::nodes::report("place", &device.is.placement.root, placed);
        }
    }
}
