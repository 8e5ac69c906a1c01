// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `reconnect begin`, `attach begin`: a domain runs already, maybe since before we were installed. Make sure a
//! claim says what it uses, so that nobody here takes it away. Asks nothing of StorPool and changes nothing there.

use crate::claim::lock::Lock;
use crate::claim::{Claim, Entry, Phase};
use crate::plan;
use crate::policy::Want;
use crate::release::{self, Left};
use crate::volume::DomainUuid;
use crate::world::World;

/// Writes a claim for a running domain that has none; what is attached for it was attached by somebody else,
/// and stays when it stops. A claim whose release was begun is *live* again: the daemon says that it runs.
pub fn adopt<W: World>(world: &W, uuid: &DomainUuid, domain: &str, wants: &[Want]) -> Result<(), Left> {
    let _domain = world.lock(&Lock::Domain(uuid.clone()))?;
    if world.orphaned() {
        return Ok(());
    }
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
    world.save(&Claim {
        uuid: uuid.clone(),
        domain: domain.to_owned(),
        client: world.me(),
        boot: world.boot().to_owned(),
        made: world.now(),
        daemon: world.daemon(),
        phase: Phase::Live,
        unsure: false,
        volumes,
    })
}
