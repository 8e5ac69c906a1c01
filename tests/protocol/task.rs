// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A process of ours, as the scheduler sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::Thread;

use spvirt::api::Reassign;
use spvirt::claim::Process;

use crate::story::What;

/// What the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `prepare begin` of a domain.
    Prepare(usize),
    /// `migrate begin` of a domain.
    Announce(usize),
    /// `release end` of a domain.
    Release(usize),
    /// `reconnect begin` of a domain.
    Reconnect(usize),
    /// `spvirt reconcile`.
    Reconcile,
}

impl Kind {
    /// The domain whose hook it is.
    pub fn domain(self) -> Option<usize> {
        match self {
            Self::Prepare(domain)
            | Self::Announce(domain)
            | Self::Release(domain)
            | Self::Reconnect(domain) => Some(domain),
            Self::Reconcile => None,
        }
    }
}

/// How a process ends: well, or with a refusal.
pub type Answer = Result<(), String>;

/// What it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Nothing.
    Ready,
    /// A moment.
    Until(u64),
    /// A lock, until a moment.
    Lock(String, u64),
}

/// A process.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts of the model, not a state
pub struct Task {
    /// What it is.
    pub kind: Kind,
    /// Where it runs.
    pub host: usize,
    /// The daemon that started it, if one did.
    pub daemon: Option<Process>,
    /// The thread of the daemon that did.
    pub thread_of_daemon: i32,
    /// The number in the XML it reads, or writes.
    pub nonce: Option<String>,
    /// Whether the XML has a `<resource>`.
    pub resource: bool,
    /// The migration is an offline one.
    pub offline: bool,
    /// When it began.
    pub began: u64,
    /// The end of the time it spends now.
    pub until: u64,
    /// It has not ended.
    pub alive: bool,
    /// It must die at its next step.
    pub killed: bool,
    /// What it waits for.
    pub waits: Waits,
    /// Its thread, once it has one.
    pub thread: Option<Thread>,
    /// How it ended.
    pub answer: Option<Answer>,
    /// Requests so far.
    pub requests: u32,
    /// Steps so far.
    pub steps: u32,
    /// What is wrong with its next request.
    pub trouble: Option<What>,
    /// The change it is about to ask for.
    pub request: Option<Vec<Reassign>>,
    /// Who had which volume rw when it last looked.
    pub rivals: BTreeMap<u32, BTreeSet<u16>>,
    /// Who was down when it asked, and when that was.
    pub down: Vec<(u64, BTreeSet<u16>)>,
}

impl Task {
    /// A process that begins now.
    pub fn new(kind: Kind, host: usize, daemon: Option<Process>, now: u64) -> Self {
        Self {
            kind,
            host,
            daemon,
            thread_of_daemon: 0,
            nonce: None,
            resource: false,
            offline: false,
            began: now,
            until: now,
            alive: true,
            killed: false,
            waits: Waits::Ready,
            thread: None,
            answer: None,
            requests: 0,
            steps: 0,
            trouble: None,
            request: None,
            rivals: BTreeMap::new(),
            down: Vec::new(),
        }
    }

    /// The clients that were down in two readings with a pause between them.
    pub fn down_twice(&self) -> BTreeSet<u16> {
        let [.., (first, before), (second, now)] = self.down.as_slice() else {
            return BTreeSet::new();
        };
        if second - first < 2000 {
            return BTreeSet::new();
        }
        before.intersection(now).copied().collect()
    }
}
