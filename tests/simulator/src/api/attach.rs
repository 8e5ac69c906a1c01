// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Attachments: the list, and `VolumesReassign(Wait)`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Call, Data, ok};
use crate::cluster::reassign::Place;
use crate::cluster::{ApiError, Late, requests};
use crate::devices::sync::{open_places, restore};
use crate::sim::{Core, Sim};

type Answer = Result<Data, ApiError>;

/// `AttachmentsList`
pub fn list(sim: &Arc<Sim>, call: &Call) -> Answer {
    let (mut text, form) = {
        let core = sim.lock();
        let form = (core.cluster.fill, call.mc, core.switches.is("global-ids", "yes"));
        (core.cluster.attachments(call.mc, &core.switches), form)
    };
    if form.0 > 0 {
        let mut cache = sim.fill.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache
            .as_ref()
            .filter(|(of, _)| *of == form)
            .map(|(_, text)| Arc::clone(text));
        let filler = cached.unwrap_or_else(|| {
            let text: Arc<str> = sim.lock().cluster.synthetic(call.mc, form.2).into();
            *cache = Some((form, Arc::clone(&text)));
            text
        });
        drop(cache);
        text.pop();
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&filler);
        text.push(']');
    }
    Ok(Data::Text(text))
}

/// `VolumesReassign`
pub fn reassign(sim: &Arc<Sim>, call: &Call) -> Answer {
    apply(sim, requests::body(call.body)?, call, false)
}

/// `VolumesReassignWait`
pub fn reassign_wait(sim: &Arc<Sim>, call: &Call) -> Answer {
    apply(sim, requests::body(call.body)?, call, true)
}

/// Applies a reassign, and waits for the clients if asked to.
pub fn apply(sim: &Arc<Sim>, body: Value, call: &Call, wait: bool) -> Answer {
    let mut guard = sim.lock();
    let request = guard
        .cluster
        .read_reassign(body, wait, call.mc, &guard.switches)?;
    guard = sim.settled(guard, &request.detaching());
    let core = &mut *guard;
    let Core {
        cluster,
        switches,
        slots,
        ..
    } = core;
    let down: BTreeSet<u16> = cluster
        .clients
        .iter()
        .filter(|(_, c)| !c.up)
        .map(|(id, _)| *id)
        .collect();
    let refuse_down = switches.is("down-detach", "busy");
    let late = call.late.map(|(delay, early)| Late {
        until: Instant::now() + delay,
        early,
    });
    let (outcome, result) = cluster.reassign(&request, switches, late, |places| {
        let mut open = open_places(slots, places);
        open.extend(
            places
                .iter()
                .filter(|(_, client)| refuse_down && down.contains(client)),
        );
        open
    });
    restore(core);
    let concerned: BTreeSet<u16> = outcome.changes.iter().map(|c| c.client).collect();
    let later = schedule(
        core,
        &outcome.changes.iter().map(|c| (c.object, c.client)).collect(),
        late,
    );
    let generation = core.cluster.generation;
    if !concerned.is_empty() {
        sim.save(core);
    }
    sim.changed.notify_all();
    drop(guard);
    for client in &concerned {
        sim.sync_client(*client);
    }
    for (client, delay) in later {
        sim.sync_later(client, delay);
    }
    result?;
    if wait {
        let patience = request
            .attach_timeout
            .map(|s| Instant::now() + Duration::from_secs(s.into()));
        wait_for(sim, &concerned, &outcome.attached_at, generation, patience)?;
    }
    Ok(ok(sim, Value::Null))
}

/// Notes when slow clients will have applied a change; returns when to look after which client again.
fn schedule(core: &mut Core, places: &BTreeSet<Place>, late: Option<Late>) -> Vec<(u16, Duration)> {
    let now = Instant::now();
    let generation = core.cluster.generation;
    let mut later = BTreeMap::new();
    for (object, client) in places {
        let Some(state) = core.cluster.clients.get_mut(client) else {
            continue;
        };
        let lag = (state.lag_ms > 0).then(|| now + Duration::from_millis(state.lag_ms));
        if let Some(at) = lag.filter(|_| state.due.last().is_none_or(|(g, _)| *g != generation)) {
            state.due.push((generation, at));
        }
        let Some(from) = late.map(|l| l.until).max(lag) else {
            continue;
        };
        later.insert(*client, from.saturating_duration_since(now));
        let attachment = core
            .cluster
            .attached
            .get_mut(client)
            .and_then(|list| list.get_mut(object));
        if let Some(attachment) = attachment.filter(|_| lag.is_some()) {
            let early = late.map(|l| l.early).unwrap_or_default();
            attachment.late = Some(Late { until: from, early });
        }
    }
    later.into_iter().collect()
}

/// Waits until the clients that run have reached `generation`, and those that do not run have come up.
fn wait_for(
    sim: &Sim,
    concerned: &BTreeSet<u16>,
    attached_at: &BTreeSet<Place>,
    generation: u64,
    patience: Option<Instant>,
) -> Result<(), ApiError> {
    let mut core = sim.lock();
    loop {
        let client = |id: &u16| core.cluster.clients.get(id);
        let still = |(object, client): &Place| {
            core.cluster
                .attached
                .get(client)
                .is_some_and(|l| l.contains_key(object))
        };
        let missing = attached_at
            .iter()
            .filter(|p| still(p))
            .find(|(_, c)| client(c).is_some_and(|c| !c.up));
        let updating = concerned
            .iter()
            .any(|c| client(c).is_some_and(|c| c.up && c.synced < generation));
        match missing {
            None if !updating => return Ok(()),
            Some((_, absent)) if !updating && patience.is_some_and(|p| p <= Instant::now()) => {
                if core.switches.is("attach-timeout-reply", "ok") {
                    return Ok(());
                }
                return Err(ApiError::new(
                    "timeout",
                    format!("Timed out waiting for client {absent}"),
                ));
            }
            _ => {}
        }
        let until = if updating { None } else { patience };
        core = sim.wait_change(core, until);
    }
}
