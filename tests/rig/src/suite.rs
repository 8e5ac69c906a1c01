// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Runs cases one after the other: names, filter, timings, evidence on failure, a deadline for each.

use std::panic::{self, AssertUnwindSafe};
use std::process::{ExitCode, exit};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{command, evidence, leftovers, wait};

/// How long one case may take unless the suite says otherwise.
const CASE_DEADLINE: Duration = Duration::from_mins(2);

/// One case.
enum Case<S> {
    /// Makes what it needs itself.
    Alone(fn()),
    /// Works on what the suite's shared cases have in common.
    Shared(fn(&mut S)),
}

/// The cases of a `harness = false` test target.
pub struct Suite<S = ()> {
    name: &'static str,
    deadline: Duration,
    /// Makes what shared cases have in common; again after a failure.
    make: fn() -> S,
    cases: Vec<(&'static str, Case<S>)>,
}

impl Suite {
    /// A suite whose cases have nothing in common.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self::sharing(name, || ())
    }
}

impl<S> Suite<S> {
    /// A suite with something in common, such as a cluster with two hosts. It is made when the first shared case
    /// wants it, and made anew after a failed shared case.
    #[must_use]
    pub fn sharing(name: &'static str, make: fn() -> S) -> Self {
        Self {
            name,
            deadline: CASE_DEADLINE,
            make,
            cases: Vec::new(),
        }
    }

    /// Sets how long one case may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Adds a case that makes what it needs itself.
    #[must_use]
    pub fn case(mut self, name: &'static str, case: fn()) -> Self {
        self.cases.push((name, Case::Alone(case)));
        self
    }

    /// Adds a case that works on what the suite has in common.
    #[must_use]
    pub fn shared(mut self, name: &'static str, case: fn(&mut S)) -> Self {
        self.cases.push((name, Case::Shared(case)));
        self
    }

    /// Runs the cases whose name contains one of the command line's words (all, without any); `--exact` wants
    /// the whole name, `--list` only lists. Fails when a case fails, when no case was run, and when anything is
    /// left behind.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let exact = arguments.iter().any(|a| a == "--exact");
        let words: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
        let wanted = |name: &str| {
            words.is_empty()
                || words.iter().any(|w| {
                    if exact {
                        name == *w
                    } else {
                        name.contains(w.as_str())
                    }
                })
        };
        let cases: Vec<_> = self.cases.into_iter().filter(|(name, _)| wanted(name)).collect();
        if arguments.iter().any(|a| a == "--list") {
            for (name, _) in &cases {
                println!("{name}: test");
            }
            return ExitCode::SUCCESS;
        }
        println!("{}: {} cases", self.name, cases.len());
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|info| {
            // Now, not after unwinding: the hosts still live.
            println!("    {}", info.to_string().replace('\n', "\n    "));
            evidence::print();
        }));
        let (mut passed, mut failed) = (0, 0);
        let mut shared: Option<S> = None;
        for (name, case) in &cases {
            let ok = timed(name, self.deadline, || match case {
                Case::Alone(case) => case(),
                Case::Shared(case) => case(shared.get_or_insert_with(self.make)),
            });
            if ok {
                passed += 1;
            } else {
                failed += 1;
                shared = None;
            }
        }
        drop(shared);
        if !timed(
            "nothing is left behind",
            self.deadline,
            leftovers::assert_no_leftovers,
        ) {
            failed += 1;
        }
        panic::set_hook(hook);
        println!("virsh started a domain {} times", command::domain_starts());
        println!("{passed} passed, {failed} failed");
        if failed == 0 && passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Runs one case under the watchdog and prints how it went; true if it passed.
fn timed(name: &str, deadline: Duration, case: impl FnOnce()) -> bool {
    let (done, watched) = mpsc::channel::<()>();
    let title = name.to_owned();
    let watchdog = thread::spawn(move || {
        if watched.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
            // The case hangs: it cannot be unwound from here. Ending the process cleans up.
            println!(
                "FAILED {title}: not done after {deadline:?}; it hung in: {}",
                wait::last_doing()
            );
            evidence::print();
            exit(1);
        }
    });
    let start = Instant::now();
    let outcome = panic::catch_unwind(AssertUnwindSafe(case));
    drop(done);
    let _ = watchdog.join();
    let verdict = if outcome.is_ok() { "ok    " } else { "FAILED" };
    println!("{verdict} {name} ({:.1} s)", start.elapsed().as_secs_f64());
    outcome.is_ok()
}
