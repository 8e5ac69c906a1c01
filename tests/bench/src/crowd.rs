// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Several domains that start at once.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::call::{self, TRUE};
use crate::domain::Domain;
use crate::memory::LONG;
use crate::report::Report;
use crate::sample::Sample;
use crate::stage::Stage;

/// Ten starts against an API that takes its time must not wait for one another.
pub fn ten_on_a_slow_api(stage: &Stage, report: &mut Report) {
    const ROUNDS: usize = 30;
    let latency = Duration::from_millis(50);
    Report::part(&format!(
        "ten prepares at once, an API of {} ms ({ROUNDS} rounds)",
        latency.as_millis()
    ));
    let domains: Vec<_> = (0..10).map(|n| Domain::on_volumes(n, n * 6..n * 6 + 6)).collect();
    let (mut one, mut ten) = (Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        stage.api.set_latency(latency);
        one.push(at_once(stage, &domains[..1]).all);
        stop(stage, &domains[..1]);
        stage.api.set_latency(latency);
        ten.push(at_once(stage, &domains).all);
        stop(stage, &domains);
    }
    let details = format!("{:.1} ms, one alone {:.1} ms", ten.median_ms(), one.median_ms());
    report.bound(
        "ten, until the last is done",
        ten.ratio(&one),
        1.5,
        "x one",
        &details,
    );
}

/// Twenty starts that each read a list of 100,000 lines.
pub fn twenty_on_a_long_list(stage: &Stage) {
    const ROUNDS: usize = 10;
    Report::part(&format!(
        "20 prepares at once, {LONG} attachments listed ({ROUNDS} rounds)"
    ));
    let domains: Vec<_> = (0..20).map(|n| Domain::on_volumes(n, n * 3..n * 3 + 3)).collect();
    let (mut base, mut one, mut all, mut slowest) = <(Sample, Sample, Sample, Sample)>::default();
    stage.api.set_others(LONG);
    for _ in 0..ROUNDS {
        let truth = &domains[0];
        base.push(call::timed(Path::new(TRUE), &truth.prepare(), &truth.xml));
        one.push(at_once(stage, &domains[..1]).all);
        stop(stage, &domains[..1]);
        let crowd = at_once(stage, &domains);
        all.push(crowd.all);
        slowest.push(crowd.slowest);
        stop(stage, &domains);
    }
    stage.api.set_others(0);
    let line = |sample: &Sample| {
        format!(
            "{:>8.1} ms, {:.0} x true",
            sample.median_ms(),
            sample.ratio(&base)
        )
    };
    Report::note("one alone", &line(&one));
    Report::note("twenty, until the last is done", &line(&all));
    Report::note("twenty, the slowest of them", &line(&slowest));
    Report::note(
        "twenty compared with one alone",
        &format!("{:>8.2} x one", all.ratio(&one)),
    );
}

struct Crowd {
    /// From the first start to the last end.
    all: Duration,
    /// The longest single call.
    slowest: Duration,
}

fn at_once(stage: &Stage, domains: &[Domain]) -> Crowd {
    let began = Instant::now();
    let slowest = thread::scope(|scope| {
        let calls: Vec<_> = domains
            .iter()
            .map(|domain| scope.spawn(|| call::timed(&stage.hook, &domain.prepare(), &domain.xml)))
            .collect();
        let times = calls
            .into_iter()
            .map(|call| call.join().expect("a call that worked"));
        times.max().unwrap_or_default()
    });
    Crowd {
        all: began.elapsed(),
        slowest,
    }
}

fn stop(stage: &Stage, domains: &[Domain]) {
    stage.api.set_latency(Duration::ZERO);
    for domain in domains {
        stage.release(domain);
    }
    stage.assert_clean();
}
