// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Looks at the world as a start here and now would, and changes nothing: what `spvirt explain` and `takeover` show
//! is what [`crate::acquire`] would do, by the same functions.

use crate::acquire::{self, Start, stake};
use crate::api::{Clients, Listing, Reassign};
use crate::claim::{Claim, Entry, Held};
use crate::explain;
use crate::plan::{self, Arrival};
use crate::policy::Want;
use crate::preview::{self, Preview, Seen};
use crate::refusal::{Refusal, handle};
use crate::release::{self, Left};
use crate::volume::VolumeRef;
use crate::world::{Link, World};

/// What was seen, and what would come of it.
#[derive(Debug)]
pub struct Foreseen {
    /// The plan.
    pub preview: Preview,
    /// The domain's volumes, with what is known about them.
    pub wants: Vec<Want>,
    /// Who has them; empty if StorPool did not say.
    pub listing: Listing,
    /// Who is up; empty if StorPool did not say.
    pub clients: Clients,
}

/// What a start of the domain would do, were it to arrive like this.
pub fn start<W: World>(world: &W, start: &Start, arrival: Arrival, wants: Vec<Want>) -> Foreseen {
    let mut seen = Foreseen {
        preview: Preview {
            moves: Vec::new(),
            refusal: None,
        },
        wants,
        listing: Listing::default(),
        clients: Clients::new(),
    };
    if let Err(refusal) = observe(world, start, arrival, &mut seen) {
        seen.preview.refusal = Some(refusal);
    }
    if let Some(holders) = seen.preview.refusal.as_mut().and_then(Refusal::holders_mut) {
        holders.states.clone_from(&seen.clients);
        holders.domain = Some(handle(start.subject.domain, start.subject.uuid));
    }
    seen
}

/// The steps of a start as far as they only look, in its order; what stops a start stops this.
fn observe<W: World>(world: &W, start: &Start, arrival: Arrival, seen: &mut Foreseen) -> Result<(), Refusal> {
    let old = match world.claim(start.subject.uuid)? {
        None => None,
        Some(Entry::Unreadable { why, .. }) => return Err(Refusal::unreadable(start.subject.uuid, why)),
        Some(Entry::Claim(claim)) => Some(release::found(claim)),
    };
    seen.wants = acquire::identified(world, std::mem::take(&mut seen.wants))?;
    let refs: Vec<_> = seen.wants.iter().map(|want| want.used.volume.clone()).collect();
    let mut links = world.links(&refs);
    let mut volumes = plan::stake(&seen.wants, &links, &[], None, world.me()).0;
    // The first request of a start knows no more than this.
    let wants = seen.wants.clone();
    if !seen.wants.is_empty() {
        seen.listing = acquire::look(world, &mut seen.wants, &mut volumes)?;
        seen.clients = world.clients().unwrap_or_default();
    }
    let earlier = match &old {
        Some(claim) => earlier_run(world, claim, seen)?,
        None => Vec::new(),
    };
    seen.preview.moves = preview::giving_back(&earlier);
    if seen.wants.is_empty() {
        return Ok(());
    }
    after(&mut links, &volumes, &earlier);
    let doubtful = stake::doubtful(world, start.subject.uuid, &wants, &links, old.as_ref())?;
    plan::confirm(&mut links, &doubtful, &seen.wants, &seen.listing, world.me());
    let (_, attach) = stake::staked(
        world,
        start.subject.uuid,
        &wants,
        &links,
        world.claim(start.subject.uuid)?,
    )?;
    // What is attached somewhere exists, and so does what told its id when it was asked for.
    let unseen = |want: &&Want| {
        let told = want.global_id.is_some() && matches!(want.used.volume, VolumeRef::Name(_));
        !told && !preview::is_listed(want, &seen.listing)
    };
    let unseen: Vec<Want> = seen.wants.iter().filter(unseen).cloned().collect();
    if let Some(refusal) = explain::missing(world, &unseen) {
        return Err(refusal);
    }
    seen.preview = preview::start(&Seen {
        me: world.me(),
        arrival,
        wants: &seen.wants,
        earlier,
        attach,
        listing: seen.listing.clone(),
        clients: seen.clients.clone(),
    });
    Ok(())
}

/// What the release of the domain's old claim would ask, or why it would not get through.
fn earlier_run<W: World>(world: &W, claim: &Claim, seen: &Foreseen) -> Result<Vec<Reassign>, Refusal> {
    let listed = |held: &Held| seen.wants.iter().any(|want| want.used.volume == held.volume);
    let items = if claim.volumes.iter().all(listed) {
        release::foresee(world, claim, &seen.listing)
    } else {
        let refs: Vec<_> = claim.volumes.iter().map(Held::reference).collect();
        let listing = world.attachments(&refs)?;
        release::foresee(world, claim, &listing)
    };
    items.map_err(|left| match left {
        Left::Api(error) => error.into(),
        left => Refusal::Unfinished(left.to_string()),
    })
}

/// The links as they are when an earlier run has let go.
fn after(links: &mut [Option<Link>], volumes: &[Held], earlier: &[Reassign]) {
    for (link, held) in links.iter_mut().zip(volumes) {
        let mut items = earlier.iter();
        let Some(item) = items.find(|item| item.object.volume == held.reference()) else {
            continue;
        };
        match (item.attach, link.as_mut()) {
            (None, _) => *link = None,
            (Some(_), Some(link)) => link.read_only = true,
            (Some(_), None) => {}
        }
    }
}
