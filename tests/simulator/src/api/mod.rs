// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The API's calls: from method and target to the payload.

#![allow(
    clippy::unnecessary_wraps,
    reason = "the table of calls has one signature for all"
)]

mod attach;
mod objects;
mod services;
mod snapshots;
mod templates;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{ApiError, Cluster, Early};
use crate::sim::Sim;

/// Every path of the API starts so.
pub const PREFIX: &str = "/ctrl/1.0/";

/// What a call returns as `data`.
pub enum Data {
    /// As a value.
    Json(Value),
    /// As text that is JSON.
    Text(String),
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

/// A call as its handler sees it.
pub struct Call<'a> {
    /// The object in the path.
    pub arg: Option<&'a str>,
    /// A `MultiCluster` call.
    pub mc: bool,
    /// A `MultiCluster/AllClusters` call.
    pub all_clusters: bool,
    /// Request body.
    pub body: &'a [u8],
    /// Devices that follow from this call appear so much later.
    pub late: Option<(Duration, Early)>,
}

type Handler = fn(&Arc<Sim>, &Call) -> Result<Data, ApiError>;

/// A row of the table of calls.
struct Row {
    name: &'static str,
    method: &'static str,
    with_arg: bool,
    mc: bool,
    handler: Handler,
}

const fn row(method: &'static str, name: &'static str, with_arg: bool, mc: bool, handler: Handler) -> Row {
    Row {
        name,
        method,
        with_arg,
        mc,
        handler,
    }
}

const CALLS: &[Row] = &[
    row("GET", "VolumesList", false, true, objects::volumes),
    row("GET", "Volume", true, true, objects::volume),
    row("GET", "VolumeDescribe", true, true, objects::volume_describe),
    row("GET", "VolumeGetInfo", true, true, objects::volume_info),
    row("GET", "VolumeListSnapshots", true, false, objects::parents),
    row("GET", "VolumesGetStatus", false, true, objects::status),
    row("GET", "VolumesGetStatusQuick", false, true, objects::status_quick),
    row("GET", "VolumesSpace", false, true, objects::volumes_space),
    row("GET", "SnapshotsList", false, true, objects::snapshots),
    row("GET", "Snapshot", true, true, objects::snapshot),
    row("GET", "SnapshotDescribe", true, true, objects::snapshot_describe),
    row("GET", "SnapshotGetInfo", true, true, objects::snapshot_info),
    row("GET", "SnapshotsSpace", false, true, objects::snapshots_space),
    row("GET", "VolumesAndSnapshotsList", false, false, objects::both),
    row("POST", "VolumeCreate", false, true, volumes::create),
    row("POST", "VolumeUpdate", true, true, volumes::update),
    row("POST", "VolumeDelete", true, true, volumes::delete),
    row("POST", "VolumeRevert", true, true, volumes::revert),
    row("POST", "VolumeSnapshot", true, true, snapshots::take),
    row("POST", "VolumesGroupSnapshot", false, true, snapshots::group),
    row("POST", "SnapshotUpdate", true, false, snapshots::update),
    row("POST", "SnapshotDelete", true, true, snapshots::delete),
    row("POST", "SnapshotDeleteById", true, false, snapshots::delete_by_id),
    row("GET", "AttachmentsList", false, true, attach::list),
    row("POST", "VolumesReassign", false, true, attach::reassign),
    row("POST", "VolumesReassignWait", false, true, attach::reassign_wait),
    row("GET", "VolumeTemplatesList", false, false, templates::list),
    row("GET", "VolumeTemplateDescribe", true, false, templates::describe),
    row("POST", "VolumeTemplateCreate", false, false, templates::create),
    row("POST", "VolumeTemplateUpdate", true, false, templates::update),
    row("POST", "VolumeTemplateDelete", true, false, templates::delete),
    row("GET", "ServicesList", false, false, services::list),
    row("GET", "ClientsConfigDump", false, false, services::dump),
    row("GET", "ClientConfigWait", true, false, services::wait),
];

/// A target taken apart: prefixes, name, argument.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Route<'a> {
    cluster: Option<&'a str>,
    mc: bool,
    all_clusters: bool,
    /// Name of the call.
    pub name: &'a str,
    arg: Option<&'a str>,
}

/// Takes a target apart. Names hold no `/` and no `?`, so this is safe on raw text.
pub fn route(target: &str) -> Option<Route<'_>> {
    let rest = target.strip_prefix(PREFIX)?;
    let mut rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    let mut route = Route::default();
    if let Some(after) = rest.strip_prefix("RemoteCommand/") {
        let (cluster, after) = after.split_once('/')?;
        route.cluster = Some(cluster);
        rest = after;
    }
    if let Some(after) = rest.strip_prefix("MultiCluster/") {
        route.mc = true;
        rest = after;
        if let Some(after) = rest.strip_prefix("AllClusters/") {
            route.all_clusters = true;
            rest = after;
        }
    }
    (route.name, route.arg) = rest
        .split_once('/')
        .map_or((rest, None), |(name, arg)| (name, Some(arg)));
    Some(route)
}

/// Does what a request asks for.
pub fn perform(
    sim: &Arc<Sim>,
    method: &str,
    target: &str,
    body: &[u8],
    late: Option<(Duration, Early)>,
) -> Result<Data, ApiError> {
    sim.collect();
    let unknown = || ApiError {
        status: Some(404),
        ..ApiError::invalid(format!("Unknown query '{target}'"))
    };
    let route = route(target).ok_or_else(unknown)?;
    let row = CALLS
        .iter()
        .find(|row| row.name == route.name)
        .ok_or_else(unknown)?;
    if row.method != method {
        let descr = format!("{} is called with {}", row.name, row.method);
        return Err(ApiError {
            status: Some(405),
            ..ApiError::invalid(descr)
        });
    }
    if row.with_arg != route.arg.is_some() || (route.mc && !row.mc) {
        return Err(unknown());
    }
    {
        let core = sim.lock();
        if route.mc && core.switches.is("multicluster", "no") {
            return Err(ApiError::new(
                "multiCluster",
                "Multi-cluster calls are not possible here",
            ));
        }
        let ours = |name: &str| {
            name == core.cluster.cluster_name
                || name.strip_prefix('~') == Some(core.cluster.cluster_id.as_str())
        };
        if let Some(other) = route.cluster.filter(|name| !ours(name)) {
            return Err(ApiError::missing("Cluster", other));
        }
    }
    let call = Call {
        arg: route.arg,
        mc: route.mc,
        all_clusters: route.all_clusters,
        body,
        late,
    };
    let data = (row.handler)(sim, &call)?;
    Ok(if call.all_clusters {
        every_cluster(&sim.lock().cluster, data)
    } else {
        data
    })
}

/// The form of a `MultiCluster/AllClusters` reply, with the one cluster there is.
fn every_cluster(cluster: &Cluster, data: Data) -> Data {
    let inner = match data {
        Data::Json(value) => value.to_string(),
        Data::Text(text) => text,
    };
    let (id, name) = (json!(cluster.cluster_id), json!(cluster.cluster_name));
    Data::Text(format!(
        r#"{{"clusters":[{{"clusterId":{id},"clusterName":{name},"response":{{"data":{inner}}}}}]}}"#
    ))
}

/// The result of a call that changes something.
fn ok(sim: &Sim, more: Value) -> Data {
    let mut data = json!({"ok": true, "generation": sim.lock().cluster.generation});
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    Data::Json(data)
}

/// An I/O error of ours, as an error of the API.
fn failed(error: &std::io::Error) -> ApiError {
    crate::say(&format!("storage: {error}"));
    ApiError::new("insufficientResources", error.to_string())
}

impl Call<'_> {
    /// The object in the path.
    fn arg(&self) -> &str {
        self.arg.unwrap_or_default()
    }

    /// Refuses a body that has members.
    fn no_arguments(&self) -> Result<(), ApiError> {
        crate::cluster::requests::parse::<crate::cluster::requests::Nothing>(self.body).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_apart() {
        let plain = |name, arg| Route {
            name,
            arg,
            ..Route::default()
        };
        assert_eq!(route("/ctrl/1.0/VolumesList"), Some(plain("VolumesList", None)));
        assert_eq!(route("/ctrl/1.0/Volume/#x"), Some(plain("Volume", Some("#x"))));
        assert_eq!(route("/ctrl/1.0/X?json=%7B%7D"), Some(plain("X", None)));
        assert_eq!(
            route("/ctrl/1.0/RemoteCommand/~s.b/MultiCluster/AllClusters/Volume/~a.b.c"),
            Some(Route {
                cluster: Some("~s.b"),
                mc: true,
                all_clusters: true,
                name: "Volume",
                arg: Some("~a.b.c")
            })
        );
        assert_eq!(route("/ctrl/2.0/VolumesList"), None);
    }

    #[test]
    fn every_call_stands_once() {
        for (i, row) in CALLS.iter().enumerate() {
            assert!(
                CALLS.iter().skip(i + 1).all(|other| other.name != row.name),
                "{}",
                row.name
            );
        }
    }
}
