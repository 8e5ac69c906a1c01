// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The second opinion: the sources of a domain as `XPath` over a tree finds them. Shares nothing with the scanner.

use spvirt::domain::Kind;
use spvirt::volume::Access;
use sxd_document::parser;
use sxd_xpath::nodeset::Node;
use sxd_xpath::{Context, Factory, Value, XPath};

/// What both readers are asked about a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub path: String,
    pub kind: Kind,
    pub access: Access,
    pub shareable: bool,
    pub cdrom: bool,
    pub target: String,
}

/// Names without a prefix mean "in no namespace" in `XPath` 1.0, which is just what is wanted.
const SOURCES: &str = "
    /domain/devices/disk//source[CHAIN][parent::*[not(@type) or @type='file']]/@file
  | /domain/devices/disk//source[CHAIN][parent::*[@type='block']]/@dev
  | /domain/devices/disk/mirror/@file
  | /domain/devices/disk/mirror/@dev
  | /domain/os/nvram[not(@type)][normalize-space()]
  | /domain/os/nvram[@type='file']/source/@file
  | /domain/os/nvram[@type='block']/source/@dev
  | /domain/devices/memory[@model='nvdimm' or @model='virtio-pmem']/source/path[normalize-space()]
  | /domain/devices/hostdev[@mode='capabilities'][@type='storage']/source/block[normalize-space()]";
/// A disk's image at any depth: it and each of its ancestors stands where it may stand.
const CHAIN: &str = "not(ancestor-or-self::*[not(
    self::domain[not(parent::*)] or self::devices[parent::domain] or self::disk[parent::devices]
    or self::source[IMAGE] or self::backingStore[IMAGE] or self::mirror[parent::disk]
    or self::dataStore[IMAGE or parent::source])])";
const IMAGE: &str = "(parent::disk or parent::backingStore or parent::mirror or parent::dataStore)";
const BLOCK: &str = "boolean(self::block) or (not(self::*) and name() = 'dev')";
const READONLY: &str = "boolean(ancestor::backingStore) or not(ancestor::mirror) and (ancestor::disk/readonly
    or ancestor::disk/@device = 'cdrom' or ancestor::memory/target/readonly or ancestor::hostdev/readonly)";
const SHAREABLE: &str = "boolean(ancestor::disk/shareable | ancestor::hostdev/shareable)";
const CDROM: &str = "ancestor::disk/@device = 'cdrom'";
const TARGET: &str = "string(ancestor::disk/target/@dev)";

/// The expressions, compiled once.
pub struct Reader {
    sources: XPath,
    block: XPath,
    readonly: XPath,
    shareable: XPath,
    cdrom: XPath,
    target: XPath,
}

impl Reader {
    pub fn new() -> Self {
        let compile = |text: &str| Factory::new().build(text).unwrap().unwrap();
        Self {
            sources: compile(&SOURCES.replace("CHAIN", CHAIN).replace("IMAGE", IMAGE)),
            block: compile(BLOCK),
            readonly: compile(READONLY),
            shareable: compile(SHAREABLE),
            cdrom: compile(CDROM),
            target: compile(TARGET),
        }
    }

    /// The sources in document order, or why the document is none.
    pub fn sources(&self, xml: &str) -> Result<Vec<Seen>, String> {
        let package = parser::parse(xml).map_err(|e| format!("{e:?}"))?;
        let document = package.as_document();
        let context = Context::new();
        let Value::Nodeset(nodes) = ask(&self.sources, &context, document.root().into()) else {
            panic!("a union of paths is a node set")
        };
        let seen = |node| Seen {
            path: match node {
                Node::Attribute(attribute) => attribute.value().to_owned(),
                other => other
                    .string_value()
                    .trim_matches([' ', '\t', '\r', '\n'])
                    .to_owned(),
            },
            kind: if ask(&self.block, &context, node).boolean() {
                Kind::Block
            } else {
                Kind::File
            },
            access: if ask(&self.readonly, &context, node).boolean() {
                Access::Ro
            } else {
                Access::Rw
            },
            shareable: ask(&self.shareable, &context, node).boolean(),
            cdrom: ask(&self.cdrom, &context, node).boolean(),
            target: ask(&self.target, &context, node).into_string(),
        };
        Ok(nodes.document_order().into_iter().map(seen).collect())
    }
}

fn ask<'d>(xpath: &XPath, context: &Context<'d>, node: Node<'d>) -> Value<'d> {
    xpath.evaluate(context, node).unwrap()
}
