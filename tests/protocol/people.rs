// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What people do to volumes without us, and udev.

use spvirt::claim::{Held, Identity};
use spvirt::volume::{Access, VolumeRef};

use crate::cluster::gid;
use crate::events::pick;
use crate::host::{Host, Life, Open};
use crate::state::State;
use crate::story::Disk;
use crate::task::Task;

impl State {
    /// Open in the model as in life ("j3"): who attaches or detaches by hand in the middle of a call, or what a
    /// claim names, cannot be told apart from us. So people do it in quiet times.
    fn is_quiet(&self, host: usize, number: u32) -> bool {
        let works = |task: &Task| task.alive && task.host == host;
        let claimed = self.hosts[host].claims().iter().any(|claim| {
            let of = |held: &&Held| {
                let identity = Identity {
                    volume: VolumeRef::Id(gid(number)),
                    global_id: Some(gid(number)),
                };
                identity.is(held) || self.cluster.resolve(&held.volume) == Some(number)
            };
            claim.volumes.iter().any(|held| of(&held))
        });
        let late = self.cluster.late.iter().any(|late| late.host == host);
        self.hosts[host].up
            && self.hosts[host].client_up
            && !self.tasks.iter().any(works)
            && !claimed
            && !late
    }

    /// Somebody attaches or detaches a volume.
    pub fn hand(&mut self, host: usize, number: u32, how: u8) -> Option<()> {
        self.is_quiet(host, number).then_some(())?;
        let (name, client) = (self.hosts[host].name, self.hosts[host].client);
        if self.cluster.hand.contains_key(&(client, number)) {
            (!self.hosts[host].open().contains(&number)).then_some(())?;
            self.tell(|_| format!("{name}: somebody detaches v{number}"));
            self.cluster.hand.remove(&(client, number));
            self.cluster.volumes.get_mut(&number)?.attached.remove(&client);
        } else {
            self.cluster.rights(client, number).is_none().then_some(())?;
            let snapshot = self.cluster.volumes[&number].snapshot;
            let access = if how >= 128 && !snapshot {
                Access::Rw
            } else {
                Access::Ro
            };
            self.attach_by_hand(host, number, access);
        }
        self.sync_devices();
        Some(())
    }

    /// Somebody attaches a volume.
    pub fn attach_by_hand(&mut self, host: usize, number: u32, access: Access) {
        let (name, client) = (self.hosts[host].name, self.hosts[host].client);
        self.tell(|_| format!("{name}: somebody attaches v{number} {access}"));
        self.cluster.hand.insert((client, number), access);
        let volume = self.cluster.volumes.get_mut(&number).unwrap();
        volume.attached.insert(client, access);
        self.sync_devices();
    }

    /// A running domain gets one more volume, by hand.
    pub fn hot_plug(&mut self, who: u8, number: u32) -> Option<()> {
        let (host, domain) = *pick(&self.with_life(Life::Running), who)?;
        // What a person plugs into a domain we do not see: no hook is called. So nothing else here uses that volume.
        let named = |disk: &Disk| self.cluster.resolve(&disk.volume) == Some(number);
        let used = self.stage.domains.iter().any(|disks| disks.iter().any(named));
        (!used && self.is_quiet(host, number)).then_some(())?;
        // A person who hot-plugs looks first whether the volume is free.
        self.cluster.volumes[&number].attached.is_empty().then_some(())?;
        let access = if self.cluster.volumes[&number].snapshot {
            Access::Ro
        } else {
            Access::Rw
        };
        self.attach_by_hand(host, number, access);
        let name = self.hosts[host].name;
        self.tell(|_| format!("{name} d{domain}: gets v{number} by hot-plug"));
        self.domain(host, domain).open.insert(
            number,
            Open {
                access,
                shareable: false,
                by_hand: true,
                frozen: false,
            },
        );
        Some(())
    }

    /// udev opens or closes a device.
    pub fn probe(&mut self, host: usize, number: u32) -> Option<()> {
        self.hosts[host].devices.get(&number)?;
        let name = self.hosts[host].name;
        let probes = self.hosts[host].probed.remove(&number).is_none();
        if probes {
            let now = self.clock;
            self.hosts[host].probed.insert(number, now);
        }
        self.tell(|_| {
            format!(
                "{name}: udev {} v{number}",
                if probes { "opens" } else { "closes" }
            )
        });
        Some(())
    }

    /// Two volumes exchange their names.
    pub fn rename(&mut self) -> Option<()> {
        // Open in the model as in life ("k3"): a rename in the middle of a start, also of one that died before
        // it knew the ids.
        let mut claims = self.hosts.iter().flat_map(Host::claims);
        let between = claims.any(|claim| claim.volumes.iter().any(|held| held.known_id().is_none()))
            || !self.with_life(Life::Launching).is_empty()
            || !self.cluster.late.is_empty();
        (self.living().is_empty() && !between).then_some(())?;
        let (one, two) = (
            self.cluster.volumes.get(&1)?.name.clone(),
            self.cluster.volumes.get(&2)?.name.clone(),
        );
        self.tell(|_| "v1 and v2 exchange their names".to_owned());
        self.cluster.volumes.get_mut(&1)?.name = two;
        self.cluster.volumes.get_mut(&2)?.name = one;
        Some(())
    }
}
