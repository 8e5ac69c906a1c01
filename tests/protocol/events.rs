// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What people, machines and bad luck do in a story. An event that is not possible now does nothing.

use spvirt::api::Reassign;
use spvirt::volume::Access;

use crate::host::{Life, Open};
use crate::migrate::Phase;
use crate::state::State;
use crate::story::{Event, What};
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
            What::Takeover => self.verb(host, Kind::Takeover(domain)),
            What::Fence => {
                let client = self.hosts[usize::from(event.which) % self.hosts.len()].client;
                self.verb(host, Kind::Fence(client))
            }
            What::Hand => self.hand(host, number, event.which),
            What::HotPlug => self.hot_plug(event.who, number),
            What::Probe => self.probe(host, number),
            What::Rename => self.rename(),
            _ => self.try_to_migrate(event),
        }
    }

    /// Processes that have not ended.
    pub fn living(&self) -> Vec<usize> {
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
        let ending = self.migrations[domain]
            .as_ref()
            .map(|it| (it.source == host, it.dest == host, it.phase));
        match ending {
            Some((true, _, phase)) if phase != Phase::Arrived => self.migration_ends(domain),
            Some((true, ..) | (_, true, _)) => self.migrations[domain] = None,
            _ => {}
        }
        self.qemu_ends(host, domain);
        Some(())
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
        self.verb(host, Kind::Reconcile)
    }

    fn verb(&mut self, host: usize, kind: Kind) -> Option<()> {
        self.hosts[host].up.then_some(())?;
        let id = self.starts(kind, host);
        self.tell(|state| format!("{}: somebody calls it", state.called(id)));
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

/// The one that a number means.
pub fn pick<T>(of: &[T], who: u8) -> Option<&T> {
    of.get(usize::from(who) % of.len().max(1))
}
