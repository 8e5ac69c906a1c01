// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The semantics table, on the pure state: no devices, no server.

mod objects;
mod reassigning;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::reassign::Place;
use super::requests::{OnAttached, VolumeCreate, VolumeSnapshot, VolumeUpdate, parse};
use super::snapshots::Now;
use super::{ApiError, Client, Cluster, Rights};
use crate::switches::Switches;

const NOW: Now = Now(1_700_000_000_000);

/// Volumes v1, v2 and snapshot s1 of v1; clients 1, 2, 3, all up.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new("s.b", "sim");
    for id in 1..=3 {
        cluster.clients.insert(id, Client::new());
    }
    for name in ["v1", "v2"] {
        create(&mut cluster, json!({"name": name, "size": 1 << 20})).unwrap();
    }
    snapshot(&mut cluster, "v1", json!({"name": "s1"})).unwrap();
    cluster
}

fn create(cluster: &mut Cluster, body: Value) -> Result<u64, ApiError> {
    let request: VolumeCreate = crate::cluster::requests::from_value(body)?;
    cluster.volume_create(&request, NOW).map(|(made, _)| made.id)
}

fn snapshot(cluster: &mut Cluster, volume: &str, body: Value) -> Result<u64, ApiError> {
    let request: VolumeSnapshot = crate::cluster::requests::from_value(body)?;
    cluster.volume_snapshot(volume, &request, NOW).map(|made| made.id)
}

fn switches(pairs: &[&str]) -> Switches {
    let mut switches = Switches::default();
    for pair in pairs {
        switches.set_pair(pair).unwrap();
    }
    switches
}

/// Applies `VolumesReassignWait` (as a `MultiCluster` call if `mc`) with these places open.
fn with(
    cluster: &mut Cluster,
    body: Value,
    mc: bool,
    pairs: &[&str],
    open: &[Place],
) -> Result<(), ApiError> {
    let switches = switches(pairs);
    let request = cluster.read_reassign(body, true, mc, &switches)?;
    let open: BTreeSet<Place> = open.iter().copied().collect();
    cluster
        .reassign(&request, &switches, None, |asked| asked & &open)
        .1
}

fn reassign(cluster: &mut Cluster, body: Value) -> Result<(), ApiError> {
    with(cluster, body, false, &[], &[])
}

/// Attachments as `name@client:rights`.
fn attachments(cluster: &Cluster) -> Vec<String> {
    let list: Value = serde_json::from_str(&cluster.attachments(false, &Switches::default())).unwrap();
    let show = |a: &Value| {
        format!(
            "{}@{}:{}",
            a["volume"].as_str().unwrap(),
            a["client"],
            a["rights"].as_str().unwrap()
        )
    };
    list.as_array().unwrap().iter().map(show).collect()
}

fn name(result: Result<(), ApiError>) -> String {
    result.err().map(|e| e.name).unwrap_or_default()
}

fn place(cluster: &Cluster, volume: &str, client: u16) -> Place {
    (cluster.volume(volume).unwrap().id, client)
}
