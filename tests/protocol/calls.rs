// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The calls of ours: the shipped acquire, release, adopt and reconcile, and around them the few lines that
//! `hook.rs` and the helper have around them.

use spvirt::acquire::{Start, acquire};
use spvirt::adopt;
use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Entry};
use spvirt::reconcile::{Action, DomainState, decide, may_go};
use spvirt::release::{self, Left};
use spvirt::ticket::{self, Subject};
use spvirt::volume::DomainUuid;
use spvirt::world::{Stage, World};

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
    let began = world.now();
    let _domain = world.lock(&Lock::Domain(uuid.clone()))?;
    if world.orphaned() {
        return Ok(());
    }
    ticket::drop(world, &uuid, began);
    match world.claim(&uuid)? {
        Some(Entry::Claim(claim)) => release::let_go(world, release::found(claim)),
        _ => Ok(()),
    }
}

fn reconcile<W: Reconciles>(world: &W) {
    world.fresh();
    for entry in world.claims().unwrap() {
        world.fresh();
        let Ok(_domain) = world.try_lock(&Lock::Domain(entry.uuid().clone())) else {
            continue;
        };
        let Some(Entry::Claim(claim)) = world.claim(entry.uuid()).unwrap() else {
            continue;
        };
        let state = world.libvirt_says(&claim.uuid);
        if decide(&claim, world.me(), world.boot(), &state) == Action::Finish {
            world.looks_again(&claim);
            let claim = release::found(claim);
            let unsure = claim.unsure && !may_go(&claim);
            let _ = release::let_go(world, Claim { unsure, ..claim });
        }
    }
}
