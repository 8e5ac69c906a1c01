// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a rewrite shows: differences without passwords, a line per domain, JSON.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use similar::TextDiff;

use spvirt::domain::without_secrets;
use spvirt::recipe::{NoteKind, Rewritten};
use spvirt::volume::DomainUuid;

use crate::Failure;

pub const NO_CHANGE: &str = "No XML change is needed.";

/// How long the smallest difference is looked for, before any will do.
const DIFF_PATIENCE: Duration = Duration::from_secs(2);

/// What came of one domain or file.
#[derive(Debug, Serialize)]
pub struct Line {
    /// The domain's name, or the file.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<DomainUuid>,
    pub result: Outcome,
    /// Why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Something that was asked for is not done.
    pub left: bool,
    /// What was left, and what is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The difference, without passwords; empty when there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub diff: String,
    /// The command of `--migrate-to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There is nothing to change.
    Unchanged,
    /// It would be changed.
    WouldChange,
    /// The person said no.
    Declined,
    /// It is defined anew.
    Defined,
    /// It was changed only while it runs.
    Updated,
    /// It could not be changed.
    Failed,
}

impl Line {
    /// What came of a file.
    pub fn of_text(name: &str, before: &[u8], rewritten: &Rewritten) -> Self {
        let changed = rewritten.xml != before;
        Self {
            name: name.to_owned(),
            uuid: None,
            result: if changed {
                Outcome::WouldChange
            } else {
                Outcome::Unchanged
            },
            why: String::new(),
            left: rewritten.notes.iter().any(|note| note.kind == NoteKind::Left),
            notes: rewritten.notes.iter().map(|note| note.text.clone()).collect(),
            diff: unified_diff(before, &rewritten.xml),
            command: None,
        }
    }
}

/// Prints lines as JSON.
pub fn json(out: &mut impl Write, lines: &[Line]) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(lines).map_err(std::io::Error::from)?;
    Ok(writeln!(out, "{text}")?)
}

/// The difference as virt-xml shows it, without passwords; empty when there is none.
pub fn unified_diff(before: &[u8], after: &[u8]) -> String {
    let shown = |xml| without_secrets(xml).map(|xml| String::from_utf8_lossy(&xml).into_owned());
    let (Ok(before), Ok(after)) = (shown(before), shown(after)) else {
        // Both were understood before; what is not is not shown.
        return String::new();
    };
    let diff = TextDiff::configure()
        .timeout(DIFF_PATIENCE)
        .diff_lines(&before, &after);
    let mut unified = diff.unified_diff();
    unified.header("Original XML", "Altered XML").to_string()
}
