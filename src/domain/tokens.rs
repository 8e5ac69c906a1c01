// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The tokens of a document, or the reason why it is not well formed.
//!
//! Tags and plain text, which is nearly all of a domain, are split here, because that is what the time of a rewrite goes
//! into (docs/numbers.md). Everything that is rarer and harder is left to quick-xml: comments, CDATA, processing
//! instructions, the declaration, references, the values that have to be decoded. An element written `<a/>` opens and
//! closes like any other. Nothing here recurses.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::{BytesDecl, BytesRef, BytesText, Event};
use quick_xml::name::QName;
use quick_xml::reader::Reader;

use super::ScanError;
use super::namespaces::Namespaces;
use super::tag::{self, Spot, byte};
use super::token::{Open, Piece, Token};

/// Deepest nesting that is read: libxml2's limit and hence libvirt's. A disk may have a chain of 200 images.
const MAX_DEPTH: usize = 256;

const CUT_OFF: &str = "the document is cut off";

/// The blanks of XML.
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

const BOM: &[u8] = "\u{feff}".as_bytes();

/// Reads a document token by token.
pub(super) struct Tokens<'a> {
    /// The document without its byte order mark, and the length of that.
    text: &'a str,
    base: usize,
    /// How much of it is read.
    at: usize,
    /// The names of the open elements, as written.
    open: Vec<&'a str>,
    namespaces: Namespaces<'a>,
    root_seen: bool,
    /// The last element was `<a/>`: its end is the next token.
    close_next: bool,
    attributes: Vec<Spot>,
}

impl<'a> Tokens<'a> {
    pub fn new(xml: &'a [u8]) -> Result<Self, ScanError> {
        let body = xml.strip_prefix(BOM).unwrap_or(xml);
        let base = xml.len() - body.len();
        let refuse = |reason, at: usize| ScanError {
            reason,
            offset: base + at,
        };
        if u32::try_from(xml.len()).is_err() {
            return Err(refuse("longer than 4 GiB", 0));
        }
        if body.starts_with(BOM) {
            return Err(refuse("two byte order marks", 0));
        }
        if let Some(at) = forbidden(body) {
            return Err(refuse("a control character or NUL byte", at));
        }
        let text = std::str::from_utf8(body).map_err(|e| refuse("not UTF-8", e.valid_up_to()))?;
        Ok(Self {
            text,
            base,
            at: 0,
            open: Vec::new(),
            namespaces: Namespaces::default(),
            root_seen: false,
            close_next: false,
            attributes: Vec::new(),
        })
    }

    /// The next token, or `None` after the whole document was read and found well formed.
    pub fn next(&mut self) -> Result<Option<Token<'_, 'a>>, ScanError> {
        if mem::take(&mut self.close_next) {
            return Ok(Some(self.close(self.at..self.at)));
        }
        loop {
            let from = self.at;
            let bytes = self.text.as_bytes();
            match (byte(bytes, from), byte(bytes, from + 1)) {
                (0, _) if !self.open.is_empty() => return Err(self.refuse(CUT_OFF, from)),
                (0, _) if !self.root_seen => return Err(self.refuse("no element in it", from)),
                (0, _) => return Ok(None),
                (b'<', b'!' | b'?') | (b'&', _) => {
                    if let Some(piece) = self.odd()? {
                        return Ok(Some(Token::Text(piece)));
                    }
                }
                (b'<', b'/') => return self.end_tag().map(Some),
                (b'<', _) => return self.start_tag().map(Some),
                _ => {
                    let run = tag::run(bytes, from);
                    self.at = run.end;
                    if !self.open.is_empty() {
                        if run.brackets && self.slice(from..run.end).contains("]]>") {
                            return Err(self.refuse("the end of a CDATA section that never began", from));
                        }
                        let piece = Piece::plain(self.text, self.base, from..run.end, run.returns);
                        return Ok(Some(Token::Text(piece)));
                    }
                    let raw = self.slice(from..run.end);
                    if !raw.trim_matches(BLANKS).is_empty() {
                        return Err(self.refuse("text outside the root element", from));
                    }
                }
            }
        }
    }

    /// What is no tag and no plain text, by quick-xml. Gives what counts as text.
    fn odd(&mut self) -> Result<Option<Piece<'a>>, ScanError> {
        let from = self.at;
        let mut reader = Reader::from_str(self.slice(from..self.text.len()));
        reader.config_mut().check_comments = true;
        let event = reader
            .read_event()
            .map_err(|error| self.broken(&error, from, &reader))?;
        self.at = from + usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let span = from..self.at;
        match event {
            Event::CData(text) => self.piece(text.xml10_content(), span).map(Some),
            Event::GeneralRef(reference) => {
                let value = resolve(&reference).ok_or_else(|| self.refuse("an unknown reference", from))?;
                self.piece(Cow::Owned(value.to_string()), span).map(Some)
            }
            Event::Comment(_) => Ok(None),
            Event::PI(pi) if is_name(pi.target()) => Ok(None),
            Event::PI(_) => Err(self.refuse("a processing instruction without a name", from)),
            Event::Decl(declaration) => self.declaration(&declaration, from).map(|()| None),
            Event::DocType(_) => Err(self.refuse("a document type declaration", from)),
            Event::Start(_) | Event::Empty(_) | Event::End(_) | Event::Text(_) | Event::Eof => {
                Err(self.refuse("unknown markup", from))
            }
        }
    }

    /// An error at a position of the text.
    fn refuse(&self, reason: &'static str, at: usize) -> ScanError {
        ScanError {
            reason,
            offset: self.base + at.min(self.text.len()),
        }
    }

    fn start_tag(&mut self) -> Result<Token<'_, 'a>, ScanError> {
        let from = self.at;
        if self.open.is_empty() && mem::replace(&mut self.root_seen, true) {
            return Err(self.refuse("a second root element", from));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self.refuse("nested too deeply", from));
        }
        let bytes = self.text.as_bytes();
        let name_end = tag::after_name(bytes, from + 1);
        let written = self.slice(from + 1..name_end);
        if written.is_empty() {
            let cut_off = from + 1 == bytes.len();
            return Err(self.refuse(
                if cut_off {
                    CUT_OFF
                } else {
                    "an element name that is not one"
                },
                from,
            ));
        }
        self.open.push(written);
        let end = self.read_attributes(from, name_end)?;
        self.close_next = byte(bytes, end) == b'/';
        let close = end + usize::from(self.close_next);
        if byte(bytes, close) != b'>' {
            return Err(self.refuse("an element name that is not one", from));
        }
        self.at = close + 1;
        let (prefix, name) = tag::split_name(written);
        Ok(Token::Open(Open {
            name,
            written,
            namespace: self.namespaces.of(prefix),
            span: self.base + from..self.base + self.at,
            attributes: &self.attributes,
            text: self.text,
            base: self.base,
        }))
    }

    fn end_tag(&mut self) -> Result<Token<'_, 'a>, ScanError> {
        let from = self.at;
        let bytes = self.text.as_bytes();
        let name_end = tag::after_name(bytes, from + 2);
        let close = tag::after_blanks(bytes, name_end);
        if byte(bytes, close) == 0 {
            return Err(self.refuse(CUT_OFF, from));
        }
        if byte(bytes, close) != b'>' || self.open.last() != Some(&self.slice(from + 2..name_end)) {
            return Err(self.refuse("an end tag that does not match", from));
        }
        self.at = close + 1;
        Ok(self.close(from..self.at))
    }

    fn close(&mut self, span: Range<usize>) -> Token<'_, 'a> {
        self.namespaces.leave(self.open.len());
        self.open.pop();
        Token::Close(self.base + span.start..self.base + span.end)
    }

    /// Reads the attributes of the tag at `from`, which begin at `at`. Gives the position of the `>` or `/` behind them.
    fn read_attributes(&mut self, from: usize, mut at: usize) -> Result<usize, ScanError> {
        self.attributes.clear();
        let bytes = self.text.as_bytes();
        let end = loop {
            let spot = match tag::attribute(bytes, at) {
                Ok(Ok(spot)) => spot,
                Ok(Err(end)) => break end,
                Err((reason, at)) => return Err(self.refuse(reason, at)),
            };
            at = spot.end();
            if !spot.plain || spot.name(bytes).starts_with(b"xmlns") {
                self.look_into(&spot)?;
            }
            self.attributes.push(spot);
        };
        if twice(bytes, &self.attributes) {
            return Err(self.refuse("attributes that are not well formed", from));
        }
        Ok(end)
    }

    /// Checks the value of an attribute that is not plain, and notes a declaration.
    fn look_into(&mut self, spot: &Spot) -> Result<(), ScanError> {
        let written = spot.written(self.text, 0);
        let refuse = |reason, at: usize| ScanError {
            reason,
            offset: self.base + at,
        };
        let value = if spot.plain {
            Cow::Borrowed(written.raw)
        } else {
            attribute_value(written.raw)
                .ok_or_else(|| refuse("an attribute value that is not one", written.span.start))?
        };
        if written.name.starts_with("xmlns") {
            let declared = self.namespaces.declare(self.open.len(), written.name, value);
            declared.map_err(|reason| refuse(reason, written.from))?;
        }
        Ok(())
    }

    /// A reference or a CDATA section.
    fn piece(&self, value: Cow<'a, str>, span: Range<usize>) -> Result<Piece<'a>, ScanError> {
        if self.open.is_empty() {
            return Err(self.refuse("text outside the root element", span.start));
        }
        Ok(Piece::decoded(self.text, self.base, span, value))
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

    /// What quick-xml found in what begins at `from`, in words that quote nothing of the document.
    fn broken(&self, error: &Error, from: usize, reader: &Reader<&[u8]>) -> ScanError {
        let reason = match error {
            Error::Syntax(SyntaxError::InvalidBangMarkup) => "unknown markup",
            Error::Syntax(_) => CUT_OFF,
            Error::IllFormed(IllFormedError::UnclosedReference) => "a reference without its semicolon",
            Error::IllFormed(IllFormedError::DoubleHyphenInComment) => "two hyphens in a comment",
            _ => "not well formed",
        };
        let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
        self.refuse(reason, from.saturating_add(at))
    }

    fn slice(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }
}

/// Whether two attributes have one name.
fn twice(bytes: &[u8], attributes: &[Spot]) -> bool {
    // Few are compared with each other; a hostile number of them is sorted first.
    if attributes.len() <= 16 {
        return attributes.iter().enumerate().any(|(at, one)| {
            let name = one.name(bytes);
            attributes
                .iter()
                .skip(at + 1)
                .any(|other| other.name(bytes) == name)
        });
    }
    let mut names: Vec<&[u8]> = attributes.iter().map(|spot| spot.name(bytes)).collect();
    names.sort_unstable();
    names
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one == other))
}

/// A text with each `\r\n` and `\r` read as `\n`.
pub(super) fn line_ends(text: &str) -> Cow<'_, str> {
    Cow::Owned(BytesText::from_escaped(text).xml10_content().into_owned())
}

/// The value of an attribute, decoded and normalised, unless it is not allowed.
pub(super) fn attribute_value(raw: &str) -> Option<Cow<'_, str>> {
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

/// Is it a name?
fn is_name(text: &str) -> bool {
    !text.is_empty() && tag::after_name(text.as_bytes(), 0) == text.len()
}

/// Where the first character is that no document may hold: what is below a blank, but for tab, line feed and return.
/// Every byte of a document is asked, so eight are at a time; the highest bit of each tells.
fn forbidden(body: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    let (tab, feed, carriage) = (each(b'\t'), each(b'\n'), each(b'\r'));
    let is_not = |word: u64, byte: u64| (((word ^ byte) & LOW) + LOW) | (word ^ byte);
    let has = |eight: &[u8; 8]| {
        let word = u64::from_ne_bytes(*eight);
        let blank_or_more = ((word & LOW) + each(0x80 - b' ')) | word;
        !blank_or_more & is_not(word, tab) & is_not(word, feed) & is_not(word, carriage) & !LOW != 0
    };
    let (eights, _) = body.as_chunks();
    let sound = eights.iter().position(has).unwrap_or(eights.len()) * 8;
    let is = |b: &u8| *b < b' ' && !matches!(b, b'\t' | b'\r' | b'\n');
    let at = body.iter().skip(sound).position(is)?;
    Some(sound + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_characters_are_found_wherever_they_are() {
        for byte in 0..=u8::MAX {
            let is = byte < b' ' && !b"\t\r\n".contains(&byte);
            for at in 0..20 {
                let mut body = b"aaaaaaa\n\t\r\xff\x80 \x7f aaaa".to_vec();
                body.insert(at.min(body.len()), byte);
                assert_eq!(forbidden(&body), is.then_some(at.min(body.len() - 1)), "{body:?}");
            }
        }
        assert_eq!(forbidden(b""), None);
    }
}
