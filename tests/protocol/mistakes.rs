// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Mistakes that somebody could make in the protocol, as worlds that misbehave. Each must be found: a search that
//! finds none of them would prove nothing.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use spvirt::api::{ApiError, Attachment, Clients, Description, Listing, Object, Reassign};
use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Entry, Identity, Phase, Process};
use spvirt::persist::PathError;
use spvirt::reconcile::DomainState;
use spvirt::ticket::Ticket;
use spvirt::volume::{ClientId, DomainUuid, VolumeRef};
use spvirt::world::{Link, Stage, World};

use crate::calls::{Reconciles, Staged};
use crate::cluster::by_name;
use crate::world::{Call, Guard};

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// What is meant to detach one client detaches all.
    DetachAll,
    /// Two volumes are the same only if they are called the same.
    IdsNotCompared,
    /// A refused start is not taken back.
    UndoSkipped,
    /// A ticket is not consumed.
    TicketStays,
    /// Nobody waits for a neighbour that may lower a volume.
    ReadersNotAwaited,
    /// Nobody asks which volume a name means.
    NamesNotAsked,
    /// What has a link is attached.
    LinksBelieved,
    /// A QEMU that cannot be killed is looked for only by a detach.
    OwnQemuNotSeen,
    /// A takeover forces everybody.
    ForceAll,
    /// Other claims do not protect anything.
    OthersForgotten,
    /// Nobody waits for a rival to open its volumes.
    NoSettling,
    /// Who is down once is down.
    DownOnce,
    /// What was attached before us is not noted.
    BeforeForgotten,
    /// A release forgets its claim before it is done.
    ForgetsEarly,
    /// Nobody remembers that an attach may come late.
    LateForgotten,
    /// A claim is written after the attach, not before it.
    ClaimsLate,
    /// A hook whose daemon is gone goes on.
    OrphansGoOn,
    /// Nobody looks after the attach who else has it.
    NotVerified,
    /// There are no locks but that of the claims.
    NoLocks,
}

/// A call that makes a mistake.
pub struct Mistaken {
    call: Call,
    mistake: Mistake,
    undoing: Cell<bool>,
    first: RefCell<Option<Clients>>,
}

impl Mistaken {
    /// A call that makes a mistake.
    pub fn new(call: Call, mistake: Mistake) -> Self {
        Self {
            call,
            mistake,
            undoing: Cell::new(false),
            first: RefCell::new(None),
        }
    }

    fn is(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    /// As if ids were not known: a volume that is named by id is one that nobody else names.
    fn without_ids(entry: Entry) -> Entry {
        let Entry::Claim(mut claim) = entry else {
            return entry;
        };
        for held in &mut claim.volumes {
            held.global_id = None;
            if matches!(held.volume, VolumeRef::Id(_)) {
                held.volume = by_name("nobodys");
            }
        }
        Entry::Claim(claim)
    }
}

impl Staged for Mistaken {
    fn stage(&self) -> Arc<crate::story::Stage> {
        self.call.stage()
    }
    fn marks(&self) -> (Option<String>, bool) {
        self.call.marks()
    }
}

impl Reconciles for Mistaken {
    fn libvirt_says(&self, uuid: &DomainUuid) -> DomainState {
        self.call.libvirt_says(uuid)
    }
    fn try_lock(&self, lock: &Lock) -> Result<Self::Guard, LockError> {
        self.call.try_lock(lock).map(Some)
    }
    fn looks_again(&self, claim: &Claim) {
        self.call.looks_again(claim);
    }
    fn running(&self) -> Vec<DomainUuid> {
        self.call.running()
    }
    fn everything_of(&self, client: ClientId) -> Result<Listing, ApiError> {
        self.call.everything_of(client)
    }
    fn fresh(&self) {
        self.call.fresh();
    }
}

impl World for Mistaken {
    type Guard = Option<Guard>;

    fn me(&self) -> ClientId {
        self.call.me()
    }
    fn boot(&self) -> &str {
        self.call.boot()
    }
    fn now(&self) -> u64 {
        self.call.now()
    }
    fn began(&self) -> u64 {
        self.call.began()
    }
    fn daemon(&self) -> Option<Process> {
        self.call.daemon()
    }
    fn daemon_thread(&self) -> Option<i32> {
        self.call.daemon_thread()
    }
    fn definition(&self, domain: &str) -> Option<String> {
        self.call.definition(domain)
    }
    fn leave_ticket(&self, ticket: &Ticket) -> Result<(), PathError> {
        self.call.leave_ticket(ticket)
    }
    fn take_ticket(&self, uuid: &DomainUuid) -> Result<Option<Ticket>, PathError> {
        let ticket = self.call.take_ticket(uuid)?;
        if self.is(Mistake::TicketStays)
            && let Some(ticket) = &ticket
        {
            self.call.leave_ticket(ticket)?;
        }
        Ok(ticket)
    }
    fn orphaned(&self) -> bool {
        !self.is(Mistake::OrphansGoOn) && self.call.orphaned()
    }
    fn enter(&self, stage: Stage) {
        self.undoing.set(stage == Stage::Undo);
        self.call.enter(stage);
    }
    fn pause(&self, time: Duration) -> bool {
        (self.is(Mistake::NoSettling) && time >= Duration::from_secs(2)) || self.call.pause(time)
    }
    fn lock(&self, lock: &Lock) -> Result<Self::Guard, LockError> {
        if self.is(Mistake::NoLocks) && *lock != Lock::Claims {
            return Ok(None);
        }
        self.call.lock(lock).map(Some)
    }
    fn claim(&self, uuid: &DomainUuid) -> Result<Option<Entry>, PathError> {
        self.call.claim(uuid)
    }
    fn claims(&self) -> Result<Vec<Entry>, PathError> {
        let claims = self.call.claims()?;
        Ok(match self.mistake {
            Mistake::OthersForgotten => Vec::new(),
            Mistake::IdsNotCompared => claims.into_iter().map(Self::without_ids).collect(),
            _ => claims,
        })
    }
    fn save(&self, claim: &Claim) -> Result<(), PathError> {
        match (self.mistake, claim.phase) {
            (Mistake::ForgetsEarly, Phase::Releasing) => self.call.forget(&claim.uuid),
            (Mistake::ClaimsLate, Phase::Acquiring) => Ok(()),
            (Mistake::LateForgotten, _) => self.call.save(&Claim {
                unsure: false,
                ..claim.clone()
            }),
            _ => self.call.save(claim),
        }
    }
    fn forget(&self, uuid: &DomainUuid) -> Result<(), PathError> {
        self.call.forget(uuid)
    }
    fn is_worked_on(&self, uuid: &DomainUuid) -> bool {
        !self.is(Mistake::ReadersNotAwaited) && self.call.is_worked_on(uuid)
    }
    fn qemu(&self, uuid: &DomainUuid) -> Option<String> {
        self.call.qemu(uuid).filter(|_| !self.is(Mistake::OwnQemuNotSeen))
    }
    fn proof_of_life(&self, entry: &Entry, volume: &Identity) -> Option<String> {
        self.call.proof_of_life(entry, volume)
    }
    fn links(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>> {
        let links = self.call.links(volumes);
        match self.mistake {
            Mistake::BeforeForgotten => vec![None; links.len()],
            Mistake::IdsNotCompared => {
                let without = |link: Link| Link {
                    global_id: None,
                    ..link
                };
                links.into_iter().map(|link| link.map(without)).collect()
            }
            _ => links,
        }
    }
    fn devices(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>> {
        self.call.links(volumes)
    }
    fn holder(&self, volume: &VolumeRef) -> Option<String> {
        self.call.holder(volume)
    }
    fn reassign(&self, items: &[Reassign]) -> Result<(), ApiError> {
        let mut items = items.to_vec();
        for item in &mut items {
            match self.mistake {
                Mistake::DetachAll if !item.detach.is_empty() => {
                    item.detach = (1..=3).filter_map(ClientId::new).collect();
                }
                Mistake::ForceAll => item.force = item.attach.is_some() && !item.detach.is_empty(),
                _ => {}
            }
        }
        if self.is(Mistake::UndoSkipped) && self.undoing.get() {
            return Ok(());
        }
        self.call.reassign(&items)
    }
    fn attachments(&self, volumes: &[VolumeRef]) -> Result<Listing, ApiError> {
        let mut listing = self.call.attachments(volumes)?;
        if self.is(Mistake::NotVerified) {
            listing.attachments.retain(|line| line.client == self.me());
        }
        if self.is(Mistake::LinksBelieved) {
            let linked = volumes.iter().zip(self.call.links(volumes));
            let believed = linked.filter_map(|(volume, link)| {
                let link = link?;
                let ours = Attachment {
                    name: volume.api(),
                    client: self.me(),
                    rights: link.access(),
                    global_id: link.global_id,
                    snapshot: false,
                };
                let is_there = |it: &Attachment| it.client == ours.client && it.global_id == ours.global_id;
                (!listing.attachments.iter().any(is_there)).then_some(ours)
            });
            let believed: Vec<_> = believed.collect();
            listing.attachments.extend(believed);
        }
        Ok(listing)
    }
    fn describe(&self, object: &Object) -> Result<Option<Description>, ApiError> {
        if self.is(Mistake::NamesNotAsked) {
            return Ok(None);
        }
        self.call.describe(object)
    }
    fn clients(&self) -> Result<Clients, ApiError> {
        if self.is(Mistake::DownOnce)
            && let Some(first) = self.first.borrow().clone()
        {
            return Ok(first);
        }
        let clients = self.call.clients()?;
        self.first.replace(Some(clients.clone()));
        Ok(clients)
    }
}
