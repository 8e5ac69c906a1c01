// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The simulator as a test sees it: what an administrator does, what goes wrong, what was asked.
//!
//! All calls go through the simulator's control plane, StorPool's own calls too: there they need no token, meet no
//! fault and do not stand in the log of requests, which so tells what the product did and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Guest, wait};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running `storpool-sim`.
#[derive(Debug, Clone)]
pub struct Simulator {
    url: String,
    token: String,
    /// Where it keeps the content of volumes.
    volumes: PathBuf,
    http: reqwest::blocking::Client,
}

/// One line of StorPool's `AttachmentsList`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Attachment {
    /// Name of the volume or snapshot, or `~` and its global id.
    pub volume: String,
    /// The client it is attached to.
    pub client: u16,
    /// `ro` or `rw`.
    pub rights: String,
    /// Whether it is a snapshot.
    pub snapshot: bool,
}

/// One request that the simulator has served.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// Number, counted from 1.
    pub seq: u64,
    /// HTTP method.
    pub method: String,
    /// Name of the call, such as `AttachmentsList`.
    pub call: String,
    /// Path as sent.
    pub target: String,
    /// Body as sent.
    pub body: String,
    /// HTTP status of the reply; 0 when none was sent.
    pub status: u16,
    /// Name of the error in the reply.
    pub error: Option<String>,
}

impl Simulator {
    /// The simulator that serves `url` and keeps its state in `state`.
    pub(crate) fn new(url: &str, token: &str, state: &Path) -> Self {
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .expect("an HTTP client");
        let volumes = state.join("volumes");
        Self {
            url: url.to_owned(),
            token: token.to_owned(),
            volumes,
            http,
        }
    }

    /// Token of its API.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its address, `http://ADDRESS:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One control call, POST with a body and GET without: the reply's `data`, or `name: descr` of its error.
    pub fn try_control(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        wait::doing(&format!("simulator: {path}"));
        let url = format!("{}/sim/1.0/{path}", self.url);
        let request = match body {
            Some(body) => self.http.post(url).body(body.to_string()),
            None => self.http.get(url),
        };
        let text = request
            .send()
            .and_then(reqwest::blocking::Response::text)
            .map_err(|e| e.to_string())?;
        let reply: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        match reply.get("error") {
            Some(error) => Err(format!("{}: {}", error["name"], error["descr"])),
            None => Ok(reply["data"].clone()),
        }
    }

    /// As [`Simulator::try_control`], for a call that must succeed.
    #[track_caller]
    #[allow(clippy::must_use_candidate)] // mostly called for its effect
    pub fn control(&self, path: &str, body: Option<&Value>) -> Value {
        self.try_control(path, body)
            .unwrap_or_else(|e| panic!("simulator: {path} {body:?}: {e}"))
    }

    /// A control call for its effect.
    #[track_caller]
    fn tell(&self, path: &str, body: &Value) {
        self.control(path, Some(body));
    }

    /// Makes a volume of `mib` MiB with a guest on it.
    #[track_caller]
    pub fn volume(&self, name: &str, mib: u64, guest: Guest) {
        self.tell("api/VolumeCreate", &json!({"name": name, "size": mib << 20}));
        if let Some(sector) = guest.boot_sector() {
            // Nothing has it open before the first attachment.
            let file = self.file(name);
            let written = File::options().write(true).open(&file).and_then(|file| {
                file.write_all_at(&sector, 0)?;
                file.sync_all()
            });
            written.unwrap_or_else(|e| panic!("boot sector of {name}, {}: {e}", file.display()));
        }
    }

    /// The file behind a volume.
    #[track_caller]
    #[must_use]
    pub fn file(&self, volume: &str) -> PathBuf {
        let id = &self.describe(volume)["id"];
        self.volumes.join(format!("{id}.img"))
    }

    /// Record of a volume.
    #[track_caller]
    fn describe(&self, volume: &str) -> Value {
        self.control(&format!("api/Volume/{volume}"), None)[0].clone()
    }

    /// Global id of a volume, without `~`.
    #[track_caller]
    #[must_use]
    pub fn global_id(&self, volume: &str) -> String {
        self.describe(volume)["globalId"]
            .as_str()
            .expect("a global id")
            .to_owned()
    }

    /// Makes a snapshot of a volume; its global id.
    #[track_caller]
    #[allow(clippy::must_use_candidate)] // mostly called for its effect
    pub fn snapshot(&self, volume: &str, name: &str) -> String {
        let made = self.control("snapshot", Some(&json!({"volume": volume, "name": name})));
        made["globalId"].as_str().expect("a global id").to_owned()
    }

    /// Gives a volume another name.
    #[track_caller]
    pub fn rename(&self, volume: &str, name: &str) {
        self.tell(&format!("api/VolumeUpdate/{volume}"), &json!({"rename": name}));
    }

    /// Attaches a volume by hand: `rights` is `ro` or `rw`.
    #[track_caller]
    pub fn attach(&self, volume: &str, client: u16, rights: &str) {
        self.reassign(&json!({"volume": volume, rights: [client]}));
    }

    /// Detaches a volume by hand; it must not be open.
    #[track_caller]
    pub fn detach(&self, volume: &str, client: u16) {
        self.reassign(&json!({"volume": volume, "detach": [client]}));
    }

    /// One change of attachments.
    #[track_caller]
    fn reassign(&self, item: &Value) {
        self.tell(
            "api/VolumesReassignWait",
            &json!({"reassign": [item], "attachTimeout": 10}),
        );
    }

    /// All attachments, sorted by volume.
    #[track_caller]
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        let mut list: Vec<Attachment> = self.read("api/AttachmentsList");
        list.sort();
        list
    }

    /// A list that the simulator keeps.
    #[track_caller]
    fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        serde_json::from_value(self.control(path, None)).unwrap_or_else(|e| panic!("simulator: {path}: {e}"))
    }

    /// Registers a client whose `/dev` is `root`; its service is up.
    #[track_caller]
    pub fn add_client(&self, client: u16, root: &Path) {
        self.tell("client", &json!({"id": client, "root": root, "up": true}));
    }

    /// A host has lost power: its service is down and its devices are gone; what was attached stays attached.
    pub(crate) fn lost_client(&self, client: u16) -> Result<Value, String> {
        self.try_control("client", Some(&json!({"id": client, "root": "", "up": false})))
    }

    /// Starts or stops `storpool_block` on a client. Devices stay when it stops.
    #[track_caller]
    pub fn client_up(&self, client: u16, up: bool) {
        self.tell("client", &json!({"id": client, "up": up}));
    }

    /// The next `count` calls of `call` (`*`: of any) go wrong: `fault` is a kind without parameters, such as
    /// `transient`, `reset-after`, `hang-before`.
    #[track_caller]
    pub fn fault(&self, call: &str, fault: &str, count: u64) {
        self.fault_with(call, &json!({"kind": fault}), count);
    }

    /// As [`Simulator::fault`], with parameters: `{"kind": "late-device", "ms": 500}`.
    #[track_caller]
    pub fn fault_with(&self, call: &str, fault: &Value, count: u64) {
        self.tell("fault", &json!({"call": call, "count": count, "fault": fault}));
    }

    /// Every call of `call` meets `fault` from now on.
    #[track_caller]
    pub fn fault_forever(&self, call: &str, fault: &Value) {
        self.tell("fault", &json!({"call": call, "fault": fault}));
    }

    /// Takes all faults back; what hangs goes on.
    #[track_caller]
    pub fn clear_faults(&self) {
        self.tell("fault/clear", &json!({}));
    }

    /// Answers one of the open questions about the real server.
    #[track_caller]
    pub fn switch(&self, name: &str, value: &str) {
        self.tell("switch", &json!({"name": name, "value": value}));
    }

    /// Delays every reply of the API.
    #[track_caller]
    pub fn latency(&self, milliseconds: u32) {
        self.tell("latency", &json!({"value": milliseconds}));
    }

    /// What the product has asked since the last [`Simulator::forget_requests`].
    #[track_caller]
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.read("requests")
    }

    /// Forgets all requests so far.
    #[track_caller]
    pub fn forget_requests(&self) {
        self.tell("requests/reset", &json!({}));
    }

    /// Times in which one volume was open for writing on several clients.
    #[track_caller]
    #[must_use]
    pub fn monitor(&self) -> Vec<Value> {
        self.read("monitor")
    }

    /// Forgets them: what was seen so far was meant to be.
    #[track_caller]
    pub fn forget_monitor(&self) {
        self.tell("monitor/reset", &json!({}));
    }

    /// Who has which volume open at which client now.
    #[track_caller]
    #[must_use]
    pub fn openers(&self) -> Vec<Value> {
        self.read("openers")
    }
}
