// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The nonce that a ticket is bound to, put into real documents.

use spvirt::domain::edit::with_nonce;
use spvirt::domain::scan;

use crate::corpus;
use crate::tree::{self, Child, Tree};

const OURS: &str = "{urn:spvirt:domain:1}domain";
const BEFORE_METADATA: [&str; 5] = ["name", "uuid", "genid", "title", "description"];

#[test]
fn a_nonce_is_put_into_every_real_document_and_nothing_else() {
    let (mut with_metadata, mut without) = (0, 0);
    for document in corpus::domains() {
        let original = document.text.as_bytes();
        let changed = with_nonce(original, "first").unwrap();
        let text = std::str::from_utf8(&changed).unwrap();
        assert_eq!(scan(&changed).unwrap().settings.nonce.as_deref(), Some("first"));
        inserted_only(original, &changed, &document.name);

        let mut expected = tree::read(&document.text);
        let ours = Child::Element(Tree::new(OURS).with("nonce", "first"));
        if let Some(metadata) = expected.root.child_mut("metadata") {
            with_metadata += 1;
            metadata.children.push(ours);
        } else {
            without += 1;
            let mut metadata = Tree::new("metadata");
            metadata.children.push(ours);
            let children = &mut expected.root.children;
            let last = |wanted: &dyn Fn(&Tree) -> bool| {
                children
                    .iter()
                    .rposition(|child| matches!(child, Child::Element(e) if wanted(e)))
            };
            let last = last(&|e| BEFORE_METADATA.contains(&e.name.as_str())).or(last(&|_| true));
            children.insert(last.unwrap() + 1, Child::Element(metadata));
        }
        assert_eq!(tree::read(text), expected, "{}\n{text}", document.name);

        let again = with_nonce(&changed, "second").unwrap();
        let replaced = text
            .replace("nonce='first'", "nonce='second'")
            .replace("nonce=\"first\"", "nonce=\"second\"");
        assert_eq!(String::from_utf8(again).unwrap(), replaced, "{}", document.name);
    }
    println!("{with_metadata} with metadata, {without} without");
    assert!(with_metadata >= 5 && without >= 5);
}

/// `changed` is `original` with something put in at one place.
fn inserted_only(original: &[u8], changed: &[u8], name: &str) {
    let same = |a: &mut dyn Iterator<Item = &u8>, b: &mut dyn Iterator<Item = &u8>| {
        a.zip(b).take_while(|(a, b)| a == b).count()
    };
    let before = same(&mut original.iter(), &mut changed.iter());
    let after = same(&mut original.iter().rev(), &mut changed.iter().rev());
    assert!(
        changed.len() > original.len() && before + after >= original.len(),
        "{name}: a byte was lost"
    );
}
