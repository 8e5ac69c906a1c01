// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Services and clients.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Call, Data};
use crate::cluster::ApiError;
use crate::sim::Sim;

type Answer = Result<Data, ApiError>;

/// `ServicesList`
pub fn list(sim: &Arc<Sim>, _: &Call) -> Answer {
    Ok(sim.lock().cluster.services(sim.started).into())
}

/// `ClientsConfigDump`
pub fn dump(sim: &Arc<Sim>, _: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    let all: Vec<Value> = cluster
        .clients
        .keys()
        .filter_map(|id| cluster.client_config(*id, 0))
        .collect();
    Ok(Data::Json(all.into()))
}

/// `ClientConfigWait`: blocks until the client has reached the generation of now.
pub fn wait(sim: &Arc<Sim>, call: &Call) -> Answer {
    let id = call
        .arg()
        .parse::<u16>()
        .ok()
        .filter(|id| (1..=0x0fff).contains(id));
    let id = id.ok_or_else(|| ApiError::invalid(format!("'{}' is not a client id", call.arg())))?;
    let started = Instant::now();
    let mut core = sim.lock();
    let generation = core.cluster.generation;
    loop {
        let client = core
            .cluster
            .clients
            .get(&id)
            .ok_or_else(|| ApiError::invalid("No such client registered"))?;
        if client.up && client.synced >= generation {
            let delay = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Ok(json!([core.cluster.client_config(id, delay)]).into());
        }
        core = sim.wait_change(core, None);
    }
}
