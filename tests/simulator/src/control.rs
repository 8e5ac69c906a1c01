// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The control plane: `/sim/1.0/...` on the same port, for tests and for the command line. No token, not
//! logged, no faults.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{self, Data};
use crate::cluster::snapshots::Now;
use crate::cluster::{ApiError, Client, requests};
use crate::devices::{Slot, openers};
use crate::faults::Fault;
use crate::http::request::Request;
use crate::http::response::Reply;
use crate::sim::Sim;

/// Every path of the control plane starts so.
pub const PREFIX: &str = "/sim/1.0/";

/// Sets what is given; makes the client if it is new.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientBody {
    id: u16,
    up: Option<bool>,
    /// Empty: no device root.
    root: Option<PathBuf>,
    lag_ms: Option<u64>,
    #[serde(default)]
    remove: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotBody {
    volume: String,
    name: String,
    #[serde(default)]
    transient: bool,
    #[serde(default)]
    deleted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberBody {
    value: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IdBody {
    id: Option<u64>,
}

/// Answers a request to the control plane.
pub fn answer(sim: &Arc<Sim>, request: &Request, path: &str) -> Reply {
    match perform(sim, request, path) {
        Ok(Data::Json(value)) => Reply::json(200, json!({"data": value}).to_string()),
        Ok(Data::Text(text)) => Reply::json(200, format!(r#"{{"data":{text}}}"#)),
        Err(e) => Reply::json(e.status.unwrap_or(500), json!({"error": e.to_json()}).to_string()),
    }
}

fn perform(sim: &Arc<Sim>, request: &Request, path: &str) -> Result<Data, ApiError> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path.starts_with("api/") {
        // The whole rest, query included: what the API itself would get.
        let (_, target) = request.target.split_once("/api/").unwrap_or_default();
        return api::perform(
            sim,
            &request.method,
            &format!("{}{target}", api::PREFIX),
            &request.body,
            None,
        );
    }
    let since = query
        .strip_prefix("since=")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let done = json!({"ok": true});
    let value = match (request.method.as_str(), path) {
        ("GET", "state") => state(sim),
        ("GET", "requests") => json!(sim.log.since(since)),
        ("POST", "requests/reset") => {
            sim.log.reset();
            done
        }
        ("GET", "monitor") => json!(sim.violations.list()),
        ("POST", "monitor/reset") => {
            sim.violations.reset();
            done
        }
        ("GET", "faults") => json!(sim.faults.list()),
        ("POST", "fault") => {
            let fault = serde_json::from_slice::<Fault>(&request.body)
                .map_err(|e| ApiError::invalid(e.to_string()))?;
            json!({"id": sim.faults.add(fault)})
        }
        ("POST", "fault/clear") => {
            sim.faults.clear(parse::<IdBody>(request)?.id);
            done
        }
        ("POST", "fault/release") => {
            sim.faults.release();
            done
        }
        ("GET", "switches") => json!(sim.lock().switches.all()),
        ("POST", "switch") => {
            let body: SwitchBody = parse(request)?;
            let mut core = sim.lock();
            core.switches
                .set(&body.name, &body.value)
                .map_err(ApiError::invalid)?;
            sim.save(&core);
            done
        }
        ("POST", "latency") => {
            sim.latency_ms
                .store(parse::<NumberBody>(request)?.value.into(), Ordering::Relaxed);
            done
        }
        ("POST", "fill") => {
            let count = parse::<NumberBody>(request)?.value;
            fill(sim, count)?;
            done
        }
        ("POST", "client") => {
            client(sim, parse(request)?)?;
            done
        }
        ("POST", "snapshot") => snapshot(sim, &parse(request)?)?,
        ("GET", "openers") => open_devices(sim),
        _ => {
            let descr = format!("no such control call: {} {path}", request.method);
            return Err(ApiError {
                status: Some(404),
                ..ApiError::invalid(descr)
            });
        }
    };
    Ok(value.into())
}

fn parse<T: DeserializeOwned>(request: &Request) -> Result<T, ApiError> {
    requests::parse(&request.body)
}

/// Synthetic attachments use clients 3001..4095.
pub fn fill(sim: &Sim, count: u32) -> Result<(), ApiError> {
    if count > 1095 * 1024 {
        return Err(ApiError::invalid("at most 1121280 synthetic attachments"));
    }
    let mut core = sim.lock();
    core.cluster.fill = count;
    sim.save(&core);
    Ok(())
}

fn client(sim: &Arc<Sim>, body: ClientBody) -> Result<(), ApiError> {
    if !(1..=0x0fff).contains(&body.id) {
        return Err(ApiError::invalid("a client id is in 1..4095"));
    }
    let mut core = sim.lock();
    if body.remove {
        if core
            .cluster
            .attached
            .get(&body.id)
            .is_some_and(|list| !list.is_empty())
        {
            return Err(ApiError::new(
                "busy",
                format!("client {} has attachments", body.id),
            ));
        }
        core.cluster.clients.remove(&body.id);
        sim.save(&core);
        return Ok(());
    }
    let client = core.cluster.clients.entry(body.id).or_insert_with(Client::new);
    if let Some(root) = body.root {
        client.root = (!root.as_os_str().is_empty()).then_some(root);
        // The folder may be a new one under the same path: look again at what stands in it.
        for ((_, id), slot) in &mut core.slots {
            if let (true, Slot::Here(device)) = (*id == body.id, &mut *slot) {
                device.placed = false;
            }
        }
        core.slots
            .retain(|(_, id), slot| *id != body.id || !matches!(slot, Slot::Failed(_)));
    }
    if let Some(client) = core.cluster.clients.get_mut(&body.id) {
        client.lag_ms = body.lag_ms.unwrap_or(client.lag_ms);
    }
    sim.save(&core);
    drop(core);
    match body.up {
        Some(up) => client_up(sim, body.id, up),
        None => sim.sync_client(body.id),
    }
    Ok(())
}

/// Starts or stops a client's service. Devices stay when it stops.
pub fn client_up(sim: &Arc<Sim>, id: u16, up: bool) {
    let mut core = sim.lock();
    let Some(client) = core.cluster.clients.get_mut(&id) else {
        return;
    };
    client.up = up;
    if up {
        client.due.clear();
        for attachment in core.cluster.attached.entry(id).or_default().values_mut() {
            attachment.unseen = false;
        }
    }
    sim.save(&core);
    sim.changed.notify_all();
    drop(core);
    sim.sync_client(id);
}

/// A snapshot with a name or in a state that the API gives nobody the power to choose.
fn snapshot(sim: &Arc<Sim>, body: &SnapshotBody) -> Result<Value, ApiError> {
    if !crate::cluster::names::is_snapshot_name(&body.name) {
        return Err(ApiError::invalid(format!(
            "'{}' is not a name of a snapshot",
            body.name
        )));
    }
    let mut guard = sim.lock();
    let core = &mut *guard;
    if core.cluster.objects.values().any(|o| o.name == body.name) {
        return Err(ApiError::new(
            "objectExists",
            format!("An object named '{}' exists already", body.name),
        ));
    }
    let made =
        core.cluster
            .volume_snapshot(&body.volume, &requests::VolumeSnapshot::default(), Now::read())?;
    if let Some(source) = made.copy_of {
        sim.copy(core, source, made.id, made.size)
            .map_err(|e| ApiError::new("insufficientResources", e.to_string()))?;
    }
    let mut gid = String::new();
    if let Some(object) = core.cluster.objects.get_mut(&made.id) {
        object.name.clone_from(&body.name);
        gid.clone_from(&object.gid);
        if let Some(snapshot) = &mut object.snapshot {
            snapshot.transient = body.transient;
            snapshot.auto_name = body.name.contains('@');
            // One that is to be seen as "being deleted" for as long as a test likes.
            snapshot.gone_at = body.deleted.then_some(u64::MAX);
        }
    }
    sim.save(core);
    Ok(json!({"name": body.name, "globalId": gid}))
}

fn state(sim: &Sim) -> Value {
    let core = sim.lock();
    let devices: Vec<Value> = core
        .slots
        .iter()
        .filter_map(|((object, client), slot)| match slot {
            Slot::Here(d) => {
                Some(json!({"object": core.cluster.label(*object), "client": client, "device": d}))
            }
            _ => None,
        })
        .collect();
    let cut: Vec<Value> = core
        .cut
        .iter()
        .map(|((object, client), d)| json!({"object": object, "client": client, "device": d}))
        .collect();
    json!({
        "cluster": core.cluster,
        "devices": devices,
        "cutOff": cut,
        "switches": core.switches.all(),
        "faults": sim.faults.list(),
        "latencyMs": sim.latency(),
    })
}

/// Who has which volume open at which client.
fn open_devices(sim: &Sim) -> Value {
    let (numbers, names) = {
        let core = sim.lock();
        let numbers = core.by_number();
        let names: BTreeMap<u64, String> = numbers
            .values()
            .map(|(object, _)| (*object, core.cluster.label(*object)))
            .collect();
        (numbers, names)
    };
    let found = openers::scan(&numbers.keys().copied().collect());
    let rows = found.iter().filter_map(|o| {
        let (object, client) = numbers.get(&o.rdev)?;
        Some(json!({"volume": names.get(object), "client": client, "pid": o.pid, "comm": o.comm, "path": o.path, "writes": o.writes}))
    });
    rows.collect::<Vec<_>>().into()
}
