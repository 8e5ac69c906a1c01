// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The JSON of requests and replies. Pure but for reading from what it is given.
//!
//! Replies are checked strictly, because a malformed list that passes for "no attachments" would detach or
//! steal everything; unknown members are ignored, because newer servers add some. A list may have 100,000
//! lines and a hook has 6 MiB, so it is read as a stream that keeps only what was asked for.

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Attachment, Clients, Description, Fault, Listing, Reassign};
use crate::volume::{Access, ClientId, GlobalId, VolumeRef};

/// What a reply holds: the payload, or a fault (with whatever HTTP status).
pub type Reply<T> = Result<T, Fault>;

/// The body of `VolumesReassignWait`. `attach_timeout` (seconds) is always sent: without it the server waits
/// for a missing client for ever, and 0 would mean success without an attachment.
pub fn reassign_body(items: &[Reassign], attach_timeout: u64) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&ReassignBody {
        reassign: items.iter().map(ReassignItem::from).collect(),
        attach_timeout: attach_timeout.max(1),
    })
}

#[derive(Serialize)]
struct ReassignBody {
    reassign: Vec<ReassignItem>,
    #[serde(rename = "attachTimeout")]
    attach_timeout: u64,
}

/// Members that do not apply are left out: the API rejects nulls as unknown.
#[derive(Serialize)]
struct ReassignItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rw: Option<[ClientId; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ro: Option<[ClientId; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detach: Vec<ClientId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    force: bool,
}

impl From<&Reassign> for ReassignItem {
    fn from(item: &Reassign) -> Self {
        let name = item.object.volume.api();
        let (volume, snapshot) = if item.object.snapshot {
            (None, Some(name))
        } else {
            (Some(name), None)
        };
        let only = |access| {
            item.attach
                .and_then(|(client, a)| (a == access).then_some([client]))
        };
        Self {
            volume,
            snapshot,
            rw: only(Access::Rw),
            ro: only(Access::Ro),
            detach: item.detach.clone(),
            force: item.force,
        }
    }
}

/// Reads the reply to a change: `ok` must be true.
pub fn read_ok(body: impl Read) -> serde_json::Result<Reply<()>> {
    #[derive(Deserialize)]
    struct ApiOk {
        ok: bool,
    }
    let reply = read(body, PhantomData::<ApiOk>)?;
    match reply {
        Ok(ApiOk { ok: true }) => Ok(Ok(())),
        Ok(ApiOk { ok: false }) => Err(de::Error::custom("\"ok\" is false")),
        Err(fault) => Ok(Err(fault)),
    }
}

/// Reads `AttachmentsList`, keeping what is attached of `objects` and counting what `me` has.
pub fn read_attachments(
    body: impl Read,
    objects: &[VolumeRef],
    me: ClientId,
) -> serde_json::Result<Reply<Listing>> {
    let also = None;
    read(body, ListingSeed { objects, also, me })
}

/// As [`read_attachments`], keeping also everything that the client `also` has.
pub fn read_attachments_of(
    body: impl Read,
    objects: &[VolumeRef],
    also: ClientId,
    me: ClientId,
) -> serde_json::Result<Reply<Listing>> {
    let also = Some(also);
    read(body, ListingSeed { objects, also, me })
}

/// Reads `Volume/…` or `Snapshot/…`: a list of exactly one.
pub fn read_description(body: impl Read) -> serde_json::Result<Reply<Description>> {
    #[derive(Deserialize)]
    struct Summary {
        name: String,
        #[serde(rename = "globalId")]
        global_id: Option<GlobalId>,
    }
    let reply = read(body, PhantomData::<[Summary; 1]>)?;
    Ok(reply.map(|[Summary { name, global_id }]| Description { name, global_id }))
}

/// Reads the clients' part of `ServicesList`.
pub fn read_clients(body: impl Read) -> serde_json::Result<Reply<Clients>> {
    #[derive(Deserialize)]
    struct Services {
        clients: std::collections::BTreeMap<String, Service>,
    }
    #[derive(Deserialize)]
    struct Service {
        status: String,
    }
    let reply = read(body, PhantomData::<Services>)?;
    let Ok(services) = reply else {
        return Ok(reply.map(|_| Clients::new()));
    };
    let mut clients = Clients::new();
    for (id, service) in services.clients {
        let id = id.parse().ok().and_then(ClientId::new);
        let id = id.ok_or_else(|| de::Error::custom("a client of ServicesList has no number"))?;
        let up = match service.status.as_str() {
            "running" => true,
            "down" => false,
            other => return Err(de::Error::custom(format_args!("client status {other:?}"))),
        };
        clients.insert(id, up);
    }
    Ok(Ok(clients))
}

/// Reads one whole reply: an object with `data` or `error`, and nothing behind it.
fn read<'de, S>(body: impl Read, seed: S) -> serde_json::Result<Reply<S::Value>>
where
    S: DeserializeSeed<'de>,
{
    let mut json = serde_json::Deserializer::from_reader(body);
    let reply = json.deserialize_map(Envelope(seed))?;
    json.end()?;
    Ok(reply)
}

/// `{"generation": …, "data": …}` or `{"error": {…}}`; an `error` wins over a `data`.
struct Envelope<S>(S);

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Envelope<S> {
    type Value = Reply<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"data\" or \"error\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct FaultBody {
            #[serde(default)]
            name: String,
            #[serde(default)]
            descr: String,
            #[serde(default)]
            transient: bool,
        }
        let mut seed = Some(self.0);
        let mut data = None;
        let mut fault = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "error" => {
                    let FaultBody {
                        name,
                        descr,
                        transient,
                    } = map.next_value()?;
                    fault = Some(Fault {
                        name,
                        descr,
                        transient,
                    });
                }
                "data" => {
                    let seed = seed.take().ok_or_else(|| de::Error::duplicate_field("data"))?;
                    data = Some(map.next_value_seed(seed)?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (fault, data) {
            (Some(fault), _) => Ok(Err(fault)),
            (None, Some(data)) => Ok(Ok(data)),
            (None, None) => Err(de::Error::missing_field("data")),
        }
    }
}

/// Reads the list line by line; only lines about `objects` or about the client `also` outlive their reading.
struct ListingSeed<'a> {
    objects: &'a [VolumeRef],
    also: Option<ClientId>,
    me: ClientId,
}

impl<'de> DeserializeSeed<'de> for ListingSeed<'_> {
    type Value = Listing;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listing, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListingSeed<'_> {
    type Value = Listing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of attachments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listing, A::Error> {
        let mut listing = Listing::default();
        while let Some(line) = seq.next_element::<AttachmentLine>()? {
            listing.mine += usize::from(line.client.0 == self.me);
            listing.lacks_ids |= line.global_id.is_none();
            let wanted = self.also == Some(line.client.0);
            if wanted || self.objects.iter().any(|object| line.is_about(object)) {
                listing
                    .attachments
                    .push(line.checked().map_err(de::Error::custom)?);
            }
        }
        Ok(listing)
    }
}

/// One line as it stands. The global id is checked only in lines that matter to us: what some other object of
/// the cluster is called must not keep a domain from starting.
#[derive(Deserialize)]
struct AttachmentLine {
    volume: String,
    snapshot: bool,
    client: ClientNumber,
    rights: Access,
    #[serde(rename = "globalId", default)]
    global_id: Option<String>,
}

impl AttachmentLine {
    fn is_about(&self, object: &VolumeRef) -> bool {
        match object {
            VolumeRef::Name(name) => self.volume == name.as_str(),
            VolumeRef::Id(id) => {
                self.global_id.as_deref() == Some(id.as_str())
                    || self.volume.strip_prefix('~') == Some(id.as_str())
            }
        }
    }

    fn checked(self) -> Result<Attachment, String> {
        Ok(Attachment {
            global_id: self.global_id.map(GlobalId::try_from).transpose()?,
            name: self.volume,
            snapshot: self.snapshot,
            client: self.client.0,
            rights: self.rights,
        })
    }
}

/// A client id, which some of StorPool's own tools write as a decimal string.
struct ClientNumber(ClientId);

impl<'de> Deserialize<'de> for ClientNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ClientNumber;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a client id, 1..4095")
            }
            fn visit_u64<E: de::Error>(self, id: u64) -> Result<ClientNumber, E> {
                let known = u16::try_from(id).ok().and_then(ClientId::new).map(ClientNumber);
                known.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(id), &self))
            }
            fn visit_str<E: de::Error>(self, id: &str) -> Result<ClientNumber, E> {
                let known = id.parse().ok().and_then(ClientId::new).map(ClientNumber);
                known.ok_or_else(|| E::invalid_value(de::Unexpected::Str(id), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests;
