// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The simulator as a test sees it: StorPool's own API for what an administrator does, the control calls for what
//! only a simulator can do.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Guest, wait};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Client through which the rig writes boot sectors; its devices lie in the cluster's folder.
const LOADER: u16 = 4000;

/// A running `storpool-sim`.
#[derive(Debug, Clone)]
pub struct Simulator {
    program: String,
    url: String,
    token: String,
    loader: PathBuf,
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

impl Simulator {
    /// The simulator that serves `url`, made ready for [`Simulator::volume`].
    pub(crate) fn new(program: &str, url: &str, token: &str, loader: PathBuf) -> Self {
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .expect("an HTTP client");
        std::fs::create_dir_all(&loader).expect("a folder for devices");
        let this = Self {
            program: program.to_owned(),
            url: url.to_owned(),
            token: token.to_owned(),
            loader,
            http,
        };
        this.add_client(LOADER, &this.loader);
        this
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

    /// Command that prints the requests it has served.
    pub(crate) fn requests_command(&self) -> Vec<String> {
        [&self.program, "--server", &self.url, "requests"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Sends one request; the reply's status and JSON.
    fn send(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        wait::doing(&format!("simulator: {path}"));
        let url = format!("{}{path}", self.url);
        let request = match body {
            Some(body) => self.http.post(url).body(body.to_string()),
            None => self.http.get(url),
        };
        let request = request.header("Authorization", format!("Storpool v1:{}", self.token));
        let reply = request.send().map_err(|e| format!("{path}: {e}"))?;
        let (status, text) = (reply.status(), reply.text().map_err(|e| format!("{path}: {e}"))?);
        serde_json::from_str(&text).map_err(|e| format!("{path}: {status}: {e}: {text}"))
    }

    /// One call of StorPool's API, POST with a body and GET without; the `data`, or `name: descr` of the error.
    pub fn try_api(&self, call: &str, body: Option<&Value>) -> Result<Value, String> {
        let reply = self.send(&format!("/ctrl/1.0/{call}"), body)?;
        match reply.get("error") {
            Some(error) => Err(format!("{}: {}", error["name"], error["descr"])),
            None => Ok(reply["data"].clone()),
        }
    }

    /// As [`Simulator::try_api`], for a call that must succeed.
    #[track_caller]
    #[allow(clippy::must_use_candidate)] // mostly called for its effect
    pub fn api(&self, call: &str, body: Option<&Value>) -> Value {
        self.try_api(call, body)
            .unwrap_or_else(|e| panic!("{call} {body:?}: {e}"))
    }

    /// Makes a volume of `mib` MiB with a guest on it.
    #[track_caller]
    pub fn volume(&self, name: &str, mib: u64, guest: Guest) {
        self.api(
            "VolumeCreate",
            Some(&json!({"name": name, "size": mib << 20, "replication": 1})),
        );
        if let Some(sector) = guest.boot_sector() {
            self.attach(name, LOADER, "rw");
            let device = self.loader.join("storpool").join(name);
            let written = File::options().write(true).open(&device).and_then(|device| {
                device.write_all_at(&sector, 0)?;
                device.sync_all()
            });
            written.unwrap_or_else(|e| panic!("boot sector of {name}, {}: {e}", device.display()));
            self.detach(name, LOADER);
        }
    }

    /// Makes a snapshot of a volume.
    #[track_caller]
    pub fn snapshot(&self, volume: &str, name: &str) {
        self.api(&format!("VolumeSnapshot/{volume}"), Some(&json!({"name": name})));
    }

    /// Global id of a volume, without `~`.
    #[track_caller]
    #[must_use]
    pub fn global_id(&self, volume: &str) -> String {
        let found = self.api(&format!("Volume/{volume}"), None);
        found[0]["globalId"].as_str().expect("a global id").to_owned()
    }

    /// Gives a volume another name.
    #[track_caller]
    pub fn rename(&self, volume: &str, name: &str) {
        self.api(&format!("VolumeUpdate/{volume}"), Some(&json!({"rename": name})));
    }

    /// Attaches a volume by hand: `rights` is `ro` or `rw`.
    #[track_caller]
    pub fn attach(&self, volume: &str, client: u16, rights: &str) {
        self.reassign(&json!({"volume": volume, rights: [client]}));
    }

    /// Detaches a volume by hand.
    #[track_caller]
    pub fn detach(&self, volume: &str, client: u16) {
        self.reassign(&json!({"volume": volume, "detach": [client]}));
    }

    /// One change of attachments.
    #[track_caller]
    fn reassign(&self, item: &Value) {
        self.api(
            "VolumesReassignWait",
            Some(&json!({"reassign": [item], "attachTimeout": 10})),
        );
    }

    /// All attachments, sorted by volume.
    #[track_caller]
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        let list = self.api("AttachmentsList", None);
        let mut list: Vec<Attachment> = serde_json::from_value(list).expect("AttachmentsList");
        list.sort();
        list
    }

    /// One control call: POST with a body, GET without.
    #[track_caller]
    #[allow(clippy::must_use_candidate)] // mostly called for its effect
    pub fn control(&self, path: &str, body: Option<&Value>) -> Value {
        self.send(&format!("/sim/1.0/{path}"), body)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// Registers a client whose `/dev` is `root`.
    #[track_caller]
    pub fn add_client(&self, client: u16, root: &Path) {
        self.control("clients", Some(&json!({"id": client, "root": root})));
    }
}
