// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Request bodies, with the strictness of a server that rejects what it does not know: unknown members,
//! `null` members, wrong types and wrong ranges are `invalidParam`, bytes that are not JSON `jsonError`.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::ApiError;

/// The body as JSON; an empty body is `{}`.
pub fn body(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|e| ApiError::new("jsonError", format!("Error parsing JSON: {e}")))?;
    if has_null(&value) {
        return Err(ApiError::invalid(
            "null is not a value of any parameter: leave the member out",
        ));
    }
    Ok(value)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

/// The body as a request of type `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    from_value(body(bytes)?)
}

/// `value` as a request of type `T`.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    if !value.is_object() {
        return Err(ApiError::invalid("the request is not a JSON object"));
    }
    serde_json::from_value(value).map_err(|e| ApiError::invalid(e.to_string()))
}

/// A request without arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Bytes: a multiple of 512, as a number or a string of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Int(u64),
    Text(String),
}

fn number<'de, D: Deserializer<'de>>(de: D, what: &str) -> Result<u64, D::Error> {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let value = match Number::deserialize(de) {
        Ok(Number::Int(n)) => Some(n),
        Ok(Number::Text(t)) if digits(&t) => t.parse().ok(),
        _ => None,
    };
    value.ok_or_else(|| D::Error::custom(format!("{what} is not a number in range")))
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let bytes = number(de, "size")?;
        if bytes < 512 || bytes % 512 != 0 {
            return Err(D::Error::custom(format!(
                "size {bytes} is not a positive multiple of 512"
            )));
        }
        Ok(Self(bytes))
    }
}

/// Limit: a number or `"-"` for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Limit {
    /// So many.
    Of(u64),
    /// `"-"`.
    None(String),
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        match Number::deserialize(de) {
            Ok(Number::Int(n)) => Ok(Self::Of(n)),
            Ok(Number::Text(t)) if t == "-" => Ok(Self::None(t)),
            _ => Err(D::Error::custom("a limit is a number or \"-\"")),
        }
    }
}

/// Placement, replication and limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// Placement groups.
    pub place_all: Option<String>,
    /// Placement group of the last replica.
    pub place_tail: Option<String>,
    /// Placement group of the first replica.
    pub place_head: Option<String>,
    /// 1..3
    pub replication: Option<u8>,
    /// Bandwidth.
    pub bw: Option<Limit>,
    /// I/O operations per second.
    pub iops: Option<Limit>,
    /// `total` or `perGiB`.
    pub limit_type: Option<String>,
    /// Replicas may share a server.
    pub reuse_server: Option<bool>,
}

impl Policy {
    /// The same, with what `over` sets.
    pub fn with(&self, over: &Self) -> Self {
        macro_rules! pick { ($($f:ident),*) => { Self { $($f: over.$f.clone().or_else(|| self.$f.clone())),* } } }
        pick!(
            place_all,
            place_tail,
            place_head,
            replication,
            bw,
            iops,
            limit_type,
            reuse_server
        )
    }

    /// Checks names and ranges.
    pub fn check(&self) -> Result<(), ApiError> {
        for group in [&self.place_all, &self.place_tail, &self.place_head]
            .into_iter()
            .flatten()
        {
            if !super::names::is_template_name(group) {
                return Err(ApiError::invalid(format!(
                    "'{group}' is not a name of a placement group"
                )));
            }
        }
        if self.replication.is_some_and(|n| !(1..=3).contains(&n)) {
            return Err(ApiError::invalid("replication is 1, 2 or 3"));
        }
        match self.limit_type.as_deref() {
            None | Some("total" | "perGiB") => Ok(()),
            Some(other) => Err(ApiError::invalid(format!(
                "limitType '{other}' is not total or perGiB"
            ))),
        }
    }
}

/// A request struct that has the members of [`Policy`] beside its own. (serde cannot `flatten` and
/// `deny_unknown_fields` at once.)
macro_rules! with_policy {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: Option<$type>,)*
            place_all: Option<String>,
            place_tail: Option<String>,
            place_head: Option<String>,
            replication: Option<u8>,
            bw: Option<Limit>,
            iops: Option<Limit>,
            limit_type: Option<String>,
            reuse_server: Option<bool>,
        }
        impl $name {
            /// The members that are policy, checked.
            pub fn policy(&self) -> Result<Policy, ApiError> {
                let policy = Policy {
                    place_all: self.place_all.clone(),
                    place_tail: self.place_tail.clone(),
                    place_head: self.place_head.clone(),
                    replication: self.replication,
                    bw: self.bw.clone(),
                    iops: self.iops.clone(),
                    limit_type: self.limit_type.clone(),
                    reuse_server: self.reuse_server,
                };
                policy.check()?;
                Ok(policy)
            }
        }
    };
}

/// Tags by name.
pub type Tags = BTreeMap<String, String>;

with_policy!(
    /// `VolumeCreate`
    VolumeCreate { name: String, size: Size, template: String, parent: String, base_on: String, tags: Tags }
);
with_policy!(
    /// `VolumeUpdate`
    VolumeUpdate { rename: String, size: Size, size_add: Size, shrink_ok: bool, template: String, tags: Tags }
);
with_policy!(
    /// `SnapshotUpdate`
    SnapshotUpdate { rename: String, template: String, bind: bool, target_delete_date: u64, delete_after: u64, tags: Tags }
);
with_policy!(
    /// `VolumeTemplateCreate`
    TemplateCreate { name: String, parent: String, size: Size }
);
with_policy!(
    /// `VolumeTemplateUpdate`
    TemplateUpdate { rename: String, parent: String, size: Size, propagate: bool }
);

/// `VolumeSnapshot`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VolumeSnapshot {
    /// Name; none: the server chooses.
    pub name: Option<String>,
    /// Goes away with its last child.
    pub bind: Option<bool>,
    /// Unix time.
    pub target_delete_date: Option<u64>,
    /// Seconds.
    pub delete_after: Option<u64>,
    /// Tags.
    pub tags: Option<Tags>,
}

/// `VolumesGroupSnapshot`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupSnapshot {
    /// One per volume.
    pub volumes: Vec<GroupMember>,
    /// Tags of all.
    pub tags: Option<Tags>,
}

/// A volume in a group snapshot.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupMember {
    /// Name or ~id.
    pub volume: String,
    /// Name of its snapshot.
    pub name: Option<String>,
    /// Tags of its snapshot.
    pub tags: Option<Tags>,
}

/// `VolumeRevert`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeRevert {
    /// Snapshot, name or ~id.
    pub to_snapshot: String,
    /// Take its size, too.
    pub revert_size: Option<bool>,
}

/// `VolumeDelete`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VolumeDelete {
    /// What to do where it is attached.
    pub on_attached: OnAttached,
}

/// What a delete does about attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnAttached {
    /// Refuse.
    #[default]
    Fail,
    /// Detach where it is not open.
    Detach,
    /// Detach.
    DetachForce,
}

/// A client id on the wire: an int, or a string of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientArg {
    /// The id.
    pub id: u16,
    /// It came as a string.
    pub quoted: bool,
}

impl<'de> Deserialize<'de> for ClientArg {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(de)?;
        let quoted = value.is_string();
        let id = number(value, "a client id").map_err(D::Error::custom)?;
        let id = u16::try_from(id).ok().filter(|id| (1..=0x0fff).contains(id));
        id.map(|id| Self { id, quoted })
            .ok_or_else(|| D::Error::custom("a client id is in 1..4095"))
    }
}
