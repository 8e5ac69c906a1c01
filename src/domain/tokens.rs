// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The tokens of a document, or the reason why it is not well formed.
//!
//! quick-xml splits the bytes; what it leaves to its callers is checked here: one root that is closed, depth,
//! names, stray text, references, `<!DOCTYPE>`, characters that XML forbids. An element written `<a/>` opens
//! and closes like any other. Nothing here recurses.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::{NamespaceResolver, QName, ResolveResult};
use quick_xml::reader::Reader;

use super::ScanError;

/// Deepest nesting that is read: libxml2's limit and hence libvirt's. A disk may have a chain of 200 images.
const MAX_DEPTH: usize = 256;

/// The blanks of XML.
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

const BOM: &[u8] = "\u{feff}".as_bytes();

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
    attributes: &'t [Attribute<'a>],
}

impl<'t, 'a> Open<'t, 'a> {
    /// The attribute with exactly this name, prefix included.
    pub fn attribute(&self, name: &str) -> Option<&'t Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The decoded value of an attribute.
    pub fn value(&self, name: &str) -> Option<&'t str> {
        self.attribute(name).map(|attribute| attribute.value.as_ref())
    }
}

/// An attribute of an element.
pub(super) struct Attribute<'a> {
    name: &'a str,
    /// The value, decoded and normalised.
    pub value: Cow<'a, str>,
    /// Bytes between the quotes.
    pub span: Range<usize>,
}

/// A run of character data: plain text, or one reference or CDATA section.
pub(super) struct Piece<'a> {
    /// The decoded characters.
    pub value: Cow<'a, str>,
    /// The piece as written; plain text has `\r` still in it, a CDATA section its brackets.
    pub raw: &'a str,
    /// Where it begins in the input.
    pub from: usize,
    /// Plain text, whose outer blanks are layout.
    pub plain: bool,
}

/// Reads a document token by token.
pub(super) struct Tokens<'a> {
    reader: Reader<&'a [u8]>,
    namespaces: NamespaceResolver,
    /// The document without its byte order mark, and the length of that.
    text: &'a str,
    base: usize,
    depth: usize,
    root_seen: bool,
    /// The last element was `<a/>`: its end is the next token.
    close_next: bool,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> Tokens<'a> {
    pub fn new(xml: &'a [u8]) -> Result<Self, ScanError> {
        let body = xml.strip_prefix(BOM).unwrap_or(xml);
        let base = xml.len() - body.len();
        let refuse = |reason, at: usize| ScanError {
            reason,
            offset: base + at,
        };
        // The reader would drop a second mark and then count its bytes wrong.
        if body.starts_with(BOM) {
            return Err(refuse("two byte order marks", 0));
        }
        let forbidden = |b: &u8| *b < b' ' && !matches!(b, b'\t' | b'\r' | b'\n');
        // Without a way out the loop takes many bytes at a time; where it is, is asked only of what is refused.
        if body.iter().fold(false, |found, b| found | forbidden(b)) {
            let at = body.iter().position(forbidden).unwrap_or_default();
            return Err(refuse("a control character or NUL byte", at));
        }
        let text = std::str::from_utf8(body).map_err(|e| refuse("not UTF-8", e.valid_up_to()))?;
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        Ok(Self {
            reader,
            namespaces: NamespaceResolver::default(),
            text,
            base,
            depth: 0,
            root_seen: false,
            close_next: false,
            attributes: Vec::new(),
        })
    }

    /// The next token, or `None` after the whole document was read and found well formed.
    pub fn next(&mut self) -> Result<Option<Token<'_, 'a>>, ScanError> {
        if mem::take(&mut self.close_next) {
            let at = self.position();
            return Ok(Some(self.close(at..at)));
        }
        loop {
            let from = self.position();
            let event = self.reader.read_event().map_err(|e| self.broken(&e))?;
            let span = from..self.position();
            match event {
                Event::Start(tag) => return self.open(&tag, span).map(Some),
                Event::Empty(tag) => {
                    self.close_next = true;
                    return self.open(&tag, span).map(Some);
                }
                Event::End(_) => return Ok(Some(self.close(span))),
                Event::Text(text) => {
                    if self.depth > 0 {
                        let value = text.xml10_content();
                        return self
                            .piece(value, span, true)
                            .map(|piece| Some(Token::Text(piece)));
                    }
                    if !text.trim_matches(BLANKS).is_empty() {
                        return Err(self.refuse("text outside the root element", from));
                    }
                }
                Event::CData(text) => {
                    let value = text.xml10_content();
                    return self
                        .piece(value, span, false)
                        .map(|piece| Some(Token::Text(piece)));
                }
                Event::GeneralRef(reference) => {
                    let value =
                        resolve(&reference).ok_or_else(|| self.refuse("an unknown reference", from))?;
                    let value = Cow::Owned(value.to_string());
                    return self
                        .piece(value, span, false)
                        .map(|piece| Some(Token::Text(piece)));
                }
                Event::Comment(_) => {}
                Event::PI(pi) if is_name(pi.target()) => {}
                Event::PI(_) => return Err(self.refuse("a processing instruction without a name", from)),
                Event::Decl(declaration) => self.declaration(&declaration, from)?,
                Event::DocType(_) => return Err(self.refuse("a document type declaration", from)),
                Event::Eof if self.depth > 0 => return Err(self.refuse("the document is cut off", from)),
                Event::Eof if !self.root_seen => return Err(self.refuse("no element in it", from)),
                Event::Eof => return Ok(None),
            }
        }
    }

    /// An error at a position of the reader.
    pub fn refuse(&self, reason: &'static str, at: usize) -> ScanError {
        ScanError {
            reason,
            offset: self.base + at.min(self.text.len()),
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    fn open(&mut self, tag: &BytesStart<'_>, span: Range<usize>) -> Result<Token<'_, 'a>, ScanError> {
        let from = span.start;
        if self.depth == 0 && mem::replace(&mut self.root_seen, true) {
            return Err(self.refuse("a second root element", from));
        }
        if self.depth == MAX_DEPTH {
            return Err(self.refuse("nested too deeply", from));
        }
        self.depth += 1;
        let written = self.slice(from + 1..from + 1 + tag.name().0.len());
        if !is_name(written) {
            return Err(self.refuse("an element name that is not one", from));
        }
        self.read_attributes(tag, from + 1)?;
        // The resolver reads all attributes once more to find declarations: shown only elements that have some.
        let declares = self
            .attributes
            .iter()
            .any(|attribute| attribute.name.starts_with("xmlns"));
        let bare = BytesStart::new(written);
        if self.namespaces.push(if declares { tag } else { &bare }).is_err() {
            return Err(self.refuse("a namespace declaration that is not allowed", from));
        }
        let namespace = match self.namespaces.resolve_element(tag.name()).0 {
            ResolveResult::Unbound => None,
            ResolveResult::Bound(namespace) => Some(namespace.0),
            ResolveResult::Unknown(_) => Some(""),
        };
        Ok(Token::Open(Open {
            name: written.split_once(':').map_or(written, |(_, local)| local),
            namespace,
            span: self.base + span.start..self.base + span.end,
            attributes: &self.attributes,
        }))
    }

    fn close(&mut self, span: Range<usize>) -> Token<'_, 'a> {
        self.depth = self.depth.saturating_sub(1);
        self.namespaces.pop();
        Token::Close(self.base + span.start..self.base + span.end)
    }

    /// Reads the attributes of `tag`, whose name begins at `at`.
    fn read_attributes(&mut self, tag: &BytesStart<'_>, at: usize) -> Result<(), ScanError> {
        self.attributes.clear();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| self.refuse("attributes that are not well formed", at))?;
            let name_at = at + distance(tag, attribute.key.0);
            let value_at = at + distance(tag, &attribute.value);
            let name = self.slice(name_at..name_at + attribute.key.0.len());
            let span = value_at..value_at + attribute.value.len();
            let raw = self.slice(span.clone());
            let before = self.text.as_bytes().get(name_at.saturating_sub(1));
            let blank_before = before.is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
            if !is_name(name) || !blank_before {
                return Err(self.refuse("an attribute name that is not one", name_at));
            }
            let value = attribute_value(raw)
                .ok_or_else(|| self.refuse("an attribute value that is not one", value_at))?;
            let span = self.base + span.start..self.base + span.end;
            self.attributes.push(Attribute { name, value, span });
        }
        Ok(())
    }

    fn piece(&self, value: Cow<'a, str>, span: Range<usize>, plain: bool) -> Result<Piece<'a>, ScanError> {
        if self.depth == 0 {
            return Err(self.refuse("text outside the root element", span.start));
        }
        if plain && value.contains(']') && value.contains("]]>") {
            return Err(self.refuse("the end of a CDATA section that never began", span.start));
        }
        Ok(Piece {
            value,
            from: self.base + span.start,
            raw: self.slice(span),
            plain,
        })
    }

    /// The XML declaration must come first, and must not name an encoding that we do not read.
    fn declaration(&self, declaration: &BytesDecl<'_>, from: usize) -> Result<(), ScanError> {
        if from != 0 {
            return Err(self.refuse("an XML declaration that is not at the start", from));
        }
        if declaration.version().is_err() {
            return Err(self.refuse("an XML declaration without a version", from));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name))
                if ["utf-8", "us-ascii"]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known)) =>
            {
                Ok(())
            }
            Some(_) => Err(self.refuse("an encoding other than UTF-8", from)),
        }
    }

    /// What quick-xml found, in words that quote nothing of the document.
    fn broken(&self, error: &Error) -> ScanError {
        let reason = match error {
            Error::Syntax(SyntaxError::InvalidBangMarkup) => "unknown markup",
            Error::Syntax(_) => "the document is cut off",
            Error::IllFormed(
                IllFormedError::UnmatchedEndTag(_) | IllFormedError::MismatchedEndTag { .. },
            ) => "an end tag that does not match",
            Error::IllFormed(IllFormedError::UnclosedReference) => "a reference without its semicolon",
            Error::IllFormed(IllFormedError::DoubleHyphenInComment) => "two hyphens in a comment",
            _ => "not well formed",
        };
        self.refuse(
            reason,
            usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX),
        )
    }

    fn slice(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }
}

/// How many bytes into `whole` its slice `part` begins.
fn distance(whole: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(whole.as_ptr().addr())
}

/// The value of an attribute, decoded and normalised, unless it is not allowed.
pub(super) fn attribute_value(raw: &str) -> Option<Cow<'_, str>> {
    // Nearly all values: nothing to decode, to normalise or to forbid.
    if raw
        .bytes()
        .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'<' | b'&'))
    {
        return Some(Cow::Borrowed(raw));
    }
    if raw.contains('<') {
        return None;
    }
    let written = quick_xml::events::attributes::Attribute {
        key: QName(""),
        value: Cow::Borrowed(raw),
    };
    let value = written.normalized_value(XmlVersion::Implicit1_0).ok()?;
    value.chars().all(is_xml_char).then_some(value)
}

/// The character that a reference stands for.
fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    match reference.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok()?.filter(|c| is_xml_char(*c)),
    }
}

fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Is it a name? Beyond ASCII everything passes: a name that XML forbids there is not one of ours either.
fn is_name(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b':') || b >= 0x80;
    let later = |b: u8| first(b) || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    text.bytes().next().is_some_and(first) && text.bytes().all(later)
}
