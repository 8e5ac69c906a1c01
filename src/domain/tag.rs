// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a start tag is made of: its name and its attributes, as they are written.

use std::ops::Range;

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
    let mut seen = 0;
    let mut end = at;
    while let Some(byte) = bytes.get(end) {
        let class = class(*byte);
        if class & MARKUP != 0 {
            break;
        }
        seen |= class;
        end += 1;
    }
    Run {
        end,
        returns: seen & RETURN != 0,
        brackets: seen & BRACKET != 0,
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
    pub(super) plain: bool,
}

impl Written<'_> {
    /// The same, counted from another place.
    pub(super) fn moved(self, by: usize) -> Self {
        Self {
            from: self.from + by,
            span: self.span.start + by..self.span.end + by,
            ..self
        }
    }
}

/// What is wrong with a tag, and where.
pub(super) type Wrong = (&'static str, usize);

/// The attribute behind `at`, which is the end of the tag's name or of the attribute before it; the position of `>` or
/// `/` when there is none. Values are not decoded.
#[inline]
pub(super) fn attribute(text: &str, at: usize) -> Result<Result<Written<'_>, usize>, Wrong> {
    const WRONG: &str = "attributes that are not well formed";
    let bytes = text.as_bytes();
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
    if byte(bytes, equals) != b'=' {
        return Err((WRONG, from));
    }
    let open = after_blanks(bytes, equals + 1);
    let quote = byte(bytes, open);
    if !matches!(quote, b'"' | b'\'') {
        return Err((WRONG, from));
    }
    let mut seen = 0;
    let mut end = open + 1;
    loop {
        let next = byte(bytes, end);
        if next == quote {
            break;
        }
        if next == 0 {
            return Err(("the document is cut off", from));
        }
        seen |= class(next);
        end += 1;
    }
    let span = open + 1..end;
    Ok(Ok(Written {
        name: text.get(from..name_end).unwrap_or_default(),
        from,
        raw: text.get(span.clone()).unwrap_or_default(),
        span,
        plain: seen & ODD == 0,
    }))
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
