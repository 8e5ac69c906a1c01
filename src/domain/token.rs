// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! One token of a document. Values are decoded when somebody asks for them, which is rare.

use std::borrow::Cow;
use std::ops::Range;

use super::tag::{Spot, Written};
use super::tokens::line_ends;

/// One token. Comments and processing instructions are none.
pub(super) enum Token<'t, 'a> {
    /// An element begins.
    Open(Open<'t, 'a>),
    /// The element that was opened last and is not closed yet ends. The bytes of its end tag: none after `<a/>`.
    Close(Range<usize>),
    /// Character data inside the root.
    Text(Piece<'a>),
}

/// The begin of an element.
pub(super) struct Open<'t, 'a> {
    /// Name without prefix.
    pub name: &'a str,
    /// Namespace of the element, if it is in one. Empty when its prefix was never declared.
    pub namespace: Option<&'t str>,
    /// The bytes of the tag, from `<` to `>`.
    pub span: Range<usize>,
    pub(super) attributes: &'t [Spot],
    /// What the attributes count in, and how much of the document is before it.
    pub(super) text: &'a str,
    pub(super) base: usize,
}

impl<'a> Open<'_, 'a> {
    /// The attribute with exactly this name, prefix included.
    pub fn attribute(&self, name: &str) -> Option<Written<'a>> {
        let bytes = self.text.as_bytes();
        let spot = self
            .attributes
            .iter()
            .find(|spot| spot.name(bytes) == name.as_bytes());
        spot.map(|spot| spot.written(self.text, self.base))
    }

    /// All attributes.
    pub fn attributes(&self) -> impl Iterator<Item = Written<'a>> {
        self.attributes
            .iter()
            .map(|spot| spot.written(self.text, self.base))
    }

    /// The decoded value of an attribute.
    pub fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.attribute(name).map(|attribute| attribute.value())
    }

    /// Whether an attribute has this value.
    pub fn says(&self, name: &str, value: &str) -> bool {
        self.value(name).is_some_and(|there| there == value)
    }
}

/// A run of character data: plain text, or one reference or CDATA section.
pub(super) struct Piece<'a> {
    text: &'a str,
    base: usize,
    span: Range<usize>,
    /// It has a `\r`, which is read as something else.
    returns: bool,
    /// What a reference or a CDATA section stands for.
    decoded: Option<Cow<'a, str>>,
}

impl<'a> Piece<'a> {
    /// The text of a span.
    pub fn plain(text: &'a str, base: usize, span: Range<usize>, returns: bool) -> Self {
        Self {
            text,
            base,
            span,
            returns,
            decoded: None,
        }
    }

    /// A span that stands for something else.
    pub fn decoded(text: &'a str, base: usize, span: Range<usize>, value: Cow<'a, str>) -> Self {
        Self {
            text,
            base,
            span,
            returns: false,
            decoded: Some(value),
        }
    }

    /// The decoded characters.
    pub fn value(&self) -> Cow<'a, str> {
        match &self.decoded {
            Some(value) => value.clone(),
            None if self.returns => line_ends(self.raw()),
            None => Cow::Borrowed(self.raw()),
        }
    }

    /// The piece as written; plain text has `\r` still in it, a CDATA section its brackets.
    pub fn raw(&self) -> &'a str {
        self.text.get(self.span.clone()).unwrap_or_default()
    }

    /// Where it begins in the input.
    pub fn from(&self) -> usize {
        self.base + self.span.start
    }

    /// Plain text, whose outer blanks are layout.
    pub fn is_plain(&self) -> bool {
        self.decoded.is_none()
    }

    /// Whether it is a CDATA section.
    pub fn is_cdata(&self) -> bool {
        self.decoded.is_some() && self.raw().starts_with('<')
    }
}
