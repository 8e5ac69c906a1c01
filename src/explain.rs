// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Why StorPool said no, in terms of the domain: which volume, which client.

use crate::acquire::Start;
use crate::api::{ATTACHMENTS_MAX, ApiError, Fault, Object};
use crate::policy::Want;
use crate::refusal::{Refusal, handle};
use crate::volume::Access;
use crate::world::World;

/// Says more about a refusal than StorPool did: a batch is refused as a whole, and the person at the keyboard
/// wants to know which volume it is. Asked after the undo, in what is left of the time; an answer that does not
/// come leaves the refusal as it was.
pub fn explain<W: World>(world: &W, start: &Start, wants: &[Want], mut refusal: Refusal) -> Refusal {
    if let Some(holders) = refusal.holders_mut() {
        holders.states = world.clients().unwrap_or_default();
        holders.domain = Some(handle(start.subject.domain, start.subject.uuid));
    }
    let better = match &refusal {
        Refusal::NoDevice { .. } | Refusal::Api(ApiError::Timeout { .. }) => client_down(world),
        Refusal::Api(ApiError::Refused { fault, .. }) if fault.is_unknown_client() => {
            Some(Refusal::UnknownClient(world.me()))
        }
        Refusal::Api(ApiError::Refused { fault, .. }) if fault.is_missing_object() => missing(world, wants),
        Refusal::Api(ApiError::Refused { fault, .. }) => {
            too_many(world, wants, fault).or_else(|| client_down(world))
        }
        _ => None,
    };
    better.unwrap_or(refusal)
}

/// The first of `wants` that StorPool does not know, if it answers at all.
pub fn missing<W: World>(world: &W, wants: &[Want]) -> Option<Refusal> {
    let exists = |want: &Want, snapshot| {
        world
            .describe(&Object {
                volume: want.used.volume.clone(),
                snapshot,
            })
            .map(|found| found.is_some())
    };
    for want in wants.iter().filter(|want| !want.snapshot) {
        if !exists(want, false).ok()? {
            let snapshot = want.access == Access::Rw && exists(want, true).ok()?;
            let used = want.used.clone();
            return Some(if snapshot {
                Refusal::WritableSnapshot(used)
            } else {
                Refusal::Missing(used)
            });
        }
    }
    None
}

fn too_many<W: World>(world: &W, wants: &[Want], fault: &Fault) -> Option<Refusal> {
    let count = world.attachments(&[]).ok()?.mine;
    let full = count + wants.len() > ATTACHMENTS_MAX;
    full.then(|| Refusal::TooMany {
        client: world.me(),
        count,
        why: fault.descr.clone(),
    })
}

fn client_down<W: World>(world: &W) -> Option<Refusal> {
    is_down(world).then(|| Refusal::ClientDown(world.me()))
}

/// Whether StorPool says that the client of this host is down.
pub fn is_down<W: World>(world: &W) -> bool {
    let clients = world.clients();
    clients.is_ok_and(|clients| clients.get(&world.me()) == Some(&false))
}
