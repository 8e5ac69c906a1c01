// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a start writes down before it asks for anything: which volumes, and what of them was there before.

use crate::acquire::Start;
use crate::api::{Listing, Reassign};
use crate::claim::lock::Lock;
use crate::claim::{Claim, Entry, Held, Identity, Phase};
use crate::neighbours;
use crate::plan;
use crate::policy::Want;
use crate::refusal::Refusal;
use crate::release;
use crate::volume::{DomainUuid, VolumeRef};
use crate::world::{Link, World};

/// Under the claims lock, in one go: notes what is attached, refuses what another domain of this host uses, and
/// puts the claim on disk. From here on a crash leaves something `reconcile` can find.
pub(super) fn stake<W: World>(
    world: &W,
    start: &Start,
    wants: &mut [Want],
    mut earlier: Option<Claim>,
) -> Result<(Claim, Vec<Reassign>), Refusal> {
    let uuid = start.subject.uuid;
    let refs: Vec<_> = wants.iter().map(|want| want.used.volume.clone()).collect();
    let mut claims = world.lock(&Lock::Claims)?;
    let mut links = world.links(&refs);
    let nameless = neighbours::may_have_by_id(world, uuid, wants)?;
    let doubtful = doubtful(world, uuid, wants, &links, earlier.as_ref())?;
    if nameless || doubtful.contains(&true) {
        // Nothing is asked of StorPool under this lock.
        drop(claims);
        if nameless {
            neighbours::learn_ids(world, wants)?;
        }
        let listing = if doubtful.contains(&true) {
            let ids = links.into_iter().filter_map(|link| link?.global_id);
            let asked = refs.iter().cloned().chain(ids.map(VolumeRef::Id));
            world.attachments(&asked.collect::<Vec<_>>())?
        } else {
            Listing::default()
        };
        claims = world.lock(&Lock::Claims)?;
        links = world.links(&refs);
        plan::confirm(&mut links, &doubtful, wants, &listing, world.me());
    }
    if let Some(claim) = &mut earlier {
        release::take_lowered(world, claim)?;
    }
    let unsure = earlier.as_ref().is_some_and(|claim| claim.unsure);
    let earlier = earlier.map(Entry::Claim);
    let (volumes, items) = staked(world, uuid, wants, &links, earlier)?;
    let claim = Claim {
        uuid: uuid.clone(),
        domain: start.subject.domain.to_owned(),
        client: world.me(),
        boot: world.boot().to_owned(),
        made: world.now(),
        daemon: world.daemon(),
        phase: Phase::Acquiring,
        unsure,
        volumes,
    };
    world.save(&claim)?;
    drop(claims);
    Ok((claim, items))
}

/// Which links of the domain's volumes have to be confirmed by StorPool, see [`plan::doubtful`].
pub(crate) fn doubtful<W: World>(
    world: &W,
    uuid: &DomainUuid,
    wants: &[Want],
    links: &[Option<Link>],
    earlier: Option<&Claim>,
) -> Result<Vec<bool>, Refusal> {
    let mut remembered = Vec::new();
    if links.iter().any(Option::is_some) {
        let earlier = earlier.cloned().map(Entry::Claim);
        remembered = release::others(world, uuid)?;
        remembered.extend(release::with_ids(world, earlier.into_iter().collect()));
    }
    Ok(plan::doubtful(wants, links, &remembered))
}

/// What a start would write down and ask for first, with these links of its volumes and after this earlier run; or who
/// of this host uses them.
pub(crate) fn staked<W: World>(
    world: &W,
    uuid: &DomainUuid,
    wants: &[Want],
    links: &[Option<Link>],
    earlier: Option<Entry>,
) -> Result<(Vec<Held>, Vec<Reassign>), Refusal> {
    let others = release::others(world, uuid)?;
    // What an earlier run has just let go of may still have its link, and an attach of that run may still come: neither
    // was there before us.
    let earlier = release::with_ids(world, earlier.into_iter().collect()).pop();
    let (volumes, items) = plan::stake(wants, links, &others, earlier, world.me());
    for (want, held) in wants.iter().zip(&volumes) {
        neighbours::refuse_if_used_here(world, want, &Identity::of(held), &others)?;
    }
    Ok((volumes, items))
}
