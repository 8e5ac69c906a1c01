// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `prepare begin`: attach a domain's volumes, or leave everything as it was and say why not.

pub(crate) mod stake;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::{ApiError, Listing, Object, Reassign};
use crate::claim::lock::Lock;
use crate::claim::{Claim, Entry, Held, Identity, Phase};
use crate::config::Takeover;
use crate::down;
use crate::execute::carry_out;
use crate::explain;
use crate::journal;
use crate::neighbours;
use crate::plan::{self, Arrival, Device, History, Step};
use crate::policy::{self, Want};
use crate::refusal::Refusal;
use crate::release::{self, Left};
use crate::ticket::{self, Subject};
use crate::volume::{Access, DomainUuid, GlobalId, VolumeRef};
use crate::world::{Stage, World};

/// Between two looks at the devices; they are normally there when the attach returns.
const DEVICE_PAUSE: Duration = Duration::from_millis(10);
/// Looks at the devices before the list is asked whether the volumes are still ours.
const DEVICE_LOOKS: u32 = 500;

/// Which domain starts, and by which rules.
#[derive(Debug)]
pub struct Start<'a> {
    /// The domain.
    pub subject: Subject<'a>,
    /// What to do about other holders, if it does not migrate in.
    pub policy: Takeover,
}

/// Attaches `wants` for the domain. On `Ok` they are attached here, nobody else writes to them, their devices
/// are there and the claim says so. On `Err` what this call attached is detached again; what could not be is
/// left in a claim that says *releasing*.
pub fn acquire<W: World>(world: &W, start: &Start, wants: Vec<Want>) -> Result<(), Refusal> {
    let _domain = world.lock(&Lock::Domain(start.subject.uuid.clone()))?;
    if world.orphaned() {
        return Err(Refusal::Orphaned);
    }
    let arrival = if ticket::take(world, &start.subject) {
        Arrival::Migration
    } else {
        Arrival::Start(start.policy)
    };
    acquire_as(world, start, arrival, wants)
}

/// [`acquire`] for who has the domain lock and knows how the domain comes here.
pub fn acquire_as<W: World>(
    world: &W,
    start: &Start,
    arrival: Arrival,
    wants: Vec<Want>,
) -> Result<(), Refusal> {
    let earlier = finish_earlier_run(world, start.subject.uuid)?;
    let mut wants = identified(world, wants)?;
    if wants.is_empty() {
        return Ok(());
    }
    let (mut claim, items) = stake::stake(world, start, &mut wants, earlier)?;
    let Err(refusal) = attach(world, arrival, &mut wants, &mut claim, &items) else {
        for access in [Access::Rw, Access::Ro] {
            let attached = claim.volumes.iter().filter(|held| held.access == access);
            journal::volumes(&format!("attached {access}"), attached.map(|held| &held.volume));
        }
        return Ok(());
    };
    world.enter(Stage::Undo);
    if let Err(left) = release::let_go(world, claim) {
        log::warn!("not everything could be taken back, the claim stays: {left}");
    }
    Err(explain::explain(world, start, &wants, refusal))
}

/// An old claim of this domain stands (a crash, a lost or unfinished release): finish that release first. Returns
/// what it was.
fn finish_earlier_run<W: World>(world: &W, uuid: &DomainUuid) -> Result<Option<Claim>, Refusal> {
    match world.claim(uuid)? {
        None => Ok(None),
        Some(Entry::Unreadable { why, .. }) => Err(Refusal::unreadable(uuid, why)),
        Some(Entry::Claim(claim)) => {
            let claim = release::found(claim);
            match release::let_go(world, claim.clone()) {
                Ok(()) => Ok(Some(claim)),
                Err(Left::Api(error)) => Err(error.into()),
                Err(left) => Err(Refusal::Unfinished(left.to_string())),
            }
        }
    }
}

/// A device path does not tell a volume from a snapshot: each read-only source is asked for once. The answer
/// also tells both of its names, so that one volume named twice is one volume from here on.
pub(crate) fn identified<W: World>(world: &W, wants: Vec<Want>) -> Result<Vec<Want>, Refusal> {
    let mut known = Vec::new();
    for mut want in wants {
        if let VolumeRef::Id(id) = &want.used.volume {
            want.global_id = Some(id.clone());
        }
        if want.access == Access::Ro {
            let object = |snapshot| Object {
                volume: want.used.volume.clone(),
                snapshot,
            };
            let snapshot = world.describe(&object(true))?;
            want.snapshot = snapshot.is_some();
            want.global_id = snapshot.and_then(|found| found.global_id).or(want.global_id);
            // libvirt drops an optional disk whose source is missing, or refuses by its own rule.
            if want.optional && !want.snapshot && world.describe(&object(false))?.is_none() {
                log::info!("{} does not exist and is optional: left to libvirt", want.used);
                continue;
            }
        }
        known.push(want);
    }
    policy::merged(known)
}

/// The attach and everything it takes until it may be called one. `claim` always says what this call may have
/// attached, also when it returns an error.
fn attach<W: World>(
    world: &W,
    arrival: Arrival,
    wants: &mut [Want],
    claim: &mut Claim,
    items: &[Reassign],
) -> Result<(), Refusal> {
    // What became of a failed request is for the list to say.
    let failure = ask(world, claim, items).err();
    let mut listing = look(world, wants, &mut claim.volumes)?;
    if !plan::missing(wants, world.me(), &listing).is_empty() {
        if failure.as_ref().is_none_or(ApiError::may_be_pending) && explain::is_down(world) {
            // StorPool may keep the attach for the day this client is back, and show it only then.
            claim.unsure = true;
            return Err(Refusal::ClientDown(world.me()));
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
    }
    let mut history = History::default();
    loop {
        match plan::next(wants, world.me(), &listing, arrival, &history) {
            Step::Settle(ids) => {
                settle(world, wants, claim, &ids)?;
                if neighbours::wait_for_readers(world, wants, claim)? {
                    listing = look(world, wants, &mut claim.volumes)?;
                    continue;
                }
                match devices(world, wants) {
                    Ok(()) => return Ok(()),
                    Err(refusal) if history.rounds > 0 => return Err(refusal),
                    Err(refusal) => {
                        history.rounds += 1;
                        // The list may know why; if it does not come, the device is what we know.
                        listing = look(world, wants, &mut claim.volumes).map_err(|_| refusal)?;
                        continue;
                    }
                }
            }
            Step::AttachAgain(lost) => {
                history.rounds += 1;
                let again = unattached(world, wants, claim, &lost)?;
                if let Err(error) = ask(world, claim, &again) {
                    log::info!("attaching again: {error}");
                }
            }
            Step::Wait(pause) => {
                history.waited = true;
                wait(world, pause)?;
            }
            Step::AskWhoIsDown(rivals) => {
                let down = down::twice(world, &rivals)?;
                let asked_once = down.is_empty();
                history.down = Some(down);
                if asked_once {
                    // No time has passed since the last look.
                    continue;
                }
            }
            Step::TakeOver(requests) => take_over(world, claim, &requests, &mut history)?,
            Step::Refuse(refusal) => return Err(refusal),
        }
        listing = look(world, wants, &mut claim.volumes)?;
    }
}

/// Sends a change. One that times out may be applied even after the next look, which the claim remembers.
fn ask<W: World>(world: &W, claim: &mut Claim, items: &[Reassign]) -> Result<(), ApiError> {
    let answer = carry_out(world, items);
    claim.unsure |= answer.as_ref().is_err_and(ApiError::may_come_later);
    answer
}

fn wait<W: World>(world: &W, pause: Duration) -> Result<(), Refusal> {
    if world.pause(pause) {
        Ok(())
    } else {
        Err(Refusal::OutOfTime)
    }
}

/// Asks who has the volumes, and learns their global ids. A list may call a volume by its id alone, which our own
/// link tells, or, where there is none yet, one more question.
pub(crate) fn look<W: World>(
    world: &W,
    wants: &mut [Want],
    volumes: &mut [Held],
) -> Result<Listing, Refusal> {
    let mut listing = list(world, wants, volumes)?;
    let mut found = false;
    for want in wants.iter_mut().filter(|want| want.global_id.is_none()) {
        want.global_id = world.describe(&want.object())?.and_then(|it| it.global_id);
        found |= want.global_id.is_some();
    }
    if found {
        listing = list(world, wants, volumes)?;
    }
    Ok(listing)
}

fn list<W: World>(world: &W, wants: &mut [Want], volumes: &mut [Held]) -> Result<Listing, Refusal> {
    let mut refs: Vec<_> = wants.iter().map(|want| want.object().volume).collect();
    let links = world.links(&refs);
    let linked: Vec<_> = links.into_iter().map(|link| link?.global_id).collect();
    refs.extend(linked.iter().flatten().cloned().map(VolumeRef::Id));
    let listing = world.attachments(&refs)?;
    let ids = plan::ids(wants, world.me(), &listing);
    for (((want, held), id), linked) in wants.iter_mut().zip(volumes).zip(ids).zip(linked) {
        let id = id.or(linked);
        want.global_id.clone_from(&id);
        held.global_id = id.or_else(|| held.global_id.take());
    }
    Ok(listing)
}

/// Everything is ours: under the volume locks, look once more for another domain of this host (only now are
/// all global ids known), and make the claim *live*.
fn settle<W: World>(world: &W, wants: &[Want], claim: &mut Claim, ids: &[GlobalId]) -> Result<(), Refusal> {
    if claim.phase == Phase::Live {
        return Ok(());
    }
    let sorted: BTreeSet<_> = ids.iter().cloned().collect();
    let _volumes = sorted
        .into_iter()
        .map(|id| world.lock(&Lock::Volume(id)))
        .collect::<Result<Vec<_>, _>>()?;
    let _claims = world.lock(&Lock::Claims)?;
    let others = release::others(world, &claim.uuid)?;
    for (want, held) in wants.iter().zip(&claim.volumes) {
        neighbours::refuse_if_used_here(world, want, &Identity::of(held), &others)?;
    }
    release::take_lowered(world, claim)?;
    claim.phase = Phase::Live;
    world.save(claim)?;
    Ok(())
}

/// Items that attach what got lost. What is not attached now was not there before us either.
fn unattached<W: World>(
    world: &W,
    wants: &[Want],
    claim: &mut Claim,
    lost: &[usize],
) -> Result<Vec<Reassign>, Refusal> {
    let _claims = world.lock(&Lock::Claims)?;
    release::take_lowered(world, claim)?;
    let others = release::others(world, &claim.uuid)?;
    let refs: Vec<_> = wants.iter().map(|want| want.used.volume.clone()).collect();
    let links = world.links(&refs);
    let mut items = Vec::new();
    for (i, ((want, held), link)) in wants.iter().zip(&mut claim.volumes).zip(&links).enumerate() {
        if lost.contains(&i) {
            if link.is_none() {
                held.before = None;
            }
            items.push(plan::attach(want, held, link.as_ref(), &others, world.me()));
        }
    }
    // Who comes meanwhile must wait for what is asked now.
    claim.phase = Phase::Acquiring;
    world.save(claim)?;
    Ok(items)
}

/// Waits for the devices: own link and by-id link lead to one block device that has a size and can be written
/// if need be.
fn devices<W: World>(world: &W, wants: &[Want]) -> Result<(), Refusal> {
    let own = wants.iter().map(|want| want.used.volume.clone());
    let by_id = wants.iter().map(|want| want.object().volume);
    let both: Vec<_> = own.chain(by_id).collect();
    for look in 0.. {
        let links = world.devices(&both);
        let (own, by_id) = links.split_at(wants.len().min(links.len()));
        let all = wants.iter().zip(own.iter().zip(by_id));
        let trouble = all
            .map(|(want, (own, by_id))| (want, plan::device(want, own.as_ref(), by_id.as_ref())))
            .find_map(|(want, device)| match device {
                Device::Ready => None,
                Device::NotYet(what) => Some((want, what)),
            });
        let Some((want, what)) = trouble else {
            return Ok(());
        };
        if look >= DEVICE_LOOKS || !world.pause(DEVICE_PAUSE) {
            let link = want.used.volume.link().display().to_string();
            return Err(Refusal::NoDevice {
                volume: want.used.clone(),
                link,
                what,
            });
        }
    }
    Ok(())
}

/// One request after the other; a busy volume or an error ends in another look at the list, which decides.
fn take_over<W: World>(
    world: &W,
    claim: &mut Claim,
    requests: &[Vec<Reassign>],
    history: &mut History,
) -> Result<(), Refusal> {
    for items in requests {
        match ask(world, claim, items) {
            Ok(()) => {}
            Err(ApiError::Refused { fault, .. }) if fault.is_open() => {
                let looks = history.busy.take().map_or(0, |(looks, _)| looks) + 1;
                history.busy = Some((looks, fault.descr));
                return wait(world, plan::BUSY_PAUSE);
            }
            Err(error) => {
                log::info!("taking over: {error}");
                break;
            }
        }
    }
    history.rounds += 1;
    Ok(())
}
