// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The host's multipathd, which may put a map over a volume and so keep it open.

use regex_lite::Regex;

use super::Finding;
use super::lvm::words;

const TOPIC: &str = "host";
/// What multipath calls a volume's device.
const EXAMPLE: &str = "sp-0";

/// multipath's files, and whether its daemon runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Multipath {
    /// Whether `multipathd` runs.
    pub running: bool,
    /// `multipath.conf` and what is in its folder, one after the other.
    pub text: String,
}

/// Judges whether multipath would take a volume. Newer versions take none by themselves (only sd, nvme and dasd), but
/// their files do not say so.
#[must_use]
pub fn judge(multipath: &Multipath) -> Finding {
    const WHAT: &str = "that multipathd leaves the volumes alone";
    if !multipath.running {
        return Finding::pass(TOPIC, format!("{WHAT} (it does not run)"));
    }
    let finding = Finding::pass(TOPIC, WHAT);
    let (black, white) = devnodes(&multipath.text);
    let covers = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern));
    let advice = "in /etc/multipath.conf: blacklist { devnode \"^sp-[0-9]\" }";
    if covers(&white) {
        finding.warn("blacklist_exceptions in /etc/multipath.conf names them: take that out".to_owned())
    } else if covers(&black) {
        finding
    } else {
        finding.warn(format!(
            "nothing in its files excludes them, old versions take them: {advice}"
        ))
    }
}

/// A pattern fits if it is found; one that begins with `!` fits what it is not found in.
fn covers(pattern: &str) -> bool {
    let (inverted, pattern) = match pattern.strip_prefix('!') {
        Some(pattern) => (true, pattern),
        None => (false, pattern),
    };
    Regex::new(pattern).is_ok_and(|regex| regex.is_match(EXAMPLE) != inverted)
}

/// The `devnode` patterns of `blacklist` and of `blacklist_exceptions`.
fn devnodes(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut black, mut white) = (Vec::new(), Vec::new());
    let mut sections: Vec<String> = Vec::new();
    let mut previous = String::new();
    for word in words(text) {
        match word.as_str() {
            "{" => sections.push(previous.clone()),
            "}" => {
                sections.pop();
            }
            value if previous == "devnode" => {
                let value = value.trim_matches('"').to_owned();
                match sections.last().map(String::as_str) {
                    Some("blacklist") => black.push(value),
                    Some("blacklist_exceptions") => white.push(value),
                    _ => {}
                }
            }
            _ => {}
        }
        previous = word;
    }
    (black, white)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Pass, Warn};
    use super::*;

    #[test]
    fn only_a_running_daemon_matters() {
        assert_eq!(judge(&Multipath::default()).verdict, Pass);
    }

    #[test]
    fn the_blacklist_decides_and_its_exceptions_win() {
        for (text, verdict) in [
            ("", Warn),
            ("blacklist {\n devnode \"^sp-[0-9]\"\n}", Pass),
            ("blacklist { devnode sp-.* }", Pass),
            ("blacklist {\n devnode \"!^(sd[a-z]|nvme[0-9])\"\n}", Pass),
            ("blacklist {\n # devnode \"^sp-\"\n devnode \"^sda$\"\n}", Warn),
            ("blacklist { device { vendor \"x\" }\n devnode \".*\" }", Pass),
            ("devices { devnode \"^sp-\" }", Warn),
            (
                "blacklist { devnode \".*\" }\nblacklist_exceptions { devnode \"^sp-\" }",
                Warn,
            ),
            ("blacklist { devnode \"(\" }", Warn),
        ] {
            let multipath = Multipath {
                running: true,
                text: text.to_owned(),
            };
            assert_eq!(judge(&multipath).verdict, verdict, "{text}");
        }
    }
}
