// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! One request, one answer, in bounded time and memory.
//!
//! The requests run on the calling thread. reqwest's blocking client hands each to a thread of its own, and a
//! start waits six times for the other thread to wake up (`docs/numbers.md`).

use std::io::{self, BufReader, Read};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio::runtime::{Builder, Runtime};

use super::wire::Reply;
use super::{ApiError, Fault};
use crate::config::Token;
use crate::deadline::left;

/// Longest reply that is read. 100,000 attachments are about 13 MiB.
const BODY_MAX: usize = 64 << 20;
/// Longest wait for a connection: an address that drops packets must leave time to try again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The API's address and the means to ask it.
#[derive(Debug)]
pub struct Transport {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    /// `host:port`, for messages.
    address: String,
    base: String,
    authorization: HeaderValue,
    token: Token,
}

impl Transport {
    /// A transport to `host:port`. `prefix` goes between `/ctrl/1.0/` and the call, e.g. `MultiCluster/`.
    /// Nothing is sent yet. No proxy is ever used, no redirect followed, no connection kept.
    pub fn new(host: &str, port: u16, token: &Token, prefix: &str) -> Result<Self, ApiError> {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let address = format!("{host}:{port}");
        let unusable = |why: String| ApiError::Unreachable {
            address: address.clone(),
            why,
        };
        let mut authorization = HeaderValue::from_str(&token.header_value())
            .map_err(|_| unusable("SP_AUTH_TOKEN cannot be sent in a header".into()))?;
        authorization.set_sensitive(true);
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| unusable(error.to_string()))?;
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| unusable(root_cause(&error)))?;
        let base = format!("http://{address}/ctrl/1.0/{prefix}");
        Ok(Self {
            runtime: Some(runtime),
            client,
            address,
            base,
            authorization,
            token: token.clone(),
        })
    }

    /// Asks for `path` (POST when there is a `body`) and has `parse` read the answer, until `until`.
    pub fn ask<T>(
        &self,
        call: &'static str,
        path: &str,
        body: Option<Vec<u8>>,
        until: Instant,
        parse: impl FnOnce(&mut dyn Read) -> serde_json::Result<Reply<T>>,
    ) -> Result<T, ApiError> {
        let address = || self.address.clone();
        let timeout = || ApiError::Timeout {
            address: address(),
            call,
        };
        let time = left(until);
        let Some(runtime) = self.runtime.as_ref().filter(|_| !time.is_zero()) else {
            return Err(timeout());
        };
        let url = format!("{}{path}", self.base);
        let request = match body {
            Some(body) => self.client.post(url).body(body),
            None => self.client.get(url),
        };
        let request = request
            .header(AUTHORIZATION, self.authorization.clone())
            .timeout(time);
        let response = runtime
            .block_on(async { request.send().await })
            .map_err(|error| match () {
                () if error.is_connect() || error.is_builder() => ApiError::Unreachable {
                    address: address(),
                    why: root_cause(&error),
                },
                () if error.is_timeout() => timeout(),
                () => ApiError::Broken {
                    address: address(),
                    call,
                    why: root_cause(&error),
                },
            })?;
        let status = response.status();
        if matches!(status.as_u16(), 401 | 403) {
            return Err(ApiError::Unauthorized {
                address: address(),
                status: status.as_u16(),
            });
        }
        let malformed = |why: String| ApiError::Malformed {
            address: address(),
            call,
            why,
        };
        if status.is_redirection() {
            return Err(malformed(format!(
                "HTTP {} (a redirect; is this the StorPool API?)",
                status.as_u16()
            )));
        }
        let mut body = Bounded {
            runtime,
            inner: response,
            unread: Bytes::new(),
            room: BODY_MAX,
            until,
            failure: None,
        };
        let reply = parse(&mut BufReader::with_capacity(16 << 10, &mut body));
        let clean = |text: &str| self.token.hide_in(text);
        match (reply, body.failure) {
            (Ok(Ok(data)), _) if status.is_success() => Ok(data),
            // A server may say so with any status.
            (Ok(Err(fault)), _) if fault.name == "unauthorized" => Err(ApiError::Unauthorized {
                address: address(),
                status: status.as_u16(),
            }),
            (Ok(Err(fault)), _) => {
                let fault = Fault {
                    name: clean(&fault.name),
                    descr: clean(&fault.descr),
                    ..fault
                };
                Err(ApiError::Refused { call, fault })
            }
            (_, Some(Failure::Time)) => Err(timeout()),
            (_, Some(Failure::TooLong)) => Err(malformed(format!("more than {} MiB", BODY_MAX >> 20))),
            (_, Some(Failure::Broken(why))) => Err(ApiError::Broken {
                address: address(),
                call,
                why,
            }),
            // A gateway or a starting server: worth another try, unlike garbage with status 200.
            (_, None) if status.is_server_error() => Err(ApiError::Broken {
                address: address(),
                call,
                why: format!("HTTP {} without a StorPool error", status.as_u16()),
            }),
            (Ok(Ok(_)), None) => Err(malformed(format!("HTTP {}", status.as_u16()))),
            (Err(error), None) => Err(malformed(clean(&error.to_string()))),
        }
    }
}

impl Drop for Transport {
    /// A name server that does not answer must not keep the process.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A reply body that ends: after so many bytes, and at a moment. An endless drip of bytes would outlive any
/// timeout between two of them.
struct Bounded<'a> {
    runtime: &'a Runtime,
    inner: Response,
    unread: Bytes,
    room: usize,
    until: Instant,
    failure: Option<Failure>,
}

enum Failure {
    Time,
    TooLong,
    Broken(String),
}

impl Bounded<'_> {
    fn fail(&mut self, failure: Failure) -> io::Error {
        self.failure = Some(failure);
        io::Error::other("cut off")
    }

    /// The next piece of the body; empty at its end.
    fn next(&mut self) -> io::Result<Bytes> {
        let piece = loop {
            if left(self.until).is_zero() {
                return Err(self.fail(Failure::Time));
            }
            match self.runtime.block_on(self.inner.chunk()) {
                // A piece may be empty before the end.
                Ok(Some(piece)) if piece.is_empty() => {}
                other => break other,
            }
        };
        let piece = match piece {
            Ok(piece) => piece.unwrap_or_default(),
            Err(error) if error.is_timeout() => return Err(self.fail(Failure::Time)),
            Err(error) => return Err(self.fail(Failure::Broken(root_cause(&error)))),
        };
        match self.room.checked_sub(piece.len()) {
            Some(room) => self.room = room,
            None => return Err(self.fail(Failure::TooLong)),
        }
        Ok(piece)
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = self.next()?;
        }
        let count = self.unread.len().min(buffer.len());
        let piece = self.unread.split_to(count);
        buffer
            .get_mut(..count)
            .unwrap_or_default()
            .copy_from_slice(&piece);
        Ok(count)
    }
}

/// The innermost message: reqwest's own repeats the URL and says "error sending request".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
