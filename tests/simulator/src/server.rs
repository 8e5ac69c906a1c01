// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Connections: one thread each, one request each. Here the scripted faults strike.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api::{self, Data};
use crate::cluster::ApiError;
use crate::cluster::snapshots::Now;
use crate::control;
use crate::faults::Kind;
use crate::http::request::Request;
use crate::http::response::{Reply, reset};
use crate::request_log::Entry;
use crate::sim::Sim;

/// Longest wait for a peer that sends nothing or reads nothing.
const PEER_PATIENCE: Duration = Duration::from_mins(2);

/// Accepts connections for ever.
pub fn accept(listener: &TcpListener, sim: &Arc<Sim>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let sim = Arc::clone(sim);
                thread::spawn(move || {
                    if let Err(error) = serve(stream, &sim) {
                        crate::say(&format!("connection: {error}"));
                    }
                });
            }
            Err(error) => {
                crate::say(&format!("accept: {error}"));
                // Out of descriptors, most likely: let some connections end first.
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn serve(mut stream: TcpStream, sim: &Arc<Sim>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PEER_PATIENCE))?;
    stream.set_write_timeout(Some(PEER_PATIENCE))?;
    let request = match Request::read(&mut stream) {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Other => {
            let error = ApiError::invalid(error.to_string());
            return Reply::json(400, json!({"error": error.to_json()}).to_string()).send(&mut stream, false);
        }
        Err(error) => return Err(error),
    };
    if let Some(path) = request.target.strip_prefix(control::PREFIX) {
        return control::answer(sim, &request, path).send(&mut stream, request.old);
    }
    let (time, started) = (Now::read().0, Instant::now());
    let call = api::route(&request.target)
        .map(|r| r.name.to_owned())
        .unwrap_or_default();
    let fault = sim.faults.strike(&call);
    let mut entry = Entry {
        seq: 0,
        time_ms: time,
        took_ms: 0,
        method: request.method.clone(),
        target: request.target.clone(),
        call,
        headers: request.headers.clone(),
        body: String::from_utf8_lossy(&request.body).into_owned(),
        status: 0,
        error: None,
        fault: fault
            .as_ref()
            .and_then(|f| Some(serde_json::to_value(f).ok()?.get("kind")?.as_str()?.to_owned())),
    };
    let reply = exchange(sim, &request, fault.as_ref(), &mut entry.error);
    if let Some(Kind::HangAfter { ms }) = &fault {
        sim.faults.hang(*ms);
    }
    if let Some(reply) = &reply {
        entry.status = reply.status;
    }
    entry.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Logged before it is sent: who has the reply finds the request in the log.
    sim.log.add(entry);
    let old = request.old;
    match (&fault, reply) {
        (_, None) => match fault {
            Some(Kind::DropAfter {}) => Ok(()),
            Some(Kind::Huge { mb }) => Reply::flood(&mut stream, old, mb.map(|mb| mb << 20)).or(Ok(())),
            _ => reset(&stream),
        },
        (Some(Kind::Drip { ms }), Some(reply)) => reply
            .drip(&mut stream, old, Duration::from_millis(*ms))
            .or(Ok(())),
        (Some(Kind::Truncate {}), Some(reply)) => reply.cut_short(&mut stream, old, false),
        (Some(Kind::TruncateChunk {}), Some(reply)) => reply.cut_short(&mut stream, old, true),
        // A caller that gave up is no error of ours.
        (_, Some(reply)) => reply.send(&mut stream, old).or(Ok(())),
    }
}

/// Performs the request as far as the fault lets it, and makes the reply; `None`: there is none.
fn exchange(
    sim: &Arc<Sim>,
    request: &Request,
    fault: Option<&Kind>,
    error: &mut Option<String>,
) -> Option<Reply> {
    let pause = |ms: u64| {
        if ms > 0 {
            thread::sleep(Duration::from_millis(ms));
        }
    };
    pause(sim.latency());
    let mut fail = |e: ApiError| {
        *error = Some(e.name.clone());
        Some(error_reply(sim, &e))
    };
    let mut late = None;
    match fault {
        Some(Kind::Transient { status }) => {
            let descr = "The cluster is busy, try again";
            return fail(ApiError {
                transient: true,
                status: *status,
                ..ApiError::new("transientError", descr)
            });
        }
        Some(Kind::Error { name, descr, status }) => {
            return fail(ApiError {
                status: *status,
                ..ApiError::new(name, descr)
            });
        }
        Some(Kind::OkError { name, descr }) => {
            return fail(ApiError {
                status: Some(200),
                ..ApiError::new(name, descr)
            });
        }
        Some(Kind::Refuse {}) => return fail(unauthorized(sim)),
        Some(Kind::Redirect { to }) => {
            let extra = vec![("Location", to.clone())];
            return Some(Reply {
                status: 302,
                extra,
                body: b"{}".to_vec(),
            });
        }
        Some(Kind::ResetBefore {}) => return None,
        Some(Kind::HangBefore { ms }) => sim.faults.hang(*ms),
        Some(Kind::Slow { before, .. }) => pause(*before),
        Some(Kind::LateDevice { ms, early }) => late = Some((Duration::from_millis(*ms), *early)),
        Some(Kind::ClientDown { client }) => control::client_up(sim, *client, false),
        _ => {}
    }
    let expected = sim.token.as_ref().map(|token| format!("Storpool v1:{token}"));
    if expected.is_some() && request.header("Authorization") != expected.as_deref() {
        return fail(unauthorized(sim));
    }
    let result = api::perform(sim, &request.method, &request.target, &request.body, late);
    match fault {
        Some(Kind::Slow { after, .. }) => pause(*after),
        Some(Kind::ResetAfter {} | Kind::DropAfter {} | Kind::Huge { .. }) => return None,
        Some(Kind::Garbage { text }) => {
            let text = text
                .as_deref()
                .unwrap_or("<html><body>502 Bad Gateway</body></html>");
            return Some(Reply::json(200, text.to_owned()));
        }
        _ => {}
    }
    let data = match result {
        Ok(data) => data,
        Err(e) => return fail(e),
    };
    let data = match data {
        Data::Json(value) => value.to_string(),
        Data::Text(text) => text,
    };
    let data = match fault {
        Some(Kind::WrongType {}) if data.starts_with('[') => "{}".to_owned(),
        Some(Kind::WrongType {}) => "[]".to_owned(),
        _ => data,
    };
    let generation = sim.lock().cluster.generation;
    Some(Reply::json(
        200,
        format!(r#"{{"generation":{generation},"data":{data}}}"#),
    ))
}

fn unauthorized(sim: &Sim) -> ApiError {
    let status = sim.lock().switches.get("unauthorized").parse().ok();
    ApiError {
        status,
        ..ApiError::new("unauthorized", "Invalid authentication token")
    }
}

fn error_reply(sim: &Sim, error: &ApiError) -> Reply {
    let core = sim.lock();
    let usual = core.switches.get("error-status").parse().unwrap_or(500);
    let status = if usual == 200 {
        200
    } else {
        error.status.unwrap_or(usual)
    };
    let body = json!({"generation": core.cluster.generation, "error": error.to_json()});
    Reply::json(status, body.to_string())
}
