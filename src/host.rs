// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The real [`World`]: this host, its files and devices, its StorPool API. The only place with effects.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::client::Api;
use crate::api::{ApiError, Clients, Description, Listing, Object, Reassign};
use crate::claim::lock::{self, Guard, Lock, LockError};
use crate::claim::store::{self, Store};
use crate::claim::{Claim, Entry, Identity, Phase, Process};
use crate::config::Config;
use crate::deadline::{Deadline, left};
use crate::persist::{self, PathError, at};
use crate::ticket::{self, Ticket};
use crate::volume::{ClientId, DomainUuid, VolumeRef};
use crate::world::{Link, Stage, World};
use crate::{device, sys};

/// How long a daemon may take from the end of `prepare` to the first sign of QEMU before a claim without one
/// counts as stale.
const LAUNCH: Duration = Duration::from_mins(1);

/// Where libvirt keeps the persistent definitions of the system's domains, `NAME.xml`.
const DEFINITIONS: &str = "/etc/libvirt/qemu";

/// This host during one call.
#[derive(Debug)]
pub struct Host<'a> {
    config: &'a Config,
    api: Api<'a>,
    store: Store,
    boot: String,
    daemon: Option<Process>,
    deadline: Deadline,
    until: Cell<Instant>,
}

impl<'a> Host<'a> {
    /// The host as `config` describes it. `daemon` is who called us, when it is libvirt.
    pub fn new(config: &'a Config, daemon: Option<Process>, deadline: Deadline) -> Result<Self, PathError> {
        Ok(Self {
            config,
            api: Api::new(config),
            store: Store::new(PathBuf::from(store::DIR)),
            boot: sys::boot_id()?,
            daemon,
            deadline,
            until: Cell::new(deadline.work()),
        })
    }

    /// API requests so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.api.requests()
    }

    /// As [`World::attachments`], and everything that `client` has: one request for both.
    pub fn attachments_of(&self, volumes: &[VolumeRef], client: ClientId) -> Result<Listing, ApiError> {
        self.api
            .attachments_of(volumes, client, self.me(), self.until.get())
    }

    /// Names and global ids of volumes, as far as StorPool knows them; without any, without a request.
    pub fn resolve(&self, volumes: &[VolumeRef], until: Instant) -> Result<Vec<Description>, ApiError> {
        self.api.resolve(volumes, until)
    }

    /// Takes a lock if nobody holds it.
    pub fn try_lock(&self, lock: &Lock) -> Result<Guard, LockError> {
        lock::take(Path::new(lock::DIR), lock, Instant::now())
    }
}

/// A domain between the end of its `prepare` and its QEMU: as long as its daemon lives, either a QEMU or a
/// `release` will follow, soon.
fn is_launching(claim: &Claim) -> bool {
    let age = Duration::from_millis(sys::since_boot().saturating_sub(claim.made));
    claim.phase == Phase::Live && age < LAUNCH && claim.daemon.is_some_and(sys::is_alive)
}

fn ticket_path(uuid: &DomainUuid) -> PathBuf {
    Path::new(ticket::DIR).join(uuid.as_str())
}

impl World for Host<'_> {
    type Guard = Guard;

    fn me(&self) -> ClientId {
        self.config.client
    }

    fn boot(&self) -> &str {
        &self.boot
    }

    fn now(&self) -> u64 {
        sys::since_boot()
    }

    fn began(&self) -> u64 {
        sys::own_start()
    }

    fn daemon(&self) -> Option<Process> {
        self.daemon
    }

    fn daemon_thread(&self) -> Option<i32> {
        sys::parent_thread()
    }

    fn definition(&self, domain: &str) -> Option<String> {
        // libvirt allows any name without a slash.
        let file = format!("{domain}.xml");
        (!domain.contains('/')).then(|| sys::stamp(&Path::new(DEFINITIONS).join(file)))?
    }

    fn orphaned(&self) -> bool {
        self.daemon.is_some() && sys::parent() != self.daemon
    }

    fn enter(&self, stage: Stage) {
        self.until.set(match stage {
            Stage::Work => self.deadline.work(),
            Stage::Undo => self.deadline.undo(),
            Stage::Release => self.deadline.release(),
        });
    }

    fn pause(&self, time: Duration) -> bool {
        let left = left(self.until.get());
        thread::sleep(time.min(left));
        time < left
    }

    fn lock(&self, lock: &Lock) -> Result<Guard, LockError> {
        lock::take(Path::new(lock::DIR), lock, self.until.get())
    }

    fn claim(&self, uuid: &DomainUuid) -> Result<Option<Entry>, PathError> {
        self.store.load(uuid)
    }

    fn claims(&self) -> Result<Vec<Entry>, PathError> {
        self.store.all()
    }

    fn save(&self, claim: &Claim) -> Result<(), PathError> {
        self.store.save(claim)
    }

    fn forget(&self, uuid: &DomainUuid) -> Result<(), PathError> {
        self.store.remove(uuid)
    }

    fn leave_ticket(&self, ticket: &Ticket) -> Result<(), PathError> {
        let path = ticket_path(&ticket.uuid);
        persist::create_dir(Path::new(ticket::DIR))?;
        let bytes = serde_json::to_vec(ticket)
            .map_err(io::Error::from)
            .map_err(at("writing", &path))?;
        persist::write(&path, &bytes)
    }

    fn take_ticket(&self, uuid: &DomainUuid) -> Result<Option<Ticket>, PathError> {
        let path = ticket_path(uuid);
        let Some(bytes) = persist::read(&path)? else {
            return Ok(None);
        };
        persist::remove(&path)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(io::Error::from)
            .map_err(at("reading", &path))
    }

    fn is_worked_on(&self, uuid: &DomainUuid) -> bool {
        lock::is_held(Path::new(lock::DIR), &Lock::Domain(uuid.clone()))
    }

    fn qemu(&self, uuid: &DomainUuid) -> Option<String> {
        sys::qemu_of(uuid.as_str()).map(|pid| format!("QEMU process {pid}"))
    }

    fn proof_of_life(&self, entry: &Entry, volume: &Identity) -> Option<String> {
        if let Some(qemu) = self.qemu(entry.uuid()) {
            return Some(qemu);
        }
        let Entry::Claim(claim) = entry else {
            return None;
        };
        if claim.boot != self.boot {
            return None;
        }
        let busy = claim.phase != Phase::Releasing && self.is_worked_on(&claim.uuid);
        if busy || is_launching(claim) {
            return Some("it is being started".to_owned());
        }
        // A QEMU that cannot be killed has no command line any more, but still its devices.
        self.holder(&volume.volume)
    }

    fn links(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>> {
        device::links(volumes)
    }

    fn devices(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>> {
        device::devices(volumes)
    }

    fn holder(&self, volume: &VolumeRef) -> Option<String> {
        let link = device::links(std::slice::from_ref(volume))
            .into_iter()
            .flatten()
            .next()?;
        sys::opener_of(&link.device)
    }

    /// A request that gets no answer may have been carried out all the same, and only the list can tell: a quarter
    /// of the time is kept back to ask for it.
    fn reassign(&self, items: &[Reassign]) -> Result<(), ApiError> {
        let until = self.until.get();
        self.api
            .reassign(items, until.checked_sub(left(until) / 4).unwrap_or(until))
    }

    fn attachments(&self, volumes: &[VolumeRef]) -> Result<Listing, ApiError> {
        self.api.attachments(volumes, self.me(), self.until.get())
    }

    fn describe(&self, object: &Object) -> Result<Option<Description>, ApiError> {
        self.api.describe(object, self.until.get())
    }

    fn clients(&self) -> Result<Clients, ApiError> {
        self.api.clients(self.until.get())
    }
}
