// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What libvirt sends on stdin: the domain's XML, read to the end and in bounded memory.

use std::io::Read;

use crate::domain::{self, Domain, ScanError};
use crate::volume::DomainUuid;

/// Longest XML that is read. libvirt's own limit for one message is smaller.
const XML_MAX: u64 = 16 << 20;

/// The domain's XML as libvirt sent it.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    too_long: bool,
    /// What comes after `bytes` in too long a document speaks of StorPool.
    rest_mentions_storpool: bool,
}

impl Input {
    /// Reads to the end. Of what is too long only whether it speaks of StorPool is kept. An unreadable stdin is
    /// an empty one.
    #[must_use]
    pub fn read(mut stdin: impl Read) -> Self {
        let mut bytes = Vec::new();
        let complete = (&mut stdin).take(XML_MAX).read_to_end(&mut bytes);
        let mut rest_mentions_storpool = false;
        let mut tail = bytes.iter().rev().take(16).rev().copied().collect::<Vec<_>>();
        let mut too_long = false;
        let mut chunk = vec![
            0;
            if bytes.len() as u64 == XML_MAX && complete.is_ok() {
                1 << 16
            } else {
                0
            }
        ];
        while !chunk.is_empty()
            && let Ok(count @ 1..) = stdin.read(&mut chunk)
        {
            too_long = true;
            tail.extend(chunk.iter().take(count));
            rest_mentions_storpool |= domain::mentions_storpool(&tail);
            tail.drain(..tail.len().saturating_sub(16));
        }
        Self {
            bytes,
            too_long,
            rest_mentions_storpool,
        }
    }

    /// The UUID of a domain that cannot have StorPool volumes, whatever a scan would find.
    pub(super) fn plainly_foreign(&self) -> Option<DomainUuid> {
        (!self.too_long)
            .then(|| domain::plainly_foreign(&self.bytes))
            .flatten()
    }

    /// Whether it speaks of StorPool. Asked only of what is not understood: nearly no call pays for the search.
    pub(super) fn mentions_storpool(&self) -> bool {
        self.rest_mentions_storpool || domain::mentions_storpool(&self.bytes)
    }

    /// Itself with the number of a migration in our metadata element.
    pub(super) fn with_nonce(&self, nonce: &str) -> Result<Vec<u8>, String> {
        domain::edit::with_nonce(&self.bytes, nonce).map_err(|error| self.place(error))
    }

    /// Where in the input an error is, and which.
    fn place(&self, error: ScanError) -> String {
        let (line, column) = error.line_column(&self.bytes);
        format!("line {line}, column {column}: {}", error.reason)
    }

    /// The domain, or why it is not understood.
    pub(super) fn domain(&self) -> Result<(Domain, DomainUuid), String> {
        let domain = self.document()?;
        let uuid = domain.uuid.clone().ok_or_else(|| "it has no UUID".to_owned())?;
        Ok((domain, uuid))
    }

    /// The domain, which need not have a UUID yet, or why it is not understood.
    pub fn document(&self) -> Result<Domain, String> {
        if self.too_long {
            return Err(format!("it is longer than {} MiB", XML_MAX >> 20));
        }
        domain::scan(&self.bytes).map_err(|error| self.place(error))
    }
}
