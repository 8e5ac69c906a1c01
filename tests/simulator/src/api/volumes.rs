// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Making, changing, reverting and deleting volumes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Call, Data, failed, ok};
use crate::cluster::ApiError;
use crate::cluster::requests::{OnAttached, VolumeDelete, VolumeRevert, VolumeUpdate, parse};
use crate::cluster::snapshots::Now;
use crate::sim::{Core, Sim};

type Answer = Result<Data, ApiError>;

/// `VolumeCreate`
pub fn create(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request = parse(call.body)?;
    let mut guard = sim.lock();
    let core = &mut *guard;
    let (made, transient) = core.cluster.volume_create(&request, Now::read())?;
    let content = || -> std::io::Result<()> {
        let source = match (transient, made.copy_of) {
            (Some(snapshot), Some(volume)) => {
                sim.copy(core, volume, snapshot, made.size)?;
                Some(volume)
            }
            (_, source) => source,
        };
        match source {
            Some(source) => sim.copy(core, source, made.id, made.size),
            None => sim.set_length(made.id, made.size),
        }
    };
    if let Err(error) = content() {
        core.cluster.remove(made.id);
        return Err(failed(&error));
    }
    let volume = core.cluster.objects.get(&made.id);
    let gid = volume.map(|v| v.gid.clone()).unwrap_or_default();
    let mut more = json!({"name": core.cluster.label(made.id), "globalId": gid});
    if let (Some(snapshot), Some(map)) = (transient, more.as_object_mut()) {
        map.insert("autoName".into(), core.cluster.label(snapshot).into());
    }
    sim.save(core);
    sim.changed.notify_all();
    drop(guard);
    Ok(ok(sim, more))
}

/// `VolumeUpdate`
pub fn update(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: VolumeUpdate = parse(call.body)?;
    let mut core = sim.lock();
    let (volume, size) = core.cluster.volume_update(call.arg(), &request)?;
    if let Some(size) = size {
        sim.set_length(volume, size).map_err(|e| failed(&e))?;
    }
    follow(sim, core, volume);
    Ok(ok(sim, Value::Null))
}

/// Lets the clients that have the object attached take note of a change.
pub fn follow(sim: &Arc<Sim>, mut core: std::sync::MutexGuard<'_, Core>, object: u64) {
    let holders = core.cluster.holders(object);
    let generation = core.cluster.generation;
    let mut lags = Vec::new();
    for holder in holders {
        if let Some(client) = core.cluster.clients.get_mut(&holder) {
            let lag = Duration::from_millis(client.lag_ms);
            if !lag.is_zero() {
                client.due.push((generation, Instant::now() + lag));
            }
            lags.push((holder, lag));
        }
    }
    sim.save(&core);
    drop(core);
    for (holder, lag) in lags {
        if lag.is_zero() {
            sim.sync_client(holder);
        } else {
            sim.sync_later(holder, lag);
        }
    }
}

/// `VolumeDelete`
pub fn delete(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: VolumeDelete = parse(call.body)?;
    let id = sim.lock().cluster.volume(call.arg())?.id;
    let holders = sim.lock().cluster.delete_detaches(id, request.on_attached)?;
    if !holders.is_empty() {
        let force = request.on_attached == OnAttached::DetachForce;
        let body = json!([{"volume": call.arg(), "detach": "all", "force": force}]);
        super::attach::apply(sim, body, &Call { body: &[], ..*call }, false)?;
    }
    let mut core = sim.lock();
    // Somebody may have attached it in between.
    core.cluster.volume(call.arg())?;
    core.cluster.delete_detaches(id, OnAttached::Fail)?;
    core.cluster.remove(id);
    sim.discard(id);
    sim.save(&core);
    drop(core);
    Ok(ok(sim, Value::Null))
}

/// `VolumeRevert`
pub fn revert(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: VolumeRevert = parse(call.body)?;
    let mut core = sim.lock();
    let attached_ok = core.switches.is("revert-attached", "ok");
    let (volume, snapshot, size) = core.cluster.volume_revert(call.arg(), &request, attached_ok)?;
    sim.copy(&core, snapshot, volume, size).map_err(|e| failed(&e))?;
    let gid = core
        .cluster
        .objects
        .get(&volume)
        .map(|v| v.gid.clone())
        .unwrap_or_default();
    follow(sim, core, volume);
    Ok(ok(sim, json!({"globalId": gid})))
}
