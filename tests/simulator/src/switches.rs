// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What no public source tells about the real server: each open question is a switch with the answers that
//! are plausible, so that a client can be tested both ways.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One open question: its name, its answers (the first is the default), and what it means.
pub struct Question {
    /// Name on the command line.
    pub name: &'static str,
    /// Possible values; the first is the default.
    pub values: &'static [&'static str],
    /// What it decides.
    pub about: &'static str,
}

/// Every switch there is.
pub const QUESTIONS: &[Question] = &[
    Question {
        name: "detach-absent",
        values: &["ok", "error"],
        about: "detach where nothing is attached: a no-op, or invalidParam",
    },
    Question {
        name: "batch",
        values: &["all-or-nothing", "prefix"],
        about: "a bad item in a reassign: nothing is applied, or the items before it are",
    },
    Question {
        name: "attach-timeout-reply",
        values: &["ok", "error"],
        about: "reply when attachTimeout ends with a client still missing: success, or error \"timeout\"",
    },
    Question {
        name: "down-client-recorded",
        values: &["yes", "no"],
        about: "an attachment at a client that is down stands in AttachmentsList at once, or when the client is back",
    },
    Question {
        name: "down-detach",
        values: &["ok", "busy"],
        about: "detach without force at a client that is down: judged by its openers as usual, or always busy",
    },
    Question {
        name: "error-status",
        values: &["500", "200"],
        about: "HTTP status of a reply with an error member",
    },
    Question {
        name: "busy-name",
        values: &["busy", "invalidParam"],
        about: "name of the \"is open at\" error (older servers: invalidParam)",
    },
    Question {
        name: "global-ids",
        values: &["yes", "no"],
        about: "AttachmentsList has globalId (servers before 2022: no)",
    },
    Question {
        name: "unauthorized",
        values: &["403", "401", "500", "200"],
        about: "HTTP status of the error \"unauthorized\"",
    },
    Question {
        name: "forced-open",
        values: &["node-gone", "node-stays"],
        about: "forced detach of an open device: node and links vanish at once, or when it is closed (openers keep a working device either way)",
    },
    Question {
        name: "pos-on-change",
        values: &["same", "new"],
        about: "ro <-> rw keeps the attachment's position (and sp-N), or takes a new one",
    },
    Question {
        name: "revert-attached",
        values: &["busy", "ok"],
        about: "VolumeRevert of an attached volume",
    },
    Question {
        name: "multicluster",
        values: &["yes", "no"],
        about: "MultiCluster/ calls are served, or refused with \"multiCluster\"",
    },
    Question {
        name: "attachment-names",
        values: &["name", "gid"],
        about: "AttachmentsList calls a named volume by its name, or as ~globalId",
    },
    Question {
        name: "client-ids",
        values: &["both", "int"],
        about: "client ids in a reassign: JSON ints and decimal strings, or ints only",
    },
    Question {
        name: "snapshot-delete",
        values: &["lingers", "at-once"],
        about: "a deleted snapshot stays listed as *NAME for 300 ms, or is gone with the reply",
    },
];

/// The answers that are not the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Switches(BTreeMap<String, String>);

impl Switches {
    /// The answer to the question `name`.
    pub fn get(&self, name: &str) -> &str {
        let default = || {
            QUESTIONS
                .iter()
                .find(|q| q.name == name)
                .and_then(|q| q.values.first().copied())
        };
        self.0
            .get(name)
            .map(String::as_str)
            .or_else(default)
            .unwrap_or("")
    }

    /// Whether the answer to `name` is `value`.
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == value
    }

    /// Answers the question `name`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let question = QUESTIONS
            .iter()
            .find(|q| q.name == name)
            .ok_or_else(|| format!("there is no switch {name:?}; see `storpool-sim serve --help`"))?;
        if !question.values.contains(&value) {
            return Err(format!(
                "switch {name} is one of {}, not {value:?}",
                question.values.join("|")
            ));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Sets from `NAME=VALUE`.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), String> {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("{pair:?} is not NAME=VALUE"))?;
        self.set(name, value)
    }

    /// All answers, defaults included.
    pub fn all(&self) -> BTreeMap<&str, &str> {
        QUESTIONS.iter().map(|q| (q.name, self.get(q.name))).collect()
    }
}

/// The switches as a help text.
pub fn help() -> String {
    let mut text = String::from(
        "Switches (--switch NAME=VALUE, or `switch set` at run time; the first value is the default):\n",
    );
    for q in QUESTIONS {
        text.extend(["  ", q.name, "=", &q.values.join("|"), "\n      ", q.about, "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_takes_its_values_and_no_others() {
        let mut switches = Switches::default();
        assert!(switches.is("batch", "all-or-nothing"));
        switches.set_pair("batch=prefix").unwrap();
        assert!(switches.is("batch", "prefix"));
        assert!(switches.set_pair("batch=maybe").is_err());
        assert!(switches.set_pair("nosuch=yes").is_err());
        assert!(switches.set_pair("batch").is_err());
    }
}
