// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Times of one thing, measured in turn with others.

use std::time::Duration;

/// Durations in the order they were measured; element `i` of two samples of one run belongs to one round.
#[derive(Debug, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Adds a measurement.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
    }

    /// The median, in milliseconds.
    #[must_use]
    pub fn median_ms(&self) -> f64 {
        median(self.0.clone()) * 1e3
    }

    /// The median of the rounds' own ratios: what disturbs a whole round cancels out.
    #[must_use]
    pub fn ratio(&self, base: &Sample) -> f64 {
        median(self.0.iter().zip(&base.0).map(|(own, base)| own / base).collect())
    }

    /// The same after taking `apart` off each round.
    #[must_use]
    pub fn ratio_without(&self, apart: &Sample, base: &Sample) -> f64 {
        let rest = self.0.iter().zip(&apart.0).map(|(own, apart)| own - apart);
        median(rest.zip(&base.0).map(|(rest, base)| rest / base).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
