// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The calls of ours: the shipped acquire, release, adopt and reconcile, and around them the few lines that
//! `hook.rs` and the helper have around them.

use spvirt::acquire::{Start, acquire, acquire_as};
use spvirt::adopt;
use spvirt::api::{ApiError, Listing};
use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Entry, Held};
use spvirt::config::Takeover;
use spvirt::fence;
use spvirt::plan::Arrival;
use spvirt::reconcile::{Action, DomainState, decide, may_go};
use spvirt::release::{self, Left};
use spvirt::ticket::{self, Subject};
use spvirt::volume::{ClientId, DomainUuid, VolumeRef};
use spvirt::world::{Stage, World};

use crate::events::domain_of;
use crate::mistakes::Mistaken;
use crate::story::uuid;
use crate::task::{Answer, Kind};
use crate::world::Call;

/// What `spvirt reconcile` needs beside a [`World`].
pub trait Reconciles: World {
    /// What libvirt says about a domain.
    fn libvirt_says(&self, uuid: &DomainUuid) -> DomainState;
    /// Takes a lock if nobody holds it.
    fn try_lock(&self, lock: &Lock) -> Result<Self::Guard, LockError>;
    /// It looks at a claim.
    fn looks_again(&self, claim: &Claim);
    /// The domains that run here; none if libvirt does not say.
    fn running(&self) -> Vec<DomainUuid>;
    /// All that a client has attached.
    fn everything_of(&self, client: ClientId) -> Result<Listing, ApiError>;
    /// The time of a call begins.
    fn fresh(&self);
}

/// Runs a call to its end. Only `prepare` may refuse.
pub fn run(call: Call, kind: Kind) -> Answer {
    match call.stage().mistake {
        None => ends(&call, kind),
        Some(mistake) => ends(&Mistaken::new(call, mistake), kind),
    }
}

fn ends<W: Reconciles + Staged>(world: &W, kind: Kind) -> Answer {
    match kind {
        Kind::Prepare(domain) => prepare(world, domain),
        Kind::Announce(domain) => {
            let _ = about(world, domain, |subject| ticket::leave(world, subject));
            Ok(())
        }
        Kind::Release(domain) => {
            world.enter(Stage::Release);
            let _ = release(world, domain);
            Ok(())
        }
        Kind::Reconnect(domain) => {
            world.enter(Stage::Release);
            let wants = world.stage().wants(domain);
            let _ = adopt::adopt(world, &uuid(domain), &format!("d{domain}"), &wants);
            Ok(())
        }
        Kind::Takeover(domain) => {
            world.fresh();
            world.enter(Stage::Work);
            take_over(world, domain)
        }
        Kind::Fence(client) => {
            world.fresh();
            world.enter(Stage::Work);
            fence(world, client)
        }
        Kind::Reconcile => {
            reconcile(world);
            Ok(())
        }
    }
}

/// Who knows the stage.
pub trait Staged {
    /// The stage of the story.
    fn stage(&self) -> std::sync::Arc<crate::story::Stage>;
    /// The number in the XML this call reads or writes, and whether that has a `<resource>`.
    fn marks(&self) -> (Option<String>, bool);
}

/// The domain of a call, as its XML tells.
fn about<W: Staged, T>(world: &W, domain: usize, what: impl FnOnce(&Subject) -> T) -> T {
    let (nonce, resource) = world.marks();
    what(&Subject {
        uuid: &uuid(domain),
        domain: &format!("d{domain}"),
        resource,
        nonce: nonce.as_deref(),
    })
}

fn prepare<W: World + Staged>(world: &W, domain: usize) -> Answer {
    let stage = world.stage();
    world.enter(Stage::Work);
    about(world, domain, |subject| {
        let start = Start {
            subject: *subject,
            policy: stage.policy,
        };
        acquire(world, &start, stage.wants(domain)).map_err(|why| why.to_string())
    })
}

fn release<W: World>(world: &W, domain: usize) -> Result<(), Left> {
    let uuid = uuid(domain);
    if world.claim(&uuid)?.is_none() {
        return Ok(());
    }
    let _domain = world.lock(&Lock::Domain(uuid.clone()))?;
    if world.orphaned() {
        return Ok(());
    }
    ticket::drop(world, &uuid);
    match world.claim(&uuid)? {
        Some(Entry::Claim(claim)) => release::let_go(world, release::found(claim)),
        _ => Ok(()),
    }
}

/// What `spvirt reconcile` does.
fn reconcile<W: Reconciles + Staged>(world: &W) {
    world.fresh();
    let entries = world.claims().unwrap();
    let refs: Vec<_> = entries.iter().flat_map(references).collect();
    if refs.is_empty() || world.attachments(&refs).is_ok() {
        for entry in &entries {
            world.fresh();
            settle(world, entry.uuid());
        }
    }
    for uuid in world.running() {
        world.fresh();
        adopt_running(world, &uuid);
    }
}

fn references(entry: &Entry) -> Vec<VolumeRef> {
    match entry {
        Entry::Claim(claim) => claim.volumes.iter().map(Held::reference).collect(),
        Entry::Unreadable { .. } => Vec::new(),
    }
}

fn settle<W: Reconciles>(world: &W, uuid: &DomainUuid) {
    let Ok(_domain) = world.try_lock(&Lock::Domain(uuid.clone())) else {
        return;
    };
    let Some(Entry::Claim(claim)) = world.claim(uuid).unwrap() else {
        return;
    };
    let state = world.libvirt_says(&claim.uuid);
    if decide(&claim, world.me(), world.boot(), &state) == Action::Finish {
        world.looks_again(&claim);
        let claim = release::found(claim);
        let unsure = claim.unsure && !may_go(&claim);
        let _ = release::let_go(world, Claim { unsure, ..claim });
    }
}

fn adopt_running<W: Reconciles + Staged>(world: &W, uuid: &DomainUuid) {
    let domain = domain_of(uuid).unwrap();
    if world.claim(uuid).unwrap().is_some() {
        return;
    }
    let Ok(_domain) = world.try_lock(&Lock::Domain(uuid.clone())) else {
        return;
    };
    if world.libvirt_says(uuid) != DomainState::Active || world.claim(uuid).unwrap().is_some() {
        return;
    }
    let wants = world.stage().wants(domain);
    let _ = adopt::ensure_claim(world, uuid, &format!("d{domain}"), &wants);
}

/// What `spvirt takeover` does, once it was agreed to.
fn take_over<W: Reconciles + Staged>(world: &W, domain: usize) -> Answer {
    let uuid = uuid(domain);
    let _domain = world
        .try_lock(&Lock::Domain(uuid.clone()))
        .map_err(|error| error.to_string())?;
    if world.libvirt_says(&uuid) != DomainState::Inactive {
        return Err("it runs, or nobody knows".to_owned());
    }
    let wants = world.stage().wants(domain);
    let policy = Takeover::Always;
    about(world, domain, |subject| {
        let start = Start {
            subject: *subject,
            policy,
        };
        acquire_as(world, &start, Arrival::Start(policy), wants).map_err(|why| why.to_string())
    })?;
    world.enter(Stage::Undo);
    match world.claim(&uuid).unwrap() {
        Some(Entry::Claim(claim)) => release::let_go(world, claim).map_err(|left| left.to_string()),
        _ => Ok(()),
    }
}

/// What `spvirt fence` does, once it was agreed to.
fn fence<W: Reconciles>(world: &W, client: u16) -> Answer {
    let client = ClientId::new(client).unwrap();
    fence::check(world, client, false).map_err(|why| why.to_string())?;
    let listing = world.everything_of(client).map_err(|error| error.to_string())?;
    let plan = fence::plan(&listing, client).map_err(|why| why.to_string())?;
    fence::fence(world, &plan).map_err(|error| error.to_string())
}
