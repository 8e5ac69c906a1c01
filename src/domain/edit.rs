// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Changes of a document that leave every other byte as it was.
//!
//! A change is a span of the input and what stands there instead. The functions here find the span and write the
//! replacement the way the document is written: its quotes, its line ends, its indentation.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use super::scan::OUR_NAMESPACE;
use super::tokens::BLANKS;
use super::{Element, Outline, ScanError, Style};

/// Changes of one document, applied in one pass.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// All replacements, one after the other: a document of a thousand disks has a thousand.
    text: String,
    list: Vec<Edit>,
}

#[derive(Debug, Clone)]
struct Edit {
    span: Range<usize>,
    text: Range<usize>,
}

impl Edits {
    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts `text` in place of the bytes of `span`.
    pub fn replace(&mut self, span: Range<usize>, text: &str) {
        self.replace_by_parts(span, &[text]);
    }

    /// Puts a text that comes in parts in place of the bytes of `span`.
    pub fn replace_by_parts(&mut self, span: Range<usize>, parts: &[&str]) {
        let begin = self.text.len();
        self.text.extend(parts.iter().copied());
        self.list.push(Edit {
            span,
            text: begin..self.text.len(),
        });
    }

    /// Puts `text` in at a place. Several at one place stand in the order they were put.
    pub fn insert(&mut self, at: usize, text: &str) {
        self.replace(at..at, text);
    }

    /// The spans that change, with what stands there afterwards, in the order of the document.
    pub fn spans(&mut self) -> impl Iterator<Item = (Range<usize>, &str)> {
        self.list.sort_by_key(|edit| (edit.span.start, edit.span.end));
        let text = self.text.as_str();
        let spans = self.list.iter();
        spans.map(move |edit| (edit.span.clone(), text.get(edit.text.clone()).unwrap_or_default()))
    }

    /// The changed document.
    ///
    /// # Errors
    /// When two changes overlap, or one lies outside the document.
    pub fn apply(&mut self, xml: &[u8]) -> Result<Vec<u8>, ScanError> {
        let mut changed = Vec::with_capacity(xml.len() + self.text.len());
        let mut done = 0;
        for (span, text) in self.spans() {
            let kept = xml.get(done..span.start).filter(|_| span.start <= span.end);
            let kept = kept.ok_or(ScanError {
                reason: "two changes of one place",
                offset: span.start,
            })?;
            changed.extend_from_slice(kept);
            changed.extend_from_slice(text.as_bytes());
            done = span.end;
        }
        changed.extend_from_slice(xml.get(done..).ok_or(ScanError {
            reason: "a change outside the document",
            offset: xml.len(),
        })?);
        Ok(changed)
    }

    /// Gives `element` the attribute, or the attribute the value. Nothing changes where it has it already.
    pub fn set(&mut self, element: Element<'_, '_>, name: &str, value: &str) {
        self.set_all(element, &[(name, value)]);
    }

    /// The same for several attributes. Those that are new follow the last one in their order.
    pub fn set_all(&mut self, element: Element<'_, '_>, wanted: &[(&str, &str)]) {
        let mut end = element.name_end();
        let mut seen = 0_u64;
        for attribute in element.attributes() {
            end = attribute.span.end + 1;
            let found = wanted.iter().position(|(name, _)| attribute.name == *name);
            let Some((index, (_, value))) = found.and_then(|index| Some((index, wanted.get(index)?))) else {
                continue;
            };
            seen |= 1 << index.min(63);
            if attribute.value() != *value {
                self.replace(attribute.span, &escaped(value));
            }
        }
        let missing = wanted
            .iter()
            .enumerate()
            .filter(|(index, _)| seen & (1 << (*index).min(63)) == 0);
        let begin = self.text.len();
        for (_, (name, value)) in missing {
            self.push_attribute(name, value, element.style().quote);
        }
        if self.text.len() > begin {
            self.list.push(Edit {
                span: end..end,
                text: begin..self.text.len(),
            });
        }
    }

    fn push_attribute(&mut self, name: &str, value: &str, quote: char) {
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push('=');
        self.text.push(quote);
        self.text.push_str(&escaped(value));
        self.text.push(quote);
    }

    /// Takes an attribute away, with the blanks before it.
    pub fn remove_attribute(&mut self, element: Element<'_, '_>, name: &str) {
        if let Some(attribute) = element.attribute(name) {
            let before = element
                .tag()
                .get(..attribute.from - element.span().start)
                .unwrap_or_default();
            let from = element.span().start + before.trim_ascii_end().len();
            self.replace(from..attribute.span.end + 1, "");
        }
    }

    /// Gives an attribute another name and value.
    pub fn rename_attribute(&mut self, element: Element<'_, '_>, name: &str, new: &str, value: &str) {
        let Some(attribute) = element.attribute(name) else {
            return;
        };
        // What the new name says already would be said twice.
        self.remove_attribute(element, new);
        self.replace(attribute.from..attribute.from + name.len(), new);
        if element.value(name).as_deref() != Some(value) {
            self.replace(attribute.span, &escaped(value));
        }
    }

    /// Gives an element that holds only text another text.
    pub fn set_text(&mut self, element: Element<'_, '_>, text: &str) {
        let text = escaped(text);
        if element.is_closed_at_once() {
            let tag = element.tag().trim_end_matches('>').trim_end_matches('/');
            let span = element.span().start + tag.trim_ascii_end().len()..element.span().end;
            self.replace(span, &format!(">{text}</{}>", element.written_name()));
        } else {
            self.replace(element.content_span(), &text);
        }
    }

    /// Puts `child` in as the last child. It is written in lines that end in `\n`, two blanks per level; here it
    /// gets the document's line ends and indentation, or none where the document has none.
    pub fn append(&mut self, parent: Element<'_, '_>, child: &str) {
        if let Some(last) = parent.children().last() {
            self.insert_after(last, child);
            return;
        }
        let style = parent.style();
        let inside = parent.indent().map(|own| format!("{own}{}", style.unit));
        let child = laid_out(child, style, inside.as_deref());
        let before = line_begin(style, inside.as_deref());
        let after = line_begin(style, parent.indent());
        if parent.is_closed_at_once() {
            let kept = parent
                .tag()
                .trim_end_matches('>')
                .trim_end_matches('/')
                .trim_ascii_end();
            let span = parent.span().start + kept.len()..parent.span().end;
            self.replace(
                span,
                &format!(">{before}{child}{after}</{}>", parent.written_name()),
            );
            return;
        }
        // In front of the blanks that keep the end tag where it is.
        let (text, blanks) = split_end(parent.content());
        let after = if blanks.contains('\n') { "" } else { &after };
        let at = parent.content_span().start + text.len();
        self.insert(at, &format!("{before}{child}{after}"));
    }

    /// Puts `element`, written as for [`append`](Self::append), in behind `sibling`.
    pub fn insert_after(&mut self, sibling: Element<'_, '_>, element: &str) {
        let (style, indent) = (sibling.style(), sibling.indent());
        let element = laid_out(element, style, indent);
        self.insert(
            sibling.span().end,
            &format!("{}{element}", line_begin(style, indent)),
        );
    }

    /// Puts `element`, written as for [`append`](Self::append), in before `sibling`.
    pub fn insert_before(&mut self, sibling: Element<'_, '_>, element: &str) {
        let (style, indent) = (sibling.style(), sibling.indent());
        let element = laid_out(element, style, indent);
        self.insert(
            sibling.span().start,
            &format!("{element}{}", line_begin(style, indent)),
        );
    }
}

/// The document with `nonce` in our metadata element, which is made if it is not there.
///
/// # Errors
/// When the document is not a domain that is understood.
pub fn with_nonce(xml: &[u8], nonce: &str) -> Result<Vec<u8>, ScanError> {
    let outline = Outline::read(xml)?;
    let mut edits = Edits::default();
    set_ours(&outline, &mut edits, "nonce", nonce);
    edits.apply(xml)
}

/// Gives our metadata element an attribute. The element, and `<metadata>` around it, are made where they are not.
pub fn set_ours(outline: &Outline<'_>, edits: &mut Edits, name: &str, value: &str) {
    let root = outline.root();
    let quote = outline.style.quote;
    let metadata = root.children_named("metadata");
    let ours = metadata
        .flat_map(Element::children)
        .find(|element| element.is_ours() && element.name() == "domain");
    if let Some(ours) = ours {
        edits.set(ours, name, value);
        return;
    }
    let attributes = attribute("xmlns:spvirt", OUR_NAMESPACE, quote) + &attribute(name, value, quote);
    let element = format!("<spvirt:domain{attributes}/>");
    if let Some(metadata) = root.child("metadata") {
        edits.append(metadata, &element);
        return;
    }
    let element = format!("<metadata>\n  {element}\n</metadata>");
    // Where libvirt writes it.
    let before = ["name", "uuid", "genid", "title", "description"];
    let before = root
        .children()
        .filter(|child| child.is_plain() && before.contains(&child.name()));
    match before.last() {
        Some(sibling) => edits.insert_after(sibling, &element),
        None => edits.append(root, &element),
    }
}

/// An attribute with the blank before it.
#[must_use]
pub fn attribute(name: &str, value: &str, quote: char) -> String {
    format!(" {name}={quote}{}{quote}", escaped(value))
}

/// The text as it may stand in XML: between quotes of either kind, or between tags.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'' | '\t' | '\n' | '\r');
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // As themselves they would be read as blanks.
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            _ => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// What begins a line that is indented by `indent`; nothing where there are no lines.
fn line_begin(style: Style<'_>, indent: Option<&str>) -> String {
    indent
        .map(|indent| format!("{}{indent}", style.newline))
        .unwrap_or_default()
}

/// An element the way the document is written, its first line not indented.
fn laid_out(element: &str, style: Style<'_>, indent: Option<&str>) -> String {
    let mut written = String::new();
    for (number, line) in element.lines().enumerate() {
        let text = line.trim_start_matches(' ');
        let level = (line.len() - text.len()) / 2;
        if number > 0 && indent.is_some() {
            written.push_str(&line_begin(style, indent));
            written.push_str(&style.unit.repeat(level));
        }
        written.push_str(text);
    }
    written
}

/// A text without the blanks at its end, and those.
fn split_end(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end_matches(BLANKS).len())
}

#[cfg(test)]
mod tests;
