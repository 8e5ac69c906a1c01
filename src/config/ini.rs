// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The grammar of StorPool's configuration files. Pure: text in, assignments out.
//!
//! StorPool has several readers, and they disagree on the edges. This one takes what they agree on, plus
//! what only one of them refuses although it can mean one thing (no newline at the end of the file, `#` in
//! a key, a byte order mark); whatever they read differently is a fault with its line. `tests/config/cases.json`
//! holds every edge beside what the official readers do with it.
//!
//! A fault never quotes the line: the line may be the one with the token.

/// What may stand around keys, `=` and values.
const BLANKS: [char; 2] = [' ', '\t'];

/// One `KEY=VALUE`.
#[derive(PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Section it stands in; `None` above the first `[section]`.
    pub section: Option<&'a str>,
    pub key: &'a str,
    /// Without the blanks around it. Quotes are part of it: no StorPool reader removes them.
    pub value: String,
    /// Line of the key, from 1.
    pub line: usize,
}

/// Why a file is not in the grammar, and in which line (from 1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: usize,
    pub what: &'static str,
}

/// Text as StorPool's readers see it: one kind of line end, and no byte order mark.
///
/// Bytes that are not UTF-8 become U+FFFD instead of an error, because a comment or another host's section
/// in an old encoding is none of our business; no value we use may contain U+FFFD.
pub(super) fn decode(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// All assignments in the order of the file.
pub(super) fn entries(text: &str) -> Result<Vec<Entry<'_>>, Fault> {
    let mut lines = (1..).zip(text.lines());
    let mut section = None;
    let mut found = Vec::new();
    while let Some((line, content)) = lines.next() {
        let fault = |what| Fault { line, what };
        let content = content.trim_start_matches(BLANKS);
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if content.starts_with('[') {
            let name = section_name(content);
            section = Some(name.ok_or_else(|| fault("a section is [NAME], alone in its line"))?);
            continue;
        }
        let (key, first) = content
            .split_once('=')
            .ok_or_else(|| fault("no \"=\" in this line: write KEY=VALUE"))?;
        let key = key.trim_end_matches(BLANKS);
        if key.is_empty() {
            return Err(fault("nothing before \"=\": write KEY=VALUE"));
        }
        if key.contains(is_space) {
            return Err(fault("a blank inside the key: write KEY=VALUE"));
        }
        // A backslash at the very end joins the next line as it stands, whatever it is.
        let mut value = String::new();
        let mut part = first.trim_start_matches(BLANKS);
        while let Some(joined) = part.strip_suffix('\\') {
            value.push_str(joined);
            let next = lines.next();
            part = next
                .ok_or_else(|| fault("this value ends in a backslash and nothing follows: remove it"))?
                .1;
        }
        value.push_str(part.trim_end_matches(is_space));
        found.push(Entry {
            section,
            key,
            value,
            line,
        });
    }
    Ok(found)
}

/// The name in `[ NAME ]`, if the line is that and nothing more.
fn section_name(content: &str) -> Option<&str> {
    let (name, rest) = content.strip_prefix('[')?.split_once(']')?;
    let name = name.trim_start_matches(BLANKS).trim_end_matches(is_space);
    (!name.is_empty() && rest.chars().all(|c| BLANKS.contains(&c))).then_some(name)
}

/// White space as Python has it (the readers are Python): Unicode's, and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
