// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Rewriting real documents: what was intended, and not a byte more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "scan/corpus.rs"]
mod corpus;
#[path = "rewrite/nonce.rs"]
mod nonce;
#[path = "rewrite/tree.rs"]
mod tree;

#[test]
fn what_is_no_domain_is_refused_with_its_place() {
    for document in corpus::negative() {
        let text = document.text.as_bytes();
        match spvirt::domain::edit::with_nonce(text, "n") {
            Ok(_) => assert!(document.name.contains("disk-missing-target"), "{}", document.name),
            Err(error) => assert!(error.line_column(text) >= (1, 1)),
        }
    }
}
