// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Which namespace an element is in (<https://www.w3.org/TR/xml-names/>).

use std::borrow::Cow;

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Most declarations that hold at one place: a prefix is looked up in all of them, and nobody needs so many.
const MOST: usize = 256;

/// The declarations of the elements that are open.
#[derive(Debug, Default)]
pub(super) struct Namespaces<'a> {
    declared: Vec<Declaration<'a>>,
}

#[derive(Debug)]
struct Declaration<'a> {
    /// `None` for the default namespace.
    prefix: Option<&'a str>,
    /// Empty takes a declaration back.
    namespace: Cow<'a, str>,
    /// Depth of the element that declares it.
    depth: usize,
}

impl<'a> Namespaces<'a> {
    /// Notes the attribute `name`, which begins with `xmlns`, of the element at `depth`, if it is a declaration; `value` is its namespace.
    pub fn declare(&mut self, depth: usize, name: &'a str, value: Cow<'a, str>) -> Result<(), &'static str> {
        const NOT_ALLOWED: &str = "a namespace declaration that is not allowed";
        let prefix = match name.strip_prefix("xmlns") {
            Some("") => None,
            Some(rest) => match rest.strip_prefix(':') {
                Some(prefix) => Some(prefix),
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        match (prefix, value.as_ref()) {
            (Some("xml"), XML) => return Ok(()),
            (Some("xml" | "xmlns"), _) | (_, XML | XMLNS) => return Err(NOT_ALLOWED),
            _ if self.declared.len() == MOST => return Err(NOT_ALLOWED),
            _ => {}
        }
        self.declared.push(Declaration {
            prefix,
            namespace: value,
            depth,
        });
        Ok(())
    }

    /// Forgets what the element at `depth` declared.
    pub fn leave(&mut self, depth: usize) {
        while self.declared.last().is_some_and(|last| last.depth >= depth) {
            self.declared.pop();
        }
    }

    /// The namespace of an element with this prefix; empty when the prefix is not declared.
    pub fn of(&self, prefix: Option<&str>) -> Option<&str> {
        let declaration = self
            .declared
            .iter()
            .rev()
            .find(|declaration| declaration.prefix == prefix);
        let namespace = declaration.map(|declaration| declaration.namespace.as_ref());
        match (prefix, namespace) {
            (None, namespace) => namespace.filter(|namespace| !namespace.is_empty()),
            (Some("xml"), _) => Some(XML),
            (Some(_), namespace) => Some(namespace.unwrap_or_default()),
        }
    }
}
