// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a start tag is made of: its name and its attributes, as they are written.

use std::borrow::Cow;
use std::ops::Range;

use super::tokens::attribute_value;

/// Begins a name. Beyond ASCII every character does: a name that XML forbids there is not one of ours either.
const FIRST: u8 = 1;
/// Stands in a name.
const NAME: u8 = 2;
/// A blank.
const BLANK: u8 = 4;
/// Ends a run of character data.
const MARKUP: u8 = 8;
/// In an attribute's value, stands for something else than itself or must not stand at all; in text, may do so.
const ODD: u8 = 16;

/// In text, is written otherwise than it is read: `\r`.
const RETURN: u8 = 32;
/// May begin the end of a CDATA section.
const BRACKET: u8 = 64;

/// What each byte may be.
const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut rest: &mut [u8] = &mut classes;
    let mut byte = 0_u8;
    while let Some((first, after)) = rest.split_first_mut() {
        *first = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' => FIRST | NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            b' ' => BLANK,
            b'\t' | b'\n' => BLANK | ODD,
            b'\r' => BLANK | ODD | RETURN,
            b']' => BRACKET,
            b'<' | b'&' => MARKUP | ODD,
            0x80.. => FIRST | NAME | ODD,
            0..b' ' | 0x7f => ODD,
            _ => 0,
        };
        byte = byte.wrapping_add(1);
        rest = after;
    }
    classes
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The byte at a position. Past the end it is NUL, which no document has.
pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// Where the blanks that begin at `at` end.
pub(super) fn after_blanks(bytes: &[u8], mut at: usize) -> usize {
    while class(byte(bytes, at)) & BLANK != 0 {
        at += 1;
    }
    at
}

/// Where the name that begins at `at` ends: at `at` when there is none.
pub(super) fn after_name(bytes: &[u8], at: usize) -> usize {
    if class(byte(bytes, at)) & FIRST == 0 {
        return at;
    }
    let mut end = at + 1;
    while class(byte(bytes, end)) & NAME != 0 {
        end += 1;
    }
    end
}

/// A run of character data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Where it ends: at `<`, `&` or the end of the document.
    pub end: usize,
    /// Has a `\r` in it.
    pub returns: bool,
    /// Has a `]` in it.
    pub brackets: bool,
}

/// The run of character data that begins at `at`.
pub(super) fn run(bytes: &[u8], at: usize) -> Run {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut seen = 0;
    let mut length = rest.len();
    for (index, byte) in rest.iter().enumerate() {
        let class = class(*byte);
        if class & MARKUP != 0 {
            length = index;
            break;
        }
        seen |= class;
    }
    Run {
        end: at + length,
        returns: seen & RETURN != 0,
        brackets: seen & BRACKET != 0,
    }
}

/// Where an attribute stands. In 32 bits: there are many, and most of them nobody asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    name: u32,
    name_end: u32,
    value: u32,
    value_end: u32,
    /// See [`Written::plain`].
    pub plain: bool,
}

impl Spot {
    /// Its name, prefix included.
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
            .get(self.name as usize..self.name_end as usize)
            .unwrap_or_default()
    }

    /// Where the next attribute may begin.
    pub fn end(&self) -> usize {
        self.value_end as usize + 1
    }

    /// What stands there; positions are counted from `base` bytes before the text.
    pub fn written<'a>(&self, text: &'a str, base: usize) -> Written<'a> {
        let (from, span) = (self.name as usize, self.value as usize..self.value_end as usize);
        Written {
            name: text.get(from..self.name_end as usize).unwrap_or_default(),
            from: base + from,
            raw: text.get(span.clone()).unwrap_or_default(),
            span: base + span.start..base + span.end,
            plain: self.plain,
        }
    }
}

/// An attribute as it stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<'a> {
    /// The name, prefix included.
    pub name: &'a str,
    /// Where the name begins.
    pub from: usize,
    /// The value between its quotes, references and all.
    pub raw: &'a str,
    /// Where that stands.
    pub span: Range<usize>,
    /// The value is what is written: there is nothing to decode, to normalise or to forbid.
    plain: bool,
}

impl<'a> Written<'a> {
    /// The value, decoded and normalised. Empty when that is not possible, which its reader has refused.
    #[must_use]
    pub fn value(&self) -> Cow<'a, str> {
        if self.plain {
            Cow::Borrowed(self.raw)
        } else {
            attribute_value(self.raw).unwrap_or_default()
        }
    }

    /// The bytes of the whole attribute in its document, with the blanks before it.
    #[must_use]
    pub fn with_blanks(&self, xml: &[u8]) -> Range<usize> {
        let before = xml.get(..self.from).unwrap_or_default();
        before.trim_ascii_end().len()..self.span.end + 1
    }
}

/// What is wrong with a tag, and where.
pub(super) type Wrong = (&'static str, usize);

/// The attribute behind `at`, which is the end of the tag's name or of the attribute before it; the position of `>` or
/// `/` when there is none. Values are not decoded.
#[inline]
pub(super) fn attribute(bytes: &[u8], at: usize) -> Result<Result<Spot, usize>, Wrong> {
    const WRONG: &str = "attributes that are not well formed";
    let from = after_blanks(bytes, at);
    if matches!(byte(bytes, from), b'>' | b'/') {
        return Ok(Err(from));
    }
    let name_end = after_name(bytes, from);
    if name_end == from || from == at {
        let reason = match byte(bytes, from) {
            0 => "the document is cut off",
            _ => "an attribute name that is not one",
        };
        return Err((reason, from));
    }
    let equals = after_blanks(bytes, name_end);
    let open = after_blanks(bytes, equals + 1);
    let quote = byte(bytes, open);
    if byte(bytes, equals) != b'=' || !matches!(quote, b'"' | b'\'') {
        return Err((WRONG, from));
    }
    let rest = bytes.get(open + 1..).unwrap_or_default();
    let mut seen = 0;
    for (length, next) in rest.iter().enumerate() {
        if *next == quote {
            return Ok(Ok(Spot {
                name: short(from),
                name_end: short(name_end),
                value: short(open + 1),
                value_end: short(open + 1 + length),
                plain: seen & ODD == 0,
            }));
        }
        seen |= class(*next);
    }
    Err(("the document is cut off", from))
}

/// A position; a document that is too long for one is not read at all.
fn short(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// The name of a start tag, prefix included.
pub(super) fn name(tag: &str) -> &str {
    tag.get(1..after_name(tag.as_bytes(), 1)).unwrap_or_default()
}

/// The prefix of a name, and the rest.
pub(super) fn split_name(name: &str) -> (Option<&str>, &str) {
    match name.bytes().position(|b| b == b':') {
        Some(colon) => (name.get(..colon), name.get(colon + 1..).unwrap_or_default()),
        None => (None, name),
    }
}
