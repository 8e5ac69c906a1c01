// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How long one call may take: libvirt waits for a hook without a limit, and while it waits everybody's
//! `virsh list` on the host hangs. All times are on the monotonic clock: host clocks jump at boot.

use std::time::{Duration, Instant};

/// The time one call has, cut into a part to do the work and a part to undo it.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    start: Instant,
    total: Duration,
}

impl Deadline {
    /// A deadline `total` after `start`.
    #[must_use]
    pub fn new(start: Instant, total: Duration) -> Self {
        Self { start, total }
    }

    /// When the work must be done: two thirds of the whole (20 s of the default 30 s).
    #[must_use]
    pub fn work(&self) -> Instant {
        self.start + self.total * 2 / 3
    }

    /// When the undo must be done: a little before the end (28 s of 30 s), so that the answer still gets out.
    #[must_use]
    pub fn undo(&self) -> Instant {
        self.start + self.total * 14 / 15
    }

    /// When the process must be gone.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.start + self.total
    }

    /// When a release gives up and leaves the rest to `spvirt reconcile`: a third of the whole. Nobody is
    /// helped by a stop that takes longer, and the claim remembers what is left.
    #[must_use]
    pub fn release(&self) -> Instant {
        self.start + self.total / 3
    }
}

/// Time left until `moment`; zero when it has passed.
#[must_use]
pub fn left(moment: Instant) -> Duration {
    moment.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_leaves_20_s_to_work_and_8_s_to_undo() {
        let start = Instant::now();
        let deadline = Deadline::new(start, Duration::from_secs(30));
        assert_eq!(deadline.release() - start, Duration::from_secs(10));
        assert_eq!(deadline.work() - start, Duration::from_secs(20));
        assert_eq!(deadline.undo() - deadline.work(), Duration::from_secs(8));
        assert_eq!(deadline.end() - start, Duration::from_secs(30));
        assert_eq!(left(start), Duration::ZERO);
    }
}
