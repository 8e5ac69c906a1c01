// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The scanner against real documents, an independent reader, and everything that is not a domain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "scan/corpus.rs"]
mod corpus;
#[path = "scan/damage.rs"]
mod damage;
#[path = "scan/foreign.rs"]
mod foreign;
#[path = "scan/hostile.rs"]
mod hostile;
#[path = "scan/places.rs"]
mod places;
#[path = "scan/spans.rs"]
mod spans;
#[path = "scan/substitution.rs"]
mod substitution;
#[path = "scan/xpath.rs"]
mod xpath;

use spvirt::domain;

/// The scanner's answer in the words of the other reader.
fn scanned(xml: &str) -> Vec<xpath::Seen> {
    let domain = domain::scan(xml.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{xml}"));
    foreign::agrees(xml.as_bytes(), &domain);
    let seen = |source: domain::Source| xpath::Seen {
        path: source.path,
        kind: source.kind,
        access: source.access,
        shareable: source.shareable,
        cdrom: source.cdrom,
        target: source.target.unwrap_or_default(),
    };
    domain.sources.into_iter().map(seen).collect()
}
