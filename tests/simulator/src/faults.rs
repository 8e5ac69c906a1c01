// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Faults by script: a queue; the first entry that matches a call strikes it and is used up by one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cluster::Early;

/// What goes wrong. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum Kind {
    /// An error with `transient: true`; nothing is applied.
    Transient {
        #[serde(default)]
        status: Option<u16>,
    },
    /// An error of this name; nothing is applied.
    Error {
        name: String,
        #[serde(default)]
        descr: String,
        #[serde(default)]
        status: Option<u16>,
    },
    /// An error of this name with HTTP status 200; nothing is applied.
    OkError {
        name: String,
        #[serde(default)]
        descr: String,
    },
    /// 403: the token is refused.
    Refuse {},
    /// RST before anything is applied.
    ResetBefore {},
    /// Applied, then RST instead of a reply.
    ResetAfter {},
    /// Applied, then closed without a reply.
    DropAfter {},
    /// Silence before anything is applied: so long, or until released. Then it goes on as usual.
    HangBefore {
        #[serde(default)]
        ms: Option<u64>,
    },
    /// Applied, then silence: so long, or until released; then the reply.
    HangAfter {
        #[serde(default)]
        ms: Option<u64>,
    },
    /// A pause before and after applying.
    Slow {
        #[serde(default)]
        before: u64,
        #[serde(default)]
        after: u64,
    },
    /// A pause of chance before and after applying, up to these; every call has its own, and the same seed gives the
    /// same pauses.
    Jitter {
        #[serde(default)]
        before: u64,
        #[serde(default)]
        after: u64,
        #[serde(default)]
        seed: u64,
    },
    /// Applied; the body comes 16 bytes at a time with this pause.
    Drip { ms: u64 },
    /// Applied; the body is not JSON.
    Garbage {
        #[serde(default)]
        text: Option<String>,
    },
    /// Applied; half the body comes, Content-Length tells of all of it.
    Truncate {},
    /// Applied; a chunked body that ends within a chunk.
    TruncateChunk {},
    /// Applied; `data` is an object where a list belongs, and a list where an object does.
    WrongType {},
    /// Applied; an endless body, or so many MB that parse.
    Huge {
        #[serde(default)]
        mb: Option<u64>,
    },
    /// Not applied; 302 to that address.
    Redirect { to: String },
    /// Applied and answered, devices are complete so much later.
    LateDevice {
        ms: u64,
        #[serde(default)]
        early: Early,
    },
    /// The client goes down before the call is applied.
    ClientDown { client: u16 },
}

impl Kind {
    /// The fault for the so-many-th call it strikes.
    fn for_call(&self, number: u64) -> Self {
        let Self::Jitter { before, after, seed } = *self else {
            return self.clone();
        };
        let random = scrambled(scrambled(seed) ^ number);
        Self::Slow {
            before: (random >> 32) % (before + 1),
            after: (random & 0xffff_ffff) % (after + 1),
        }
    }
}

/// Numbers that are next to each other become numbers that have nothing in common (`SplitMix64`).
fn scrambled(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An entry of the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// Given by the queue.
    #[serde(default)]
    pub id: u64,
    /// Call it strikes, such as `VolumesReassignWait`; `*`: every call.
    pub call: String,
    /// How many calls it still strikes; none: all.
    #[serde(default)]
    pub count: Option<u64>,
    /// How many calls it lets pass first.
    #[serde(default)]
    pub skip: u64,
    /// How many calls it has struck.
    #[serde(default)]
    pub struck: u64,
    /// What it does.
    #[serde(rename = "fault")]
    pub kind: Kind,
}

#[derive(Default)]
struct Queue {
    next: u64,
    faults: VecDeque<Fault>,
    released: u64,
}

/// The queue.
#[derive(Default)]
pub struct Faults {
    queue: Mutex<Queue>,
    release: Condvar,
}

impl Faults {
    /// Adds a fault at the end; returns its number.
    pub fn add(&self, mut fault: Fault) -> u64 {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.next += 1;
        fault.id = queue.next;
        queue.faults.push_back(fault);
        queue.next
    }

    /// Forgets one fault, or all; those that hang go on.
    pub fn clear(&self, id: Option<u64>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.faults.retain(|f| id.is_some_and(|id| f.id != id));
        queue.released += 1;
        self.release.notify_all();
    }

    /// Lets those that hang go on.
    pub fn release(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).released += 1;
        self.release.notify_all();
    }

    /// What is still in the queue.
    pub fn list(&self) -> Vec<Fault> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .faults
            .iter()
            .cloned()
            .collect()
    }

    /// The fault that strikes this call, if any.
    pub fn strike(&self, call: &str) -> Option<Kind> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = queue
            .faults
            .iter_mut()
            .filter(|f| f.call == "*" || f.call == call);
        let mut hit = None;
        for fault in matching {
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.count = fault.count.map(|n| n.saturating_sub(1));
            hit = Some(fault.kind.for_call(fault.struck));
            fault.struck += 1;
            break;
        }
        queue.faults.retain(|f| f.count != Some(0));
        hit
    }

    /// Blocks for so long, or until released.
    pub fn hang(&self, ms: Option<u64>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let entered = queue.released;
        let until = ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        while queue.released == entered {
            let left = until.map_or(Duration::from_hours(1), |u| {
                u.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return;
            }
            queue = self
                .release
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(call: &str, count: Option<u64>, skip: u64, kind: Kind) -> Fault {
        Fault {
            id: 0,
            call: call.to_owned(),
            count,
            skip,
            struck: 0,
            kind,
        }
    }

    #[test]
    fn pauses_of_chance_differ_and_come_again() {
        let pauses = |seed| -> Vec<_> {
            let faults = Faults::default();
            let kind = Kind::Jitter {
                before: 300,
                after: 20,
                seed,
            };
            faults.add(fault("*", None, 0, kind));
            let struck = (0..50).map(|_| match faults.strike("A") {
                Some(Kind::Slow { before, after }) => (before, after),
                other => panic!("{other:?}"),
            });
            struck.collect()
        };
        let first = pauses(7);
        assert_eq!(first, pauses(7));
        assert_ne!(first, pauses(8));
        assert!(first.iter().all(|(before, after)| *before <= 300 && *after <= 20));
        assert!(first.iter().any(|(before, _)| *before > 200) && first.iter().any(|(_, after)| *after < 5));
    }

    #[test]
    fn the_queue_is_used_in_order() {
        let faults = Faults::default();
        faults.add(fault("A", Some(1), 1, Kind::Refuse {}));
        faults.add(fault("*", Some(2), 0, Kind::ResetBefore {}));
        let struck: Vec<_> = ["A", "A", "B", "A"]
            .iter()
            .map(|call| faults.strike(call))
            .collect();
        assert_eq!(
            struck,
            [
                Some(Kind::ResetBefore {}),
                Some(Kind::Refuse {}),
                Some(Kind::ResetBefore {}),
                None
            ]
        );
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_hang_ends_when_released() {
        let faults = std::sync::Arc::new(Faults::default());
        let (done, waiter) = std::sync::mpsc::channel();
        let other = std::sync::Arc::clone(&faults);
        std::thread::spawn(move || {
            other.hang(None);
            done.send(()).unwrap();
        });
        while waiter.try_recv().is_err() {
            faults.release();
            std::thread::yield_now();
        }
    }
}
