// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every request, verbatim, with what became of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Requests kept in memory; older ones are forgotten (a file keeps all).
const KEPT: usize = 20_000;

/// One request and its reply.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1.
    pub seq: u64,
    /// When it came, Unix time in ms.
    pub time_ms: u64,
    /// How long it took, in ms.
    pub took_ms: u64,
    /// Method.
    pub method: String,
    /// Raw target.
    pub target: String,
    /// Name of the call, such as `AttachmentsList`.
    pub call: String,
    /// Headers as sent.
    pub headers: Vec<(String, String)>,
    /// Body as sent.
    pub body: String,
    /// HTTP status of the reply; 0: none was sent.
    pub status: u16,
    /// Name of the error in the reply.
    pub error: Option<String>,
    /// Fault that was applied.
    pub fault: Option<String>,
}

/// The log.
#[derive(Default)]
pub struct RequestLog {
    kept: Mutex<(u64, VecDeque<Entry>)>,
    file: Option<Mutex<File>>,
}

impl RequestLog {
    /// A log that is also appended to a file, one JSON document per line.
    pub fn with_file(file: Option<File>) -> Self {
        Self {
            kept: Mutex::default(),
            file: file.map(Mutex::new),
        }
    }

    /// Adds an entry; its number is given here.
    pub fn add(&self, mut entry: Entry) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0 += 1;
        entry.seq = kept.0;
        if let (Some(file), Ok(line)) = (&self.file, serde_json::to_string(&entry)) {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = writeln!(file, "{line}") {
                crate::say(&format!("request log: {error}"));
            }
        }
        kept.1.push_back(entry);
        if kept.1.len() > KEPT {
            kept.1.pop_front();
        }
    }

    /// Entries numbered above `since`.
    pub fn since(&self, since: u64) -> Vec<Entry> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1.iter().filter(|e| e.seq > since).cloned().collect()
    }

    /// Forgets all entries; numbers go on.
    pub fn reset(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}
