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
    read(body, ListingSeed { objects, me })
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

/// Reads the list line by line; only lines about `objects` outlive their reading.
struct ListingSeed<'a> {
    objects: &'a [VolumeRef],
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
            if self.objects.iter().any(|object| line.is_about(object)) {
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
mod tests {
    use super::super::Object;
    use super::*;
    use crate::volume::VolumeName;

    fn client(id: u16) -> ClientId {
        ClientId::new(id).unwrap()
    }

    fn by_name(name: &str) -> VolumeRef {
        VolumeRef::Name(VolumeName::parse(name).unwrap())
    }

    fn item(volume: VolumeRef, snapshot: bool, attach: Option<(ClientId, Access)>) -> Reassign {
        Reassign {
            object: Object { volume, snapshot },
            attach,
            detach: vec![],
            force: false,
        }
    }

    #[test]
    fn items_say_what_applies_and_nothing_else() {
        let items = [
            item(by_name("root"), false, Some((client(5), Access::Rw))),
            item(
                VolumeRef::Id(GlobalId::parse("d.n.1").unwrap()),
                true,
                Some((client(5), Access::Ro)),
            ),
            Reassign {
                detach: vec![client(7)],
                force: true,
                ..item(by_name("x"), false, None)
            },
        ];
        let body = String::from_utf8(reassign_body(&items, 0).unwrap()).unwrap();
        let expected = concat!(
            r#"{"reassign":[{"volume":"root","rw":[5]},{"snapshot":"~d.n.1","ro":[5]},"#,
            r#"{"volume":"x","detach":[7],"force":true}],"attachTimeout":1}"#
        );
        assert_eq!(body, expected, "and never a timeout of 0");
    }

    #[test]
    fn a_list_keeps_what_was_asked_for() {
        let body = br#"{"data":[
            {"volume":"root","snapshot":false,"client":5,"rights":"rw","pos":0,"globalId":"d.n.1"},
            {"volume":"snap@x","snapshot":true,"client":"7","rights":"ro","pos":3,"globalId":"d.n.2","new":{"a":[1]}},
            {"volume":"~d.n.3","snapshot":false,"client":5,"rights":"ro","pos":1},
            {"volume":"other","snapshot":false,"client":5,"rights":"rw","pos":2,"globalId":"d.n.4"}
        ],"generation":3}"#;
        let objects = [
            by_name("root"),
            VolumeRef::Id(GlobalId::parse("d.n.2").unwrap()),
            VolumeRef::Id(GlobalId::parse("d.n.3").unwrap()),
        ];
        let listing = read_attachments(&body[..], &objects, client(5)).unwrap().unwrap();
        let seen: Vec<_> = listing
            .attachments
            .iter()
            .map(|a| (a.name.as_str(), u16::from(a.client), a.rights))
            .collect();
        assert_eq!(
            seen,
            [
                ("root", 5, Access::Rw),
                ("snap@x", 7, Access::Ro),
                ("~d.n.3", 5, Access::Ro)
            ]
        );
        assert_eq!(listing.mine, 3);
    }

    #[test]
    fn what_is_not_a_list_of_attachments_is_an_error_and_never_empty() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "{\"data\":{}}",
            "{\"data\":null}",
            "{\"data\":\"\"}",
            "{\"data\":[{}]}",
            "{\"data\":[]} x",
            "{\"data\":[]",
            "{\"data\":[],\"data\":[]}",
            "<html>",
            "{\"generation\":1}",
            r#"{"data":[{"volume":"a","snapshot":false,"client":0,"rights":"rw"}]}"#,
            r#"{"data":[{"volume":"a","snapshot":false,"client":1,"rights":"rwx"}]}"#,
            r#"{"data":[{"volume":null,"snapshot":false,"client":1,"rights":"rw"}]}"#,
            r#"{"data":[{"volume":"a","snapshot":0,"client":1,"rights":"rw"}]}"#,
            r#"{"data":[{"volume":"a","snapshot":false,"client":1,"rights":"rw","globalId":"x"}]}"#,
            r#"{"data":[{"volume":"a","snapshot":false,"client":1,"rights":"rw","globalId":4}]}"#,
        ] {
            assert!(
                read_attachments(body.as_bytes(), &[by_name("a")], client(1)).is_err(),
                "{body}"
            );
        }
        assert_eq!(
            read_attachments(&b"{\"data\":[]}"[..], &[], client(1))
                .unwrap()
                .unwrap(),
            Listing::default()
        );
    }

    #[test]
    fn an_error_member_is_a_fault_whatever_else_is_there() {
        let body = br#"{"data":{"ok":true},"error":{"name":"busy","descr":"'a' is open at client 3","transient":true}}"#;
        let fault = read_ok(&body[..]).unwrap().unwrap_err();
        assert!(fault.is_open() && fault.transient);
        let bare = read_ok(&b"{\"error\":{}}"[..]).unwrap().unwrap_err();
        assert_eq!(
            bare,
            Fault {
                name: String::new(),
                descr: String::new(),
                transient: false
            }
        );
        assert!(read_ok(&b"{\"data\":{\"ok\":false}}"[..]).is_err());
        assert!(read_ok(&b"{\"data\":{}}"[..]).is_err());
        assert!(
            read_ok(&b"{\"data\":{\"ok\":true,\"generation\":4}}"[..])
                .unwrap()
                .is_ok()
        );
    }

    #[test]
    fn descriptions_and_clients() {
        let one = br#"{"data":[{"name":"a","globalId":"d.n.1","size":512}]}"#;
        assert_eq!(
            read_description(&one[..]).unwrap().unwrap().global_id,
            GlobalId::parse("d.n.1")
        );
        assert!(read_description(&b"{\"data\":[]}"[..]).is_err());
        let body = br#"{"data":{"clusterStatus":"running","clients":{"1":{"id":1,"status":"running"},"2":{"status":"down"}}}}"#;
        let clients = read_clients(&body[..]).unwrap().unwrap();
        assert_eq!(
            clients.into_iter().collect::<Vec<_>>(),
            [(client(1), true), (client(2), false)]
        );
        assert!(read_clients(&b"{\"data\":{\"clients\":{\"x\":{\"status\":\"down\"}}}}"[..]).is_err());
        assert!(read_clients(&b"{\"data\":{\"clients\":{\"1\":{\"status\":\"booting\"}}}}"[..]).is_err());
    }

    #[test]
    fn old_servers_call_open_volumes_invalid() {
        let fault = |name: &str, descr: &str| Fault {
            name: name.into(),
            descr: descr.into(),
            transient: false,
        };
        assert!(fault("invalidParam", "'v' is open at client 2").is_open());
        assert!(fault("busy", "").is_open());
        assert!(!fault("invalidParam", "No such client registered").is_open());
        assert!(fault("invalidParam", "No such client registered").is_unknown_client());
    }
}
