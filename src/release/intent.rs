// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a release does: decided here, carried out by [`super::let_go`], shown by whoever only asks. Pure.

use crate::api::{Object, Reassign};
use crate::claim::{Claim, Entry, Held, Identity, Phase};
use crate::volume::{Access, ClientId, VolumeRef};

/// What a release does.
#[derive(Debug, PartialEq, Eq)]
pub struct Intent {
    /// The claim as it is then: *releasing*, without what is left to others.
    pub claim: Claim,
    /// Claims of others that learn what was there before us.
    pub heirs: Vec<Claim>,
    /// What is asked of StorPool.
    pub items: Vec<Reassign>,
}

/// Leaves to other claims what they still protect and tells them what was there before us; from here on ours
/// protects nothing. `rights` are what this host has of the claim's volumes.
#[must_use]
pub fn intend(
    claim: &Claim,
    others: &[Entry],
    rights: &[Option<Access>],
    me: ClientId,
    boot: &str,
) -> Intent {
    let guarded = |held: &Held| {
        let identity = Identity::of(held);
        others
            .iter()
            .any(|entry| entry.protects(boot) && entry.names(&identity))
    };
    let mut claim = claim.clone();
    let heirs = heirs(&claim, others);
    let volumes = claim.volumes.iter().zip(rights);
    let ours: Vec<(Held, bool)> = volumes
        .filter(|(held, _)| !guarded(held))
        .map(|(held, rights)| (held.clone(), *rights == Some(Access::Rw)))
        .collect();
    let items = ours
        .iter()
        .filter_map(|(held, rw)| giving_back(held, *rw, me))
        .collect();
    if !claim.unsure {
        claim.volumes = ours.into_iter().map(|(held, _)| held).collect();
    }
    claim.phase = Phase::Releasing;
    Intent { claim, heirs, items }
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
