// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Taking, changing and deleting snapshots.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Call, Data, failed, ok};
use crate::cluster::ApiError;
use crate::cluster::names::is_global_id;
use crate::cluster::requests::{GroupSnapshot, SnapshotUpdate, VolumeSnapshot, parse};
use crate::cluster::snapshots::Now;
use crate::cluster::volumes::Made;
use crate::sim::{Core, Sim};

type Answer = Result<Data, ApiError>;

/// Gives a new snapshot its content, or takes it back.
fn fill(sim: &Sim, core: &mut Core, made: &Made) -> Result<(), ApiError> {
    let Some(source) = made.copy_of else { return Ok(()) };
    sim.copy(core, source, made.id, made.size).map_err(|error| {
        core.cluster.remove(made.id);
        failed(&error)
    })
}

/// `VolumeSnapshot`
pub fn take(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: VolumeSnapshot = parse(call.body)?;
    let mut guard = sim.lock();
    let core = &mut *guard;
    let made = core.cluster.volume_snapshot(call.arg(), &request, Now::read())?;
    fill(sim, core, &made)?;
    let gid = core
        .cluster
        .objects
        .get(&made.id)
        .map(|s| s.gid.clone())
        .unwrap_or_default();
    let mut more = json!({"snapshotGlobalId": gid, "snapshotVisibleVolumeId": made.id});
    if let Some(map) = more.as_object_mut().filter(|_| request.name.is_none()) {
        map.insert("autoName".into(), core.cluster.label(made.id).into());
    }
    sim.save(core);
    drop(guard);
    Ok(ok(sim, more))
}

/// `VolumesGroupSnapshot`
pub fn group(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: GroupSnapshot = parse(call.body)?;
    let mut guard = sim.lock();
    let core = &mut *guard;
    let all = core.cluster.group_snapshot(&request, Now::read())?;
    let mut snapshots = Vec::new();
    for (volume, made) in &all {
        fill(sim, core, made)?;
        let gid = |id: u64| {
            core.cluster
                .objects
                .get(&id)
                .map(|o| o.gid.clone())
                .unwrap_or_default()
        };
        snapshots.push(json!({
            "volume": core.cluster.label(*volume),
            "volumeGlobalId": gid(*volume),
            "snapshot": core.cluster.label(made.id),
            "remoteId": gid(made.id),
            "snapshotGlobalId": gid(made.id),
        }));
    }
    sim.save(core);
    Ok(json!({"snapshots": snapshots}).into())
}

/// `SnapshotUpdate`
pub fn update(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: SnapshotUpdate = parse(call.body)?;
    let mut core = sim.lock();
    let snapshot = core.cluster.snapshot_update(call.arg(), &request, Now::read())?;
    super::volumes::follow(sim, core, snapshot);
    Ok(ok(sim, Value::Null))
}

/// `SnapshotDelete`
pub fn delete(sim: &Arc<Sim>, call: &Call) -> Answer {
    call.no_arguments()?;
    delete_called(sim, call.arg())
}

/// `SnapshotDeleteById`
pub fn delete_by_id(sim: &Arc<Sim>, call: &Call) -> Answer {
    call.no_arguments()?;
    if !is_global_id(call.arg()) {
        return Err(ApiError::invalid(format!("'{}' is not a global id", call.arg())));
    }
    delete_called(sim, &format!("~{}", call.arg()))
}

fn delete_called(sim: &Arc<Sim>, reference: &str) -> Answer {
    let mut core = sim.lock();
    let linger = core.switches.is("snapshot-delete", "lingers");
    core.cluster.snapshot_delete(reference, linger, Now::read())?;
    sim.save(&core);
    drop(core);
    Ok(ok(sim, Value::Null))
}
