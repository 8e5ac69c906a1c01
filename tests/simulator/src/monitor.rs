// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Watches for the one thing that must not happen by accident: a volume open for writing at two clients.
//!
//! It looks while some volume is attached read-write at two clients or more (or a forced detach has left a
//! device open), every 50 ms; what it finds is recorded, and the test decides what was to be expected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cluster::snapshots::Now;
use crate::devices::openers;
use crate::sim::Sim;

const PERIOD: Duration = Duration::from_millis(50);

/// A time in which one volume was open for writing at several clients.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// First seen, Unix time in ms.
    pub from_ms: u64,
    /// Last seen, Unix time in ms.
    pub until_ms: u64,
    /// The volume, by name or ~id.
    pub volume: String,
    /// Its global id.
    pub global_id: String,
    /// Clients where a process could write to it, with those processes.
    pub clients: BTreeMap<u16, BTreeSet<u32>>,
    /// Those of the clients that were cut off by a forced detach: real hardware would refuse their writes.
    pub cut_off: BTreeSet<u16>,
}

/// What was found.
#[derive(Default)]
pub struct Violations(Mutex<Vec<Violation>>);

impl Violations {
    /// All of them.
    pub fn list(&self) -> Vec<Violation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Adds one, or prolongs the last of the same volume and processes.
    fn add(&self, found: Violation) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |v: &&mut Violation| found.from_ms.saturating_sub(v.until_ms) < 1000;
        let same = |v: &Violation| {
            v.global_id == found.global_id && v.clients == found.clients && v.cut_off == found.cut_off
        };
        match all.iter_mut().rev().filter(recent).find(|v| same(v)) {
            Some(before) => before.until_ms = found.until_ms,
            None => all.push(found),
        }
    }
}

/// Watches for ever.
pub fn watch(sim: &Arc<Sim>) {
    loop {
        let numbers = {
            let mut core = sim.lock();
            while core.cluster.doubly_writable().is_empty() && core.cut.is_empty() {
                core = sim.wait_change(core, None);
            }
            let suspects = core.cluster.doubly_writable();
            let cut: BTreeSet<u64> = core.cut.iter().map(|(place, _)| place.0).collect();
            let mut numbers = core.by_number();
            numbers.retain(|_, (object, _)| suspects.contains(object) || cut.contains(object));
            numbers
        };
        let started = Instant::now();
        look(sim, &numbers);
        sim.forget_closed();
        // A look takes a while where there are many processes: never more than a third of the time.
        thread::sleep(PERIOD.max(started.elapsed() * 2));
    }
}

fn look(sim: &Sim, numbers: &BTreeMap<u64, (u64, u16)>) {
    let devices = numbers.keys().copied().collect();
    let mut writers: BTreeMap<u64, BTreeMap<u16, BTreeSet<u32>>> = BTreeMap::new();
    for opener in openers::descriptors(&devices)
        .into_iter()
        .filter(|o| o.writes && !o.is_probe())
    {
        if let Some((object, client)) = numbers.get(&opener.rdev) {
            writers
                .entry(*object)
                .or_default()
                .entry(*client)
                .or_default()
                .insert(opener.pid);
        }
    }
    for (object, clients) in writers.into_iter().filter(|(_, clients)| clients.len() > 1) {
        let core = sim.lock();
        let cut_off = core.cut.iter().map(|(place, _)| place);
        let cut_off = cut_off
            .filter(|(o, c)| *o == object && clients.contains_key(c))
            .map(|(_, c)| *c)
            .collect();
        let now = Now::read().0;
        let global_id = core
            .cluster
            .objects
            .get(&object)
            .map(|o| o.gid.clone())
            .unwrap_or_default();
        let volume = core.cluster.label(object);
        drop(core);
        sim.violations.add(Violation {
            from_ms: now,
            until_ms: now,
            volume,
            global_id,
            clients,
            cut_off,
        });
    }
}
