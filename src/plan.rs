// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The decisions of a start: what to ask for, and what to do after each look at who has what. Pure.
//!
//! The protocol is attach, then verify: two hosts that start one domain at the same moment both attach, both
//! look, and at most one of them goes on. `ARCHITECTURE.md`, "The attach protocol", says why each rule is
//! there; it was model-checked before it was written.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::{Attachment, Listing, Object, Reassign};
use crate::claim::{Claim, Entry, Held, Identity, Phase};
use crate::config::Takeover;
use crate::policy::Want;
use crate::refusal::{Holders, Refusal, Use};
use crate::volume::{Access, ClientId, GlobalId, VolumeRef};
use crate::world::Link;

/// Rounds of taking over, or of attaching again, before a start gives up.
const ROUNDS: u8 = 2;
/// Looks at a volume that another client has open only for a moment (udev probes a device that appears).
const BUSY_LOOKS: u8 = 3;
/// Pause between two such looks.
pub const BUSY_PAUSE: Duration = Duration::from_millis(300);
/// Longer than from the end of a verified `prepare` to QEMU having the disk open (20-500 ms seen): who still
/// has it closed after this is not about to run it.
const SETTLE: Duration = Duration::from_secs(2);
/// Added per rival of a lower client id, so that rivals act one after the other, the lowest first.
const STAGGER: Duration = Duration::from_millis(500);

/// How a domain comes to run on this host: what decides about other writers of its volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It starts. Nobody else may have the volumes; the policy says whether they are taken from who has.
    Start(Takeover),
    /// It migrates in. The source has them and keeps them; nobody else may.
    Migration,
}

/// What was found out so far in this start.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Takeovers and repeated attaches so far.
    pub rounds: u8,
    /// The rivals were given time to open their volumes.
    pub waited: bool,
    /// Clients that were down in two readings; `None` before they were read.
    pub down: Option<BTreeSet<ClientId>>,
    /// Looks at a busy volume so far, and StorPool's words.
    pub busy: Option<(u8, String)>,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Everything is attached here and nobody else writes: write that down, with these ids, and wait for the
    /// devices.
    Settle(Vec<GlobalId>),
    /// These (by position) are not attached, and nobody else wants them: attach them again.
    AttachAgain(Vec<usize>),
    /// Look again after a pause.
    Wait(Duration),
    /// Find out which of the rivals are down.
    AskWhoIsDown(BTreeSet<ClientId>),
    /// Take the volumes from their holders, in these requests, one after the other.
    TakeOver(Vec<Vec<Reassign>>),
    /// Give up.
    Refuse(Refusal),
}

/// Decides the next step of a start from one look at the attachments.
#[must_use]
pub fn next(wants: &[Want], me: ClientId, listing: &Listing, arrival: Arrival, history: &History) -> Step {
    let missing = missing(wants, me, listing);
    let unfound = missing
        .first()
        .and_then(|i| wants.get(*i))
        .filter(|_| listing.lacks_ids);
    if let Some(want) = wants
        .iter()
        .find(|want| Of::new(want, listing, me).lacks_id())
        .or(unfound)
    {
        return Step::Refuse(Refusal::OldServer(want.used.clone()));
    }
    let contested: Vec<(&Want, Vec<ClientId>)> = wants
        .iter()
        .map(|want| (want, Of::new(want, listing, me).rivals()))
        .filter(|(_, rivals)| !rivals.is_empty())
        .collect();
    let Some((want, holders)) = contested.first() else {
        return uncontested(wants, listing, me, missing, history.rounds);
    };
    let (volume, holders) = (want.used.clone(), Holders::from(holders.clone()));
    let everyone: BTreeSet<ClientId> = contested.iter().flat_map(|(_, rivals)| rivals).copied().collect();
    let Arrival::Start(policy) = arrival else {
        return beside_the_source(wants, listing, me, &missing, volume, &everyone);
    };
    if policy == Takeover::Never {
        return Step::Refuse(Refusal::HeldElsewhere {
            volume,
            holders,
            policy,
        });
    }
    if !missing.is_empty() || history.rounds >= ROUNDS {
        return Step::Refuse(Refusal::LostRace { volume, holders });
    }
    if let Some((looks, why)) = &history.busy
        && *looks >= BUSY_LOOKS
    {
        return Step::Refuse(Refusal::OpenElsewhere {
            volume,
            holders,
            why: why.clone(),
        });
    }
    if policy == Takeover::Always {
        return Step::TakeOver(takeover(&contested, me, &everyone));
    }
    if !history.waited {
        let before_me = everyone.range(..me).count();
        return Step::Wait(SETTLE + STAGGER * u32::try_from(before_me).unwrap_or(u32::MAX));
    }
    match &history.down {
        None => Step::AskWhoIsDown(everyone),
        Some(down) => Step::TakeOver(takeover(&contested, me, down)),
    }
}

/// The wants, by position, that are not attached here as they must be.
#[must_use]
pub fn missing(wants: &[Want], me: ClientId, listing: &Listing) -> Vec<usize> {
    let lost = |(i, want): (usize, &Want)| (!Of::new(want, listing, me).is_mine()).then_some(i);
    wants.iter().enumerate().filter_map(lost).collect()
}

/// A domain that migrates in has its volumes twice until the source has let go. Whoever else has one, or has only
/// some, is no part of this migration; nothing is taken from anybody, and what is lost meanwhile has a reason.
fn beside_the_source(
    wants: &[Want],
    listing: &Listing,
    me: ClientId,
    missing: &[usize],
    volume: Use,
    everyone: &BTreeSet<ClientId>,
) -> Step {
    if everyone.len() > 1 {
        let holders = Holders::from(everyone.iter().copied().collect::<Vec<_>>());
        return Step::Refuse(Refusal::NotOneSource { volume, holders });
    }
    match missing.first().and_then(|i| wants.get(*i)) {
        None => settle(wants, listing, me),
        Some(lost) => Step::Refuse(Refusal::NotMine(lost.used.clone())),
    }
}

fn settle(wants: &[Want], listing: &Listing, me: ClientId) -> Step {
    let ids = wants.iter().filter_map(|want| Of::new(want, listing, me).id());
    Step::Settle(ids.collect())
}

/// Nobody else writes: done, or attach what got lost.
fn uncontested(wants: &[Want], listing: &Listing, me: ClientId, missing: Vec<usize>, rounds: u8) -> Step {
    let Some(lost) = missing.first().and_then(|i| wants.get(*i)) else {
        return settle(wants, listing, me);
    };
    if rounds >= ROUNDS {
        Step::Refuse(Refusal::NotMine(lost.used.clone()))
    } else {
        Step::AttachAgain(missing)
    }
}

/// The requests of a takeover. Clients in `forced` lose the volume even if they have it open; no item mixes
/// them with others, and the gentle request goes first, so that nothing is forced when it is refused.
fn takeover(
    contested: &[(&Want, Vec<ClientId>)],
    me: ClientId,
    forced: &BTreeSet<ClientId>,
) -> Vec<Vec<Reassign>> {
    let request = |force: bool| -> Vec<Reassign> {
        let of = |(want, rivals): &(&Want, Vec<ClientId>)| {
            let detach: Vec<_> = rivals
                .iter()
                .copied()
                .filter(|rival| forced.contains(rival) == force)
                .collect();
            (!detach.is_empty()).then(|| Reassign {
                object: want.object(),
                attach: Some((me, Access::Rw)),
                detach,
                force,
            })
        };
        contested.iter().filter_map(of).collect()
    };
    [request(false), request(true)]
        .into_iter()
        .filter(|items| !items.is_empty())
        .collect()
}

impl Want {
    /// The API object; by global id as soon as that is known, because a name may move to another volume.
    #[must_use]
    pub fn object(&self) -> Object {
        let volume = self
            .global_id
            .clone()
            .map_or_else(|| self.used.volume.clone(), VolumeRef::Id);
        Object {
            volume,
            snapshot: self.snapshot,
        }
    }
}

/// What a listing says about one want.
struct Of<'a> {
    want: &'a Want,
    lines: Vec<&'a Attachment>,
    me: ClientId,
}

impl<'a> Of<'a> {
    fn new(want: &'a Want, listing: &'a Listing, me: ClientId) -> Self {
        let lines = listing
            .attachments
            .iter()
            .filter(|line| is_about(line, want))
            .collect();
        Self { want, lines, me }
    }

    fn id(&self) -> Option<GlobalId> {
        self.lines.iter().find_map(|line| line.global_id.clone())
    }

    fn lacks_id(&self) -> bool {
        self.lines.iter().any(|line| line.global_id.is_none())
    }

    fn is_mine(&self) -> bool {
        self.lines
            .iter()
            .any(|line| line.client == self.me && line.rights >= self.want.access)
    }

    /// Other clients that may write, where that matters: not if we only read, not if the domain shares.
    fn rivals(&self) -> Vec<ClientId> {
        if self.want.access == Access::Ro || self.want.shareable {
            return Vec::new();
        }
        let writes = |line: &&&Attachment| line.client != self.me && line.rights == Access::Rw;
        let clients: BTreeSet<_> = self.lines.iter().filter(writes).map(|line| line.client).collect();
        clients.into_iter().collect()
    }
}

/// Whether a line is about the wanted object: by global id where both have one, else by name.
fn is_about(line: &Attachment, want: &Want) -> bool {
    if line.snapshot != want.snapshot {
        return false;
    }
    match (&want.global_id, &line.global_id) {
        (Some(wanted), Some(listed)) => wanted == listed,
        _ => match &want.used.volume {
            VolumeRef::Name(name) => line.name == name.as_str(),
            VolumeRef::Id(id) => {
                line.global_id.as_ref() == Some(id) || line.name.strip_prefix('~') == Some(id.as_str())
            }
        },
    }
}

/// The ids a listing tells about the wants, also of those that are not attached here.
#[must_use]
pub fn ids(wants: &[Want], me: ClientId, listing: &Listing) -> Vec<Option<GlobalId>> {
    wants
        .iter()
        .map(|want| Of::new(want, listing, me).id().or_else(|| want.global_id.clone()))
        .collect()
}

/// What a start writes into its claim and asks for first: a record and an item for each want. `others` are the claims
/// of other domains, `earlier` is what an earlier run of this one left.
#[must_use]
pub fn stake(
    wants: &[Want],
    links: &[Option<Link>],
    others: &[Entry],
    earlier: Option<Entry>,
    me: ClientId,
) -> (Vec<Held>, Vec<Reassign>) {
    let remembered: Vec<_> = others.iter().cloned().chain(earlier).collect();
    let each = wants.iter().zip(links).map(|(want, link)| {
        let held = held(want, link.as_ref(), &remembered);
        let item = attach(want, &held, link.as_ref(), others, me);
        (held, item)
    });
    each.unzip()
}

/// Links of attachments that no claim explains, by position: by hand, or not there any more. A link outlives its
/// attachment while the client of its host is down, and for a moment after each detach.
#[must_use]
pub fn doubtful(wants: &[Want], links: &[Option<Link>], remembered: &[Entry]) -> Vec<bool> {
    let is_doubtful = |(want, link): (&Want, &Option<Link>)| {
        let identity = identity(want, link.as_ref());
        link.is_some() && remembered.iter().all(|entry| entry.held(&identity).is_none())
    };
    wants.iter().zip(links).map(is_doubtful).collect()
}

/// Makes doubtful links say what StorPool says.
pub fn confirm(
    links: &mut [Option<Link>],
    doubtful: &[bool],
    wants: &[Want],
    listing: &Listing,
    me: ClientId,
) {
    let doubtful = links.iter_mut().zip(wants).zip(doubtful);
    for ((link, want), _) in doubtful.filter(|(_, doubtful)| **doubtful) {
        let want = Want {
            global_id: identity(want, link.as_ref()).global_id,
            ..want.clone()
        };
        let seen = Of::new(&want, listing, me);
        let here = seen.lines.into_iter().find(|line| line.client == me);
        *link = link.take().zip(here).map(|(link, line)| Link {
            read_only: line.rights == Access::Ro,
            ..link
        });
    }
}

/// As far as the want and a link tell.
fn identity(want: &Want, link: Option<&Link>) -> Identity {
    let linked = || link.and_then(|link| link.global_id.clone());
    Identity {
        volume: want.used.volume.clone(),
        global_id: want.global_id.clone().or_else(linked),
    }
}

/// The record of a want in a new claim: what was attached before any of us came is the lowest of what the link
/// shows and of what the other claims of this volume remember, since one of *them* may have attached it.
#[must_use]
pub fn held(want: &Want, link: Option<&Link>, others: &[Entry]) -> Held {
    let identity = identity(want, link);
    let remembered = others
        .iter()
        .filter_map(|entry| entry.held(&identity))
        .map(|held| held.before);
    let before = link
        .map(Link::access)
        .and_then(|now| remembered.fold(Some(now), Option::min));
    Held {
        volume: identity.volume,
        snapshot: want.snapshot,
        global_id: identity.global_id,
        access: want.access,
        shareable: want.shareable,
        before,
        disk: want.used.disk.clone(),
    }
}

/// The item that attaches a want to `me`, never asking for less than what is attached already: a `ro` of ours
/// must not lower a neighbour's `rw`.
#[must_use]
pub fn attach(want: &Want, held: &Held, link: Option<&Link>, others: &[Entry], me: ClientId) -> Reassign {
    let identity = Identity::of(held);
    let neighbours = others
        .iter()
        .filter_map(|entry| entry.held(&identity))
        .map(|held| held.access);
    let access = neighbours
        .chain(link.map(Link::access))
        .fold(want.access, Access::max);
    let access = if want.snapshot { Access::Ro } else { access };
    Reassign {
        object: want.object(),
        attach: Some((me, access)),
        detach: Vec::new(),
        force: false,
    }
}

/// Whether two domains of one host may both have a volume: if both say they share it, or neither writes.
/// Of a claim that cannot be read nobody knows what it wants.
#[must_use]
pub fn may_share(want: &Want, other: &Entry, identity: &Identity) -> bool {
    other.held(identity).is_some_and(|held| {
        want.shareable && held.shareable || want.access == Access::Ro && held.access == Access::Ro
    })
}

/// Whether the domain of a neighbour's claim may still ask for less of a volume than a writer needs.
#[must_use]
pub fn may_lower(other: &Entry, identity: &Identity) -> bool {
    let attaching = |claim: &Claim| claim.phase == Phase::Acquiring;
    matches!(other, Entry::Claim(claim) if attaching(claim))
        && other.held(identity).is_some_and(|held| held.access == Access::Ro)
}

/// What a device link shows of a volume that is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// It can be used.
    Ready,
    /// Not (yet), for this reason.
    NotYet(&'static str),
}

/// Judges the devices behind a volume's own link and its by-id link.
#[must_use]
pub fn device(want: &Want, own: Option<&Link>, by_id: Option<&Link>) -> Device {
    match (own, by_id) {
        (None, None) => Device::NotYet("there is no link to a block device"),
        (None, Some(_)) => Device::NotYet("only the link by global id is there; was the volume renamed?"),
        (Some(_), None) => Device::NotYet("the link by global id is missing"),
        (Some(own), Some(by_id)) if own.device != by_id.device => {
            Device::NotYet("it leads to the device of another volume")
        }
        (Some(own), _) if own.sectors == 0 => Device::NotYet("the device has no size yet"),
        (Some(own), _) if own.read_only && want.access == Access::Rw => {
            Device::NotYet("the device is read-only")
        }
        _ => Device::Ready,
    }
}

#[cfg(test)]
mod tests;
