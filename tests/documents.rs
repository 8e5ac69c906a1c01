// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The documents tell the truth where a program can check it: links lead somewhere, every setting and every message
//! is explained.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::{Path, PathBuf};

use spvirt::config::KEYS;

/// Where the texts of errors are that a person may see in front of `virsh start`.
const MESSAGES: &[&str] = &[
    "src/api/mod.rs",
    "src/claim/lock.rs",
    "src/config/error.rs",
    "src/fence.rs",
    "src/refusal.rs",
];

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    let mut dead = Vec::new();
    for file in documents() {
        let text = prose(&fs::read_to_string(&file).unwrap());
        for target in targets(&text) {
            links += 1;
            if let Some(why) = fault(&file, &target) {
                dead.push(format!("{}: {target}: {why}", file.display()));
            }
        }
    }
    assert!(links > 10, "only {links} links found");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn a_dead_link_is_seen() {
    let readme = root().join("README.md");
    assert_eq!(
        targets("see [a](b.md) and [c](https://x/y)"),
        ["b.md", "https://x/y"]
    );
    assert_eq!(fault(&readme, "ARCHITECTURE.md#state"), None);
    assert_eq!(fault(&readme, "https://storpool.com"), None);
    assert!(fault(&readme, "nothing.md").is_some());
    assert!(fault(&readme, "ARCHITECTURE.md#nothing").is_some());
    assert!(targets(&prose("```\n[a](b)\n```\n`[c](d)`")).is_empty());
}

#[test]
fn every_setting_is_explained() {
    for document in ["README.md", "packaging/man/spvirt-hook.8"] {
        let text = read(document);
        for key in KEYS {
            let name = key.name;
            assert!(text.contains(name), "{document} says nothing of {name}");
        }
    }
    for key in KEYS {
        let row = format!("| `{}` |", key.name);
        let readme = read("README.md");
        let row = readme
            .lines()
            .find(|line| line.starts_with(&row))
            .expect(key.name);
        let default = if key.default.is_empty() {
            "empty"
        } else {
            key.default
        };
        assert!(
            row.split('|').nth(2).unwrap().contains(default),
            "default of {row}"
        );
    }
    let words = read("README.md").replace("SPVIRT_DOMAIN=", "");
    for word in words.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let known = KEYS.iter().any(|key| key.name == word);
        assert!(
            known || !word.starts_with("SPVIRT_") || word == "SPVIRT_",
            "README.md: there is no key {word}"
        );
    }
}

#[test]
fn every_message_is_explained() {
    let explained = read("docs/troubleshooting.md");
    let mut count = 0;
    for file in MESSAGES {
        for message in messages(&read(file)) {
            count += 1;
            let telling = telling_part(&message);
            assert!(
                explained.contains(&telling),
                "docs/troubleshooting.md does not explain {message:?} of {file} (looked for {telling:?})"
            );
        }
    }
    assert!(count > 30, "only {count} messages found");
}

#[test]
fn messages_are_found_as_they_stand_in_the_source() {
    let source = "#[error(\n    \"a \\\"b\\\" {c}: it is the longest\"\n)]\n#[error(transparent)]\n#[error(\"x\", y = 1)]";
    let found = messages(source);
    assert_eq!(found, ["a \"b\" {c}: it is the longest", "x"]);
    assert_eq!(telling_part(&found[0]), "it is the longest");
}

/// The texts of `#[error("...")]`.
fn messages(source: &str) -> Vec<String> {
    let after = source.split("#[error(").skip(1);
    let text = |after: &str| {
        let mut rest = after.trim_start().strip_prefix('"')?.chars();
        let mut text = String::new();
        loop {
            match rest.next()? {
                '"' => return Some(text),
                '\\' => text.extend(rest.next()),
                c => text.push(c),
            }
        }
    };
    after
        .filter_map(text)
        .filter(|text| telling_part(text).len() > 3 || !text.contains('{'))
        .collect()
}

/// The first stretch without a placeholder that is long enough to search for; the longest, if all are short.
fn telling_part(message: &str) -> String {
    let parts = message.split(['{', '}']).step_by(2);
    let trimmed = parts.map(|part| part.trim_matches(|c: char| !c.is_alphanumeric() && !"<>/.?".contains(c)));
    let parts: Vec<&str> = trimmed.collect();
    let long = parts.iter().find(|part| part.len() > 14);
    let part = long.or_else(|| parts.iter().max_by_key(|part| part.len()));
    part.copied().unwrap_or_default().to_owned()
}

/// The markdown documents of the project.
fn documents() -> Vec<PathBuf> {
    let mut open = vec![root().to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// A document without its code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            // Every second piece between backticks is code.
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

/// The targets of links.
fn targets(text: &str) -> Vec<String> {
    let after = text.split("](").skip(1);
    after
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// Why a link leads nowhere. Addresses outside are not looked up.
fn fault(document: &Path, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() {
        document.to_owned()
    } else {
        document.parent().unwrap().join(path)
    };
    if !file.exists() {
        return Some("no such file".to_owned());
    }
    let known = || {
        let text = fs::read_to_string(&file).unwrap();
        text.lines()
            .filter(|line| line.starts_with('#'))
            .any(|line| slug(line) == anchor)
    };
    (!anchor.is_empty() && !known()).then(|| "no such heading".to_owned())
}

/// The anchor that GitHub and GitLab give a heading.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
