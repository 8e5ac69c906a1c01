// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Real domain XML, written by other projects. It is no part of this one: `SPVIRT_DOMAIN_XML` says where it
//! lies, by default beside the workspace. Without it these tests fail.

use std::fs;
use std::path::{Path, PathBuf};

/// A document and the name to call it by.
pub struct Document {
    pub name: String,
    pub text: String,
}

/// The documents that are domains.
pub fn domains() -> Vec<Document> {
    let found = documents(|folder| folder != "negative");
    assert!(
        found.len() >= 60,
        "only {} documents in {}",
        found.len(),
        root().display()
    );
    found
}

/// The documents that are something else, or of which libvirt refuses the content.
pub fn negative() -> Vec<Document> {
    let found = documents(|folder| folder == "negative");
    assert!(
        found.len() >= 6,
        "only {} documents in {}",
        found.len(),
        root().display()
    );
    found
}

fn documents(wanted: impl Fn(&str) -> bool) -> Vec<Document> {
    let root = root();
    let mut found = Vec::new();
    for folder in entries(&root).into_iter().filter(|path| path.is_dir()) {
        let folder_name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !wanted(&folder_name) {
            continue;
        }
        for file in entries(&folder) {
            let name = format!("{folder_name}/{}", file.file_name().unwrap().to_str().unwrap());
            let text = fs::read_to_string(&file).unwrap();
            found.push(Document { name, text });
        }
    }
    found
}

fn root() -> PathBuf {
    std::env::var_os("SPVIRT_DOMAIN_XML").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/domain-xml"),
        PathBuf::from,
    )
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).unwrap_or_else(|e| {
        panic!(
            "{}: {e}: set SPVIRT_DOMAIN_XML to the folder of domain documents",
            folder.display()
        )
    });
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
