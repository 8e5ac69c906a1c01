// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The span of a source is the source: read it and it gives the path, replace it and only that path changes.

use spvirt::domain::{Domain, scan};

use crate::{corpus, places};

/// A path that needs escaping, with its escaped form.
const NEW: (&str, &str) = ("/dev/<new>&\"'", "/dev/&lt;new&gt;&amp;&quot;&apos;");

#[test]
fn replacing_a_span_changes_that_path_and_nothing_else() {
    let mut replaced = 0;
    let real = corpus::domains().into_iter().map(|document| document.text);
    for text in real.chain([
        places::EVERY_PLACE.to_owned(),
        format!("\u{feff}{}", places::EVERY_PLACE),
    ]) {
        let before = scan(text.as_bytes()).unwrap();
        for (index, source) in before.sources.iter().enumerate() {
            assert_eq!(decoded(&text[source.span.clone()]), source.path);
            let mut edited = text.clone();
            edited.replace_range(source.span.clone(), NEW.1);
            assert_eq!(
                scan(edited.as_bytes()).unwrap(),
                expected(&before, index),
                "{edited}"
            );
            replaced += 1;
        }
    }
    assert!(replaced >= 300, "only {replaced} spans");
}

/// What the domain must look like after its source `index` was replaced: later spans move, nothing else does.
fn expected(before: &Domain, index: usize) -> Domain {
    let mut after = before.clone();
    let old = before.sources[index].span.clone();
    let moved = |at: usize| at + NEW.1.len() - old.len();
    NEW.0.clone_into(&mut after.sources[index].path);
    after.sources[index].span.end = moved(old.end);
    for later in &mut after.sources[index + 1..] {
        later.span = moved(later.span.start)..moved(later.span.end);
    }
    after
}

/// What a piece of XML says, read by the other reader.
fn decoded(xml: &str) -> String {
    let package = sxd_document::parser::parse(&format!("<a>{xml}</a>")).unwrap();
    sxd_xpath::evaluate_xpath(&package.as_document(), "string(/a)")
        .unwrap()
        .into_string()
}
