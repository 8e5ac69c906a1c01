// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The simulated [`World`]: what one call of ours sees and changes, step by step.

use std::sync::Arc;
use std::time::Duration;

use spvirt::api::{ApiError, Clients, Description, Listing, Object, Reassign};

use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Entry, Identity, Phase, Process, file};
use spvirt::persist::PathError;
use spvirt::ticket::Ticket;
use spvirt::volume::{Access, ClientId, DomainUuid, VolumeRef};
use spvirt::world::{Link, Stage, World};

use crate::api::words;
use crate::cluster::gid;
use crate::engine::Engine;
use crate::events::domain_of;
use crate::state::{DEADLINE, State};
use crate::task::{Kind, Waits};

/// How long a start may take until its QEMU shows.
const LAUNCH: u64 = 60_000;

/// One call of ours.
pub struct Call {
    /// Where it plays.
    pub engine: Arc<Engine>,
    /// Its number.
    pub id: usize,
    /// Where it runs.
    pub host: usize,
    me: ClientId,
    boot: String,
    daemon: Option<Process>,
}

/// A held lock.
pub struct Guard {
    engine: Arc<Engine>,
    id: usize,
    at: (usize, String),
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.engine.state();
        if state.locks.get(&self.at) == Some(&self.id) {
            state.locks.remove(&self.at);
        }
    }
}

impl Call {
    /// A call that begins.
    pub fn new(engine: Arc<Engine>, id: usize, state: &State) -> Self {
        let task = &state.tasks[id];
        let host = &state.hosts[task.host];
        Self {
            engine,
            id,
            host: task.host,
            me: ClientId::new(host.client).unwrap(),
            boot: host.boot_id(),
            daemon: task.daemon,
        }
    }

    pub fn step<T>(&self, effect: impl FnOnce(&mut State) -> T) -> T {
        self.engine.step(self.id, Waits::Ready, effect)
    }

    pub fn sleep(&self, until: u64) {
        self.engine.step(self.id, Waits::Until(until), |_| ());
    }

    pub fn time(&self) -> (u64, u64) {
        let state = self.engine.state();
        (state.clock, state.tasks[self.id].until)
    }

    pub fn tell(&self, state: &mut State, line: impl FnOnce() -> String) {
        let id = self.id;
        state.tell(|state| format!("{}: {}", state.called(id), line()));
    }

    /// Takes a lock, if it is free.
    pub fn take(&self, state: &mut State, lock: &Lock) -> Result<Guard, LockError> {
        let at = (self.host, lock.to_string());
        if state.locks.contains_key(&at) {
            self.tell(state, || format!("does not get {lock}"));
            state.sees("did not get a lock");
            return Err(LockError::Held(at.1.into()));
        }
        self.tell(state, || format!("takes {lock}"));
        state.locks.insert(at.clone(), self.id);
        Ok(Guard {
            engine: Arc::clone(&self.engine),
            id: self.id,
            at,
        })
    }

    fn needs_claims_lock(&self, state: &mut State) {
        if state.locks.get(&(self.host, Lock::Claims.to_string())) != Some(&self.id) {
            state.breaks("a claim is written without the claims lock");
        }
    }
}

impl World for Call {
    type Guard = Guard;

    fn me(&self) -> ClientId {
        self.me
    }
    fn boot(&self) -> &str {
        &self.boot
    }
    fn now(&self) -> u64 {
        let state = self.engine.state();
        state.clock - state.hosts[self.host].booted
    }
    fn began(&self) -> u64 {
        let state = self.engine.state();
        let booted = state.hosts[self.host].booted;
        state.tasks[self.id].began.saturating_sub(booted)
    }
    fn daemon(&self) -> Option<Process> {
        self.daemon
    }
    fn daemon_thread(&self) -> Option<i32> {
        Some(self.engine.state().tasks[self.id].thread_of_daemon)
    }
    fn definition(&self, domain: &str) -> Option<String> {
        let number: usize = domain.trim_start_matches('d').parse().unwrap();
        let times = self.engine.state().hosts[self.host].domains[number].definitions;
        (times > 0).then(|| times.to_string())
    }
    fn orphaned(&self) -> bool {
        let mut state = self.engine.state();
        let orphan = state.is_orphan(self.id);
        if orphan {
            state.sees("was an orphan");
        }
        orphan
    }
    fn enter(&self, stage: Stage) {
        let share = match stage {
            Stage::Work => DEADLINE * 2 / 3,
            Stage::Undo => DEADLINE * 14 / 15,
            Stage::Release => DEADLINE / 3,
        };
        let task = &mut self.engine.state().tasks[self.id];
        task.until = task.began + share;
    }
    fn pause(&self, time: Duration) -> bool {
        let (now, until) = self.time();
        let time = u64::try_from(time.as_millis()).unwrap();
        let left = until.saturating_sub(now);
        self.sleep(now + time.min(left));
        time < left
    }

    fn lock(&self, lock: &Lock) -> Result<Guard, LockError> {
        let (_, until) = self.time();
        self.engine
            .step(self.id, Waits::Lock(lock.to_string(), until), |state| {
                self.take(state, lock)
            })
    }
    fn claim(&self, uuid: &DomainUuid) -> Result<Option<Entry>, PathError> {
        Ok(self.step(|state| {
            let entry = state.hosts[self.host].entry(uuid);
            if matches!(&entry, Some(Entry::Claim(claim)) if claim.phase == Phase::Releasing) {
                state.sees("found a claim that is being released");
            }
            entry
        }))
    }
    fn claims(&self) -> Result<Vec<Entry>, PathError> {
        Ok(self.step(|state| state.hosts[self.host].entries()))
    }
    fn save(&self, claim: &Claim) -> Result<(), PathError> {
        self.step(|state| {
            self.needs_claims_lock(state);
            self.tell(state, || {
                let d = domain_of(&claim.uuid).unwrap_or_default();
                let unsure = if claim.unsure { ", unsure" } else { "" };
                let of = claim
                    .volumes
                    .iter()
                    .map(|held| format!("{}, before {:?}", held.volume, held.before));
                let of: Vec<_> = of.collect();
                format!(
                    "writes claim of d{d}: {:?}{unsure} [{}]",
                    claim.phase,
                    of.join("; ")
                )
            });
            let bytes = file::encode(claim).unwrap();
            state.hosts[self.host].files.insert(claim.uuid.to_string(), bytes);
        });
        Ok(())
    }
    fn forget(&self, uuid: &DomainUuid) -> Result<(), PathError> {
        self.step(|state| {
            self.needs_claims_lock(state);
            self.tell(state, || {
                format!("removes claim of d{}", domain_of(uuid).unwrap_or_default())
            });
            state.hosts[self.host].files.remove(uuid.as_str());
        });
        Ok(())
    }
    fn leave_ticket(&self, ticket: &Ticket) -> Result<(), PathError> {
        self.step(|state| {
            self.tell(state, || "leaves a ticket".to_owned());
            let tickets = &mut state.hosts[self.host].tickets;
            tickets.insert(ticket.uuid.to_string(), ticket.clone());
        });
        Ok(())
    }
    fn take_ticket(&self, uuid: &DomainUuid) -> Result<Option<Ticket>, PathError> {
        Ok(self.step(|state| {
            let ticket = state.hosts[self.host].tickets.remove(uuid.as_str());
            if ticket.is_some() {
                self.tell(state, || "takes the ticket".to_owned());
            }
            ticket
        }))
    }
    fn is_worked_on(&self, uuid: &DomainUuid) -> bool {
        let lock = Lock::Domain(uuid.clone()).to_string();
        self.step(|state| state.locks.contains_key(&(self.host, lock)))
    }
    fn qemu(&self, uuid: &DomainUuid) -> Option<String> {
        self.step(|state| {
            let it = &state.hosts[self.host].domains[domain_of(uuid)?];
            (!it.open.is_empty() || !it.stuck.is_empty()).then(|| "QEMU process 1".to_owned())
        })
    }
    fn proof_of_life(&self, entry: &Entry, volume: &Identity) -> Option<String> {
        self.step(|state| {
            let host = &state.hosts[self.host];
            let it = &host.domains[domain_of(entry.uuid())?];
            // Its command line is gone as soon as a QEMU is being killed, also if that fails.
            if !it.open.is_empty() {
                return Some("QEMU process 1".to_owned());
            }
            let Entry::Claim(claim) = entry else {
                return None;
            };
            if claim.boot != self.boot {
                return None;
            }
            let lock = Lock::Domain(claim.uuid.clone()).to_string();
            let busy = claim.phase != Phase::Releasing && state.locks.contains_key(&(self.host, lock));
            let young = (state.clock - host.booted).saturating_sub(claim.made) < LAUNCH;
            let launching =
                claim.phase == Phase::Live && young && claim.daemon.is_some() && claim.daemon == host.daemon;
            if busy || launching {
                return Some("it is being started".to_owned());
            }
            let (number, _) = state.linked(self.host, &volume.volume)?;
            host.open().contains(&number).then(|| "somebody".to_owned())
        })
    }

    fn links(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>> {
        let link = |state: &State, volume: &VolumeRef| {
            let (number, access) = state.linked(self.host, volume)?;
            Some(Link {
                device: format!("7:{number}"),
                read_only: access == Access::Ro,
                sectors: 8,
                global_id: Some(gid(number)),
            })
        };
        self.step(|state| volumes.iter().map(|volume| link(state, volume)).collect())
    }
    fn holder(&self, _: &VolumeRef) -> Option<String> {
        None
    }

    fn reassign(&self, items: &[Reassign]) -> Result<(), ApiError> {
        let (now, until) = self.time();
        self.engine.state().tasks[self.id].request = Some(items.to_vec());
        let serve = |state: &mut State| {
            state.judge(self.id, items);
            let answer = state.carry_out(self.host, items);
            let takes = items
                .iter()
                .any(|item| item.attach.is_some() && !item.detach.is_empty());
            let starts = matches!(state.tasks[self.id].kind, Kind::Prepare(_));
            let forces = items.iter().any(|item| item.force);
            match &answer {
                Err(fault) if fault.is_open() => state.sees("was busy"),
                Ok(()) if forces && starts => state.sees("took over by force"),
                Ok(()) if takes && starts => state.sees("took over"),
                _ => {}
            }
            self.tell(state, || {
                let answer = answer
                    .as_ref()
                    .map_or_else(|fault| fault.name.clone(), |()| "ok".to_owned());
                format!("asks for {} -> {answer}", words(items))
            });
            answer
        };
        let attaches = items.iter().any(|item| item.attach.is_some());
        let until = until - until.saturating_sub(now) / 4;
        let answer = self.ask("VolumesReassignWait", until, serve, |state| {
            attaches && !state.hosts[self.host].client_up
        });
        self.engine.state().tasks[self.id].request = None;
        answer
    }
    fn attachments(&self, refs: &[VolumeRef]) -> Result<Listing, ApiError> {
        let me = u16::from(self.me);
        let serve = |state: &mut State| {
            let listing = state.cluster.list(refs, me);
            let task = &mut state.tasks[self.id];
            task.rivals.clear();
            for line in listing
                .attachments
                .iter()
                .filter(|line| line.rights == Access::Rw)
            {
                let number = line
                    .global_id
                    .as_ref()
                    .and_then(|id| id.as_str().rsplit('.').next()?.parse().ok());
                let client = u16::from(line.client);
                task.rivals.entry(number.unwrap()).or_default().insert(client);
            }
            self.tell(state, || {
                let of = listing
                    .attachments
                    .iter()
                    .map(|it| format!("{} {}:{}", it.name, it.rights, it.client));
                format!("lists: {}", of.collect::<Vec<_>>().join("; "))
            });
            Ok(listing)
        };
        self.ask("AttachmentsList", self.time().1, serve, |_| false)
    }
    fn describe(&self, object: &Object) -> Result<Option<Description>, ApiError> {
        let serve = |state: &mut State| {
            let found = state.cluster.find(object);
            Ok(found.map(|number| Description {
                name: state.cluster.volumes[&number].name.clone(),
                global_id: Some(gid(number)),
            }))
        };
        self.ask("Volume", self.time().1, serve, |_| false)
    }
    fn clients(&self) -> Result<Clients, ApiError> {
        let serve = |state: &mut State| {
            let clients: Clients = state
                .hosts
                .iter()
                .map(|host| (ClientId::new(host.client).unwrap(), host.client_up))
                .collect();
            let down = clients
                .iter()
                .filter(|(_, up)| !**up)
                .map(|(client, _)| u16::from(*client));
            let reading = (state.clock, down.collect());
            self.tell(state, || format!("reads who is down: {:?}", reading.1));
            state.tasks[self.id].down.push(reading);
            Ok(clients)
        };
        self.ask("ServicesList", self.time().1, serve, |_| false)
    }
}
