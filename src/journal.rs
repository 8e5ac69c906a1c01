// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The log of a hook call: journald's own protocol, with fields to search by. Where no journald runs nothing
//! is logged; a refusal is on stderr in any case.
//!
//! | field | holds |
//! |---|---|
//! | `SYSLOG_IDENTIFIER` | `spvirt-hook` |
//! | `SPVIRT_DOMAIN`, `SPVIRT_UUID`, `SPVIRT_OPERATION` | what the call is about, in every record |
//! | `SPVIRT_VOLUME` | the volume a record is about |
//! | `SPVIRT_CALL`, `SPVIRT_ELAPSED_MS`, `SPVIRT_REQUESTS` | API calls and times |

use crate::event::Event;
use crate::volume::DomainUuid;

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
