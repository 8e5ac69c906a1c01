// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Damaged documents and plain noise: never a panic, and never another answer than the other reader's.

use std::ops::Range;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use spvirt::domain::scan;

use crate::{corpus, foreign, places, scanned, xpath};

/// What is put into documents.
const PIECES: &str = "\0|<!DOCTYPE domain>|<!DOCTYPE d [<!ENTITY a 'b'>]>|&a;|&#0;|&#x1F;|&lt;|<|>|\"|'|&|<![CDATA[|]]>\
    |<!--|-->|<!-- c -->|<?|?>|<?p i?>|</|/>|=| |\u{feff}|\u{fffe}|:|<a:b/>|é|<disk>|</disk>|<readonly/>\
    |<source dev='/x' file='/y'/>|<mirror file='/m'/>|<a><disk/></a>| xmlns='x'| xmlns:a='b' |<?xml version='1.0'?>";
/// What noise is made of.
const SHARDS: &str = "<|>|/|!|?|-|--|[|]|]]>|<![CDATA[|<!--|-->|&|;|#|x|=|'|\"|:| |\n|a|domain|devices|disk|source|file|nvram\
    |os|xmlns|<domain>|</domain>|<?xml |\u{feff}";

/// A change to a document.
#[derive(Debug, Clone)]
enum Damage {
    Truncate(Index),
    Flip(Index, u8),
    /// Repeat what stands between two places.
    Duplicate(Place, Place),
    Remove(Place, Place),
    Insert(Place, &'static str),
}

/// A place in a document: any byte, or (which leaves more of the result well formed) the begin of a tag.
#[derive(Debug, Clone)]
enum Place {
    Byte(Index),
    Tag(Index),
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![1 => any::<Index>().prop_map(Place::Byte), 3 => any::<Index>().prop_map(Place::Tag)]
}

fn damage() -> impl Strategy<Value = Damage> {
    let piece = select(PIECES.split('|').collect::<Vec<_>>());
    prop_oneof![
        1 => any::<Index>().prop_map(Damage::Truncate),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        3 => (place(), place()).prop_map(|(a, b)| Damage::Duplicate(a, b)),
        3 => (place(), place()).prop_map(|(a, b)| Damage::Remove(a, b)),
        6 => (place(), piece).prop_map(|(at, piece)| Damage::Insert(at, piece)),
    ]
}

impl Damage {
    fn apply(&self, xml: &mut Vec<u8>) {
        match self {
            Self::Truncate(at) => xml.truncate(at.index(xml.len() + 1)),
            Self::Flip(at, byte) => {
                let at = at.index(xml.len() + 1);
                xml.iter_mut().skip(at).take(1).for_each(|there| *there ^= byte);
            }
            Self::Duplicate(a, b) => {
                let range = range(xml, a, b);
                let copy = xml[range.clone()].to_vec();
                xml.splice(range.end..range.end, copy);
            }
            Self::Remove(a, b) => drop(xml.drain(range(xml, a, b))),
            Self::Insert(at, piece) => drop(xml.splice(range(xml, at, at), piece.bytes())),
        }
    }
}

fn range(xml: &[u8], a: &Place, b: &Place) -> Range<usize> {
    let position = |place: &Place| match place {
        Place::Byte(index) => index.index(xml.len() + 1),
        Place::Tag(index) => {
            let tags = || {
                xml.iter()
                    .enumerate()
                    .filter(|(_, b)| **b == b'<')
                    .map(|(at, _)| at)
            };
            tags()
                .nth(index.index(tags().count().max(1)))
                .unwrap_or(xml.len())
        }
    };
    let (a, b) = (position(a), position(b));
    a.min(b)..a.max(b)
}

/// What holds of every answer: errors point into the input in one line, spans lie in it one after the other.
pub fn is_sane(xml: &[u8]) {
    match scan(xml) {
        Ok(domain) => {
            foreign::agrees(xml, &domain);
            let mut end = 0;
            for source in domain.sources {
                assert!(
                    source.span.start >= end && source.span.start <= source.span.end,
                    "{source:?}"
                );
                end = source.span.end;
            }
            assert!(end <= xml.len());
        }
        Err(error) => {
            assert!(
                error.offset <= xml.len() && !error.to_string().contains('\n'),
                "{error:?}"
            );
            let (line, column) = error.line_column(xml);
            assert!(line >= 1 && column >= 1);
        }
    }
}

/// Documents that are quick to read often.
static SMALL_DOCUMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let real = corpus::domains().into_iter().map(|document| document.text);
    real.filter(|text| text.len() < 8000)
        .chain([places::EVERY_PLACE.to_owned()])
        .collect()
});

/// The other reader leaves out how blanks in attributes are normalised.
fn without_blanks(mut sources: Vec<xpath::Seen>) -> Vec<xpath::Seen> {
    for source in &mut sources {
        source.path.retain(|c| !" \t\r\n".contains(c));
        source.target.retain(|c| !" \t\r\n".contains(c));
    }
    sources
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(2000),
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_get_an_answer(xml in vec(any::<u8>(), 0..300)) {
        is_sane(&xml);
    }

    #[test]
    fn any_markup_gets_an_answer(shards in vec(select(SHARDS.split('|').collect::<Vec<_>>()), 0..60)) {
        is_sane(shards.concat().as_bytes());
    }
}

#[test]
fn damaged_documents_are_refused_or_read_like_the_other_reader_does() {
    let reader = xpath::Reader::new();
    let compared = std::cell::Cell::new(0);
    let damaged = (any::<Index>(), vec(damage(), 1..4));
    proptest::test_runner::TestRunner::new(config())
        .run(&damaged, |(which, damages)| {
            let mut xml = which.get(&SMALL_DOCUMENTS).clone().into_bytes();
            for damage in &damages {
                damage.apply(&mut xml);
            }
            is_sane(&xml);
            if let (Ok(_), Ok(text)) = (scan(&xml), std::str::from_utf8(&xml))
                && let Ok(expected) = reader.sources(text)
            {
                compared.set(compared.get() + 1);
                prop_assert_eq!(without_blanks(scanned(text)), without_blanks(expected));
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(
        compared.get() >= 200,
        "both readers understood only {} documents",
        compared.get()
    );
}
