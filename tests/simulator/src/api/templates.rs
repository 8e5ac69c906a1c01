// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Volume templates.

use std::sync::Arc;

use serde_json::Value;

use super::{Call, Data, ok};
use crate::cluster::requests::{TemplateCreate, TemplateUpdate, parse};
use crate::cluster::{ApiError, Cluster};
use crate::sim::Sim;

type Answer = Result<Data, ApiError>;

/// `VolumeTemplatesList`
pub fn list(sim: &Arc<Sim>, _: &Call) -> Answer {
    let templates = &sim.lock().cluster.templates;
    let records: Vec<Value> = templates
        .iter()
        .map(|(name, t)| Cluster::template_record(name, t))
        .collect();
    Ok(Data::Json(records.into()))
}

/// `VolumeTemplateDescribe`
pub fn describe(sim: &Arc<Sim>, call: &Call) -> Answer {
    let cluster = &sim.lock().cluster;
    Ok(Cluster::template_record(call.arg(), cluster.template(call.arg())?).into())
}

/// `VolumeTemplateCreate`
pub fn create(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: TemplateCreate = parse(call.body)?;
    change(sim, |cluster| cluster.template_create(&request))
}

/// `VolumeTemplateUpdate`
pub fn update(sim: &Arc<Sim>, call: &Call) -> Answer {
    let request: TemplateUpdate = parse(call.body)?;
    change(sim, |cluster| cluster.template_update(call.arg(), &request))
}

/// `VolumeTemplateDelete`
pub fn delete(sim: &Arc<Sim>, call: &Call) -> Answer {
    call.no_arguments()?;
    change(sim, |cluster| cluster.template_delete(call.arg()))
}

fn change(sim: &Arc<Sim>, what: impl FnOnce(&mut Cluster) -> Result<(), ApiError>) -> Answer {
    let mut core = sim.lock();
    what(&mut core.cluster)?;
    sim.save(&core);
    drop(core);
    Ok(ok(sim, Value::Null))
}
