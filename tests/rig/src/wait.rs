// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The one place that waits for something to become true: bounded, and able to say what it waited for.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks.
const STEP: Duration = Duration::from_millis(5);

/// What the rig did or waited for last; the watchdog of [`crate::Suite`] prints it.
static DOING: Mutex<String> = Mutex::new(String::new());

/// Asks `probe` until it answers.
///
/// # Panics
/// With `what`, when `deadline` has passed without an answer.
pub fn until<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Option<T>) -> T {
    attempt(what, deadline, probe).unwrap_or_else(|message| panic!("{message}"))
}

/// As [`until`], for places that must not panic: clean-up.
pub(crate) fn attempt<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, String> {
    doing(what);
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return Ok(answer);
        }
        if start.elapsed() >= deadline {
            return Err(format!("waited {deadline:?} in vain: {what}"));
        }
        thread::park_timeout(STEP);
    }
}

/// Notes what is going on.
pub(crate) fn doing(what: &str) {
    what.clone_into(&mut DOING.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
}

/// What was noted last.
pub(crate) fn last_doing() -> String {
    DOING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone()
}
