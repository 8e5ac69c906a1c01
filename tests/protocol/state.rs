// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Everything there is: cluster, hosts, processes, time, and the story that is being played.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::cluster::{Cluster, Volume};
use crate::engine::Turn;
use crate::host::{Host, Life};
use crate::migrate::Migration;
use crate::story::{Event, Stage, What};
use crate::task::{Kind, Task, Waits};

/// Steps after which a call counts as one that never ends.
const STEPS_MAX: u32 = 6000;
/// All the time one call has, in milliseconds.
pub const DEADLINE: u64 = 30_000;
/// A daemon has started QEMU well before this.
const LAUNCH_MAX: u64 = 40_000;
/// udev has seen what it wants to see of a device well before this.
const PROBE_MAX: u64 = 200;

/// Somebody who can do a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A process of ours.
    Task(usize),
    /// A QEMU that starts: host, domain.
    Qemu(usize, usize),
    /// A domain that migrates.
    Migration(usize),
}

/// Everything there is.
pub struct State {
    /// Where the story plays.
    pub stage: Arc<Stage>,
    /// The cluster.
    pub cluster: Cluster,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The migrations, by domain.
    pub migrations: Vec<Option<Migration>>,
    /// Numbers of migrations so far.
    pub nonces: u32,
    /// Locks: host and name, and who holds them.
    pub locks: BTreeMap<(usize, String), usize>,
    /// The processes, those that have ended too.
    pub tasks: Vec<Task>,
    /// Milliseconds since the story began.
    pub clock: u64,
    /// Who has the baton.
    pub turn: Turn,
    /// What is still to happen.
    pub story: VecDeque<Event>,
    /// How often what has happened.
    pub happened: BTreeMap<What, u32>,
    /// Who goes on, and for how many more steps.
    burst: (Option<Actor>, u32),
    /// A line for each step, if anybody wants to read them.
    pub lines: Option<Vec<String>>,
    /// The invariant that broke.
    pub broken: Option<String>,
    /// What came of it, and how often.
    pub seen: BTreeMap<String, u32>,
    /// Starts that succeeded.
    pub ran: u32,
}

impl State {
    /// The beginning of a story.
    pub fn new(stage: Arc<Stage>, story: Vec<Event>, tell: bool) -> Self {
        let mut cluster = Cluster {
            piecemeal: stage.piecemeal,
            absent_is_error: stage.absent_is_error,
            ..Cluster::default()
        };
        for number in 1..=stage.volumes {
            let volume = Volume {
                name: format!("v{number}"),
                snapshot: stage.snapshots.contains(&number),
                attached: BTreeMap::new(),
            };
            cluster.volumes.insert(number, volume);
        }
        let hosts = (0..stage.hosts).map(|host| Host::new(host, stage.domains.len()));
        let mut first = Self {
            hosts: hosts.collect(),
            cluster,
            migrations: vec![None; stage.domains.len()],
            nonces: 0,
            locks: BTreeMap::new(),
            tasks: Vec::new(),
            clock: 1000,
            turn: None,
            story: story.into(),
            happened: BTreeMap::new(),
            burst: (None, 0),
            lines: tell.then(Vec::new),
            broken: None,
            seen: BTreeMap::new(),
            ran: 0,
            stage,
        };
        for (host, number, access) in first.stage.by_hand.clone() {
            first.attach_by_hand(host, number, access);
        }
        first
    }

    /// A line of the story.
    pub fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.lines.is_some() {
            let line = format!("{:>6} ms  {}", self.clock, line(self));
            self.lines.get_or_insert_default().push(line);
        }
    }

    /// Something came of it.
    pub fn sees(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    /// An invariant is broken: the story ends here.
    pub fn breaks(&mut self, what: impl Into<String>) {
        if self.broken.is_none() {
            let what = what.into();
            self.tell(|_| format!("!! {what}"));
            self.broken = Some(what);
        }
    }

    /// Goes on with the story until it is somebody's turn.
    pub fn advance(&mut self) -> Turn {
        loop {
            if self.broken.is_some() {
                self.tasks.iter_mut().for_each(|task| task.killed = true);
            }
            if let Some(id) = self.tasks.iter().position(|task| task.alive && task.killed) {
                return Some(id);
            }
            if self.broken.is_some() {
                return None;
            }
            let actor = match self.burst {
                (Some(actor), more @ 1..) if self.is_ready(actor) => {
                    self.burst.1 = more - 1;
                    Some(actor)
                }
                _ => match self.story.pop_front() {
                    Some(event) => self.next(event),
                    None => match self.go_on() {
                        None => return None,
                        actor => actor,
                    },
                },
            };
            match actor {
                Some(Actor::Task(id)) if self.clock >= self.tasks[id].began + DEADLINE => {
                    self.tell(|state| format!("{}: the watchdog ends it", state.called(id)));
                    self.tasks[id].killed = true;
                    self.sees("was ended by the watchdog");
                }
                Some(Actor::Task(id)) => return Some(id),
                Some(Actor::Qemu(host, domain)) => self.qemu_goes_on(host, domain),
                Some(Actor::Migration(domain)) => self.moves_on(domain),
                None => {}
            }
            self.check();
        }
    }

    fn next(&mut self, event: Event) -> Option<Actor> {
        match event.what {
            What::Go => {
                let ready = self.ready();
                if ready.is_empty() {
                    return self.wakes_first();
                }
                let actor = ready[usize::from(event.who) % ready.len()];
                self.burst = (
                    Some(actor),
                    [0, 0, 0, 1, 1, 3, 8, 40][usize::from(event.which) % 8],
                );
                Some(actor)
            }
            What::Wait => {
                let waiting = self.waiting();
                let (id, wakes) = *waiting.get(usize::from(event.who) % waiting.len().max(1))?;
                self.time_passes(wakes);
                Some(Actor::Task(id))
            }
            _ => {
                self.happens(event);
                None
            }
        }
    }

    /// The story is over: everybody goes on, one after the other.
    fn go_on(&mut self) -> Option<Actor> {
        self.ready().first().copied().or_else(|| self.wakes_first())
    }

    fn wakes_first(&mut self) -> Option<Actor> {
        let (id, wakes) = self.waiting().into_iter().min_by_key(|(_, wakes)| *wakes)?;
        self.time_passes(wakes);
        Some(Actor::Task(id))
    }

    /// Time passes, but nobody may be slower than they are in life: see `LAUNCH_MAX`, `PROBE_MAX`.
    fn time_passes(&mut self, to: u64) {
        if to <= self.clock {
            return;
        }
        for (host, domain) in self.launching() {
            while self.hosts[host].domains[domain].life == Life::Launching
                && to > self.hosts[host].domains[domain].launched + LAUNCH_MAX
            {
                self.qemu_goes_on(host, domain);
            }
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].client_back.is_some_and(|back| back <= to) {
                self.clock = self.clock.max(self.hosts[host].client_back.unwrap_or(0));
                self.client_returns(host);
            }
        }
        self.clock = to;
        for host in &mut self.hosts {
            host.probed.retain(|_, opened| *opened + PROBE_MAX > to);
        }
    }

    fn launching(&self) -> Vec<(usize, usize)> {
        let all =
            (0..self.hosts.len()).flat_map(|host| (0..self.stage.domains.len()).map(move |d| (host, d)));
        all.filter(|(host, domain)| self.hosts[*host].domains[*domain].life == Life::Launching)
            .collect()
    }

    /// Everybody who could do a step now.
    fn ready(&self) -> Vec<Actor> {
        let tasks = (0..self.tasks.len()).map(Actor::Task);
        let qemus = self
            .launching()
            .into_iter()
            .map(|(host, domain)| Actor::Qemu(host, domain));
        let migrations = (0..self.migrations.len()).map(Actor::Migration);
        tasks
            .chain(migrations)
            .filter(|actor| self.is_ready(*actor))
            .chain(qemus)
            .collect()
    }

    fn is_ready(&self, actor: Actor) -> bool {
        match actor {
            Actor::Task(id) => {
                let task = &self.tasks[id];
                task.alive
                    && match &task.waits {
                        Waits::Ready => true,
                        Waits::Until(wakes) => *wakes <= self.clock,
                        Waits::Lock(name, until) => {
                            *until <= self.clock || !self.locks.contains_key(&(task.host, name.clone()))
                        }
                    }
            }
            Actor::Migration(domain) => self.can_move_on(domain),
            Actor::Qemu(host, domain) => self.hosts[host].domains[domain].life == Life::Launching,
        }
    }

    /// Everybody who waits, and when their time is over.
    fn waiting(&self) -> Vec<(usize, u64)> {
        let wakes = |(id, task): (usize, &Task)| match &task.waits {
            _ if !task.alive || self.is_ready(Actor::Task(id)) => None,
            Waits::Until(wakes) | Waits::Lock(_, wakes) => Some((id, *wakes)),
            Waits::Ready => None,
        };
        self.tasks.iter().enumerate().filter_map(wakes).collect()
    }

    /// A process starts.
    pub fn starts(&mut self, kind: Kind, host: usize) -> usize {
        let daemon = self.hosts[host]
            .daemon
            .filter(|_| !matches!(kind, Kind::Reconcile | Kind::Takeover(_) | Kind::Fence(_)));
        self.tasks.push(Task::new(kind, host, daemon, self.clock));
        self.tasks.len() - 1
    }

    /// Processes without a thread.
    pub fn unborn(&self) -> Vec<usize> {
        let unborn = |id: &usize| self.tasks[*id].alive && self.tasks[*id].thread.is_none();
        (0..self.tasks.len()).filter(unborn).collect()
    }

    /// A process has done a step.
    pub fn after_step(&mut self, id: usize) {
        self.tasks[id].steps += 1;
        self.clock += 1;
        if self.tasks[id].steps > STEPS_MAX {
            self.breaks("I6: a call goes on and on");
        }
        self.check();
    }

    /// I6: whether a hook waits for a moment beyond its deadline. libvirt, and everybody's `virsh list`, waits for it.
    pub fn waits_too_long(&self, id: usize) -> bool {
        let task = &self.tasks[id];
        let end = task.began + DEADLINE;
        task.daemon.is_some()
            && matches!(&task.waits, Waits::Until(wakes) | Waits::Lock(_, wakes) if *wakes > end)
    }

    /// Whether a process waits in a circle for a lock it holds itself.
    pub fn is_deadlocked(&self, id: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = id;
        while let Waits::Lock(name, _) = &self.tasks[waiting].waits
            && let Some(holder) = self.locks.get(&(self.tasks[waiting].host, name.clone()))
        {
            if *holder == id || !seen.insert(*holder) {
                return true;
            }
            waiting = *holder;
        }
        false
    }

    /// A process, for a line.
    pub fn called(&self, id: usize) -> String {
        let task = &self.tasks[id];
        let (host, orphan) = (
            self.hosts[task.host].name,
            if self.is_orphan(id) { " (orphan)" } else { "" },
        );
        match task.kind {
            Kind::Prepare(domain) => format!("{host} d{domain} prepare{orphan}"),
            Kind::Announce(domain) => format!("{host} d{domain} migrate{orphan}"),
            Kind::Release(domain) => format!("{host} d{domain} release{orphan}"),
            Kind::Reconnect(domain) => format!("{host} d{domain} reconnect{orphan}"),
            Kind::Takeover(domain) => format!("{host} d{domain} takeover"),
            Kind::Fence(client) => format!("{host} fence {client}"),
            Kind::Reconcile => format!("{host} reconcile"),
        }
    }

    /// Whether the daemon that started a process is gone.
    pub fn is_orphan(&self, id: usize) -> bool {
        self.tasks[id].daemon.is_some() && self.tasks[id].daemon != self.hosts[self.tasks[id].host].daemon
    }

    /// All that is open, as `(client, volume)`.
    pub fn open(&self) -> BTreeSet<(u16, u32)> {
        let of = |host: &Host| {
            host.open()
                .into_iter()
                .map(|number| (host.client, number))
                .collect::<Vec<_>>()
        };
        self.hosts.iter().flat_map(of).collect()
    }
}
