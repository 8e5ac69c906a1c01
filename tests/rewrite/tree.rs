// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The second opinion: a document as an independent parser understands it, to say what an edit should have done.

use std::collections::BTreeMap;

use sxd_document::dom::{ChildOfElement, ChildOfRoot};
use sxd_document::{QName, parser};

/// An element with all that is in it. The blanks that are only layout are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// `name`, or `{namespace}name`.
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub children: Vec<Child>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    Element(Tree),
    Text(String),
    Comment(String),
    Instruction(String, Option<String>),
}

/// A whole document: what stands beside its root, and the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub before_and_after: Vec<Child>,
    pub root: Tree,
}

/// Reads a document; panics when it is none.
pub fn read(xml: &str) -> Document {
    let package =
        parser::parse(xml.trim_start_matches('\u{feff}')).unwrap_or_else(|e| panic!("{e:?}\n{xml}"));
    let document = package.as_document();
    let mut before_and_after = Vec::new();
    let mut root = None;
    for child in document.root().children() {
        match child {
            ChildOfRoot::Element(element) => root = Some(tree(element)),
            ChildOfRoot::Comment(comment) => before_and_after.push(Child::Comment(comment.text().to_owned())),
            ChildOfRoot::ProcessingInstruction(pi) => before_and_after.push(Child::Instruction(
                pi.target().to_owned(),
                pi.value().map(str::to_owned),
            )),
        }
    }
    Document {
        before_and_after,
        root: root.expect("a root"),
    }
}

fn tree(element: sxd_document::dom::Element<'_>) -> Tree {
    let attributes = element.attributes().into_iter();
    Tree {
        name: name(element.name()),
        attributes: attributes
            .map(|attribute| (name(attribute.name()), attribute.value().to_owned()))
            .collect(),
        children: children(element),
    }
}

fn children(element: sxd_document::dom::Element<'_>) -> Vec<Child> {
    let mut children: Vec<Child> = Vec::new();
    for child in element.children() {
        match child {
            ChildOfElement::Element(element) => children.push(Child::Element(tree(element))),
            // Neighbours (a reference, a CDATA section) are one text.
            ChildOfElement::Text(text) => match children.last_mut() {
                Some(Child::Text(before)) => before.push_str(text.text()),
                _ => children.push(Child::Text(text.text().to_owned())),
            },
            ChildOfElement::Comment(comment) => children.push(Child::Comment(comment.text().to_owned())),
            ChildOfElement::ProcessingInstruction(pi) => children.push(Child::Instruction(
                pi.target().to_owned(),
                pi.value().map(str::to_owned),
            )),
        }
    }
    children.retain(|child| !matches!(child, Child::Text(text) if text.trim().is_empty()));
    children
}

fn name(name: QName<'_>) -> String {
    name.namespace_uri().map_or_else(
        || name.local_part().to_owned(),
        |uri| format!("{{{uri}}}{}", name.local_part()),
    )
}

impl Tree {
    /// An element without attributes and children.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            attributes: BTreeMap::new(),
            children: Vec::new(),
        }
    }

    /// The same with an attribute.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn elements_mut(&mut self) -> impl Iterator<Item = &mut Tree> {
        self.children.iter_mut().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            _ => None,
        })
    }

    /// The first child element of this name.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Tree> {
        self.elements_mut().find(|element| element.name == name)
    }
}
