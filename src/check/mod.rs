// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What `spvirt check` thinks of a host: facts in, findings out, one file per topic.
//!
//! Pure. The facts are read by [`crate::inspect`], and each finding is provoked with made-up ones here.

pub mod api;
pub mod config;
pub mod confinement;
pub mod daemon;
pub mod domains;
pub mod hook;
pub mod leftovers;
pub mod lvm;
pub mod multipath;
pub mod state;

use std::path::PathBuf;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which part of the host it is about, for programs: `config`, `api`, `hook`, ...
    pub topic: &'static str,
    /// What was looked at, to be read after "Checking".
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What is wrong and what to do, in one line; empty when nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// What `--fix` may do about it.
    #[serde(skip)]
    pub fix: Option<Fix>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It works, or nobody can tell; a person should look.
    Warn,
    /// Domains will not start, volumes will not come back, or a secret is open.
    Fail,
}

/// A repair that is safe at any moment. None of them asks anything of StorPool, touches a domain or removes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Take rights away from a file or folder of our own.
    Mode(PathBuf, u32),
    /// Make the link through which libvirt finds the hook.
    Link,
    /// Have a daemon look for hooks again (SIGHUP). Running guests do not notice.
    Reload(daemon::Daemon),
}

/// Owner and mode of a file or folder, links not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Where it is.
    pub path: PathBuf,
    /// `st_mode`, with the type of the file.
    pub mode: u32,
    /// Whose it is.
    pub uid: u32,
}

impl Owned {
    /// The part of the mode that `chmod` changes.
    #[must_use]
    pub fn rights(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether it is of this type, one of the `S_IF` numbers: [`LINK`], [`FOLDER`], [`FILE`].
    #[must_use]
    pub fn is(&self, kind: u32) -> bool {
        self.mode & 0o170_000 == kind
    }
}

/// `S_IFLNK`
pub const LINK: u32 = 0o120_000;
/// `S_IFDIR`
pub const FOLDER: u32 = 0o040_000;
/// `S_IFREG`
pub const FILE: u32 = 0o100_000;

impl Finding {
    /// Nothing wrong with `what`.
    pub fn pass(topic: &'static str, what: impl Into<String>) -> Self {
        Self {
            topic,
            what: what.into(),
            verdict: Verdict::Pass,
            advice: String::new(),
            fix: None,
        }
    }

    /// The same, but somebody should look, for this reason.
    #[must_use]
    pub fn warn(self, advice: impl Into<String>) -> Self {
        self.with(Verdict::Warn, advice.into())
    }

    /// The same, but it is wrong, for this reason.
    #[must_use]
    pub fn fail(self, advice: impl Into<String>) -> Self {
        self.with(Verdict::Fail, advice.into())
    }

    /// The same, with a repair.
    #[must_use]
    pub fn fixed_by(self, fix: Fix) -> Self {
        Self {
            fix: Some(fix),
            ..self
        }
    }

    /// One line whatever the advice quotes: names of files and domains may hold anything.
    fn with(self, verdict: Verdict, advice: String) -> Self {
        let advice = if advice.contains(char::is_control) {
            advice
                .chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect()
        } else {
            advice
        };
        Self {
            verdict,
            advice,
            ..self
        }
    }
}

/// All of a list, up to five by name.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advice_is_one_line() {
        let finding = Finding::pass("x", "that").warn("a\nb\tc\u{1b}[0m");
        assert_eq!(
            (finding.verdict, finding.advice.as_str()),
            (Verdict::Warn, "a?b?c?[0m")
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<_> = (1..=7).map(|n| n.to_string()).collect();
        assert_eq!(some_of(&names[..5]), "1, 2, 3, 4, 5");
        assert_eq!(some_of(&names), "1, 2, 3, 4, 5 and 2 more");
    }
}
