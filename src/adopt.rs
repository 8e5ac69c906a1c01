// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `reconnect begin`, `attach begin`: a domain runs already, maybe since before we were installed. Make sure a
//! claim says what it uses, so that nobody here takes it away. And `spvirt adopt`: what a domain uses and somebody
//! attached by hand becomes its own. Asks nothing of StorPool and changes nothing there.

use crate::api::Listing;
use crate::claim::lock::Lock;
use crate::claim::{Claim, Entry, Held, Identity, Phase};
use crate::plan;
use crate::policy::Want;
use crate::release::{self, Left};
use crate::volume::{Access, ClientId, DomainUuid, VolumeRef};
use crate::world::World;

/// Writes a claim for a running domain that has none; what is attached for it was attached by somebody else,
/// and stays when it stops. A claim whose release was begun is *live* again: the daemon says that it runs.
pub fn adopt<W: World>(world: &W, uuid: &DomainUuid, domain: &str, wants: &[Want]) -> Result<(), Left> {
    let _domain = world.lock(&Lock::Domain(uuid.clone()))?;
    if world.orphaned() {
        return Ok(());
    }
    ensure_claim(world, uuid, domain, wants)
}

/// [`adopt`] for who has the domain lock.
pub fn ensure_claim<W: World>(
    world: &W,
    uuid: &DomainUuid,
    domain: &str,
    wants: &[Want],
) -> Result<(), Left> {
    let _claims = world.lock(&Lock::Claims)?;
    match world.claim(uuid)? {
        Some(Entry::Claim(claim)) if claim.phase == Phase::Live && claim.boot == world.boot() => Ok(()),
        Some(Entry::Claim(claim)) => Ok(world.save(&Claim {
            phase: Phase::Live,
            boot: world.boot().to_owned(),
            ..claim
        })?),
        Some(Entry::Unreadable { why, .. }) => {
            log::warn!("the claim of this running domain cannot be read and is left alone: {why}");
            Ok(())
        }
        None => Ok(create(world, uuid, domain, wants)?),
    }
}

fn create<W: World>(
    world: &W,
    uuid: &DomainUuid,
    domain: &str,
    wants: &[Want],
) -> Result<(), crate::persist::PathError> {
    let others = release::with_ids(world, world.claims()?);
    let refs: Vec<_> = wants.iter().map(|want| want.used.volume.clone()).collect();
    let links = world.links(&refs);
    let attached = wants.iter().zip(&links).filter(|(_, link)| link.is_some());
    let volumes: Vec<_> = attached
        .map(|(want, link)| plan::held(want, link.as_ref(), &others))
        .collect();
    if volumes.is_empty() {
        return Ok(());
    }
    world.save(&live_claim(world, (uuid, domain), volumes))
}

/// What a handover comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Claims to write.
    pub claims: Vec<Claim>,
    /// What that changes.
    pub changes: Vec<Change>,
    /// Volumes that are not attached here with the access the domain needs.
    pub left_out: Vec<VolumeRef>,
}

/// One volume of one claim.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the claim's domain.
    pub domain: String,
    /// The volume.
    pub volume: VolumeRef,
    /// What would have been left when it stops; `None`: no claim of the domain named the volume.
    pub before: Option<Access>,
}

/// Hands what was attached by hand over to a running domain: when the last domain that uses a volume stops, it is
/// detached. The lowest memory of what was there before wins (see [`plan::held`]), so the other claims of the same
/// volume learn it at once: whichever domain stops last does the same. Volumes that the domain names and no claim of
/// its does (plugged in by hand) come into its claim. `claims` are all of the host, and the claims lock is held.
/// Changes nothing by itself.
pub fn hand_over<W: World>(
    world: &W,
    domain: (&DomainUuid, &str),
    wants: &[Want],
    listing: &Listing,
    claims: Vec<Entry>,
) -> Result<Adoption, String> {
    let mut claims = release::with_ids(world, claims);
    let mut own = match claims.iter().find(|entry| entry.uuid() == domain.0) {
        Some(Entry::Claim(claim)) if is_current(world, claim) => claim.clone(),
        Some(Entry::Claim(_)) => {
            return Err("its claim is not that of a domain that runs: \"spvirt reconcile\" first".to_owned());
        }
        Some(Entry::Unreadable { why, .. }) => return Err(format!("its claim cannot be read: {why}")),
        None => live_claim(world, domain, Vec::new()),
    };
    let mut adoption = Adoption::default();
    let added = unclaimed(wants, &own, listing, world.me());
    adoption.changes.extend(added.iter().map(|held| Change {
        domain: own.domain.clone(),
        volume: held.volume.clone(),
        before: None,
    }));
    let is_lost = |held: &Held| held.rights(listing, world.me()) < Some(held.access);
    let named = own.volumes.iter().filter(|held| is_lost(held));
    let missing = wants.iter().filter(|want| {
        let known = |held: &Held| identity(want).is(held);
        !own.volumes.iter().chain(&added).any(known)
    });
    adoption.left_out = named
        .map(|held| held.volume.clone())
        .chain(missing.map(|want| want.used.volume.clone()))
        .collect();
    let kept = own.volumes.iter().filter(|held| !is_lost(held));
    let volumes: Vec<_> = kept.chain(&added).map(Identity::of).collect();
    own.volumes.extend(added);
    claims.retain(|entry| entry.uuid() != domain.0);
    let is_new = !adoption.changes.is_empty();
    adoption.claims = claims
        .iter()
        .filter_map(|entry| handed_over(entry, &volumes, &mut adoption.changes))
        .collect();
    let own_entry = Entry::Claim(own.clone());
    let changed = handed_over(&own_entry, &volumes, &mut adoption.changes);
    adoption.claims.extend(changed.or(is_new.then_some(own)));
    Ok(adoption)
}

/// A claim of a domain that runs, of this host and boot.
fn is_current<W: World>(world: &W, claim: &Claim) -> bool {
    claim.phase == Phase::Live && claim.boot == world.boot() && claim.client == world.me()
}

fn identity(want: &Want) -> Identity {
    Identity {
        volume: want.used.volume.clone(),
        global_id: want.global_id.clone(),
    }
}

/// Records of what the domain names, has attached, and no claim of its knows.
fn unclaimed(wants: &[Want], own: &Claim, listing: &Listing, me: ClientId) -> Vec<Held> {
    let mut added: Vec<Held> = Vec::new();
    for want in wants {
        let mut held = plan::held(want, None, &[]);
        let mut lines = listing.attachments.iter().filter(|line| line.client == me);
        let Some(line) = lines.find(|line| held.is_line(line) && line.rights >= want.access) else {
            continue;
        };
        held.global_id = held.known_id().or_else(|| line.global_id.clone());
        held.snapshot = line.snapshot;
        let identity = Identity::of(&held);
        let known = |other: &Held| identity.is(other);
        if !own.volumes.iter().chain(&added).any(known) {
            added.push(held);
        }
    }
    added
}

/// The claim with these volumes handed over, if that changes it.
fn handed_over(entry: &Entry, volumes: &[Identity], changes: &mut Vec<Change>) -> Option<Claim> {
    let Entry::Claim(saved) = entry else {
        return None;
    };
    let mut claim = saved.clone();
    for held in &mut claim.volumes {
        if volumes.iter().any(|volume| volume.is(held))
            && let Some(before) = held.before.take()
        {
            changes.push(Change {
                domain: saved.domain.clone(),
                volume: held.volume.clone(),
                before: Some(before),
            });
        }
    }
    (claim != *saved).then_some(claim)
}

fn live_claim<W: World>(world: &W, (uuid, domain): (&DomainUuid, &str), volumes: Vec<Held>) -> Claim {
    Claim {
        uuid: uuid.clone(),
        domain: domain.to_owned(),
        client: world.me(),
        boot: world.boot().to_owned(),
        made: world.now(),
        daemon: world.daemon(),
        phase: Phase::Live,
        unsure: false,
        volumes,
    }
}
