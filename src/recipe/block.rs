// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--block`: QEMU opens a StorPool device as a block device and in no other way.

use std::collections::BTreeMap;

use super::{Findings, disks, label};
use crate::domain::{Element, Outline};
use crate::volume::{PathMeaning, path_meaning};

pub(super) fn look(outline: &Outline<'_>, pools: &BTreeMap<String, String>) -> Findings {
    let mut findings = Findings::default();
    for disk in disks(outline) {
        chain(&mut findings, disk, &label(disk), pools);
    }
    let nvram = outline
        .root()
        .children_named("os")
        .flat_map(|os| os.children_named("nvram"));
    // Its text alone, without a type, means a file that libvirt makes from a template.
    for nvram in nvram.filter(|nvram| nvram.attribute("type").is_some()) {
        image(&mut findings, nvram, "nvram", pools);
    }
    findings
}

/// A disk, and what it is made of.
fn chain(findings: &mut Findings, element: Element<'_, '_>, label: &str, pools: &BTreeMap<String, String>) {
    let mut open = vec![element];
    while let Some(element) = open.pop() {
        image(findings, element, label, pools);
        let parts = element.children().filter(Element::is_plain);
        open.extend(parts.filter(|part| matches!(part.name(), "backingStore" | "mirror" | "dataStore")));
        open.extend(
            element
                .child("source")
                .and_then(|source| source.child("dataStore")),
        );
    }
}

/// One image: an element with `type=` and a `<source>` in it.
fn image(findings: &mut Findings, image: Element<'_, '_>, label: &str, pools: &BTreeMap<String, String>) {
    let Some(source) = image.child("source") else {
        return;
    };
    match image.value("type").as_deref() {
        None | Some("file") => {
            let Some(file) = source.value("file").filter(|file| is_ours(file)) else {
                return;
            };
            findings.edits.set(image, "type", "block");
            findings.edits.rename_attribute(source, "file", "dev", &file);
        }
        Some("volume") => {
            let (Some(pool), Some(volume)) = (source.value("pool"), source.value("volume")) else {
                return;
            };
            let Some(folder) = pools.get(pool.as_ref()) else {
                findings.left(format!(
                    "{label}: where the storage pool \"{}\" lies is not known: say --pool NAME=FOLDER",
                    pool.escape_debug()
                ));
                return;
            };
            let path = format!("{}/{volume}", folder.trim_end_matches('/'));
            if !is_ours(&path) {
                return;
            }
            findings.edits.set(image, "type", "block");
            findings.edits.rename_attribute(source, "pool", "dev", &path);
            for attribute in ["volume", "mode"] {
                findings.edits.remove_attribute(source, attribute);
            }
        }
        Some(_) => {}
    }
}

fn is_ours(path: &str) -> bool {
    matches!(path_meaning(path), PathMeaning::Volume(_))
}
