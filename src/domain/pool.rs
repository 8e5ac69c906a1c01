// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Where a storage pool of libvirt lies.

use super::ScanError;
use super::token::Token;
use super::tokens::Tokens;

/// The folder of a pool, `/pool/target/path`, if it has one.
///
/// # Errors
/// When the document is not well formed.
pub fn pool_folder(xml: &[u8]) -> Result<Option<String>, ScanError> {
    let mut tokens = Tokens::new(xml)?;
    let mut open = Vec::new();
    let mut folder = None;
    while let Some(token) = tokens.next()? {
        match token {
            Token::Open(element) => open.push(element.name.to_owned()),
            Token::Close(_) => {
                open.pop();
            }
            Token::Text(piece) if open == ["pool", "target", "path"] => {
                folder.get_or_insert_with(String::new).push_str(&piece.value());
            }
            Token::Text(_) => {}
        }
    }
    Ok(folder.map(|folder: String| folder.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_targets_path() {
        for (xml, folder) in [
            (
                "<pool type='dir'><name>a</name><source><dir path='/x'/></source><target><path>/dev/stor<!-- -->pool</path>\
                 <permissions/></target></pool>",
                Some("/dev/storpool"),
            ),
            ("<pool><target/><path>/x</path></pool>", None),
        ] {
            assert_eq!(pool_folder(xml.as_bytes()).unwrap().as_deref(), folder);
        }
        assert!(pool_folder(b"<pool>").is_err());
    }
}
