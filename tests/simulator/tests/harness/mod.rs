// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A simulator as a test has it: the real binary, a state folder of its own, two hosts.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Nothing here takes that long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

/// A simulator that runs. Ends with the test, and takes its loop devices with it.
pub struct Sim {
    child: Child,
    address: String,
    pub dir: tempfile::TempDir,
}

/// Waits until `condition` holds; fails the test if it never does.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn launch(dir: &Path, options: &[&str]) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storpool-sim"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--state"])
        .arg(dir.join("state"));
    let mut child = command.args(options).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("ready http://")
        .expect("the simulator is ready")
        .to_owned();
    (child, address)
}

impl Sim {
    /// Clients 1 and 2 with a device root, client 3 without.
    pub fn start(options: &[&str]) -> Self {
        assert_eq!(
            fs::metadata("/proc/self").unwrap().uid(),
            0,
            "these tests need root, for loop devices"
        );
        let dir = tempfile::Builder::new()
            .prefix("storpool-sim-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let mut all = Vec::new();
        for host in ["1", "2"] {
            let root = dir.path().join(host);
            fs::create_dir(&root).unwrap();
            all.push(format!("--client={host}={}", root.display()));
        }
        all.push("--client=3".to_owned());
        let all: Vec<&str> = all
            .iter()
            .map(String::as_str)
            .chain(options.iter().copied())
            .collect();
        let (child, address) = launch(dir.path(), &all);
        Self { child, address, dir }
    }

    /// Ends it with `signal` and starts it again on the same state.
    pub fn restart(&mut self, signal: &str, between: impl FnOnce(&Self)) {
        self.end(signal);
        between(self);
        (self.child, self.address) = launch(self.dir.path(), &[]);
    }

    fn end(&mut self, signal: &str) {
        let pid = self.child.id().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends bytes; what comes back until the connection ends, and whether it ended well.
    pub fn raw(&self, request: &str) -> (Vec<u8>, std::io::Result<()>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = Vec::new();
        let end = stream.read_to_end(&mut reply).map(drop);
        (reply, end)
    }

    /// Status and body of an exchange.
    pub fn exchange(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.0\r\nAuthorization: Storpool v1:t\r\nContent-Length: {length}\r\n\r\n"
        );
        let (reply, end) = self.raw(&(head + body));
        end.unwrap();
        let reply = String::from_utf8(reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A call of the API: `data`, or name and text of the error.
    pub fn api(&self, method: &str, call: &str, body: Value) -> Result<Value, (String, String)> {
        self.json(method, &format!("/ctrl/1.0/{call}"), body)
    }

    /// A call of the control plane.
    pub fn control(&self, method: &str, call: &str, body: Value) -> Value {
        self.json(method, &format!("/sim/1.0/{call}"), body).unwrap()
    }

    fn json(&self, method: &str, target: &str, body: Value) -> Result<Value, (String, String)> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (_, reply) = self.exchange(method, target, &body);
        let mut reply: Value = serde_json::from_str(&reply).unwrap();
        match reply.get("error") {
            Some(e) => Err((
                e["name"].as_str().unwrap().to_owned(),
                e["descr"].as_str().unwrap().to_owned(),
            )),
            None => Ok(reply["data"].take()),
        }
    }

    /// Makes a volume of 1 MiB; its global id.
    pub fn volume(&self, name: &str) -> String {
        let made = self
            .api("POST", "VolumeCreate", json!({"name": name, "size": 1 << 20}))
            .unwrap();
        made["globalId"].as_str().unwrap().to_owned()
    }

    /// `VolumesReassignWait` with one item.
    pub fn reassign(&self, item: Value) -> Result<Value, (String, String)> {
        self.api(
            "POST",
            "VolumesReassignWait",
            json!({"reassign": [item], "attachTimeout": 5}),
        )
    }

    pub fn fault(&self, call: &str, fault: Value) {
        self.control("POST", "fault", json!({"call": call, "count": 1, "fault": fault}));
    }

    /// A path in a client's `/dev`.
    pub fn dev(&self, client: u16, path: &str) -> PathBuf {
        self.dir.path().join(client.to_string()).join(path)
    }

    /// Loop devices with a file of this simulator.
    pub fn loops(&self) -> usize {
        let state = self.dir.path().to_str().unwrap();
        let names = fs::read_dir("/sys/block")
            .unwrap()
            .map(|e| e.unwrap().path().join("loop/backing_file"));
        names
            .filter_map(|f| fs::read_to_string(f).ok())
            .filter(|f| f.starts_with(state))
            .count()
    }

    /// Nodes and links of a client.
    pub fn entries(&self, client: u16) -> Vec<String> {
        let mut found = Vec::new();
        for folder in ["", "storpool", "storpool-byid"] {
            for entry in fs::read_dir(self.dev(client, folder)).into_iter().flatten() {
                let entry = entry.unwrap();
                if !entry.file_type().unwrap().is_dir() {
                    found.push(entry.file_name().into_string().unwrap());
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.end("-TERM");
        let left = self.loops();
        assert!(left == 0 || std::thread::panicking(), "{left} loop devices left");
    }
}

/// Size of the block device at `path`, if there is one.
pub fn device_size(path: &Path) -> Option<u64> {
    let meta = fs::metadata(path)
        .ok()
        .filter(|m| m.file_type().is_block_device())?;
    let (major, minor) = (meta.rdev() >> 8, meta.rdev() & 0xff);
    let sectors = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/size")).ok()?;
    Some(sectors.trim().parse::<u64>().unwrap() * 512)
}

/// Whether the kernel takes the device for read-only.
pub fn read_only(path: &Path) -> bool {
    let rdev = fs::metadata(path).unwrap().rdev();
    let flag = fs::read_to_string(format!("/sys/dev/block/{}:{}/ro", rdev >> 8, rdev & 0xff)).unwrap();
    flag.trim() == "1"
}
