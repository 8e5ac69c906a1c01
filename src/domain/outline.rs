// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Where the elements of a domain stand: what an edit needs to know, and no more.
//!
//! Not a tree that is written out again: positions in the input. Elements that nobody edits (interfaces, timers, ...)
//! are kept without what is inside them.

use std::borrow::Cow;
use std::ops::Range;

use super::ScanError;
use super::attributes::{self, Written, tag_name};
use super::scan::{OUR_NAMESPACE, no_domain};
use super::tokens::{Open, Token, Tokens, attribute_value};

/// What is inside these is kept to the bottom; of everything else, three levels from the root on.
const DEEP: [&str; 5] = ["disk", "controller", "hostdev", "memory", "nvram"];
const SHALLOW: usize = 3;

/// The elements of a domain with their positions.
#[derive(Debug)]
pub struct Outline<'a> {
    text: &'a str,
    root: Node,
    nodes: Vec<Node>,
    /// How the document is written.
    pub style: Style<'a>,
}

/// How a document is written, for what is inserted into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style<'a> {
    /// The quote around attributes, `'` or `"`: that of the first one.
    pub quote: char,
    /// The line end, `\n` or `\r\n`: that of the first line.
    pub newline: &'a str,
    /// By how much a child is indented more than its parent.
    pub unit: &'a str,
}

/// An element. Positions in 32 bits keep the outline smaller than the document.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// `<` of its start tag.
    from: u32,
    /// After `>` of its start tag.
    head: u32,
    /// `<` of its end tag; `head` for `<a/>`.
    tail: u32,
    /// After `>` of its end tag; `head` for `<a/>`.
    to: u32,
    /// The node after its last descendant.
    next: u32,
    space: Space,
}

/// Which namespace an element is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    /// None: libvirt's own elements.
    None,
    /// `urn:spvirt:domain:1`
    Ours,
    /// Somebody else's.
    Other,
}

/// An element of an outline.
#[derive(Debug, Clone, Copy)]
pub struct Element<'o, 'a> {
    outline: &'o Outline<'a>,
    index: usize,
    node: Node,
}

impl<'a> Outline<'a> {
    /// Reads a domain's elements.
    ///
    /// # Errors
    /// Those of [`scan`](super::scan()), and when the document is longer than 4 GiB.
    pub fn read(xml: &'a [u8]) -> Result<Self, ScanError> {
        let mut tokens = Tokens::new(xml)?;
        let mut builder = Builder::default();
        loop {
            match tokens.next()? {
                Some(Token::Open(element)) => {
                    if builder.nodes.is_empty() && (element.name != "domain" || element.namespace.is_some()) {
                        return Err(no_domain(element.span.start));
                    }
                    builder.open(&element);
                }
                Some(Token::Close(span)) => builder.close(&span),
                Some(Token::Text(_)) => {}
                None => return builder.finish(xml),
            }
        }
    }

    /// The root, `<domain>`.
    #[must_use]
    pub fn root(&self) -> Element<'_, 'a> {
        Element {
            outline: self,
            index: 0,
            node: self.root,
        }
    }

    /// The element that a path of names leads to from the root, the first of each name: `["devices"]`.
    #[must_use]
    pub fn find(&self, path: &[&str]) -> Option<Element<'_, 'a>> {
        path.iter()
            .try_fold(self.root(), |element, name| element.child(name))
    }

    fn slice(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    /// The blanks in front of what stands at `at`, when a line begins with them.
    fn indent(&self, at: usize) -> Option<&'a str> {
        let before = self.slice(0..at);
        let blanks = before.trim_end_matches([' ', '\t']);
        let begins_line = blanks.ends_with('\n')
            || blanks.trim_start_matches('\u{feff}').is_empty() && self.text.contains('\n');
        begins_line.then(|| self.slice(blanks.len()..at))
    }

    /// How the document is written: its first attribute, its first line, its second level.
    fn look(&mut self) {
        let mut tags = self.nodes.iter().map(|node| self.slice(node.from()..node.head()));
        if let Some(quote) = tags.find_map(|tag| tag.chars().find(|c| matches!(c, '\'' | '"'))) {
            self.style.quote = quote;
        }
        let first_line = self.text.split_inclusive('\n').next();
        if first_line.is_some_and(|line| line.ends_with("\r\n")) {
            self.style.newline = "\r\n";
        }
        let unit = self.root().children().find_map(|child| {
            let root = self.indent(self.root.from()).unwrap_or_default();
            self.indent(child.node.from())?
                .strip_prefix(root)
                .filter(|unit| !unit.is_empty())
        });
        if let Some(unit) = unit {
            self.style.unit = unit;
        }
    }
}

impl Node {
    fn from(&self) -> usize {
        self.from as usize
    }
    fn head(&self) -> usize {
        self.head as usize
    }
    fn tail(&self) -> usize {
        self.tail as usize
    }
    fn to(&self) -> usize {
        self.to as usize
    }
}

impl<'o, 'a> Element<'o, 'a> {
    /// Its name without prefix.
    #[must_use]
    pub fn name(&self) -> &'a str {
        let name = self.written_name();
        name.split_once(':').map_or(name, |(_, local)| local)
    }

    /// Its name as written, prefix included.
    #[must_use]
    pub fn written_name(&self) -> &'a str {
        tag_name(self.tag())
    }

    /// Whether it is one of libvirt's own, which are in no namespace.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.node.space == Space::None
    }

    /// Whether it is in our namespace.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.node.space == Space::Ours
    }

    /// Whether it is written `<a/>`.
    #[must_use]
    pub fn is_closed_at_once(&self) -> bool {
        self.node.head == self.node.to
    }

    /// All its bytes.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.node.from()..self.node.to()
    }

    /// The bytes of its start tag.
    #[must_use]
    pub fn tag_span(&self) -> Range<usize> {
        self.node.from()..self.node.head()
    }

    /// The bytes between its tags.
    #[must_use]
    pub fn content_span(&self) -> Range<usize> {
        self.node.head()..self.node.tail()
    }

    /// Its start tag.
    #[must_use]
    pub fn tag(&self) -> &'a str {
        self.outline.slice(self.tag_span())
    }

    /// What stands between its tags.
    #[must_use]
    pub fn content(&self) -> &'a str {
        self.outline.slice(self.content_span())
    }

    /// How its document is written.
    #[must_use]
    pub fn style(&self) -> Style<'a> {
        self.outline.style
    }

    /// The blanks that its line begins with, if it is the first in its line.
    #[must_use]
    pub fn indent(&self) -> Option<&'a str> {
        self.outline.indent(self.node.from())
    }

    /// Its children, in any namespace, in order. Empty below the depth that is kept.
    pub fn children(self) -> impl Iterator<Item = Element<'o, 'a>> {
        let outline = self.outline;
        let mut index = self.index + 1;
        let end = self.node.next as usize;
        std::iter::from_fn(move || {
            let node = *outline.nodes.get(index).filter(|_| index < end)?;
            let element = Element { outline, index, node };
            index = node.next as usize;
            Some(element)
        })
    }

    /// Its children of this name, in no namespace.
    pub fn children_named(self, name: &str) -> impl Iterator<Item = Element<'o, 'a>> {
        self.children()
            .filter(move |child| child.is_plain() && child.name() == name)
    }

    /// Its first child of this name, in no namespace.
    #[must_use]
    pub fn child(self, name: &str) -> Option<Element<'o, 'a>> {
        self.children_named(name).next()
    }

    /// Its attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Written<'a>> {
        self.attributes().find(|attribute| attribute.name == name)
    }

    /// All its attributes, with positions in the document.
    pub fn attributes(&self) -> impl Iterator<Item = Written<'a>> {
        let tag = self.tag();
        let base = self.node.from();
        let mut at = self.written_name().len() + 1;
        std::iter::from_fn(move || {
            let attribute = attributes::next(tag, at).ok().flatten()?;
            at = attribute.span.end + 1;
            Some(attribute.moved(base))
        })
    }

    /// The decoded value of an attribute.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.attribute(name)
            .and_then(|attribute| attribute_value(attribute.raw))
    }
}

/// Builds an outline from the tokens of one pass.
#[derive(Debug, Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    /// Indices of the open elements that are kept.
    open: Vec<u32>,
    /// The depth of the outermost open element of which everything is kept; 0 when there is none.
    deep: usize,
    /// Open elements that are not kept.
    left_out: usize,
    too_long: bool,
}

impl Builder {
    pub fn open(&mut self, element: &Open<'_, '_>) {
        let depth = self.open.len();
        if self.left_out > 0 || (depth >= SHALLOW && self.deep == 0) {
            self.left_out += 1;
            return;
        }
        let space = match element.namespace {
            None => Space::None,
            Some(OUR_NAMESPACE) => Space::Ours,
            Some(_) => Space::Other,
        };
        if depth == SHALLOW - 1 && space == Space::None && DEEP.contains(&element.name) {
            self.deep = depth;
        }
        let (from, head) = (self.position(element.span.start), self.position(element.span.end));
        let index = self.position(self.nodes.len());
        self.open.push(index);
        self.nodes.push(Node {
            from,
            head,
            tail: head,
            to: head,
            next: index,
            space,
        });
    }

    /// Closes the element that was opened last, with the bytes of its end tag.
    pub fn close(&mut self, tag: &Range<usize>) {
        if self.left_out > 0 {
            self.left_out -= 1;
            return;
        }
        let (tail, to, next) = (
            self.position(tag.start),
            self.position(tag.end),
            self.position(self.nodes.len()),
        );
        let Some(index) = self.open.pop() else { return };
        if let Some(node) = self.nodes.get_mut(index as usize) {
            (node.tail, node.to, node.next) = (tail, to, next);
        }
        if self.open.len() == self.deep {
            self.deep = 0;
        }
    }

    /// The outline of the document that the tokens came from.
    pub fn finish(self, xml: &[u8]) -> Result<Outline<'_>, ScanError> {
        let refuse = |reason| ScanError { reason, offset: 0 };
        let text = std::str::from_utf8(xml).map_err(|_| refuse("not UTF-8"))?;
        let root = *self.nodes.first().ok_or_else(|| no_domain(0))?;
        if self.too_long {
            return Err(refuse("longer than 4 GiB"));
        }
        let style = Style {
            quote: '\'',
            newline: "\n",
            unit: "  ",
        };
        let mut outline = Outline {
            text,
            root,
            nodes: self.nodes,
            style,
        };
        outline.look();
        Ok(outline)
    }

    fn position(&mut self, at: usize) -> u32 {
        u32::try_from(at).unwrap_or_else(|_| {
            self.too_long = true;
            u32::MAX
        })
    }
}
