// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What can be wrong with the configuration, in one line that names the place and the next step.
//!
//! No error carries a value: a value may be the token, or have swallowed the line with the token through
//! a stray backslash. The place is enough to find it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In this file, in this line (from 1).
    File(Arc<Path>, usize),
    /// In an environment variable of the same name.
    Environment,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", OneLine(&path.to_string_lossy())),
            Self::Environment => f.write_str("environment"),
        }
    }
}

/// Why there is no configuration. `Display` is one line without any value from the files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The main file, or a link in the folder to a file, is not there.
    #[error("{}: no such file: is the StorPool client installed on this host?", shown(.0))]
    Missing(PathBuf),
    /// A directory, pipe, socket or device where a file should be.
    #[error("{}: not a regular file: move it away or rename it so that it does not end in .conf", shown(.0))]
    NotAFile(PathBuf),
    /// The system would not let us read it.
    #[error("{path}: cannot be read: {cause}", path = shown(.0), cause = .1)]
    Unreadable(PathBuf, #[source] io::Error),
    /// More than [`super::FILE_MAX`] bytes.
    #[error("{}: larger than 1 MiB: that is not a StorPool configuration file", shown(.0))]
    TooLarge(PathBuf),
    /// A line that is not in the grammar.
    #[error("{0}: {1}")]
    Syntax(Origin, &'static str),
    /// A key that looks like ours and is not.
    #[error("{0}: unknown key {key}: the keys of spvirt are {known}", key = OneLine(.1), known = super::keys::known_keys())]
    UnknownKey(Origin, String),
    /// A value outside what its key allows.
    #[error("{at}: {key} must be {allowed}")]
    BadValue {
        /// Where the value stands.
        at: Origin,
        /// The key.
        key: &'static str,
        /// What is allowed, to be read after "must be".
        allowed: &'static str,
    },
    /// Nothing says which StorPool client this host is.
    #[error("{}: SP_OURID is not set for this host: {hint}", shown(.main))]
    NoClientId {
        /// The main file.
        main: PathBuf,
        /// Where it was looked for, and what nearly matched.
        hint: String,
    },
    /// Nothing says how to authenticate.
    #[error("{}: SP_AUTH_TOKEN is not set: copy it from a StorPool host of the same cluster", shown(.0))]
    NoToken(PathBuf),
}

fn shown(path: &Path) -> String {
    OneLine(&path.to_string_lossy()).to_string()
}

/// Text from outside, made safe for one line: control characters escaped, cut after 200 characters.
pub(super) struct OneLine<'a>(pub &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(200) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}
