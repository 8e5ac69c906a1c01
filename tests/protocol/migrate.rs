// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Migrations, as libvirt does them: `migrate` and `prepare` on the destination in one call of one worker thread of
//! its daemon, the transfer, the switch from one QEMU to the other, and then, if nothing happens, the source ends.

use crate::host::{Life, Open};
use crate::state::State;
use crate::story::{Event, Ticket, What};
use crate::task::Kind;

/// How far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The destination's `migrate` hook runs.
    Announcing,
    /// It has ended; `prepare` is next.
    Announced,
    /// The destination prepares, and starts a QEMU that waits.
    Preparing,
    /// Memory is copied; the domain runs at the source.
    Copying,
    /// The source has stopped, the destination does not run yet.
    Switching,
    /// The destination runs; the source is to end.
    Arrived,
}

/// A migration.
#[derive(Debug, Clone)]
pub struct Migration {
    /// From.
    pub source: usize,
    /// To.
    pub dest: usize,
    /// How far.
    pub phase: Phase,
    /// The worker thread of the destination's daemon.
    pub thread: i32,
    /// The number in its XML.
    pub nonce: Option<String>,
    /// What becomes of it: `Abort` while it copies, `Split` or `ConfirmStuck` at its end.
    pub fate: Option<What>,
}

impl State {
    /// Migrations and what else calls `migrate`.
    pub fn try_to_migrate(&mut self, event: Event) -> Option<()> {
        match event.what {
            What::Migrate | What::MigrateSelf | What::MigrateFails | What::MigrateOffline => {
                self.migrate(event)
            }
            What::Abort => self.abort(event),
            What::Split | What::ConfirmStuck => {
                let migrating: Vec<_> = (0..self.migrations.len())
                    .filter(|domain| self.migrations[*domain].is_some())
                    .collect();
                let domain = *pick(&migrating, event.who)?;
                self.migrations[domain].as_mut()?.fate = Some(event.what);
                Some(())
            }
            What::Resume => self.resume(event.who),
            _ => None,
        }
    }

    fn migrate(&mut self, event: Event) -> Option<()> {
        let movable = |(host, domain): &(usize, usize)| {
            // Open in the model as in life ("g8"): a guest that lost its volumes and is then sent to another host.
            self.migrations[*domain].is_none() && self.hosts[*host].domains[*domain].lost.is_empty()
        };
        let running: Vec<_> = self
            .with_life(Life::Running)
            .into_iter()
            .filter(movable)
            .collect();
        let (source, domain) = *running.get(usize::from(event.who) % running.len().max(1))?;
        self.hosts[source].daemon?;
        let others: Vec<_> = (0..self.hosts.len()).filter(|host| *host != source).collect();
        let dest = match event.what {
            What::MigrateSelf => source,
            _ => *others.get(usize::from(event.which) % others.len().max(1))?,
        };
        self.hosts[dest].daemon?;
        let (from, to) = (self.hosts[source].name, self.hosts[dest].name);
        let how = match event.what {
            What::MigrateSelf => " (to itself)",
            What::MigrateFails => " (fails after its first hook)",
            What::MigrateOffline => " (offline)",
            _ => "",
        };
        self.tell(|_| format!("{from} d{domain}: migrates to {to}{how}"));
        self.nonces += 1;
        let nonce = (self.stage.ticket == Ticket::Nonce).then(|| self.nonces.to_string());
        let thread = self.next_thread(dest);
        let id = self.starts(Kind::Announce(domain), dest);
        self.tasks[id].thread_of_daemon = thread;
        self.tasks[id].nonce.clone_from(&nonce);
        self.tasks[id].resource = true;
        self.tasks[id].offline = event.what == What::MigrateOffline;
        if event.what == What::Migrate {
            self.migrations[domain] = Some(Migration {
                source,
                dest,
                phase: Phase::Announcing,
                thread,
                nonce,
                fate: None,
            });
        }
        Some(())
    }

    /// The `migrate` hook has ended, by itself or not.
    pub fn announced(&mut self, id: usize, domain: usize, done: Option<bool>) {
        let (host, offline) = (self.tasks[id].host, self.tasks[id].offline);
        if offline && done.is_some() && !self.is_orphan(id) {
            // The filtered XML becomes the persistent definition.
            let nonce = self.tasks[id].nonce.clone();
            let it = self.domain(host, domain);
            it.definitions += 1;
            it.defined_nonce = nonce;
            it.defined_resource = true;
        }
        if let Some(it) = &mut self.migrations[domain]
            && it.phase == Phase::Announcing
            && it.thread == self.tasks[id].thread_of_daemon
            && it.dest == host
        {
            if done.is_some() {
                it.phase = Phase::Announced;
            } else {
                self.migration_ends(domain);
            }
        }
    }

    /// Domains whose migration can go on by itself.
    pub fn can_move_on(&self, domain: usize) -> bool {
        let Some(it) = &self.migrations[domain] else {
            return false;
        };
        let (source, dest) = (&self.hosts[it.source], &self.hosts[it.dest]);
        match it.phase {
            Phase::Announcing | Phase::Preparing => false,
            Phase::Announced => {
                dest.daemon.is_some()
                    && dest.domains[domain].hook.is_none()
                    && dest.domains[domain].life != Life::Gone
            }
            Phase::Copying => source.domains[domain].life == Life::Running,
            Phase::Switching => dest.domains[domain].hook.is_none(),
            Phase::Arrived => source.daemon.is_some() && source.domains[domain].hook.is_none(),
        }
    }

    /// A migration goes on.
    pub fn moves_on(&mut self, domain: usize) {
        let Some(it) = self.migrations[domain].clone() else {
            return;
        };
        let (from, to) = (self.hosts[it.source].name, self.hosts[it.dest].name);
        match it.phase {
            Phase::Announcing | Phase::Preparing => {}
            Phase::Announced if self.hosts[it.dest].domains[domain].life == Life::Off => {
                self.set_phase(domain, Phase::Preparing);
                self.domain(it.dest, domain).incoming = true;
                let id = self.hook(it.dest, Kind::Prepare(domain), Life::Preparing);
                self.tasks[id].thread_of_daemon = it.thread;
                self.tasks[id].nonce = it.nonce;
                self.tasks[id].resource = true;
            }
            Phase::Announced => {
                self.tell(|_| format!("{to} d{domain}: is active already, the migration is refused"));
                self.migration_ends(domain);
            }
            Phase::Copying if it.fate == Some(What::Abort) => self.aborts(domain),
            Phase::Copying => {
                self.tell(|_| format!("{from} d{domain}: pauses for the switch"));
                self.domain(it.source, domain).life = Life::Paused;
                self.set_phase(domain, Phase::Switching);
            }
            Phase::Switching => {
                self.tell(|_| format!("{to} d{domain}: RUNS, migrated"));
                self.sees("migrated");
                let dest = self.domain(it.dest, domain);
                dest.life = Life::Running;
                dest.incoming = false;
                self.set_phase(domain, Phase::Arrived);
            }
            Phase::Arrived if it.fate == Some(What::Split) => self.splits(domain),
            Phase::Arrived if it.fate == Some(What::ConfirmStuck) => self.ends_stuck(it.source, domain),
            Phase::Arrived => {
                self.migrations[domain] = None;
                self.tell(|_| format!("{from} d{domain}: the source ends"));
                self.qemu_ends(it.source, domain);
            }
        }
    }

    fn set_phase(&mut self, domain: usize, phase: Phase) {
        if let Some(it) = &mut self.migrations[domain] {
            it.phase = phase;
        }
    }

    /// The destination's QEMU is there and waits.
    pub fn is_ready_to_copy(&mut self, host: usize, domain: usize) {
        self.domain(host, domain).life = Life::Incoming;
        self.set_phase(domain, Phase::Copying);
    }

    /// Whether a domain that comes in is still wanted.
    pub fn is_expected(&self, host: usize, domain: usize) -> bool {
        self.migrations[domain].as_ref().is_some_and(|it| it.dest == host)
    }

    /// There is no such migration any more: whoever waits for it at the destination ends.
    pub fn migration_ends(&mut self, domain: usize) {
        let Some(it) = self.migrations[domain].take() else {
            return;
        };
        let dest = &self.hosts[it.dest];
        let waits = dest.domains[domain].life == Life::Incoming && dest.domains[domain].hook.is_none();
        if waits && dest.daemon.is_some() {
            self.qemu_ends(it.dest, domain);
        }
    }

    /// A migration is aborted, at once or while it copies.
    fn abort(&mut self, event: Event) -> Option<()> {
        let all = (0..self.migrations.len()).filter(|domain| self.migrations[*domain].is_some());
        let domain = *pick(&all.collect::<Vec<_>>(), event.who)?;
        let phase = self.migrations[domain].as_ref()?.phase;
        if event.which >= 128 && matches!(phase, Phase::Announcing | Phase::Announced | Phase::Preparing) {
            self.migrations[domain].as_mut()?.fate = Some(What::Abort);
            return Some(());
        }
        // By its looks a start may be a migration that died between its hooks, where definitions look like running
        // domains, too: what `SPVIRT_TICKET=nonce` is for.
        let known = self.stage.ticket == Ticket::Nonce || !self.stage.resource;
        let may = match phase {
            Phase::Announced => known,
            Phase::Copying | Phase::Switching => true,
            Phase::Announcing | Phase::Preparing | Phase::Arrived => false,
        };
        may.then(|| self.aborts(domain))
    }

    fn aborts(&mut self, domain: usize) {
        self.tell(|_| format!("d{domain}: the migration is aborted, or its client dies"));
        self.migration_ends(domain);
    }

    fn splits(&mut self, domain: usize) {
        self.tell(|_| format!("d{domain}: the end of the migration is lost, its source stays paused"));
        self.migrations[domain] = None;
        self.sees("split");
    }

    fn ends_stuck(&mut self, source: usize, domain: usize) {
        let name = self.hosts[source].name;
        self.tell(|_| format!("{name} d{domain}: the source is to end, but QEMU cannot be killed"));
        let frozen = |(number, open): (&u32, &Open)| {
            (
                *number,
                Open {
                    frozen: true,
                    ..*open
                },
            )
        };
        let open: Vec<_> = self.hosts[source].domains[domain]
            .open
            .iter()
            .map(frozen)
            .collect();
        self.domain(source, domain).stuck.extend(open);
        self.migrations[domain] = None;
        self.qemu_ends(source, domain);
        self.sees("the source could not be killed");
    }

    /// A person resumes a paused domain that runs nowhere else.
    fn resume(&mut self, who: u8) -> Option<()> {
        let (host, domain) = *pick(&self.with_life(Life::Paused), who)?;
        let elsewhere = self.hosts.iter().any(|it| {
            let life = it.domains[domain].life;
            it.name != self.hosts[host].name
                && !matches!(life, Life::Off | Life::Releasing | Life::Gone | Life::Paused)
        });
        let usable = self.hosts[host].daemon.is_some() && self.hosts[host].domains[domain].lost.is_empty();
        (!elsewhere && usable && self.migrations[domain].is_none()).then_some(())?;
        let name = self.hosts[host].name;
        self.tell(|_| format!("{name} d{domain}: somebody resumes it: RUNS"));
        self.domain(host, domain).life = Life::Running;
        Some(())
    }

    /// What a dead daemon or host means for the migrations it took part in. `gone`: the host with its QEMUs.
    pub fn migrations_without(&mut self, host: usize, gone: bool) {
        for domain in 0..self.migrations.len() {
            let Some(it) = self.migrations[domain].clone() else {
                continue;
            };
            if it.dest == host {
                if it.phase == Phase::Arrived && !gone {
                    continue;
                }
                if it.phase == Phase::Switching && !gone && self.hosts[it.source].daemon.is_some() {
                    let name = self.hosts[it.source].name;
                    self.tell(|_| format!("{name} d{domain}: the migration is cancelled: RUNS on"));
                    self.domain(it.source, domain).life = Life::Running;
                }
                self.migrations[domain] = None;
            } else if it.source == host {
                self.migration_ends(domain);
            }
        }
    }

    /// A worker thread of a daemon: they take turns, so that of a later start may be that of a migration.
    pub fn next_thread(&mut self, host: usize) -> i32 {
        let threads = if self.stage.threads_differ { i32::MAX } else { 2 };
        let it = &mut self.hosts[host];
        it.thread = it.thread % threads + 1;
        it.thread
    }
}

fn pick<T>(of: &[T], who: u8) -> Option<&T> {
    of.get(usize::from(who) % of.len().max(1))
}
