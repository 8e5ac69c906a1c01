// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! No real document names StorPool, so a StorPool path is put in place of every source in turn, in every way to
//! write it, and the scanner must find exactly what the other reader finds.

use std::ops::Range;

use crate::{corpus, scanned, xpath};

/// The path that is put in.
const OURS: &str = "/dev/storpool/x";
/// Ways to write [`OURS`] as an attribute's value, quotes included.
const AS_ATTRIBUTE: [&str; 5] = [
    "\"/dev/storpool/x\"",
    "'/dev/storpool/x'",
    "\"&#47;dev&#x2f;storpool/x\"",
    "'&#47;dev&#x2F;storpoo&#108;/&#x78;'",
    "\n\t'/dev/storpool/x'\n",
];
/// Ways to write it as an element's text.
const AS_TEXT: [&str; 5] = [
    "/dev/storpool/x",
    "\n\t/dev/storpool/x\r\n",
    "&#47;dev&#x2f;storpool/x",
    "/dev<![CDATA[/storpool/x]]>",
    " <!-- <source dev='/dev/storpool/y'/> --> /dev/storpool/<?x y?>x ",
];

#[test]
fn every_source_of_every_real_document_is_found_when_it_is_storpools() {
    let reader = xpath::Reader::new();
    let (mut sources, mut substituted, mut elsewhere) = (0, 0, 0);
    for document in corpus::domains() {
        let expected = reader.sources(&document.text).unwrap();
        assert_eq!(scanned(&document.text), expected, "{}", document.name);
        sources += expected.len();
        let mut hit = vec![[false; AS_ATTRIBUTE.len()]; expected.len()];
        for place in values(&document.text, &expected) {
            let writings = if place.attribute { AS_ATTRIBUTE } else { AS_TEXT };
            for (way, writing) in writings.into_iter().enumerate() {
                let mut text = document.text.clone();
                text.replace_range(place.span.clone(), writing);
                let expected = reader.sources(&text).unwrap();
                assert_eq!(
                    scanned(&text),
                    expected,
                    "{} with {writing:?} at {:?}",
                    document.name,
                    place.span
                );
                match expected.iter().position(|source| source.path == OURS) {
                    Some(index) => {
                        substituted += 1;
                        hit[index][way] = true;
                    }
                    None => elsewhere += 1,
                }
            }
        }
        assert!(
            hit.iter().flatten().all(|hit| *hit),
            "{}: a source was never replaced",
            document.name
        );
    }
    println!("{sources} sources, {substituted} substitutions, {elsewhere} paths that are no source");
    // What the corpus holds today; an empty or shrunken one must not pass.
    assert!(sources >= 290, "only {sources} sources");
    assert!(substituted >= 1450, "only {substituted} substitutions");
    assert!(elsewhere >= 700, "only {elsewhere} paths that are no source");
}

#[test]
fn what_is_no_domain_is_refused_and_what_libvirt_alone_refuses_is_read() {
    let reader = xpath::Reader::new();
    for document in corpus::negative() {
        if document.name.contains("disk-missing-target") {
            assert_eq!(scanned(&document.text), reader.sources(&document.text).unwrap());
        } else {
            let error = spvirt::domain::scan(document.text.as_bytes()).expect_err(&document.name);
            assert!(
                error.offset <= document.text.len() && !error.to_string().contains('\n'),
                "{error}"
            );
        }
    }
}

/// A value in a document: an attribute's with its quotes, or an element's text with the blanks around it.
struct Value {
    span: Range<usize>,
    attribute: bool,
}

/// Every attribute and text that holds an absolute path or the path of a source, found without any XML reader: a value
/// ends at the next quote of its kind, a text at the next tag.
fn values(text: &str, sources: &[xpath::Seen]) -> Vec<Value> {
    let mut found = Vec::new();
    for (at, character) in text.char_indices() {
        let rest = &text[at + character.len_utf8()..];
        let (end, attribute) = match character {
            '"' | '\'' if text[..at].trim_end().ends_with('=') => (rest.find(character), true),
            '>' => (rest.find('<'), false),
            _ => continue,
        };
        let Some(end) = end else { continue };
        let value = rest[..end].trim();
        let is_source = sources.iter().any(|source| source.path == value) && (attribute || !value.is_empty());
        if !value.starts_with('/') && !is_source {
            continue;
        }
        let inside = at + 1..at + 1 + end;
        let span = if attribute { at..inside.end + 1 } else { inside };
        found.push(Value { span, attribute });
    }
    found
}
