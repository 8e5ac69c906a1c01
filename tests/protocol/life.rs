// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirt's side: which hooks follow what, and what QEMU opens when.

use spvirt::volume::VolumeRef;

use crate::host::{Domain, Life, Open};
use crate::state::State;
use crate::task::{Answer, Kind};

impl State {
    /// A domain on a host.
    pub fn domain(&mut self, host: usize, domain: usize) -> &mut Domain {
        &mut self.hosts[host].domains[domain]
    }

    /// libvirt calls a hook and waits for it.
    pub fn hook(&mut self, host: usize, kind: Kind, life: Life) -> usize {
        let id = self.starts(kind, host);
        let Some(domain) = kind.domain() else {
            return id;
        };
        let it = self.domain(host, domain);
        it.life = life;
        it.hook = Some(id);
        self.tell(|state| format!("{}: libvirt calls it", state.called(id)));
        id
    }

    /// A process has ended, by itself (`Some`, with its refusal if it has one) or not.
    pub fn finished(&mut self, id: usize, answer: Option<Answer>) {
        let (kind, host) = (self.tasks[id].kind, self.tasks[id].host);
        let done = answer.as_ref().map(Result::is_ok);
        self.tasks[id].alive = false;
        self.locks.retain(|_, holder| *holder != id);
        if self.broken.is_some() {
            return;
        }
        self.tell(|state| {
            let how = match &answer {
                Some(Ok(())) => "exit 0",
                Some(Err(why)) => why,
                None => "is dead",
            };
            format!("{}: {how}", state.called(id))
        });
        if let Some(Err(_)) = &answer {
            self.sees("refused");
        }
        self.tasks[id].answer = answer;
        let Some(domain) = kind.domain() else {
            return;
        };
        if let Kind::Announce(domain) = kind {
            self.announced(id, domain, done);
            return;
        }
        if self.hosts[host].domains[domain].hook != Some(id) {
            return;
        }
        self.domain(host, domain).hook = None;
        match kind {
            Kind::Prepare(_) if done == Some(true) => {
                let now = self.clock;
                let it = self.domain(host, domain);
                it.life = Life::Launching;
                it.launched = now;
            }
            Kind::Prepare(_) => {
                if done.is_some() {
                    self.start_failed(host, domain, "prepare refused");
                    if !self.hosts[host].files.is_empty() {
                        self.sees("left claims");
                    }
                }
                self.domain(host, domain).incoming = false;
                if self.is_expected(host, domain) {
                    self.migration_ends(domain);
                }
                self.hook(host, Kind::Release(domain), Life::Releasing);
            }
            Kind::Release(_) => self.domain(host, domain).life = Life::Off,
            // Killed by a signal: libvirt kills the guest.
            Kind::Reconnect(_) if done != Some(true) => self.qemu_ends(host, domain),
            Kind::Reconnect(_) | Kind::Reconcile | Kind::Announce(_) => {}
        }
        self.check();
    }

    fn lost_the_device(&mut self, host: usize, domain: usize) {
        if self.stage.prepared_runs {
            let name = self.hosts[host].name;
            self.breaks(format!(
                "AVAIL: d{domain} was prepared on {name} and lost its volumes before QEMU opened them"
            ));
        }
    }

    fn start_failed(&mut self, host: usize, domain: usize, how: &str) {
        if self.stage.nothing_in_the_way {
            let name = self.hosts[host].name;
            self.breaks(format!(
                "AVAIL: nothing was in the way of d{domain} on {name}, but: {how}"
            ));
        }
    }

    /// QEMU opens its next volume, or runs.
    pub fn qemu_goes_on(&mut self, host: usize, domain: usize) {
        let here = self.hosts[host].name;
        if self.hosts[host].domains[domain].incoming && !self.is_expected(host, domain) {
            self.tell(|_| format!("{here} d{domain}: the migration is gone, QEMU ends"));
            self.qemu_ends(host, domain);
            return;
        }
        let disks = self.stage.domains[domain].clone();
        for disk in disks {
            let number = self.linked(host, &disk.volume);
            // A cut-off host may have a device of what was taken from it: nothing can be read from that.
            let attached =
                |(number, _): &(u32, _)| self.cluster.rights(self.hosts[host].client, *number).is_some();
            let Some((number, rights)) = number.filter(attached) else {
                self.launch_failed(host, domain, &disk.volume);
                return;
            };
            if self.hosts[host].domains[domain].open.contains_key(&number) {
                continue;
            }
            if rights < disk.access {
                self.launch_failed(host, domain, &disk.volume);
                return;
            }
            self.domain(host, domain).open.insert(
                number,
                Open {
                    access: disk.access,
                    shareable: disk.shareable,
                    by_hand: false,
                    frozen: false,
                },
            );
            self.tell(|_| format!("{here} d{domain}: QEMU opens v{number} {}", disk.access));
            let open = self.hosts[host].domains[domain].open.len();
            if open < self.stage.domains[domain].len() {
                return;
            }
        }
        if self.hosts[host].domains[domain].incoming {
            self.tell(|_| format!("{here} d{domain}: waits for its memory"));
            self.is_ready_to_copy(host, domain);
            return;
        }
        self.domain(host, domain).life = Life::Running;
        self.ran += 1;
        self.tell(|_| format!("{here} d{domain}: RUNS"));
        self.sees("runs");
        let active = self.hosts[host]
            .domains
            .iter()
            .filter(|it| it.life == Life::Running);
        if active.count() > 1 {
            self.sees("runs beside another domain");
        }
    }

    fn launch_failed(&mut self, host: usize, domain: usize, volume: &VolumeRef) {
        let here = self.hosts[host].name;
        self.tell(|_| format!("{here} d{domain}: no usable device of {volume}, QEMU ends"));
        self.lost_the_device(host, domain);
        self.start_failed(host, domain, "the device was gone before QEMU opened it");
        self.qemu_ends(host, domain);
    }

    /// The device that a path leads to.
    pub fn linked(&self, host: usize, volume: &VolumeRef) -> Option<(u32, spvirt::volume::Access)> {
        let number = self.cluster.resolve(volume)?;
        let rights = self.hosts[host].devices.get(&number)?;
        Some((number, *rights))
    }

    /// A QEMU ends, and libvirt, if it is there, calls `release`.
    pub fn qemu_ends(&mut self, host: usize, domain: usize) {
        let watched = self.hosts[host].daemon.is_some();
        if self.is_expected(host, domain) {
            self.migrations[domain] = None;
        }
        self.domain(host, domain).ends(Life::Gone);
        if watched {
            self.hook(host, Kind::Release(domain), Life::Releasing);
        }
    }

    /// libvirt's daemon is killed: hooks live on, starts do not.
    pub fn daemon_dies(&mut self, host: usize) {
        self.hosts[host].daemon = None;
        self.migrations_without(host, false);
        for domain in 0..self.stage.domains.len() {
            let it = self.domain(host, domain);
            it.hook = None;
            if !matches!(
                it.life,
                Life::Running | Life::Paused | Life::Incoming | Life::Gone
            ) {
                it.ends(Life::Off);
            }
        }
    }

    /// It starts again, and finds what runs.
    pub fn daemon_returns(&mut self, host: usize) {
        let now = self.clock;
        self.hosts[host].daemon_starts(now);
        for domain in 0..self.stage.domains.len() {
            match self.hosts[host].domains[domain].life {
                life @ (Life::Running | Life::Paused) => {
                    self.hook(host, Kind::Reconnect(domain), life);
                }
                Life::Gone | Life::Incoming => self.qemu_ends(host, domain),
                _ => {}
            }
        }
    }
}
