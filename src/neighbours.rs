// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Other domains of this host, during a start: what they have, what they forbid, and what they may still do to us.

use std::time::Duration;

use crate::claim::{Claim, Entry, Identity};
use crate::plan;
use crate::policy::Want;
use crate::refusal::Refusal;
use crate::release;
use crate::volume::Access;
use crate::world::World;

/// Between two looks at a neighbour that is attaching.
const PAUSE: Duration = Duration::from_millis(50);

/// Refuses what another living domain of this host uses, if they may not share it.
pub fn refuse_if_used_here<W: World>(
    world: &W,
    want: &Want,
    identity: &Identity,
    others: &[Entry],
) -> Result<(), Refusal> {
    for other in others
        .iter()
        .filter(|other| other.names(identity) && !plan::may_share(want, other, identity))
    {
        if let Some(proof) = world.proof_of_life(other, identity) {
            return Err(Refusal::UsedHere {
                volume: want.used.clone(),
                domain: other.domain().to_owned(),
                proof,
            });
        }
    }
    Ok(())
}

/// Waits for every neighbour that decided to ask for less before our claim was there, and may not have asked yet: its
/// `ro` lowers our `rw`. Whoever comes later sees our claim. True if there was one: then the level has to be looked at
/// again. Our claim is *live* by now, so two that share crosswise do not wait for each other.
pub fn wait_for_readers<W: World>(world: &W, wants: &[Want], claim: &Claim) -> Result<bool, Refusal> {
    let written = wants.iter().zip(&claim.volumes);
    let written: Vec<_> = written
        .filter(|(want, _)| want.access == Access::Rw)
        .map(|(_, held)| Identity::of(held))
        .collect();
    let mut waited = false;
    loop {
        let others = release::others(world, &claim.uuid)?;
        let lowers = |entry: &&Entry| written.iter().any(|identity| plan::may_lower(entry, identity));
        let mut readers = others.iter().filter(lowers);
        if !readers.any(|entry| world.is_worked_on(entry.uuid())) {
            return Ok(waited);
        }
        if !world.pause(PAUSE) {
            return Err(Refusal::OutOfTime);
        }
        waited = true;
    }
}
