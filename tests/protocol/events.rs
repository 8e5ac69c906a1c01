// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What people, machines and bad luck do in a story. An event that is not possible now does nothing.

use spvirt::api::Reassign;
use spvirt::claim::{Claim, Held, Identity};
use spvirt::volume::{Access, VolumeRef};

use crate::cluster::gid;
use crate::host::{Host, Life, Open};
use crate::migrate::{Migration, Phase};
use crate::state::State;
use crate::story::{Disk, Event, What, uuid};
use crate::task::{Kind, Task};

impl State {
    /// Something happens, if it may.
    pub fn happens(&mut self, event: Event) {
        let so_far = self.happened.get(&event.what).copied().unwrap_or(0);
        if so_far < self.stage.times(event.what) && self.try_to(event).is_some() {
            self.happened.insert(event.what, so_far + 1);
        }
    }

    fn try_to(&mut self, event: Event) -> Option<()> {
        let host = usize::from(event.who) % self.hosts.len();
        let domain = usize::from(event.which) % self.stage.domains.len();
        let number = 1 + u32::from(event.which) % self.stage.volumes;
        match event.what {
            What::Go | What::Wait => None,
            What::Start => self.start(*pick(&self.stage.startable, event.who)?, domain),
            What::Stop => self.stop(event.who, false),
            What::StopStuck => self.stop(event.who, true),
            What::Unstuck => self.unstuck(event.who),
            What::Kill => self.kill(event, false),
            What::KillInFlight => self.kill(event, true),
            What::Refused | What::ReplyLost | What::Repeated | What::Late => {
                let living = self.living();
                self.tasks[*pick(&living, event.who)?].trouble = Some(event.what);
                Some(())
            }
            What::Arrives => {
                let which = usize::from(event.who) % self.cluster.late.len().max(1);
                self.arrives(which)
            }
            What::Daemon => self.daemon_turns(host),
            What::Host => self.host_turns(host),
            What::Cut => self.cut_turns(host),
            What::ClientRestart => self.client_restarts(host, event.which),
            What::Reconcile => self.reconcile(host),
            What::Hand => self.hand(host, number, event.which),
            What::HotPlug => self.hot_plug(event.who, number),
            What::Probe => self.probe(host, number),
            What::Rename => self.rename(),
            _ => self.try_to_migrate(event),
        }
    }

    fn living(&self) -> Vec<usize> {
        (0..self.tasks.len()).filter(|id| self.tasks[*id].alive).collect()
    }

    /// Domains that are that far and that no hook works on, with their hosts.
    pub fn with_life(&self, life: Life) -> Vec<(usize, usize)> {
        let all =
            (0..self.hosts.len()).flat_map(|host| (0..self.stage.domains.len()).map(move |d| (host, d)));
        let is = |(host, domain): &(usize, usize)| {
            let it = &self.hosts[*host].domains[*domain];
            it.life == life && it.hook.is_none()
        };
        all.filter(is).collect()
    }

    /// A person starts a domain.
    pub fn start(&mut self, host: usize, domain: usize) -> Option<()> {
        let it = &self.hosts[host];
        (it.daemon.is_some() && it.domains[domain].life == Life::Off).then_some(())?;
        let thread = self.next_thread(host);
        let id = self.hook(host, Kind::Prepare(domain), Life::Preparing);
        self.tasks[id].thread_of_daemon = thread;
        let it = &self.hosts[host].domains[domain];
        self.tasks[id].nonce.clone_from(&it.defined_nonce);
        self.tasks[id].resource = it.defined_resource || self.stage.resource;
        Some(())
    }

    fn stop(&mut self, who: u8, stuck: bool) -> Option<()> {
        let mut active = self.with_life(Life::Running);
        active.extend(self.with_life(Life::Paused));
        let (host, domain) = *pick(&active, who)?;
        (!stuck || self.is_alone(host, domain)).then_some(())?;
        let name = self.hosts[host].name;
        self.tell(|_| {
            format!(
                "{name} d{domain}: stops{}",
                if stuck { ", but QEMU cannot be killed" } else { "" }
            )
        });
        if stuck {
            // One that was paused will never write again.
            let frozen = self.hosts[host].domains[domain].life == Life::Paused;
            let open = self.hosts[host].domains[domain].open.clone();
            let open = open
                .into_iter()
                .map(|(number, open)| (number, Open { frozen, ..open }));
            self.domain(host, domain).stuck.extend(open);
        }
        let source = |it: &Migration| it.source == host && it.phase != Phase::Arrived;
        if self.migrations[domain].as_ref().is_some_and(source) {
            self.migration_ends(domain);
        } else {
            self.migrations[domain] = None;
        }
        self.qemu_ends(host, domain);
        Some(())
    }

    /// Finding F5: only a detach that is refused tells of a QEMU that could not be killed, and only what nobody
    /// else has is detached.
    fn is_alone(&self, host: usize, domain: usize) -> bool {
        let open = self.hosts[host].domains[domain].open.values();
        let claim = self.hosts[host]
            .claims()
            .into_iter()
            .find(|claim| claim.uuid == uuid(domain));
        let ours = |claim: Claim| claim.volumes.iter().all(|held| held.before.is_none());
        open.clone().all(|open| !open.shareable && !open.by_hand) && claim.is_some_and(ours)
    }

    fn unstuck(&mut self, who: u8) -> Option<()> {
        let all: Vec<_> = (0..self.hosts.len())
            .flat_map(|host| (0..self.stage.domains.len()).map(move |domain| (host, domain)))
            .filter(|(host, domain)| !self.hosts[*host].domains[*domain].stuck.is_empty())
            .collect();
        let (host, domain) = *pick(&all, who)?;
        let name = self.hosts[host].name;
        self.tell(|_| format!("{name} d{domain}: the QEMU that could not be killed is gone"));
        self.domain(host, domain).stuck.clear();
        Some(())
    }

    fn kill(&mut self, event: Event, in_flight: bool) -> Option<()> {
        let id = *pick(&self.living(), event.who)?;
        if in_flight {
            self.tasks[id].request.as_ref()?;
            self.hosts[self.tasks[id].host].reaches.then_some(())?;
            self.put_off(id);
        }
        self.tell(|state| format!("{}: SIGKILL", state.called(id)));
        self.tasks[id].killed = true;
        Some(())
    }

    /// The daemon of a host is killed, or starts again.
    pub fn daemon_turns(&mut self, host: usize) -> Option<()> {
        let (name, up) = (self.hosts[host].name, self.hosts[host].up);
        up.then_some(())?;
        if self.hosts[host].daemon.is_some() {
            self.tell(|_| format!("{name}: libvirtd is killed"));
            self.daemon_dies(host);
        } else {
            self.tell(|_| format!("{name}: libvirtd starts again"));
            self.daemon_returns(host);
        }
        Some(())
    }

    /// A host crashes, or boots again.
    pub fn host_turns(&mut self, host: usize) -> Option<()> {
        let (name, now) = (self.hosts[host].name, self.clock);
        if !self.hosts[host].up {
            self.may_return(host)?;
            self.tell(|_| format!("{name}: boots"));
            self.hosts[host].boots(now);
            self.sync_devices();
            return Some(());
        }
        self.tell(|_| format!("{name}: CRASHES"));
        self.migrations_without(host, true);
        self.hosts[host].crashes();
        for task in self.tasks.iter_mut().filter(|task| task.host == host) {
            task.killed = true;
        }
        Some(())
    }

    /// A host is cut off from StorPool, or is back.
    pub fn cut_turns(&mut self, host: usize) -> Option<()> {
        let name = self.hosts[host].name;
        self.hosts[host].up.then_some(())?;
        if self.hosts[host].reaches {
            self.tell(|_| format!("{name}: is cut off from StorPool"));
            self.hosts[host].reaches = false;
            self.hosts[host].client_up = false;
        } else {
            self.may_return(host)?;
            self.hosts[host].reaches = true;
            self.client_returns(host);
        }
        Some(())
    }

    fn client_restarts(&mut self, host: usize, how_long: u8) -> Option<()> {
        let name = self.hosts[host].name;
        self.hosts[host].client_up.then_some(())?;
        // Shorter than the pause between two readings; a longer one is a cut.
        let time = u64::from(how_long) * 7;
        self.tell(|_| format!("{name}: storpool_block restarts, for {time} ms"));
        self.hosts[host].client_up = false;
        self.hosts[host].client_back = Some(self.clock + time);
        Some(())
    }

    /// A client is up again: its devices are what is attached now.
    pub fn client_returns(&mut self, host: usize) {
        let name = self.hosts[host].name;
        self.tell(|_| format!("{name}: its client is up"));
        self.hosts[host].client_up = true;
        self.hosts[host].client_back = None;
        self.sync_devices();
    }

    /// Open in the model as in life: a client that comes back between the second reading of who is down and the
    /// takeover that follows loses its volumes all the same.
    fn may_return(&self, host: usize) -> Option<()> {
        let client = self.hosts[host].client;
        let doomed = |task: &Task| task.alive && task.down_twice().contains(&client);
        (!self.tasks.iter().any(doomed)).then_some(())
    }

    /// `spvirt reconcile` starts on a host, beside another one perhaps.
    pub fn reconcile(&mut self, host: usize) -> Option<()> {
        self.hosts[host].up.then_some(())?;
        self.starts(Kind::Reconcile, host);
        Some(())
    }

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

    fn hand(&mut self, host: usize, number: u32, how: u8) -> Option<()> {
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

    fn hot_plug(&mut self, who: u8, number: u32) -> Option<()> {
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

    fn probe(&mut self, host: usize, number: u32) -> Option<()> {
        self.hosts[host].devices.get(&number)?;
        let name = self.hosts[host].name;
        let probes = !self.hosts[host].probed.remove(&number);
        if probes {
            self.hosts[host].probed.insert(number);
        }
        self.tell(|_| {
            format!(
                "{name}: udev {} v{number}",
                if probes { "opens" } else { "closes" }
            )
        });
        Some(())
    }

    fn rename(&mut self) -> Option<()> {
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

    /// The request a process is about to make will be carried out when nobody waits for it any more.
    pub fn put_off(&mut self, id: usize) {
        let (host, kind) = (self.tasks[id].host, self.tasks[id].kind);
        let Some(items) = self.tasks[id].request.clone() else {
            return;
        };
        if items.iter().any(never_late) {
            return;
        }
        let claims = self.hosts[host].claims();
        let about = claims.iter().find(|claim| {
            claim
                .volumes
                .iter()
                .any(|held| held.reference() == items[0].object.volume)
        });
        let domain = kind
            .domain()
            .or_else(|| about.and_then(|claim| domain_of(&claim.uuid)));
        let late = crate::cluster::Late {
            host,
            domain: domain.unwrap_or_default(),
            items,
        };
        self.cluster.late.push(late);
    }

    /// A late request is carried out.
    pub fn arrives(&mut self, which: usize) -> Option<()> {
        if which >= self.cluster.late.len() {
            return None;
        }
        let late = self.cluster.late.remove(which);
        let name = self.hosts[late.host].name;
        self.tell(|_| format!("{name} d{}: a late request is carried out", late.domain));
        let _ = self.carry_out(late.host, &late.items);
        Some(())
    }

    /// Open in the model as in life ("a10"): a request that is carried out after the second look at its claim.
    /// So it comes before that.
    pub fn late_ones_come(&mut self, host: usize, domain: usize) {
        while let Some(which) = self
            .cluster
            .late
            .iter()
            .position(|late| (late.host, late.domain) == (host, domain))
        {
            let _ = self.arrives(which);
            // Finding F6: the links of a host whose client is down are not the truth.
            self.sync_devices_of(host);
        }
    }
}

/// Open in the model as in life ("a10"): a takeover by force that comes late may hit a client that is back, and a
/// volume that is lowered to ro late a domain that was started meanwhile. The server refuses neither.
pub fn never_late(item: &Reassign) -> bool {
    item.force || matches!(item.attach, Some((_, Access::Ro)))
}

/// The domain with a UUID.
pub fn domain_of(uuid: &spvirt::volume::DomainUuid) -> Option<usize> {
    usize::from_str_radix(uuid.as_str().get(34..)?, 16).ok()
}

fn pick<T>(of: &[T], who: u8) -> Option<&T> {
    of.get(usize::from(who) % of.len().max(1))
}
