// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A StorPool API that answers from bytes it made before it was asked, so that its own time is next to nothing, and
//! that counts what it is asked. `storpool-sim` is the one that behaves like StorPool.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::disks::{self, Links, OBJECTS, VOLUMES};

/// Requests answered side by side: more than any measurement has at once.
const WORKERS: usize = 32;

/// The running API.
#[derive(Debug)]
pub struct Api {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    links: Links,
    manner: Mutex<Manner>,
    log: Mutex<Vec<Vec<u8>>>,
}

/// How it answers.
#[derive(Debug, Clone)]
struct Manner {
    latency: Duration,
    list: Arc<[u8]>,
}

impl Api {
    /// Starts it on a free port of the loopback interface.
    pub fn start(links: Links) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("our address").port();
        let manner = Manner {
            latency: Duration::ZERO,
            list: list(0),
        };
        let shared = Arc::new(Shared {
            links,
            manner: Mutex::new(manner),
            log: Mutex::default(),
        });
        for _ in 0..WORKERS {
            let (listener, shared) = (listener.try_clone().expect("a descriptor"), Arc::clone(&shared));
            thread::spawn(move || serve(&listener, &shared));
        }
        Self { port, shared }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From here on every answer takes this long.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.manner.lock().expect("a whole manner").latency = latency;
    }

    /// From here on `AttachmentsList` has so many lines of others before ours. Its length in bytes.
    pub fn set_others(&self, lines: usize) -> usize {
        let list = list(lines);
        let length = list.len();
        self.shared.manner.lock().expect("a whole manner").list = list;
        length
    }

    /// The requests since the last call of this, as they came.
    pub fn take_log(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.shared.log.lock().expect("a whole log"))
    }

    /// Whether anything is attached.
    pub fn any_attached(&self) -> bool {
        self.shared.links.any()
    }

    /// Sends requests that were logged before, each on a connection of its own like the hook's, and reads the answers
    /// to their end: the time that the API and the loopback take, with a client that costs nothing.
    pub fn replay(&self, requests: &[Vec<u8>]) -> Duration {
        let began = Instant::now();
        let mut answer = vec![0; 64 << 10];
        for request in requests {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("our own API");
            stream.write_all(request).expect("our own API");
            while stream.read(&mut answer).expect("our own API") > 0 {}
        }
        began.elapsed()
    }
}

fn serve(listener: &TcpListener, shared: &Shared) {
    loop {
        let Ok((mut stream, _)) = listener.accept() else {
            continue;
        };
        let Ok(request) = read(&mut stream) else {
            continue;
        };
        let manner = shared.manner.lock().expect("a whole manner").clone();
        wait(manner.latency);
        let answer = answer(&request, shared, &manner);
        // Logged before it is answered: who counts afterwards finds it.
        shared.log.lock().expect("a whole log").push(request);
        // The hook may have gone.
        let _ = stream.write_all(&answer);
        let _ = stream.shutdown(Shutdown::Write);
    }
}

/// The simulated latency; a woken thread goes on waiting.
fn wait(time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// One request, head and body.
fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::with_capacity(8 << 10);
    let mut chunk = [0; 8 << 10];
    loop {
        if let Some(whole) = length(&request)
            && request.len() >= whole
        {
            return Ok(request);
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(&chunk[..count]);
    }
}

/// The length of the whole request, once its head is there.
fn length(request: &[u8]) -> Option<usize> {
    let head = request.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + body.map_or(0, |digits| digits.trim().parse().expect("a length")))
}

/// The whole answer.
fn answer(request: &[u8], shared: &Shared, manner: &Manner) -> Arc<[u8]> {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let call = line.split(' ').nth(1).unwrap_or_default();
    match call.strip_prefix("/ctrl/1.0/").unwrap_or_default() {
        "AttachmentsList" => Arc::clone(&manner.list),
        "VolumesReassignWait" => {
            let body = request
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .expect("a head")
                + 4;
            reassign(&request[body..], &shared.links);
            http("200 OK", r#"{"data":{"generation":7,"ok":true},"generation":7}"#)
        }
        other => match other.strip_prefix("Snapshot/").and_then(disks::number) {
            Some(number) if number >= VOLUMES => {
                let (name, id) = (disks::name(number), disks::global_id(number));
                http(
                    "200 OK",
                    &format!(r#"{{"data":[{{"name":"{name}","globalId":"{id}"}}]}}"#),
                )
            }
            _ => http(
                "404 Not Found",
                r#"{"error":{"name":"objectDoesNotExist","descr":"no such object"}}"#,
            ),
        },
    }
}

#[derive(Deserialize)]
struct Body {
    reassign: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "snapshot")]
    volume: String,
    #[serde(default)]
    detach: Vec<u16>,
}

fn reassign(body: &[u8], links: &Links) {
    let body: Body = serde_json::from_slice(body).expect("the hook's JSON");
    for item in body.reassign {
        let number = disks::number(&item.volume).expect("an object of the bench");
        if item.detach.is_empty() {
            links.appear(number);
        } else {
            links.vanish(number);
        }
    }
}

fn http(status: &str, body: &str) -> Arc<[u8]> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    text.into_bytes().into()
}

/// `AttachmentsList` with lines of others, then everything of the bench at client 1.
fn list(others: usize) -> Arc<[u8]> {
    let mut body = String::from("{\"data\":[");
    for other in 0..others {
        let (client, volume) = (2 + other % 200, other % 50_000);
        write!(
            body,
            r#"{{"client":{client},"globalId":"b.n.x{volume}","pos":{pos},"rights":"rw","snapshot":false,"volume":"vm-{volume}-disk-{disk}","volumeId":{other}}},"#,
            pos = other % 1024,
            disk = other % 4,
        )
        .expect("text");
    }
    for number in 0..OBJECTS {
        let (name, id) = (disks::name(number), disks::global_id(number));
        let snapshot = number >= VOLUMES;
        let rights = if snapshot { "ro" } else { "rw" };
        let comma = if number == 0 { "" } else { "," };
        write!(
            body,
            r#"{comma}{{"client":1,"globalId":"{id}","pos":{number},"rights":"{rights}","snapshot":{snapshot},"volume":"{name}","volumeId":{number}}}"#,
        )
        .expect("text");
    }
    body.push_str("],\"generation\":7}");
    http("200 OK", &body)
}
