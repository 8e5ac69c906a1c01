// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Whole processes, as a person or a script runs them: `spvirt rewrite --tune FILE` against a Python script with either
//! library, and against virt-xml. Reported, without a bound: half of it is what it takes to start a Python.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::documents::Document;
use crate::peers;
use crate::report::Report;
use crate::sample::Sample;

/// virt-xml is asked for documents up to this: its time grows faster than they do.
const VIRT_XML_MOST: usize = 1 << 20;

/// Measures.
pub fn check(python: &Path, spvirt: &Path, documents: &[Document]) {
    Report::part("whole processes: tune, from a file to standard output");
    let virt_xml = Command::new("virt-xml").arg("--version").output().is_ok();
    for document in documents {
        let small = document.xml.len() <= VIRT_XML_MOST;
        let rounds = if small { 15 } else { 5 };
        let (mut ours, mut etree, mut lxml, mut peer) = (
            Sample::default(),
            Sample::default(),
            Sample::default(),
            Sample::default(),
        );
        for _ in 0..rounds {
            ours.push(time(
                Command::new(spvirt)
                    .args(["rewrite", "--quiet", "--tune"])
                    .arg(&document.path),
            ));
            for (tool, sample) in [("etree", &mut etree), ("lxml", &mut lxml)] {
                let mut command = Command::new(python);
                command.args(["-B", "-I"]).arg(peers::script());
                sample.push(time(command.args([tool, "tune"]).arg(&document.path).arg("1")));
            }
            if virt_xml && small {
                let file = File::open(&document.path).expect("the document");
                let mut command = Command::new("virt-xml");
                command.args(["--connect", "test:///default", "--edit", "all", "--print-xml"]);
                command.args([
                    "--disk",
                    "driver.cache=none,driver.io=native,driver.discard=unmap",
                ]);
                peer.push(time(command.stdin(file)));
            }
        }
        let show = |tool: &str, sample: &Sample| {
            let details = format!(
                "{:.1} x spvirt  ({:.1} ms, spvirt {:.1} ms)",
                sample.ratio(&ours),
                sample.median_ms(),
                ours.median_ms()
            );
            Report::note(&format!("{}, {tool}", document.name), &details);
        };
        show("xml.etree", &etree);
        show("lxml", &lxml);
        if virt_xml && small {
            show("virt-xml", &peer);
        }
    }
    if !virt_xml {
        Report::note("virt-xml", "is not installed: apt-get install virtinst");
    }
}

fn time(command: &mut Command) -> Duration {
    command.stdout(Stdio::null());
    let began = Instant::now();
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let elapsed = began.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    elapsed
}
