// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Changes of a document that leave every other byte as it was.
//!
//! A change is a span of the input and what stands there instead. The functions here find the span and write the
//! replacement the way the document is written: its quotes, its line ends, its indentation.

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
        let begin = self.text.len();
        self.text.push_str(text);
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
        if element.value(name).as_deref() == Some(value) {
            return;
        }
        if let Some(attribute) = element.attribute(name) {
            self.replace(attribute.span, &escaped(value));
            return;
        }
        let last = element.attributes().last();
        let at = last.as_ref().map_or_else(
            || element.span().start + 1 + element.written_name().len(),
            |attribute| attribute.span.end + 1,
        );
        self.insert(at, &attribute(name, value, element.style().quote));
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
pub fn escaped(text: &str) -> String {
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
    escaped
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
mod tests {
    use super::*;

    const OURS: &str = "<spvirt:domain xmlns:spvirt='urn:spvirt:domain:1' nonce='7'/>";

    fn with_7(xml: &str) -> String {
        let once = with_nonce(xml.as_bytes(), "7").unwrap_or_else(|e| panic!("{e}: {xml}"));
        assert_eq!(with_nonce(&once, "7").unwrap(), once, "twice is once");
        String::from_utf8(once).unwrap()
    }

    #[test]
    fn our_element_is_made_the_way_the_document_is_written() {
        for (before, after) in [
            ("<domain/>", "<domain><metadata>OURS</metadata></domain>"),
            ("<domain></domain>", "<domain><metadata>OURS</metadata></domain>"),
            (
                "<domain ></domain >",
                "<domain ><metadata>OURS</metadata></domain >",
            ),
            (
                "<domain><name>a</name><os/></domain>",
                "<domain><name>a</name><metadata>OURS</metadata><os/></domain>",
            ),
            (
                "<!-- c -->\n<domain type='kvm'>\n  <uuid>u</uuid>\n  <os/>\n</domain>\n",
                "<!-- c -->\n<domain type='kvm'>\n  <uuid>u</uuid>\n  <metadata>\n    OURS\n  </metadata>\n  <os/>\n</domain>\n",
            ),
            (
                "\t<domain>\r\n\t\t<metadata/>\r\n\t</domain>",
                "\t<domain>\r\n\t\t<metadata>\r\n\t\t\tOURS\r\n\t\t</metadata>\r\n\t</domain>",
            ),
            (
                "<domain>\n    <metadata >\n    </metadata>\n</domain>",
                "<domain>\n    <metadata >\n        OURS\n    </metadata>\n</domain>",
            ),
            (
                "<domain>\n <metadata><!-- c --></metadata>\n</domain>",
                "<domain>\n <metadata><!-- c -->\n  OURS\n </metadata>\n</domain>",
            ),
            (
                "<domain><metadata>\n  <a:x xmlns:a='b'/> t\n</metadata></domain>",
                "<domain><metadata>\n  <a:x xmlns:a='b'/>\n  OURS t\n</metadata></domain>",
            ),
            (
                "<domain><x:metadata xmlns:x='y'/><metadata xmlns='y'/></domain>",
                "<domain><x:metadata xmlns:x='y'/><metadata xmlns='y'/><metadata>OURS</metadata></domain>",
            ),
        ] {
            // Of where there is no quote to go by, too.
            assert_eq!(with_7(before), after.replace("OURS", OURS));
            let double = |xml: &str| xml.replace('\'', "\"");
            let ours = if before.contains('\'') {
                double(OURS)
            } else {
                OURS.to_owned()
            };
            assert_eq!(with_7(&double(before)), double(after).replace("OURS", &ours));
        }
    }

    #[test]
    fn an_older_nonce_is_replaced_and_the_rest_of_our_element_kept() {
        for (ours, expected) in [
            (
                "<s:domain xmlns:s='NS' nonce='1'/>",
                "<s:domain xmlns:s='NS' nonce='7'/>",
            ),
            (
                "<s:domain xmlns:s='NS'\n nonce = \"&#49;\" takeover='safe' />",
                "<s:domain xmlns:s='NS'\n nonce = \"7\" takeover='safe' />",
            ),
            (
                "<domain filter='off' xmlns='NS'></domain>",
                "<domain filter='off' xmlns='NS' nonce='7'></domain>",
            ),
            (
                "<domain\txmlns='NS'><x/></domain>",
                "<domain\txmlns='NS' nonce='7'><x/></domain>",
            ),
            (
                "<x:domain xmlns:x='no' nonce='1'/><s:domain xmlns:s='NS' s:nonce='1'/>",
                "<x:domain xmlns:x='no' nonce='1'/><s:domain xmlns:s='NS' s:nonce='1' nonce='7'/>",
            ),
        ] {
            let whole = |ours: &str| {
                format!(
                    "<domain><metadata>{}</metadata></domain>",
                    ours.replace("NS", OUR_NAMESPACE)
                )
            };
            assert_eq!(with_7(&whole(ours)), whole(expected));
        }
    }

    #[test]
    fn values_are_escaped_and_read_back() {
        for nonce in ["a'b\"c", "<&>", "\t\n\r", "é\u{1f600}", ""] {
            let xml = with_nonce(b"<domain/>", nonce).unwrap();
            let domain = crate::domain::scan(&xml).unwrap();
            assert_eq!(domain.settings.nonce.as_deref(), Some(nonce));
        }
    }

    #[test]
    fn what_is_no_domain_is_refused_with_its_place() {
        for (xml, place) in [
            ("<domain>\n<x></domain>", (2, 4)),
            ("<!DOCTYPE domain>\n<domain/>", (1, 1)),
            ("\n <pool/>", (2, 2)),
            ("<domain/>\n<domain/>", (2, 1)),
        ] {
            let error = with_nonce(xml.as_bytes(), "7").unwrap_err();
            assert_eq!(error.line_column(xml.as_bytes()), place, "{xml}: {error}");
        }
    }

    #[test]
    fn changes_that_touch_each_other_are_made_and_those_that_overlap_refused() {
        let mut edits = Edits::default();
        edits.replace(2..4, "X");
        edits.insert(4, "Y");
        edits.replace(0..2, "W");
        edits.insert(4, "Z");
        assert_eq!(edits.apply(b"aabbcc").unwrap(), b"WXYZcc");
        edits.replace(3..5, "!");
        assert!(edits.apply(b"aabbcc").is_err());
        let mut outside = Edits::default();
        outside.replace(5..9, "!");
        assert!(outside.apply(b"aabbcc").is_err());
    }
}
