// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How many requests a call sends. Counted, so exact on any machine.

use std::ops::Range;

use crate::call;
use crate::disks::VOLUMES;
use crate::domain::Domain;
use crate::report::Report;
use crate::stage::Stage;

/// Counts the requests of starts and stops.
pub fn check(stage: &Stage, report: &mut Report) {
    Report::part("requests");
    let snapshots = [VOLUMES, VOLUMES + 1];
    one(stage, report, "1 writable", 0..1, &[], 2);
    one(stage, report, "64 writable", 0..VOLUMES, &[], 2);
    one(stage, report, "16 writable, 2 snapshots", 0..16, &snapshots, 4);
    one(
        stage,
        report,
        "1 writable, 3 volumes read-only",
        0..1,
        &[40, 41, 42],
        5,
    );
}

fn one(stage: &Stage, report: &mut Report, what: &str, writable: Range<u16>, read_only: &[u16], most: usize) {
    let domain = Domain::mixed(writable, read_only);
    stage.api.take_log();
    call::timed(&stage.hook, &domain.prepare(), &domain.xml);
    let start = stage.api.take_log().len();
    stage.release(&domain);
    let stop = stage.api.take_log().len();
    stage.assert_clean();
    report.exact(&format!("start, {what}"), &start.to_string(), &most.to_string());
    report.exact(&format!("stop, {what}"), &stop.to_string(), "1");
}
