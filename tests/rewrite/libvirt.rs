// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirt's own parser takes each rewritten document wherever it took the original. Its test driver runs inside
//! virsh: no daemon is asked.

use std::process::Command;

use spvirt::recipe;

use crate::{corpus, expected};

/// Whether libvirt would define the document; the test driver knows domains of one type only.
fn is_accepted(xml: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("domain.xml");
    std::fs::write(&path, as_test_type(xml)).unwrap();
    let virsh = Command::new("virsh")
        .args(["--connect", "test:///default", "define"])
        .arg(&path)
        .output();
    virsh
        .expect("virsh: apt-get install libvirt-clients")
        .status
        .success()
}

fn as_test_type(xml: &str) -> String {
    let begin = xml.find("<domain").unwrap();
    let value = begin + xml[begin..].find("type=").unwrap() + "type=".len();
    let quote = xml[value..].chars().next().unwrap();
    let end = value + 1 + xml[value + 1..].find(quote).unwrap();
    format!("{}test{}", &xml[..=value], &xml[end..])
}

#[test]
fn libvirt_takes_what_it_took_before() {
    let facts = expected::facts();
    let (mut before, mut after) = (0, 0);
    let recipes = [
        ("by-id", vec![expected::by_id().0]),
        ("map", vec![expected::mapped().0]),
        ("block, tune", vec![expected::blocked().0, expected::tuned().0]),
    ];
    for document in corpus::domains() {
        let (xml, _) = expected::with_volumes(&document.text);
        if !is_accepted(&xml) {
            continue;
        }
        before += 1;
        for (name, recipes) in &recipes {
            let rewritten = recipe::rewrite(xml.as_bytes(), recipes, &facts).unwrap().xml;
            let text = String::from_utf8(rewritten).unwrap();
            if text != xml {
                assert!(is_accepted(&text), "{} after {name}:\n{text}", document.name);
                after += 1;
            }
        }
    }
    println!("{before} documents taken, {after} rewritten ones too");
    assert!(
        before >= 45 && after >= 100,
        "{before} taken, {after} rewritten ones too"
    );
    assert!(!is_accepted("<domain type='kvm'/>"), "it does refuse");
}
