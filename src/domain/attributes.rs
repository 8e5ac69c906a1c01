// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The attributes of a start tag, as they are written.

use std::ops::Range;

/// An attribute as it stands in its tag.
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

/// The attribute that begins at or after `at`, which is the end of the name or of the attribute before it; `None` at
/// the tag's end. `tag` is the text of a start tag; names and values are not looked into.
pub(super) fn next(tag: &str, at: usize) -> Result<Option<Written<'_>>, Wrong> {
    let bytes = tag.as_bytes();
    let byte = |at: usize| bytes.get(at).copied();
    let skip_blanks = |mut at: usize| {
        while byte(at).is_some_and(is_blank) {
            at += 1;
        }
        at
    };
    let from = skip_blanks(at);
    if matches!(byte(from), None | Some(b'>' | b'/')) {
        return Ok(None);
    }
    if from == at {
        return Err(("attributes that are not well formed", from));
    }
    let mut end = from;
    while byte(end).is_some_and(|b| !is_blank(b) && !matches!(b, b'=' | b'>' | b'/' | b'"' | b'\'')) {
        end += 1;
    }
    let equals = skip_blanks(end);
    if end == from || byte(equals) != Some(b'=') {
        return Err(("attributes that are not well formed", from));
    }
    let open = skip_blanks(equals + 1);
    let Some(quote @ (b'"' | b'\'')) = byte(open) else {
        return Err(("attributes that are not well formed", from));
    };
    let value = open + 1;
    let rest = bytes.get(value..).unwrap_or_default();
    let Some(length) = rest.iter().position(|b| *b == quote) else {
        return Err(("attributes that are not well formed", from));
    };
    let span = value..value + length;
    Ok(Some(Written {
        name: tag.get(from..end).unwrap_or_default(),
        from,
        raw: tag.get(span.clone()).unwrap_or_default(),
        span,
    }))
}

/// The blanks of XML.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The name of a start tag, prefix included.
pub(super) fn tag_name(tag: &str) -> &str {
    let rest = tag.strip_prefix('<').unwrap_or(tag);
    let end = rest
        .bytes()
        .position(|b| is_blank(b) || matches!(b, b'/' | b'>'))
        .unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}
