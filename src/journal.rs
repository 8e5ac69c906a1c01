// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The log of a hook call: journald's own protocol, with fields to search by. Where no journald runs nothing
//! is logged; a refusal is on stderr in any case.
//!
//! | field | holds |
//! |---|---|
//! | `SYSLOG_IDENTIFIER` | `spvirt-hook` |
//! | `SPVIRT_DOMAIN`, `SPVIRT_UUID`, `SPVIRT_OPERATION` | what the call is about, in every record |
//! | `SPVIRT_VOLUME` | the volumes a record is about, one value each |
//! | `SPVIRT_CALL`, `SPVIRT_ELAPSED_MS`, `SPVIRT_REQUESTS` | API calls and times |

use log::kv::Value;

use crate::event::Event;
use crate::volume::{DomainUuid, VolumeRef};

/// Starts logging. Best effort: a log that cannot be opened is no reason to refuse anything.
pub fn open(event: &Event, uuid: Option<&DomainUuid>) {
    let Ok(journal) = systemd_journal_logger::JournalLog::new() else {
        return;
    };
    let fields = [
        ("SPVIRT_DOMAIN", event.domain.as_str()),
        ("SPVIRT_UUID", uuid.map_or("", DomainUuid::as_str)),
        ("SPVIRT_OPERATION", event.operation.as_str()),
    ];
    let journal = journal
        .with_syslog_identifier("spvirt-hook".to_owned())
        .with_extra_fields(fields);
    if journal.install().is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}

/// One record about many volumes: each is a value of `SPVIRT_VOLUME` to search by.
pub fn volumes<'a>(what: &str, volumes: impl Iterator<Item = &'a VolumeRef>) {
    let names: Vec<String> = volumes.map(ToString::to_string).collect();
    if names.is_empty() {
        return;
    }
    let fields: Vec<_> = names
        .iter()
        .map(|name| ("SPVIRT_VOLUME", Value::from(name.as_str())))
        .collect();
    log::logger().log(
        &log::Record::builder()
            .level(log::Level::Info)
            .target(module_path!())
            .args(format_args!("{what}: {}", names.join(", ")))
            .key_values(&fields.as_slice())
            .build(),
    );
}
