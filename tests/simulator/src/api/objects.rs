// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Reading volumes and snapshots.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Call, Data};
use crate::cluster::{ApiError, Object};
use crate::sim::Sim;

type Answer = Result<Data, ApiError>;

fn list(sim: &Sim, call: &Call, snapshots: bool) -> Value {
    let cluster = &sim.lock().cluster;
    let objects = cluster
        .objects
        .values()
        .filter(|o| o.snapshot.is_some() == snapshots);
    objects
        .map(|o| Value::Object(cluster.summary(o, call.mc)))
        .collect::<Vec<_>>()
        .into()
}

/// `VolumesList`
pub fn volumes(sim: &Arc<Sim>, call: &Call) -> Answer {
    Ok(list(sim, call, false).into())
}

/// `SnapshotsList`
pub fn snapshots(sim: &Arc<Sim>, call: &Call) -> Answer {
    Ok(list(sim, call, true).into())
}

/// `VolumesAndSnapshotsList`
pub fn both(sim: &Arc<Sim>, call: &Call) -> Answer {
    Ok(json!({"ok": true, "volumes": list(sim, call, false), "snapshots": list(sim, call, true)}).into())
}

/// Volume: a list of one.
pub fn volume(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    Ok(json!([cluster.summary(cluster.volume(call.arg())?, call.mc)]).into())
}

/// Snapshot: a list of one.
pub fn snapshot(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    Ok(json!([cluster.summary(cluster.snapshot(call.arg())?, call.mc)]).into())
}

/// `VolumeDescribe`
pub fn volume_describe(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    Ok(cluster.description(cluster.volume(call.arg())?, call.mc).into())
}

/// `SnapshotDescribe`
pub fn snapshot_describe(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    Ok(cluster.description(cluster.snapshot(call.arg())?, call.mc).into())
}

/// `VolumeGetInfo`
pub fn volume_info(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    Ok(cluster.info(cluster.volume(call.arg())?, call.mc).into())
}

/// `SnapshotGetInfo`
pub fn snapshot_info(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    Ok(cluster.info(cluster.snapshot(call.arg())?, call.mc).into())
}

/// `VolumeListSnapshots`: the chain of parents.
pub fn parents(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    let volume = cluster.volume(call.arg())?;
    let up = |o: &&Object| o.parent.and_then(|id| cluster.objects.get(&id));
    let chain = std::iter::successors(up(&volume), up);
    Ok(chain
        .map(|o| Value::Object(cluster.summary(o, call.mc)))
        .collect::<Vec<_>>()
        .into_data())
}

/// `VolumesGetStatus`
pub fn status(sim: &Arc<Sim>, call: &Call) -> Answer {
    let stored = |id| sim.stored(id);
    Ok(sim.lock().cluster.status(call.mc, Some(&stored)).into())
}

/// `VolumesGetStatusQuick`
pub fn status_quick(sim: &Arc<Sim>, call: &Call) -> Answer {
    Ok(sim.lock().cluster.status(call.mc, None).into())
}

/// `VolumesSpace`
pub fn volumes_space(sim: &Arc<Sim>, call: &Call) -> Answer {
    Ok(sim
        .lock()
        .cluster
        .space(false, call.mc, &|id| sim.stored(id))
        .into())
}

/// `SnapshotsSpace`
pub fn snapshots_space(sim: &Arc<Sim>, call: &Call) -> Answer {
    Ok(sim
        .lock()
        .cluster
        .space(true, call.mc, &|id| sim.stored(id))
        .into())
}

trait IntoData {
    fn into_data(self) -> Data;
}

impl IntoData for Vec<Value> {
    fn into_data(self) -> Data {
        Data::Json(self.into())
    }
}
