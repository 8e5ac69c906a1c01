// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How fast a document is read, checked, changed and written, in the process, against xml.etree and lxml.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use spvirt::api::Description;
use spvirt::recipe::{self, Facts, Form, Names, Recipe, Tune};
use spvirt::volume::GlobalId;

use crate::documents::Document;
use crate::peers::Python;
use crate::report::Report;
use crate::sample::Sample;

const ROUNDS: usize = 15;
/// What one measurement of ours takes at least.
const LONG_ENOUGH: Duration = Duration::from_millis(40);
const ETREE_LEAST: f64 = 20.0;
const LXML_LEAST: f64 = 8.0;
/// How much more a byte of 10 MiB may cost than one of 100 KiB.
const LINEAR_MOST: f64 = 2.0;

/// Names for all volumes of a document.
pub fn facts(disks: usize) -> Facts {
    let known = (0..disks).map(|number| Description {
        name: format!("vol-{number}"),
        global_id: GlobalId::parse(&format!("d.n.{number}")),
    });
    Facts {
        names: Names::new(known),
        ..Facts::default()
    }
}

/// Measures both tasks on all documents.
pub fn check(python: &Path, documents: &[Document], report: &mut Report) {
    let mut python = Python::start(python);
    for (task, recipe) in [
        ("by-id", Recipe::To(Form::ById)),
        ("tune", Recipe::Tune(Tune::default())),
    ] {
        Report::part(&format!("rewriting in the process: {task} ({ROUNDS} rounds)"));
        let mut per_byte = Vec::new();
        for document in documents {
            let ours = measure(&mut python, document, task, &recipe, report);
            per_byte.push(ours / as_f64(document.xml.len()));
        }
        if let [_, middle, long] = per_byte.as_slice() {
            let details = "10 MiB and 100 KiB";
            report.bound(
                "a byte of the longest against one of the middle",
                long / middle,
                LINEAR_MOST,
                "x",
                details,
            );
        }
    }
}

/// One task on one document. Gives our milliseconds.
fn measure(
    python: &mut Python,
    document: &Document,
    task: &str,
    recipe: &Recipe,
    report: &mut Report,
) -> f64 {
    let facts = facts(document.disks);
    let recipes = std::slice::from_ref(recipe);
    let once = || black_box(recipe::rewrite(black_box(&document.xml), recipes, &facts).expect("a domain"));
    same_result(python, document, task, &once().xml);
    let began = Instant::now();
    once();
    let times = (LONG_ENOUGH.as_secs_f64() / began.elapsed().as_secs_f64())
        .ceil()
        .clamp(1.0, 10_000.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1 to 10,000
    let times = times as u32;
    // The others are slower by so much.
    let fewer = (times / 10).max(1);
    let (mut ours, mut etree, mut lxml) = (Sample::default(), Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..times {
            once();
        }
        ours.push(began.elapsed() / times);
        for (tool, sample) in [("etree", &mut etree), ("lxml", &mut lxml)] {
            sample.push(python.time(tool, task, &document.path, fewer, None) / fewer);
        }
    }
    let megabytes = as_f64(document.xml.len()) / 1e3 / ours.median_ms();
    let details = |sample: &Sample| {
        format!(
            "{:.3} ms, ours {:.3} ms: {megabytes:.0} MB/s",
            sample.median_ms(),
            ours.median_ms()
        )
    };
    for (tool, sample, least) in [("xml.etree", &etree, ETREE_LEAST), ("lxml", &lxml, LXML_LEAST)] {
        let what = format!("{}, {tool}", document.name);
        report.bound_below(&what, sample.ratio(&ours), least, "x ours", &details(sample));
    }
    ours.median_ms()
}

/// All tools did the same: their documents have the same attributes, which is where the changes are.
fn same_result(python: &mut Python, document: &Document, task: &str, ours: &[u8]) {
    for tool in ["etree", "lxml"] {
        let path = document.path.with_extension("result");
        python.time(tool, task, &document.path, 1, Some(&path));
        let theirs = std::fs::read(&path).expect("a result");
        assert_eq!(values(&theirs), values(ours), "{tool} did something else");
    }
}

/// All attributes' values in order. The documents have no quotes elsewhere.
fn values(xml: &[u8]) -> Vec<&[u8]> {
    let pieces = xml.split(|byte| matches!(byte, b'\'' | b'"'));
    pieces
        .skip(1)
        .step_by(2)
        .filter(|value| !value.starts_with(b"http"))
        .collect()
}

#[allow(clippy::cast_precision_loss)] // megabytes
fn as_f64(bytes: usize) -> f64 {
    bytes as f64
}
