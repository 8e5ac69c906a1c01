// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! An error as the API reports it.

use serde_json::{Value, json};

/// What goes into the `error` member of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Machine-readable name, such as `busy`.
    pub name: String,
    /// Text for people.
    pub descr: String,
    /// Whether the caller is asked to try again.
    pub transient: bool,
    /// HTTP status where it is not the usual one for errors.
    pub status: Option<u16>,
}

impl ApiError {
    /// An error that is final.
    pub fn new(name: &str, descr: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            descr: descr.into(),
            transient: false,
            status: None,
        }
    }

    /// A bad argument.
    pub fn invalid(descr: impl Into<String>) -> Self {
        Self::new("invalidParam", descr)
    }

    /// Something that is not there; `kind` is `Volume`, `Snapshot`...
    pub fn missing(kind: &str, name: &str) -> Self {
        Self::new("objectDoesNotExist", format!("{kind} '{name}' does not exist"))
    }

    /// The `error` member.
    pub fn to_json(&self) -> Value {
        json!({"name": self.name, "descr": self.descr, "transient": self.transient})
    }
}
