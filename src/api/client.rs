// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The calls we make, each tried again while that may help and there is time.

use std::cell::{Cell, OnceCell};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::transport::Transport;
use super::{ApiError, Clients, Description, Listing, Object, Reassign, wire};
use crate::config::Config;
use crate::deadline::left;
use crate::volume::{ClientId, VolumeRef};

/// Time kept back from the server's wait for a missing client, so that its answer still reaches us.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// A client of the API. Connects on the first call.
#[derive(Debug)]
pub struct Api<'a> {
    config: &'a Config,
    transport: OnceCell<Transport>,
    requests: Cell<u32>,
}

impl<'a> Api<'a> {
    /// A client for the API that `config` names.
    #[must_use]
    pub fn new(config: &'a Config) -> Self {
        Self {
            config,
            transport: OnceCell::new(),
            requests: Cell::new(0),
        }
    }

    /// How many requests went out so far, repetitions included.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// `VolumesReassignWait`: changes attachments and waits until the clients have applied it.
    pub fn reassign(&self, items: &[Reassign], until: Instant) -> Result<(), ApiError> {
        self.call("VolumesReassignWait", until, |transport, call| {
            let patience = left(until)
                .saturating_sub(ANSWER_MARGIN)
                .min(self.config.spvirt.attach_timeout);
            let body = wire::reassign_body(items, patience.as_secs());
            let body = body.map_err(|error| malformed(self.address(), call, &error))?;
            transport.ask(call, call, Some(body), until, |reply| wire::read_ok(reply))
        })
    }

    /// `AttachmentsList`: who has `objects` attached, and how much `me` has in all.
    pub fn attachments(
        &self,
        objects: &[VolumeRef],
        me: ClientId,
        until: Instant,
    ) -> Result<Listing, ApiError> {
        self.call("AttachmentsList", until, |transport, call| {
            transport.ask(call, call, None, until, |reply| {
                wire::read_attachments(reply, objects, me)
            })
        })
    }

    /// As [`Api::attachments`], and everything that the client `also` has.
    pub fn attachments_of(
        &self,
        objects: &[VolumeRef],
        also: ClientId,
        me: ClientId,
        until: Instant,
    ) -> Result<Listing, ApiError> {
        self.call("AttachmentsList", until, |transport, call| {
            transport.ask(call, call, None, until, |reply| {
                wire::read_attachments_of(reply, objects, also, me)
            })
        })
    }

    /// `Volume/…` or `Snapshot/…`: what it is; `None` when StorPool has none of that name.
    pub fn describe(&self, object: &Object, until: Instant) -> Result<Option<Description>, ApiError> {
        let call = if object.snapshot { "Snapshot" } else { "Volume" };
        let path = format!("{call}/{}", object.volume.api());
        let answer = self.call(call, until, |transport, call| {
            transport.ask(call, &path, None, until, |reply| wire::read_description(reply))
        });
        match answer {
            Err(error) if error.fault().is_some_and(super::Fault::is_missing_object) => Ok(None),
            other => other.map(Some),
        }
    }

    /// `ServicesList`: which clients are running.
    pub fn clients(&self, until: Instant) -> Result<Clients, ApiError> {
        self.call("ServicesList", until, |transport, call| {
            transport.ask(call, call, None, until, |reply| wire::read_clients(reply))
        })
    }

    fn call<T>(
        &self,
        call: &'static str,
        until: Instant,
        attempt: impl Fn(&Transport, &'static str) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let transport = self.transport()?;
        for number in 0.. {
            let began = Instant::now();
            self.requests.set(self.requests.get() + 1);
            let answer = attempt(transport, call);
            let elapsed = began.elapsed().as_millis();
            let error = match answer {
                Ok(answer) => {
                    log::debug!(SPVIRT_CALL = call, SPVIRT_ELAPSED_MS = elapsed; "{call}: ok in {elapsed} ms");
                    return Ok(answer);
                }
                Err(error) => error,
            };
            log::info!(SPVIRT_CALL = call, SPVIRT_ELAPSED_MS = elapsed; "{call}: {error} ({elapsed} ms)");
            let pause = backoff(number, jitter());
            if !error.is_transient() || pause >= left(until) {
                return Err(error);
            }
            thread::sleep(pause);
        }
        Err(ApiError::Timeout {
            address: self.address(),
            call,
        })
    }

    fn transport(&self) -> Result<&Transport, ApiError> {
        if let Some(transport) = self.transport.get() {
            return Ok(transport);
        }
        let api = &self.config.api;
        let prefix = if self.config.spvirt.multicluster {
            "MultiCluster/"
        } else {
            ""
        };
        let transport = Transport::new(&api.host, api.port, &api.token, prefix)?;
        Ok(self.transport.get_or_init(|| transport))
    }

    fn address(&self) -> String {
        format!("{}:{}", self.config.api.host, self.config.api.port)
    }
}

fn malformed(address: String, call: &'static str, error: &dyn std::error::Error) -> ApiError {
    ApiError::Malformed {
        address,
        call,
        why: error.to_string(),
    }
}

/// Pause before attempt `number + 2`: 100 ms, doubled each time up to 2 s, of which `jitter` (0..=255) takes
/// away up to a half, so that a host full of starting domains does not knock in step.
fn backoff(number: u32, jitter: u8) -> Duration {
    let full = Duration::from_millis(100 << number.min(5)).min(Duration::from_secs(2));
    full.saturating_sub(full * u32::from(jitter) / 510)
}

/// A random byte. The standard library seeds its hashers from the system.
fn jitter() -> u8 {
    let [byte, ..] = RandomState::new().hash_one(0).to_ne_bytes();
    byte
}

impl From<ApiError> for io::Error {
    fn from(error: ApiError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_bounded() {
        let ms = |number, jitter| backoff(number, jitter).as_millis();
        assert_eq!(
            [ms(0, 0), ms(1, 0), ms(2, 0), ms(4, 0), ms(5, 0), ms(40, 0)],
            [100, 200, 400, 1600, 2000, 2000]
        );
        assert_eq!([ms(0, 255), ms(40, 255)], [50, 1000]);
    }
}
