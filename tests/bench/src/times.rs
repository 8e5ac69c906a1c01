// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How long a call takes, beside `/bin/true` in the same moment.

use std::path::Path;

use crate::call::{self, TRUE};
use crate::domain::Domain;
use crate::report::Report;
use crate::sample::Sample;
use crate::stage::Stage;

/// Rounds of each measurement.
const ROUNDS: usize = 300;
/// Rounds before the first that counts: caches, and the state folders that the first call makes.
const WARM_UP: usize = 10;

/// A domain without StorPool volumes.
pub fn quiet(stage: &Stage, report: &mut Report) {
    let domain = Domain::local();
    let kib = domain.xml.len() / 1024;
    report.part(&format!(
        "a domain without StorPool volumes ({kib} KiB of XML, {ROUNDS} rounds)"
    ));
    let truth = Path::new(TRUE);
    let started = [domain.name.as_str(), "started", "begin", "-"];
    let calls: [(&str, &Path, &[&str]); 4] = [
        ("prepare", &stage.hook, &domain.prepare()),
        ("started", &stage.hook, &started),
        ("release", &stage.hook, &domain.release()),
        ("/bin/true itself, as a control", truth, &domain.prepare()),
    ];
    // Each call has a `/bin/true` of its own right before it, so that each follows the other kind of process.
    let mut pairs: [(Sample, Sample); 4] = Default::default();
    rounds(|counts| {
        for ((_, program, args), (base, times)) in calls.iter().zip(&mut pairs) {
            keep(base, counts, call::timed(truth, &domain.prepare(), &domain.xml));
            keep(times, counts, call::timed(program, args, &domain.xml));
        }
    });
    stage.assert_clean();
    for ((what, program, _), (base, times)) in calls.iter().zip(&pairs) {
        let (ratio, median, base_median) = (times.ratio(base), times.median_ms(), base.median_ms());
        let details = format!("{median:.2} ms, /bin/true {base_median:.2} ms");
        if *program == truth {
            report.note(what, &format!("{ratio:>8.2} x /bin/true  ({details})"));
        } else {
            report.bound(what, ratio, 1.5, "x true", &details);
        }
    }
}

/// A start with 16 volumes against an API that takes no time: with the state in memory, which has a bound, and on a
/// disk, which shows what durability costs.
pub fn prepare(stage: &Stage, report: &mut Report) {
    report.part(&format!("prepare with 16 volumes ({ROUNDS} rounds)"));
    let memory = with_16_volumes(stage);
    report.bound(
        "prepare without the API's own time",
        memory.ratio(),
        4.0,
        "x true",
        &memory.details(),
    );
    report.note("release", &format!("{:>8.2} ms", memory.release.median_ms()));
    let mut disk = Start::default();
    stage.with_state_on_disk(|| disk = with_16_volumes(stage));
    report.note(
        "prepare, state on disk (two claims, fsync)",
        &format!("{:>8.2} x true  ({})", disk.ratio(), disk.details()),
    );
    report.note(
        "release, state on disk",
        &format!("{:>8.2} ms", disk.release.median_ms()),
    );
}

#[derive(Default)]
struct Start {
    base: Sample,
    prepare: Sample,
    release: Sample,
    api: Sample,
}

impl Start {
    fn ratio(&self) -> f64 {
        self.prepare.ratio_without(&self.api, &self.base)
    }

    fn details(&self) -> String {
        format!(
            "{:.2} ms, of which {:.2} ms API; /bin/true {:.2} ms",
            self.prepare.median_ms(),
            self.api.median_ms(),
            self.base.median_ms()
        )
    }
}

fn with_16_volumes(stage: &Stage) -> Start {
    let domain = Domain::on_volumes(1, 0..16);
    let mut start = Start::default();
    let truth = Path::new(TRUE);
    rounds(|counts| {
        stage.api.take_log();
        let xml = &domain.xml;
        keep(
            &mut start.base,
            counts,
            call::timed(truth, &domain.prepare(), xml),
        );
        keep(
            &mut start.prepare,
            counts,
            call::timed(&stage.hook, &domain.prepare(), xml),
        );
        let starting = stage.api.take_log();
        keep(
            &mut start.release,
            counts,
            call::timed(&stage.hook, &domain.release(), xml),
        );
        let stopping = stage.api.take_log();
        // The same requests once more, from nobody: they attach and detach again.
        keep(&mut start.api, counts, stage.api.replay(&starting));
        stage.api.replay(&stopping);
    });
    stage.assert_clean();
    start
}

fn rounds(mut round: impl FnMut(bool)) {
    for number in 0..WARM_UP + ROUNDS {
        round(number >= WARM_UP);
    }
}

fn keep(sample: &mut Sample, counts: bool, time: std::time::Duration) {
    if counts {
        sample.push(time);
    }
}
