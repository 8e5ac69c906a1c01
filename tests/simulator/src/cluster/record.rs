// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Objects, attachments and the rest as the API shows them.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::requests::{Limit, Policy};
use super::snapshots::Now;
use super::{Cluster, Object, Template};
use crate::switches::Switches;

/// Bytes one object of a volume holds.
const OBJECT_SIZE: u64 = 32 << 20;

fn limit(value: Option<&Limit>) -> Value {
    value.map_or_else(|| json!("-"), |v| json!(v))
}

fn policy(into: &mut Map<String, Value>, policy: &Policy) {
    let group = |g: &Option<String>| g.clone().unwrap_or_else(|| "default".to_owned());
    into.insert("placeAll".into(), group(&policy.place_all).into());
    into.insert("placeTail".into(), group(&policy.place_tail).into());
    into.insert("placeHead".into(), group(&policy.place_head).into());
    into.insert("bw".into(), limit(policy.bw.as_ref()));
    into.insert("iops".into(), limit(policy.iops.as_ref()));
    into.insert(
        "limitType".into(),
        policy
            .limit_type
            .clone()
            .unwrap_or_else(|| "total".to_owned())
            .into(),
    );
    into.insert("reuseServer".into(), policy.reuse_server.unwrap_or(false).into());
}

impl Cluster {
    /// The record of a volume or snapshot.
    pub fn summary(&self, object: &Object, mc: bool) -> Map<String, Value> {
        let parent = object.parent.and_then(|id| self.objects.get(&id));
        let mut map = Map::new();
        let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
        set("id", object.id.into());
        set("name", object.label().into());
        set("globalId", object.gid.clone().into());
        set("size", object.size.into());
        set("replication", object.policy.replication.unwrap_or(3).into());
        set("parentName", parent.map(Object::label).unwrap_or_default().into());
        set("templateName", object.template.clone().into());
        set("parentVolumeId", object.parent.unwrap_or(0).into());
        set("originalParentVolumeId", object.parent.unwrap_or(0).into());
        set(
            "templateId",
            self.templates.get(&object.template).map_or(0, |t| t.id).into(),
        );
        set("visibleVolumeId", object.id.into());
        set("objectsCount", object.size.div_ceil(OBJECT_SIZE).into());
        set("creationTimestamp", object.created.into());
        set("flags", 0.into());
        set("firstNotParentObjectId", 0.into());
        set("tags", json!(object.tags));
        if mc {
            set("clusterId", self.cluster_id.clone().into());
            set("clusterName", self.cluster_name.clone().into());
        }
        if let Some(snapshot) = &object.snapshot {
            let of = snapshot.of.map(|id| self.label(id)).unwrap_or_default();
            set("onVolume", of.into());
            set("autoName", snapshot.auto_name.into());
            set("bound", snapshot.bound.into());
            set("deleted", snapshot.gone_at.is_some().into());
            set("transient", snapshot.transient.into());
            set("recoveringFromRemote", false.into());
            set("backup", false.into());
            if let Some(date) = snapshot.delete_at {
                set("targetDeleteDate", date.into());
            }
        }
        policy(&mut map, &object.policy);
        map
    }

    /// `VolumeGetInfo` and `SnapshotGetInfo`.
    pub fn info(&self, object: &Object, mc: bool) -> Value {
        let count = object.size.div_ceil(OBJECT_SIZE);
        let mut map = self.summary(object, mc);
        map.insert("disksCount".into(), 3.into());
        map.insert(
            "objectsPerDisk".into(),
            json!({"101": count, "201": count, "301": count}),
        );
        map.insert(
            "objectsPerChain".into(),
            json!([{"disks": [101, 201, 301], "count": count}]),
        );
        map.insert(
            "objectsPerDiskSet".into(),
            json!([{"disks": [101, 201, 301], "count": count}]),
        );
        map.into()
    }

    /// `VolumeDescribe` and `SnapshotDescribe`.
    pub fn description(&self, object: &Object, mc: bool) -> Value {
        let count = usize::try_from(object.size.div_ceil(OBJECT_SIZE)).unwrap_or(0);
        let mut map = self.summary(object, mc);
        map.insert("targetDiskSets".into(), json!([[101, 201, 301]]));
        map.insert("objects".into(), json!(vec![[101, 201, 301]; count]));
        map.into()
    }

    /// `VolumesGetStatus`, of volumes and snapshots; `sizes` are left out by the quick form.
    pub fn status(&self, mc: bool, sizes: Option<&dyn Fn(u64) -> u64>) -> Value {
        let mut all = Map::new();
        for object in self.objects.values() {
            let mut map = self.summary(object, mc);
            let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
            set("status", "up".into());
            set("snapshot", object.snapshot.is_some().into());
            for flag in ["migrating", "decreasedRedundancy", "balancerBlocked"] {
                set(flag, false.into());
            }
            for number in [
                "syncingDataBytes",
                "syncingMetaObjects",
                "downBytes",
                "upSoonChainsCount",
            ] {
                set(number, 0.into());
            }
            for list in [
                "downDrives",
                "missingDrives",
                "missingTargetDrives",
                "softEjectingDrives",
            ] {
                set(list, json!([]));
            }
            if let Some(stored) = sizes {
                set("storedSize", stored(object.id).into());
                set("onDiskSize", stored(object.id).into());
            }
            all.insert(object.label(), map.into());
        }
        all.into()
    }

    /// `VolumesSpace` and `SnapshotsSpace`.
    pub fn space(&self, snapshots: bool, mc: bool, stored: &dyn Fn(u64) -> u64) -> Value {
        let mut list = Vec::new();
        for object in self
            .objects
            .values()
            .filter(|o| o.snapshot.is_some() == snapshots)
        {
            let mut map = self.summary(object, mc);
            map.insert("storedSize".into(), stored(object.id).into());
            map.insert("spaceUsed".into(), stored(object.id).into());
            list.push(Value::Object(map));
        }
        list.into()
    }

    /// `AttachmentsList` as JSON text, without the synthetic attachments.
    pub fn attachments(&self, mc: bool, switches: &Switches) -> String {
        let global_ids = switches.is("global-ids", "yes");
        let mut list = Vec::new();
        for (client, attached) in &self.attached {
            for (id, attachment) in attached.iter().filter(|(_, a)| !a.unseen) {
                let Some(object) = self.objects.get(id) else {
                    continue;
                };
                let by_gid = switches.is("attachment-names", "gid");
                let mut item = json!({
                    "volume": if by_gid { format!("~{}", object.gid) } else { object.label() },
                    "snapshot": object.snapshot.is_some(),
                    "client": client,
                    "rights": attachment.rights,
                    "pos": attachment.pos,
                });
                if let Some(map) = item.as_object_mut() {
                    if global_ids {
                        map.insert("globalId".into(), object.gid.clone().into());
                    }
                    if mc {
                        map.insert("cluster".into(), self.cluster_name.clone().into());
                        map.insert("clusterId".into(), self.cluster_id.clone().into());
                    }
                }
                list.push(item);
            }
        }
        Value::Array(list).to_string()
    }

    /// Attachments of clients 3001.. that exist in `AttachmentsList` only: the items, comma-separated.
    pub fn synthetic(&self, mc: bool, global_ids: bool) -> String {
        let limit = u32::try_from(super::MAX_ATTACHMENTS).unwrap_or(u32::MAX);
        let mut text = String::new();
        for n in 0..self.fill {
            let comma = if n > 0 { "," } else { "" };
            let (client, pos) = (3001 + n / limit, n % limit);
            // Writing into a String cannot fail.
            let _ = write!(
                text,
                r#"{comma}{{"volume":"fill-{n:06}","snapshot":false,"client":{client},"rights":"rw","pos":{pos}"#
            );
            if global_ids {
                let _ = write!(
                    text,
                    r#","globalId":"{}.f{}""#,
                    self.cluster_id,
                    super::names::base36(n.into())
                );
            }
            if mc {
                let _ = write!(
                    text,
                    r#","cluster":"{}","clusterId":"{}""#,
                    self.cluster_name, self.cluster_id
                );
            }
            text.push('}');
        }
        text
    }

    /// `VolumeTemplatesList`'s record.
    pub fn template_record(name: &str, template: &Template) -> Value {
        let mut map = Map::new();
        map.insert("id".into(), template.id.into());
        map.insert("name".into(), name.into());
        map.insert("parentName".into(), template.parent.clone().into());
        map.insert(
            "size".into(),
            template.size.map_or_else(|| json!("-"), Value::from),
        );
        map.insert(
            "replication".into(),
            template
                .policy
                .replication
                .map_or_else(|| json!("-"), Value::from),
        );
        policy(&mut map, &template.policy);
        map.into()
    }

    /// `ServicesList`
    pub fn services(&self, started: Now) -> Value {
        let version = concat!("storpool-sim ", env!("CARGO_PKG_VERSION"));
        let start = started.seconds();
        let mut clients = Map::new();
        for (id, client) in &self.clients {
            let (status, since) = if client.up {
                ("running", json!(start))
            } else {
                ("down", Value::Null)
            };
            let node = id.min(&63);
            clients.insert(
                id.to_string(),
                json!({"id": id, "nodeId": node, "version": version, "startTime": since, "status": status}),
            );
        }
        json!({
            "clusterStatus": "running",
            "mgmt": {"1": {"id": 1, "nodeId": 1, "version": version, "startTime": start, "status": "running", "active": true, "prio": 0}},
            "clients": clients,
            "servers": {"1": {"id": 1, "nodeId": 1, "version": version, "startTime": start, "status": "running", "missingDisks": [], "pendingDisks": []}},
            "bridges": {},
            "iscsiTargets": {},
        })
    }

    /// `ClientsConfigDump`'s record of one client.
    pub fn client_config(&self, id: u16, delay_ms: u64) -> Option<Value> {
        let client = self.clients.get(&id)?;
        let status = match client.up {
            false => "down",
            true if client.synced < self.generation => "updating",
            true => "ok",
        };
        Some(json!({
            "id": id,
            "generation": self.generation,
            "clientGeneration": client.synced,
            "configStatus": status,
            "delay": delay_ms,
        }))
    }
}
