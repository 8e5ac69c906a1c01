// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every recipe on every real document, with volumes of ours in the place of all its sources.

use spvirt::domain::without_secrets;

use crate::{corpus, expected, tree};

#[test]
fn every_recipe_does_what_was_intended_to_every_real_document() {
    let (mut sources, mut changed) = (0, [0; 4]);
    for document in corpus::domains() {
        let (xml, count) = expected::with_volumes(&document.text);
        sources += count;
        let texts = [
            {
                let (recipe, intended) = expected::by_id();
                expected::check(&xml, &recipe, intended)
            },
            {
                let (recipe, intended) = expected::mapped();
                expected::check(&xml, &recipe, intended)
            },
            {
                let (recipe, intended) = expected::tuned();
                expected::check(&xml, &recipe, intended)
            },
            {
                let (recipe, intended) = expected::blocked();
                expected::check(&xml, &recipe, intended)
            },
        ];
        for (changed, text) in changed.iter_mut().zip(&texts) {
            *changed += usize::from(*text != xml);
        }
        // One after the other, as they are combined.
        let (recipe, intended) = expected::blocked();
        let blocked = expected::check(&xml, &recipe, intended);
        let (recipe, intended) = expected::tuned();
        expected::check(&blocked, &recipe, intended);
        // Without volumes of ours there is nothing to do.
        let (recipe, _) = expected::tuned();
        assert_eq!(expected::check(&document.text, &recipe, |_| {}), document.text);
    }
    println!("{sources} sources, changed documents: {changed:?}");
    assert!(
        sources >= 290 && changed[0] >= 50 && changed[1] >= 50 && changed[2] >= 10 && changed[3] >= 35,
        "{changed:?}"
    );
}

#[test]
fn passwords_are_left_out_and_nothing_else() {
    let mut found = 0;
    for document in corpus::domains() {
        let shown = String::from_utf8(without_secrets(document.text.as_bytes()).unwrap()).unwrap();
        let mut expected = tree::read(&document.text);
        expected.root.walk(&mut |element| {
            found += usize::from(element.attributes.remove("passwd").is_some());
        });
        assert_eq!(tree::read(&shown), expected, "{}", document.name);
    }
    assert!(found >= 2, "{found} passwords in the real documents");
}
