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

mod intent;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::{ApiError, Listing, Reassign};
use crate::claim::lock::{Lock, LockError};
use crate::claim::{Claim, Entry, Held, Phase};
use crate::execute::carry_out;
use crate::journal;
use crate::persist::PathError;
use crate::volume::{Access, ClientId, DomainUuid, GlobalId, VolumeRef};
use crate::world::{Link, World};

pub use intent::{Intent, intend};

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
    /// The domain's QEMU could not be killed.
    #[error("the domain's QEMU still lives on this host ({0})")]
    Alive(String),
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
    let listing = learn(world, &mut claim);
    let _volumes = lock_volumes(world, &claim)?;
    let all = claim.volumes.len();
    let items = decide(world, &mut claim, listing.as_ref().ok().and_then(Option::as_ref))?;
    listing?;
    no_qemu(world, &claim.uuid, all, &items)?;
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
/// its link or from one list; what neither knows is not attached (yet). The list also says what is to be lowered where
/// the links may not: an attach of unknown outcome comes late, and no link changes while this host's client is down.
fn learn<W: World>(world: &W, claim: &mut Claim) -> Result<Option<Listing>, ApiError> {
    let all_known = ids_from_links(world, claim);
    let doubtful = claim.unsure && claim.volumes.iter().any(|held| held.before == Some(Access::Ro));
    if all_known && !doubtful {
        return Ok(None);
    }
    let refs: Vec<_> = claim.volumes.iter().map(Held::reference).collect();
    let listing = world.attachments(&refs)?;
    ids_from_list(claim, &listing);
    Ok(doubtful.then_some(listing))
}

/// Whether all ids are known then.
fn ids_from_links<W: World>(world: &W, claim: &mut Claim) -> bool {
    let all_known = |claim: &Claim| claim.volumes.iter().all(|held| held.known_id().is_some());
    if !all_known(claim) {
        let refs: Vec<_> = claim.volumes.iter().map(|held| held.volume.clone()).collect();
        for (held, link) in claim.volumes.iter_mut().zip(world.links(&refs)) {
            held.global_id = held.known_id().or_else(|| link.and_then(|link| link.global_id));
        }
    }
    all_known(claim)
}

fn ids_from_list(claim: &mut Claim, listing: &Listing) {
    for held in &mut claim.volumes {
        let mut lines = listing.attachments.iter();
        let named = lines.find(|line| line.name == held.volume.api());
        held.global_id = held
            .known_id()
            .or_else(|| named.and_then(|line| line.global_id.clone()));
    }
}

fn lock_volumes<W: World>(world: &W, claim: &Claim) -> Result<Vec<W::Guard>, LockError> {
    let ids: BTreeSet<_> = claim.volumes.iter().filter_map(Held::known_id).collect();
    ids.into_iter().map(|id| world.lock(&Lock::Volume(id))).collect()
}

/// Under the claims lock: decides what to let go of, and writes that down before anything is asked.
fn decide<W: World>(world: &W, claim: &mut Claim, listing: Option<&Listing>) -> Result<Vec<Reassign>, Left> {
    let _claims = world.lock(&Lock::Claims)?;
    take_lowered(world, claim)?;
    let Intent {
        claim: releasing,
        heirs,
        items,
    } = intention(world, claim, listing)?;
    for heir in heirs {
        world.save(&heir)?;
    }
    *claim = releasing;
    world.save(claim)?;
    Ok(items)
}

/// That a volume can be detached proves that QEMU is gone. Where one of the claim's (`all` is how many) stays attached, for
/// others or because it was before, nothing but a look at the processes does; a start beside an old QEMU would follow.
fn no_qemu<W: World>(world: &W, uuid: &DomainUuid, all: usize, items: &[Reassign]) -> Result<(), Left> {
    let detached = items.iter().filter(|item| item.attach.is_none()).count();
    if all > 0 && detached == all {
        return Ok(());
    }
    world.qemu(uuid).map_or(Ok(()), |qemu| Err(Left::Alive(qemu)))
}

/// What [`let_go`] would decide now, if the claim knows all ids. What this host has of its volumes a `listing` tells
/// better than the links. Changes nothing.
pub fn intention<W: World>(world: &W, claim: &Claim, listing: Option<&Listing>) -> Result<Intent, PathError> {
    let others = others(world, &claim.uuid)?;
    let refs: Vec<_> = claim.volumes.iter().map(Held::reference).collect();
    let rights: Vec<_> = match listing {
        Some(listing) => refs
            .iter()
            .map(|volume| Some(attached(listing, volume, world.me())?.0))
            .collect(),
        None => world
            .devices(&refs)
            .iter()
            .map(|link| link.as_ref().map(Link::access))
            .collect(),
    };
    Ok(intend(claim, &others, &rights, world.me(), world.boot()))
}

/// What [`let_go`] would ask of StorPool now. `listing` is about the claim's volumes: it tells the ids that no link
/// does. Changes nothing.
pub fn foresee<W: World>(world: &W, claim: &Claim, listing: &Listing) -> Result<Vec<Reassign>, Left> {
    if claim.client != world.me() {
        return Err(Left::OtherClient {
            theirs: claim.client,
            mine: world.me(),
        });
    }
    let mut claim = claim.clone();
    ids_from_links(world, &mut claim);
    ids_from_list(&mut claim, listing);
    let items = intention(world, &claim, claim.unsure.then_some(listing))?.items;
    no_qemu(world, &claim.uuid, claim.volumes.len(), &items)?;
    let attached = |item: &Reassign| attached(listing, &item.object.volume, world.me()).is_some();
    let items: Vec<_> = items.into_iter().filter(attached).collect();
    for item in &items {
        let volume = &item.object.volume;
        if let Some(holder) = world.holder(volume).filter(|_| item.attach.is_none()) {
            return Err(claim.busy(volume, Some(holder)));
        }
    }
    Ok(items)
}

/// The claims of other domains, each volume with its global id if a link on this host tells it.
pub fn others<W: World>(world: &W, uuid: &DomainUuid) -> Result<Vec<Entry>, PathError> {
    let claims = world.claims()?.into_iter();
    Ok(with_ids(
        world,
        claims.filter(|entry| entry.uuid() != uuid).collect(),
    ))
}

impl Claim {
    /// One of its volumes is open on this host.
    fn busy(&self, volume: &VolumeRef, holder: Option<String>) -> Left {
        let named = self.volumes.iter().find(|held| held.reference() == *volume);
        Left::Busy {
            volume: named.map_or_else(|| volume.clone(), |held| held.volume.clone()),
            holder,
        }
    }
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
            Err(claim.busy(&volume, world.holder(&volume)))
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
