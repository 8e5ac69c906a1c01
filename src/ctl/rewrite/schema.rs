// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--validate`: libvirt's schema. A third of real domains fail it as they are, so only what was valid before and is
//! not afterwards counts.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

const PROGRAM: &str = "virt-xml-validate";

/// Whether the rewrite made a valid document invalid; why, or why that is not known.
pub fn check(before: &[u8], after: &[u8]) -> Result<(), String> {
    if before == after || validate(before)?.is_err() {
        return Ok(());
    }
    validate(after)?.map_err(|said| format!("the result is not valid, the original was: {said}"))
}

/// Runs the program: what it said when the document is not valid.
fn validate(xml: &[u8]) -> Result<Result<(), String>, String> {
    let trouble = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("--validate needs {PROGRAM}: install libvirt-clients and libxml2-utils")
        }
        _ => format!("{PROGRAM}: {error}"),
    };
    let mut child = Command::new(PROGRAM)
        .args(["-", "domain"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(trouble)?;
    // It may end before it has read all; what it says then counts.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(xml);
    }
    let output = child.wait_with_output().map_err(trouble)?;
    match output.status.code() {
        Some(0) => Ok(Ok(())),
        // xmllint's "is not valid"; without a schema, or without xmllint, it says something else.
        Some(3) => Ok(Err(first_line(&output.stderr))),
        _ => Err(format!(
            "{PROGRAM}: {}: {}",
            output.status,
            first_line(&output.stderr)
        )),
    }
}

fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}
