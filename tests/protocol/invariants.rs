// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What must be true after every step, and what a request must never ask for.

use std::collections::{BTreeMap, BTreeSet};

use spvirt::api::{Fault, Reassign};
use spvirt::config::Takeover;
use spvirt::volume::{Access, VolumeRef};

use crate::host::{Life, Open};
use crate::state::State;
use crate::task::Kind;

impl State {
    /// I1 and I2.
    pub fn check(&mut self) {
        if self.broken.is_none()
            && let Err(what) = self.nobody_is_without().and_then(|()| self.no_two_write())
        {
            self.breaks(what);
        }
    }

    /// I2: whoever runs has its volumes. (What a takeover took by its rules is not in `open` any more.)
    fn nobody_is_without(&self) -> Result<(), String> {
        for host in &self.hosts {
            for (domain, it) in host.domains.iter().enumerate() {
                for (number, open) in it.open.iter().filter(|_| it.life != Life::Launching) {
                    if self.cluster.rights(host.client, *number) < Some(open.access) {
                        let name = host.name;
                        return Err(format!(
                            "I2: d{domain} on {name} ({:?}) has lost v{number}",
                            it.life
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// I1: nobody else writes what a running domain writes, unless all say that they share.
    fn no_two_write(&self) -> Result<(), String> {
        let mut writers: BTreeMap<u32, Vec<(char, usize, Open)>> = BTreeMap::new();
        for host in &self.hosts {
            for (domain, it) in host.domains.iter().enumerate() {
                let running = it.open.iter().filter(|_| it.life == Life::Running);
                for (number, open) in running.chain(&it.stuck) {
                    let attached = self.cluster.rights(host.client, *number) == Some(Access::Rw);
                    if open.access == Access::Rw && attached && !open.frozen {
                        writers
                            .entry(*number)
                            .or_default()
                            .push((host.name, domain, *open));
                    }
                }
            }
        }
        for (number, writers) in writers {
            for (i, (host, domain, open)) in writers.iter().enumerate() {
                for (other_host, other, theirs) in &writers[..i] {
                    // On another host nobody sees what the holder says; who shares does not look.
                    let shared = if host == other_host {
                        open.shareable && theirs.shareable
                    } else {
                        open.shareable || theirs.shareable
                    };
                    // One that cannot be killed and its successor on the same host: the same process to StorPool.
                    if !shared && (host, domain) != (other_host, other) {
                        return Err(format!(
                            "I1: v{number} is written by d{other} on {other_host} and by d{domain} on {host}"
                        ));
                    }
                    if (host, domain) == (other_host, other) {
                        return Err(format!(
                            "I1: d{domain} runs on {host} beside its own QEMU that cannot be killed"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// What a request may ask for.
    pub fn judge(&mut self, id: usize, items: &[Reassign]) {
        for item in items {
            if let Err(what) = self.may_ask(id, item) {
                self.breaks(format!("a request {what}: {item:?}"));
            }
        }
    }

    fn may_ask(&self, id: usize, item: &Reassign) -> Result<(), &'static str> {
        let task = &self.tasks[id];
        let me = self.hosts[task.host].client;
        let others: BTreeSet<u16> = item.detach.iter().map(|client| u16::from(*client)).collect();
        if item.attach.is_some_and(|(client, _)| u16::from(client) != me) {
            return Err("attaches to somebody else");
        }
        if !item.detach.is_empty() && matches!(item.object.volume, VolumeRef::Name(_)) {
            return Err("detaches by name");
        }
        if others.contains(&me) {
            return match (others.len(), item.attach, item.force) {
                (1, None, false) => Ok(()),
                _ => Err("detaches this host and does something else, too"),
            };
        }
        if others.is_empty() {
            return if item.force { Err("forces nobody") } else { Ok(()) };
        }
        if let Kind::Fence(client) = task.kind {
            let of_whom = item.force && item.attach.is_none() && others == BTreeSet::from([client]);
            let down = others.is_subset(&task.down_twice());
            return if of_whom && down {
                Ok(())
            } else {
                Err("fences somebody who is not known to be down")
            };
        }
        let said = matches!(task.kind, Kind::Takeover(_));
        let always = said || self.stage.policy == Takeover::Always;
        let never = !said && self.stage.policy == Takeover::Never;
        if never || !said && !matches!(task.kind, Kind::Prepare(_)) {
            return Err("takes from others, against the policy");
        }
        if item.attach.is_none_or(|(_, access)| access != Access::Rw) {
            return Err("takes from others, but not for itself");
        }
        let number = self.cluster.find(&item.object).unwrap_or_default();
        let seen = task.rivals.get(&number).cloned().unwrap_or_default();
        if !others.is_subset(&seen) {
            return Err("takes from clients that did not have it");
        }
        if item.force && !always && !others.is_subset(&task.down_twice()) {
            return Err("forces clients that are not known to be down");
        }
        Ok(())
    }

    /// StorPool carries out a request that came from a host.
    pub fn carry_out(&mut self, host: usize, items: &[Reassign]) -> Result<(), Fault> {
        let open = self.open();
        let me = self.hosts[host].client;
        for item in items {
            let number = self.cluster.find(&item.object).unwrap_or_default();
            let by_hand = self.cluster.hand.get(&(me, number));
            if matches!(item.attach, Some((_, Access::Ro))) && by_hand == Some(&Access::Rw) {
                self.breaks(format!("I3: v{number} was attached rw by hand and is lowered"));
            }
        }
        let (answer, effects) = self.cluster.apply(items, &open);
        for (client, number, force) in effects.lost {
            if let Some(by_hand) = self.cluster.hand.remove(&(client, number)) {
                if client == me {
                    self.breaks(format!("I3: v{number} was attached by hand and is detached"));
                }
                self.cluster.taken.insert((client, number), by_hand);
            }
            if force {
                self.taken(client, number);
            }
        }
        self.sync_devices();
        answer
    }

    /// A volume was taken by force: whoever had it open has not any more.
    fn taken(&mut self, client: u16, number: u32) {
        self.late_attach_is_lost(client, number);
        for host in (0..self.hosts.len())
            .filter(|host| self.hosts[*host].client == client)
            .collect::<Vec<_>>()
        {
            self.hosts[host].probed.remove(&number);
            for domain in 0..self.stage.domains.len() {
                let it = self.domain(host, domain);
                it.stuck.remove(&number);
                if it.open.remove(&number).is_some() {
                    it.lost.insert(number);
                    // Open in the model as in life ("g8"): a guest that lost its volumes goes to another host.
                    if self.migrations[domain]
                        .as_ref()
                        .is_some_and(|it| it.source == host)
                    {
                        self.migration_ends(domain);
                    }
                }
            }
        }
    }

    /// Open in the model as in life: a late attach may give a host back what was taken from it by force meanwhile, just
    /// when another start there has looked and its QEMU is about to open it. StorPool cannot be asked to attach only if
    /// nobody else has a volume.
    fn late_attach_is_lost(&mut self, client: u16, number: u32) {
        let mut late = std::mem::take(&mut self.cluster.late);
        for late in late.iter_mut().filter(|it| self.hosts[it.host].client == client) {
            late.items
                .retain(|item| self.cluster.find(&item.object) != Some(number));
        }
        late.retain(|late| !late.items.is_empty());
        self.cluster.late = late;
    }

    /// The devices of a host are what is attached to its client, as long as that is up.
    pub fn sync_devices(&mut self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].client_up {
                self.sync_devices_of(host);
            }
        }
    }

    /// The same for one host.
    pub fn sync_devices_of(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        let of = |(number, client, access)| (client == host.client).then_some((number, access));
        host.devices = self.cluster.attachments().into_iter().filter_map(of).collect();
        host.probed.retain(|number, _| host.devices.contains_key(number));
    }
}
