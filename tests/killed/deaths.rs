// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every death of a hook call, and what comes next.

use std::collections::{BTreeMap, BTreeSet};

use spvirt_rig::{Moment, Syscall, Trace};

use crate::report::{Death, Report};
use crate::stage::{Operation, Stage};

/// Attempts to kill at a call that not every run gets to.
const ATTEMPTS: usize = 5;

/// Calls that change what others see, or wait for others: of these each one that was ever seen must be died at. A run
/// may have a few more or less of the rest (memory, waiting), and then the same number is another call.
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
    let (mut prepares, mut releases) = (true, true);
    for number in 1.. {
        let moment = Moment::Call(number);
        let (mut prepare, mut release) = (prepares.then_some(&moment), releases.then_some(&moment));
        for _ in 0..ATTEMPTS {
            let (prepare_died, release_died) = lives.one(prepare, release);
            prepare = prepare.filter(|_| !prepare_died);
            release = release.filter(|_| !release_died);
            if prepare.or(release).is_none() {
                break;
            }
        }
        // Some runs have a few calls less than others: only several that end by themselves tell the last number.
        (prepares, releases) = (prepares && prepare.is_none(), releases && release.is_none());
        if !prepares && !releases {
            break;
        }
    }
    for call in lives.missed(Operation::Prepare) {
        let died = (0..ATTEMPTS).any(|_| lives.one(Some(&Moment::Entry(call.clone())), None).0);
        assert!(
            died,
            "{next:?}: prepare has {call:?} in some runs, and never died there"
        );
    }
    for call in lives.missed(Operation::Release) {
        let died = (0..ATTEMPTS).any(|_| lives.one(None, Some(&Moment::Entry(call.clone()))).1);
        assert!(
            died,
            "{next:?}: release has {call:?} in some runs, and never died there"
        );
    }
    lives.report
}

struct Lives<'a> {
    report: Report,
    /// Every call that was seen, by what was called.
    seen: BTreeMap<Operation, BTreeSet<Syscall>>,
    stage: &'a mut Stage,
    next: Next,
}

impl Lives<'_> {
    /// One life of the domain, in which hook calls die then; whether each did, or ended by itself before.
    fn one(&mut self, prepare: Option<&Moment>, release: Option<&Moment>) -> (bool, bool) {
        if self.next == Next::Boot {
            self.stage.is_fresh();
        }
        let prepare_died = prepare.is_some_and(|moment| self.dies(Operation::Prepare, moment));
        if prepare.is_some() && !prepare_died {
            self.stage.is_running();
        } else {
            self.stage.starts();
        }
        let Some(moment) = release else {
            self.stage.stops();
            return (prepare_died, false);
        };
        let release_died = self.dies(Operation::Release, moment);
        if !release_died {
            self.stage.is_stopped();
        }
        (prepare_died, release_died)
    }

    /// Calls the hook, kills it, and does what comes next; false if it ended by itself before.
    fn dies(&mut self, operation: Operation, moment: &Moment) -> bool {
        let trace = self.stage.kill(operation, moment.clone());
        if let Moment::Call(number) = *moment {
            let count = trace.calls.len();
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
        seen.extend(trace.calls.iter().cloned());
        if trace.killed {
            self.comes_next(operation, &trace);
        }
        trace.killed
    }

    fn comes_next(&mut self, operation: Operation, trace: &Trace) {
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
        self.report.deaths.push(Death {
            operation,
            number: trace.calls.len(),
            place,
            about: trace.about.clone(),
            left,
        });
    }

    /// Telling calls that were seen, and at which no run has died.
    fn missed(&self, operation: Operation) -> Vec<Syscall> {
        let died: BTreeSet<&Syscall> = self.report.of(operation).map(|death| &death.place).collect();
        let seen = self.seen[&operation].iter();
        seen.filter(|call| TELLING.contains(&call.name.as_str()) && !died.contains(call))
            .cloned()
            .collect()
    }
}
