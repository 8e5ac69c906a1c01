// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A document without its secrets, for people to look at.

use super::ScanError;
use super::edit::Edits;
use super::token::Token;
use super::tokens::Tokens;

/// Attributes that hold a password: of VNC and SPICE.
const SECRET: [&str; 1] = ["passwd"];

/// The document without the attributes that hold a password: what libvirt shows who does not ask for
/// `--security-info`.
///
/// # Errors
/// When the document is not well formed.
pub fn without_secrets(xml: &[u8]) -> Result<Vec<u8>, ScanError> {
    let mut tokens = Tokens::new(xml)?;
    let mut edits = Edits::default();
    while let Some(token) = tokens.next()? {
        if let Token::Open(element) = token {
            for attribute in SECRET.iter().filter_map(|name| element.attribute(name)) {
                let span = attribute.with_blanks(xml);
                edits.replace(span, "");
            }
        }
    }
    edits.apply(xml)
}
