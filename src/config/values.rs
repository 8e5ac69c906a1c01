// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What all files together say for one host. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, Origin};
use super::ini;

/// A value and where it was set. `Debug` shows only the place: the value may be the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// As written, without the blanks around it.
    pub text: String,
    /// Where.
    pub origin: Origin,
    /// Whether it stands in the section of this host, and not above all sections.
    pub of_host: bool,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.origin)
    }
}

/// Every key that is set for one host, whoever it belongs to.
///
/// Precedence is that of StorPool's bindings: file by file, in each the unnamed part and then the section
/// named exactly like the host. So an unnamed key in a later file beats this host's section in an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    main: PathBuf,
    host: String,
    by_file: BTreeMap<String, Value>,
    section_first: BTreeMap<String, Value>,
    numbered: BTreeSet<String>,
}

impl Values {
    /// Merges the texts of the files, given in reading order; the first is the main one.
    pub(super) fn merge(sources: &[(PathBuf, String)], host: &str) -> Result<Self, ConfigError> {
        let mut merged = Self {
            main: sources.first().map(|(path, _)| path.clone()).unwrap_or_default(),
            host: host.to_owned(),
            by_file: BTreeMap::new(),
            section_first: BTreeMap::new(),
            numbered: BTreeSet::new(),
        };
        for (path, text) in sources {
            merged.add(path, text)?;
        }
        Ok(merged)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let path: Arc<Path> = path.into();
        let at = |line| Origin::File(Arc::clone(&path), line);
        for entry in ini::entries(text).map_err(|fault| ConfigError::Syntax(at(fault.line), fault.what))? {
            if entry.key == "SP_OURID" {
                self.numbered.extend(entry.section.map(str::to_owned));
            }
            let of_host = match entry.section {
                None => false,
                Some(name) if name == self.host => true,
                Some(_) => continue,
            };
            let value = Value {
                text: entry.value,
                origin: at(entry.line),
                of_host,
            };
            if of_host || !self.section_first.get(entry.key).is_some_and(|v| v.of_host) {
                self.section_first.insert(entry.key.to_owned(), value.clone());
            }
            self.by_file.insert(entry.key.to_owned(), value);
        }
        Ok(())
    }

    /// Sets a key from the environment, whatever the files say.
    pub(super) fn set(&mut self, key: &str, text: &str) {
        let value = Value {
            text: text.to_owned(),
            origin: Origin::Environment,
            of_host: false,
        };
        self.section_first.insert(key.to_owned(), value.clone());
        self.by_file.insert(key.to_owned(), value);
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_file.get(key)
    }

    /// The value that os-brick would use: it merges all files first, and then this host's section always wins.
    #[must_use]
    pub fn get_section_first(&self, key: &str) -> Option<&Value> {
        self.section_first.get(key)
    }

    /// All keys in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.by_file.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The host the files were read for.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The main file.
    #[must_use]
    pub fn main_file(&self) -> &Path {
        &self.main
    }

    /// Sections that set `SP_OURID`: the hosts these files know.
    pub fn known_hosts(&self) -> impl Iterator<Item = &str> {
        self.numbered.iter().map(String::as_str)
    }
}
