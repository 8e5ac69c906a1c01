// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Letting go of what a claim says, and only of that. One body for `release end`, for the undo of a refused
//! start, for what an earlier run left, and for `spvirt reconcile`: the only place in the tree that detaches
//! this host's volumes.
//!
//! It works from the claim alone: the domain's XML may be gone, changed or broken by now. It is polite: by
//! global id, this client only, never with force, and never a volume that another claim of this host still
//! protects. Busy is an answer (a QEMU that cannot be killed keeps its devices): the claim then waits as
//! *releasing* until `reconcile` finishes it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::{ApiError, Listing, Object, Reassign};
use crate::claim::lock::{Lock, LockError};
use crate::claim::{Claim, Entry, Held, Identity, Phase};
use crate::execute::carry_out;
use crate::journal;
use crate::persist::PathError;
use crate::volume::{Access, ClientId, GlobalId, VolumeRef};
use crate::world::World;

/// Attempts while a volume is open: right after a stop, udev or a slow exit may hold it for a moment.
const BUSY_TRIES: u32 = 8;
/// Pause between two of them.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// Why a claim was not, or not wholly, let go. It stays on disk as *releasing*.
#[derive(Debug, thiserror::Error)]
pub enum Left {
    /// A volume is open on this host.
    #[error("volume \"{volume}\" is still open on this host{}", held_by(.holder.as_deref()))]
    Busy {
        /// The volume.
        volume: VolumeRef,
        /// Who has it open, if that could be seen.
        holder: Option<String>,
    },
    /// The claim was made by another client id: this host was replaced or its `SP_OURID` changed.
    #[error(
        "it was made when this host was client {theirs}; now it is client {mine}: detach its volumes there by hand"
    )]
    OtherClient {
        /// The client in the claim.
        theirs: ClientId,
        /// The client of this host.
        mine: ClientId,
    },
    /// The API did not do it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A lock was not to be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The claims cannot be read or written.
    #[error(transparent)]
    State(#[from] PathError),
}

fn held_by(holder: Option<&str>) -> String {
    holder.map(|holder| format!(" ({holder})")).unwrap_or_default()
}

/// A claim that another process left behind. If that process was still attaching, its request may have been on
/// the way when it died, and nobody knows what became of it.
#[must_use]
pub fn found(claim: Claim) -> Claim {
    Claim {
        unsure: claim.unsure || claim.phase == Phase::Acquiring,
        ..claim
    }
}

/// Lets go of everything in `claim`. `Ok`: nothing of it is attached any more, and the claim is gone, or stays
/// as *releasing* for one more look because an attach with unknown outcome may still come. Needs the domain lock.
pub fn let_go<W: World>(world: &W, mut claim: Claim) -> Result<(), Left> {
    if claim.client != world.me() {
        return Err(Left::OtherClient {
            theirs: claim.client,
            mine: world.me(),
        });
    }
    let learned = learn_ids(world, &mut claim);
    let _volumes = lock_volumes(world, &claim)?;
    let items = decide(world, &mut claim)?;
    learned?;
    let asked = claim.clone();
    let outcome = detach(world, &mut claim, items);
    journal::volumes("given back", given_back(&asked, &claim, outcome.is_ok()));
    let _claims = world.lock(&Lock::Claims)?;
    if outcome.is_err() || claim.unsure {
        world.save(&claim)?;
    } else {
        world.forget(&claim.uuid)?;
    }
    outcome
}

/// The volumes of `asked` that the request took care of; of a request that failed, those that left the claim.
fn given_back<'a>(asked: &'a Claim, left: &'a Claim, done: bool) -> impl Iterator<Item = &'a VolumeRef> {
    let remains = |held: &&Held| left.volumes.iter().any(|rest| rest.volume == held.volume);
    let gone = asked.volumes.iter().filter(move |held| done || !remains(held));
    gone.map(|held| &held.volume)
}

/// A volume is never detached by name, which may be another volume's by now. What has no id yet gets it from
/// its link or from one list; what neither knows is not attached (yet).
fn learn_ids<W: World>(world: &W, claim: &mut Claim) -> Result<(), Left> {
    let unknown = |held: &Held| held.known_id().is_none();
    if !claim.volumes.iter().any(unknown) {
        return Ok(());
    }
    let refs: Vec<_> = claim.volumes.iter().map(|held| held.volume.clone()).collect();
    for (held, link) in claim.volumes.iter_mut().zip(world.links(&refs)) {
        held.global_id = held.known_id().or_else(|| link.and_then(|link| link.global_id));
    }
    if !claim.volumes.iter().any(unknown) {
        return Ok(());
    }
    let listing = world.attachments(&refs)?;
    for held in &mut claim.volumes {
        let named = listing
            .attachments
            .iter()
            .find(|line| line.name == held.volume.api());
        held.global_id = held
            .known_id()
            .or_else(|| named.and_then(|line| line.global_id.clone()));
    }
    Ok(())
}

fn lock_volumes<W: World>(world: &W, claim: &Claim) -> Result<Vec<W::Guard>, LockError> {
    let ids: BTreeSet<_> = claim.volumes.iter().filter_map(Held::known_id).collect();
    ids.into_iter().map(|id| world.lock(&Lock::Volume(id))).collect()
}

/// Under the claims lock: leaves to other claims what they still protect, tells them what was there before us,
/// marks ours *releasing* (from here on it protects nothing), and says what to ask of StorPool.
fn decide<W: World>(world: &W, claim: &mut Claim) -> Result<Vec<Reassign>, Left> {
    let _claims = world.lock(&Lock::Claims)?;
    take_lowered(world, claim)?;
    let others = world
        .claims()?
        .into_iter()
        .filter(|entry| *entry.uuid() != claim.uuid)
        .collect();
    let others = with_ids(world, others);
    for heir in heirs(claim, &others) {
        world.save(&heir)?;
    }
    let guarded = |held: &Held| {
        let identity = Identity::of(held);
        others
            .iter()
            .any(|entry| entry.protects(world.boot()) && entry.names(&identity))
    };
    let ours: Vec<Held> = claim
        .volumes
        .iter()
        .filter(|held| !guarded(held))
        .cloned()
        .collect();
    if !claim.unsure {
        claim.volumes.clone_from(&ours);
    }
    claim.phase = Phase::Releasing;
    world.save(claim)?;
    let refs: Vec<_> = ours.iter().map(Held::reference).collect();
    let links = world.links(&refs);
    let attached_rw = links
        .iter()
        .map(|link| link.as_ref().is_some_and(|link| link.access() == Access::Rw));
    Ok(ours
        .iter()
        .zip(attached_rw)
        .filter_map(|(held, rw)| giving_back(held, rw, world.me()))
        .collect())
}

/// A neighbour that let go of a shared volume meanwhile may have lowered `before` in our file. Needs the claims
/// lock; a claim keeps the order of its volumes while it is worked on.
pub fn take_lowered<W: World>(world: &W, claim: &mut Claim) -> Result<(), PathError> {
    if let Some(Entry::Claim(saved)) = world.claim(&claim.uuid)? {
        for (held, saved) in claim.volumes.iter_mut().zip(&saved.volumes) {
            held.before = held.before.min(saved.before);
        }
    }
    Ok(())
}

/// Other claims that have a volume of ours with a higher `before`: whoever lets go last must restore what was
/// there before the first. Only those that change.
fn heirs(claim: &Claim, others: &[Entry]) -> Vec<Claim> {
    let lowered = |entry: &Entry| {
        let Entry::Claim(saved) = entry else {
            return None;
        };
        let mut heir = saved.clone();
        for held in &claim.volumes {
            let identity = Identity::of(held);
            for theirs in heir.volumes.iter_mut().filter(|theirs| identity.is(theirs)) {
                theirs.before = theirs.before.min(held.before);
            }
        }
        (heir != *saved).then_some(heir)
    };
    others.iter().filter_map(lowered).collect()
}

/// What restores the state from before us: detached, lowered to ro if it still is rw, or nothing. Nothing, too,
/// for a volume without a global id: it is not attached.
fn giving_back(held: &Held, attached_rw: bool, me: ClientId) -> Option<Reassign> {
    let object = Object {
        volume: VolumeRef::Id(held.known_id()?),
        snapshot: held.snapshot,
    };
    match held.before {
        None => Some(Reassign {
            object,
            attach: None,
            detach: vec![me],
            force: false,
        }),
        Some(Access::Ro) if attached_rw => Some(Reassign {
            object,
            attach: Some((me, Access::Ro)),
            detach: Vec::new(),
            force: false,
        }),
        Some(_) => None,
    }
}

/// Sends one request for everything; when something is open, a few more, then one per volume, so that one
/// stuck disk does not keep the others. What is done leaves the claim.
fn detach<W: World>(world: &W, claim: &mut Claim, items: Vec<Reassign>) -> Result<(), Left> {
    let Err(left) = ask(world, items) else {
        return Ok(());
    };
    let mut first = None;
    let mut rest = BTreeSet::new();
    for item in left.items {
        let volume = item.object.volume.clone();
        match if left.open {
            ask_once(world, &[item])
        } else {
            Err(left.error.clone())
        } {
            Ok(()) => {}
            Err(error) => {
                rest.insert(volume.clone());
                first.get_or_insert((volume, error));
            }
        }
    }
    if !claim.unsure {
        claim.volumes.retain(|held| rest.contains(&held.reference()));
    }
    match first {
        None => Ok(()),
        Some((volume, error)) if error.fault().is_some_and(crate::api::Fault::is_open) => {
            let holder = world.holder(&volume);
            let named = claim.volumes.iter().find(|held| held.reference() == volume);
            Err(Left::Busy {
                volume: named.map_or(volume, |held| held.volume.clone()),
                holder,
            })
        }
        Some((_, error)) => Err(error.into()),
    }
}

/// What could not be given back, and why.
struct Remaining {
    items: Vec<Reassign>,
    error: ApiError,
    open: bool,
}

/// Gives `items` back together, with patience for what is open for a moment. After any other answer than yes
/// the list says what is still to do: "not attached any more" is done, however it came about.
fn ask<W: World>(world: &W, mut items: Vec<Reassign>) -> Result<(), Remaining> {
    for attempt in 1.. {
        if items.is_empty() {
            return Ok(());
        }
        let Err(error) = carry_out(world, &items) else {
            return Ok(());
        };
        if error.fault().is_some_and(crate::api::Fault::is_open) {
            if attempt >= BUSY_TRIES || !world.pause(BUSY_PAUSE) {
                return Err(Remaining {
                    items,
                    error,
                    open: true,
                });
            }
            continue;
        }
        match still_to_do(world, items.clone()) {
            // Some are done, or the list knows better what they are.
            Ok(rest) if rest != items => items = rest,
            _ => {
                return Err(Remaining {
                    items,
                    error,
                    open: false,
                });
            }
        }
    }
    Ok(())
}

/// One attempt for one item.
fn ask_once<W: World>(world: &W, items: &[Reassign]) -> Result<(), ApiError> {
    let error = match carry_out(world, items) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match still_to_do(world, items.to_vec()) {
        Ok(rest) if rest.is_empty() => Ok(()),
        _ => Err(error),
    }
}

/// The items whose volume is still attached here with more rights than it should have. The list also knows
/// better than an adopted claim whether an object is a snapshot.
fn still_to_do<W: World>(world: &W, items: Vec<Reassign>) -> Result<Vec<Reassign>, ApiError> {
    let refs: Vec<_> = items.iter().map(|item| item.object.volume.clone()).collect();
    let listing = world.attachments(&refs)?;
    let rest = items.into_iter().filter_map(|mut item| {
        let (rights, snapshot) = attached(&listing, &item.object.volume, world.me())?;
        item.object.snapshot = snapshot;
        (rights > item.attach.map_or(Access::Ro, |(_, access)| access) || item.attach.is_none())
            .then_some(item)
    });
    Ok(rest.collect())
}

fn attached(listing: &Listing, volume: &VolumeRef, me: ClientId) -> Option<(Access, bool)> {
    let is = |id: &Option<GlobalId>| id.clone().map(VolumeRef::Id).as_ref() == Some(volume);
    let line = listing
        .attachments
        .iter()
        .find(|line| line.client == me && is(&line.global_id))?;
    Some((line.rights, line.snapshot))
}

/// Fills in the global ids that the links of this host tell, in claims that have none yet.
#[must_use]
pub fn with_ids<W: World>(world: &W, mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        if let Entry::Claim(claim) = entry
            && claim.volumes.iter().any(|held| held.known_id().is_none())
        {
            let refs: Vec<_> = claim.volumes.iter().map(|held| held.volume.clone()).collect();
            for (held, link) in claim.volumes.iter_mut().zip(world.links(&refs)) {
                held.global_id = held.known_id().or_else(|| link.and_then(|link| link.global_id));
            }
        }
    }
    entries
}
