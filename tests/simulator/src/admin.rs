// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The subcommands that talk to a running simulator.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Map, Value, json};

use crate::cli::{Admin, ClientVerb, FaultVerb, SnapshotVerb, SwitchVerb, VolumeVerb};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A running simulator.
struct Server<'a>(&'a str);

impl Server<'_> {
    /// One exchange; the `data` of the reply.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        let address = self
            .0
            .strip_prefix("http://")
            .unwrap_or(self.0)
            .trim_end_matches('/');
        let mut stream =
            TcpStream::connect(address).map_err(|e| format!("no simulator at {address}: {e}"))?;
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        write!(
            stream,
            "{method} /sim/1.0/{path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (_, body) = reply
            .split_once("\r\n\r\n")
            .ok_or("the simulator closed without a reply")?;
        let mut reply: Value = serde_json::from_str(body)?;
        if let Some(error) = reply.get("error") {
            let text = |key: &str| {
                error
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            return Err(format!("{}: {}", text("name"), text("descr")).into());
        }
        Ok(reply.get_mut("data").map(Value::take).unwrap_or_default())
    }

    fn get(&self, path: &str) -> Outcome<Value> {
        self.ask("GET", path, &Value::Null)
    }

    fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.ask("POST", path, body)
    }

    fn client(&self, id: u16, mut what: Value) -> Outcome<()> {
        if let Some(map) = what.as_object_mut() {
            map.insert("id".into(), id.into());
        }
        self.post("client", &what).map(drop)
    }
}

/// Runs one subcommand.
pub fn run(server: &str, command: &Admin) -> Outcome<()> {
    let server = Server(server);
    match command {
        Admin::Volume(verb) => volume(&server, verb),
        Admin::Snapshot(verb) => snapshot(&server, verb),
        Admin::Attach {
            object,
            rw,
            ro,
            snapshot,
            timeout,
        } => {
            let mut item = json!({kind(*snapshot): object, "ro": ro});
            let mut body = Map::new();
            if let Some(map) = item.as_object_mut().filter(|_| !rw.is_empty()) {
                map.insert("rw".into(), json!(rw));
            }
            body.insert("reassign".into(), json!([item]));
            if let Some(seconds) = timeout {
                body.insert("attachTimeout".into(), json!(seconds));
            }
            server.post("api/VolumesReassignWait", &body.into()).map(drop)
        }
        Admin::Detach {
            object,
            client,
            force,
            snapshot,
        } => {
            let at = if client.is_empty() {
                json!("all")
            } else {
                json!(client)
            };
            let item = json!({kind(*snapshot): object, "detach": at, "force": force});
            server.post("api/VolumesReassignWait", &json!([item])).map(drop)
        }
        Admin::Attachments => {
            let list = server.get("api/AttachmentsList")?;
            rows(&list, &["client", "pos", "rights", "globalId", "volume"])
        }
        Admin::Client(verb) => match verb {
            ClientVerb::Add { id, root } => {
                let up = json!({"up": true});
                server.client(
                    *id,
                    root.as_ref().map_or(up, |root| json!({"root": root, "up": true})),
                )
            }
            ClientVerb::Up { id } => server.client(*id, json!({"up": true})),
            ClientVerb::Down { id } => server.client(*id, json!({"up": false})),
            ClientVerb::Root { id, root } => {
                server.client(*id, json!({"root": root.clone().unwrap_or_default()}))
            }
            ClientVerb::Lag { id, ms } => server.client(*id, json!({"lag_ms": ms})),
            ClientVerb::Remove { id } => server.client(*id, json!({"remove": true})),
        },
        Admin::Fault(verb) => fault(&server, verb),
        Admin::Switch(SwitchVerb::Set { pair }) => {
            let (name, value) = pair.split_once('=').ok_or("NAME=VALUE is needed")?;
            server
                .post("switch", &json!({"name": name, "value": value}))
                .map(drop)
        }
        Admin::Switch(SwitchVerb::List) => show(&server.get("switches")?),
        Admin::Requests { reset: true, .. } => server.post("requests/reset", &Value::Null).map(drop),
        Admin::Requests { since, .. } => show(&server.get(&format!("requests?since={since}"))?),
        Admin::Monitor { reset: true } => server.post("monitor/reset", &Value::Null).map(drop),
        Admin::Monitor { .. } => show(&server.get("monitor")?),
        Admin::Openers => show(&server.get("openers")?),
        Admin::State => show(&server.get("state")?),
        Admin::Latency { ms } => server.post("latency", &json!({"value": ms})).map(drop),
        Admin::FillAttachments { count } => server.post("fill", &json!({"value": count})).map(drop),
        Admin::Call { method, path, body } => {
            let body = body
                .as_deref()
                .map(serde_json::from_str)
                .transpose()?
                .unwrap_or(Value::Null);
            show(&server.ask(method, &format!("api/{path}"), &body)?)
        }
    }
}

fn kind(snapshot: bool) -> &'static str {
    if snapshot { "snapshot" } else { "volume" }
}

fn volume(server: &Server, verb: &VolumeVerb) -> Outcome<()> {
    match verb {
        VolumeVerb::Create { name, size, tag } => {
            let mut body = Map::new();
            if let Some(name) = name {
                body.insert("name".into(), name.clone().into());
            }
            body.insert("size".into(), (*size).into());
            let tags: Outcome<Map<String, Value>> = tag
                .iter()
                .map(|pair| {
                    let (name, value) = pair.split_once('=').ok_or("a tag is NAME=VALUE")?;
                    Ok((name.to_owned(), value.into()))
                })
                .collect();
            body.insert("tags".into(), tags?.into());
            print_id(&server.post("api/VolumeCreate", &body.into())?, "globalId")
        }
        VolumeVerb::List => rows(&server.get("api/VolumesList")?, &["globalId", "size", "name"]),
        VolumeVerb::Resize { volume, size } => {
            let body = json!({"size": size, "shrinkOk": true});
            server
                .post(&format!("api/VolumeUpdate/{volume}"), &body)
                .map(drop)
        }
        VolumeVerb::Rename { volume, name } => server
            .post(&format!("api/VolumeUpdate/{volume}"), &json!({"rename": name}))
            .map(drop),
        VolumeVerb::Delete { volume, force } => {
            let body = if *force {
                json!({"onAttached": "detachForce"})
            } else {
                json!({})
            };
            server
                .post(&format!("api/VolumeDelete/{volume}"), &body)
                .map(drop)
        }
    }
}

fn snapshot(server: &Server, verb: &SnapshotVerb) -> Outcome<()> {
    match verb {
        SnapshotVerb::Create {
            volume,
            name,
            transient,
            deleted,
        } => {
            let body = json!({"volume": volume, "name": name, "transient": transient, "deleted": deleted});
            print_id(&server.post("snapshot", &body)?, "globalId")
        }
        SnapshotVerb::List => rows(&server.get("api/SnapshotsList")?, &["globalId", "size", "name"]),
        SnapshotVerb::Delete { snapshot } => server
            .post(&format!("api/SnapshotDelete/{snapshot}"), &Value::Null)
            .map(drop),
    }
}

fn fault(server: &Server, verb: &FaultVerb) -> Outcome<()> {
    match verb {
        FaultVerb::Set {
            call,
            kind,
            count,
            forever,
            skip,
            parameter,
        } => {
            let mut what = Map::new();
            what.insert("kind".into(), kind.clone().into());
            for pair in parameter {
                let (name, value) = pair.split_once('=').ok_or("a parameter is NAME=VALUE")?;
                let numeric = matches!(
                    name,
                    "ms" | "mb" | "status" | "before" | "after" | "seed" | "client"
                );
                let value = if numeric {
                    value.parse::<u64>()?.into()
                } else {
                    Value::from(value)
                };
                what.insert(name.to_owned(), value);
            }
            let mut body = json!({"call": call, "skip": skip, "fault": what});
            if let Some(map) = body.as_object_mut().filter(|_| !forever) {
                map.insert("count".into(), (*count).into());
            }
            print_id(&server.post("fault", &body)?, "id")
        }
        FaultVerb::List => show(&server.get("faults")?),
        FaultVerb::Clear { id } => {
            let body = id.map_or_else(|| json!({}), |id| json!({"id": id}));
            server.post("fault/clear", &body).map(drop)
        }
        FaultVerb::Release => server.post("fault/release", &Value::Null).map(drop),
    }
}

fn print_id(data: &Value, key: &str) -> Outcome<()> {
    let value = data.get(key).unwrap_or(&Value::Null);
    Ok(writeln!(std::io::stdout(), "{}", plain(value))?)
}

fn show(value: &Value) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "{value:#}")?)
}

/// One line per item, with these members.
fn rows(list: &Value, columns: &[&str]) -> Outcome<()> {
    let mut text = String::new();
    for item in list.as_array().into_iter().flatten() {
        let cells: Vec<String> = columns
            .iter()
            .map(|c| item.get(c).map_or_else(|| "-".to_owned(), plain))
            .collect();
        text.push_str(&cells.join(" "));
        text.push('\n');
    }
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
