// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every death of a hook call, and what comes next.

use std::collections::{BTreeMap, BTreeSet};

use spvirt_rig::{Moment, Syscall, Trace};

use crate::report::{Death, Report};
use crate::stage::{Operation, Stage};
use crate::world::World;

/// Attempts to kill at a call that not every run gets to.
const ATTEMPTS: usize = 5;

/// Calls that change what others see, or wait for others: of these each one that was seen in [`REGULAR`] runs must be died
/// at. A run may have a few more or less of the rest (memory, waiting), and then the same number is another call.
const TELLING: [&str; 14] = [
    "close",
    "connect",
    "exit_group",
    "fdatasync",
    "flock",
    "fsync",
    "mkdir",
    "openat",
    "rename",
    "sendto",
    "shutdown",
    "socket",
    "unlink",
    "writev",
];

/// Runs that have a call which belongs to the way through, at the very least: the last number was tried so often. What
/// fewer have is a disturbed run's: a request that was sent again, say.
const REGULAR: usize = ATTEMPTS;

/// What comes after the death of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// libvirt goes on: a `release` follows a `prepare` that died. Then `reconcile`.
    Release,
    /// The daemon has died, too. `reconcile`.
    Reconcile,
    /// The host boots. `reconcile`, before libvirt answers.
    Boot,
    /// The domain is started again, as if nothing had been.
    Start,
}

/// Lets both calls die at each of their system calls.
pub fn all_deaths(mut stage: Stage, next: Next) -> Report {
    let mut lives = Lives {
        report: Report::new(next),
        seen: BTreeMap::new(),
        stage: &mut stage,
        next,
    };
    for operation in [Operation::Prepare, Operation::Release] {
        let mut number = 1;
        // Some runs have a few calls less than others: only several that end by themselves tell the last number.
        while (0..ATTEMPTS).any(|_| lives.one(operation, &Moment::Call(number))) {
            number += 1;
        }
        for call in lives.missed(operation) {
            let died = (0..ATTEMPTS).any(|_| lives.one(operation, &Moment::Entry(call.clone())));
            assert!(
                died,
                "{next:?}: {operation:?} has {call:?} in some runs, and never died there"
            );
        }
    }
    lives.report
}

struct Lives<'a> {
    report: Report,
    /// Every call that was seen, by what was called, and in how many runs.
    seen: BTreeMap<Operation, BTreeMap<Syscall, usize>>,
    stage: &'a mut Stage,
    next: Next,
}

impl Lives<'_> {
    /// Calls the hook, kills it then, and does what comes next; false if it ended by itself before. The domain is
    /// stopped before and after a death of `prepare`.
    fn one(&mut self, operation: Operation, moment: &Moment) -> bool {
        let running = operation == Operation::Release;
        if self.next == Next::Boot && !running {
            self.stage.is_fresh();
        }
        if running && !self.stage.has_started {
            self.stage.starts();
        }
        let (trace, untouched) = self.stage.kill(operation, moment.clone());
        let count = trace.calls.len();
        if let Moment::Call(number) = *moment {
            assert!(
                if trace.killed {
                    count == number
                } else {
                    count < number
                },
                "{operation:?}: {trace:?}"
            );
        }
        let seen = self.seen.entry(operation).or_default();
        for call in &trace.calls {
            *seen.entry(call.clone()).or_default() += 1;
        }
        if !trace.killed {
            if running {
                self.stage.is_stopped();
            } else {
                self.stage.is_running();
                self.stage.stops();
            }
            return false;
        }
        let left = untouched.then_some(None);
        let left = left.unwrap_or_else(|| self.comes_next(operation, &trace));
        self.report.deaths.push(Death {
            operation,
            number: count,
            place: trace.calls.last().expect("a system call").clone(),
            about: trace.about.clone(),
            untouched,
            left,
        });
        if !untouched && !running {
            self.stage.starts();
            self.stage.stops();
        }
        true
    }

    /// Returns what the death had left, where somebody looked first.
    fn comes_next(&mut self, operation: Operation, trace: &Trace) -> Option<World> {
        let place = trace.calls.last().expect("a system call").clone();
        let mut left = None;
        match (self.next, operation) {
            (Next::Release, Operation::Prepare) => {
                self.stage.releases();
                self.stage.reconciles();
            }
            (Next::Release | Next::Reconcile, _) => self.stage.reconciles(),
            (Next::Boot, _) => {
                self.stage.settled();
                left = Some(self.stage.world());
                self.stage.boots();
            }
            (Next::Start, _) => {
                self.stage.starts();
                self.stage.stops();
            }
        }
        self.stage.is_as_before(&format!(
            "{operation:?} died at {} {} ({}), then {:?}",
            place.name, place.nth, trace.about, self.next
        ));
        left
    }

    /// Telling calls that were seen, and at which no run has died.
    fn missed(&self, operation: Operation) -> Vec<Syscall> {
        let died: BTreeSet<&Syscall> = self.report.of(operation).map(|death| &death.place).collect();
        let regular = self.seen[&operation]
            .iter()
            .filter_map(|(call, runs)| (*runs >= REGULAR).then_some(call));
        let telling = regular.filter(|call| TELLING.contains(&call.name.as_str()));
        telling.filter(|call| !died.contains(call)).cloned().collect()
    }
}
