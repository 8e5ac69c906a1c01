// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirt, asked with a time limit: it does not answer about a domain while any hook works on it. The only
//! user of the `virt` bindings.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};

use spvirt::check::domains::Definition;
use spvirt::reconcile::DomainState;
use spvirt::volume::DomainUuid;

/// How long libvirt may think about one question.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the domain is active.
pub fn state(uri: &str, uuid: &DomainUuid) -> DomainState {
    let uuid = uuid.to_string();
    let active = ask(uri, move |connection| {
        match connection.lookup_domain_by_uuid_string(&uuid) {
            Ok(domain) => domain.is_active(),
            Err(error) if error.code().is_known_and(|code| code == ErrorNumber::NoDomain) => Ok(false),
            Err(error) => Err(error),
        }
    });
    match active {
        Ok(true) => DomainState::Active,
        Ok(false) => DomainState::Inactive,
        Err(why) => DomainState::Unknown(why),
    }
}

/// The version of the library behind the connection: 9001002 is 9.1.2.
pub fn version(uri: &str) -> Result<u32, String> {
    ask(uri, Connect::lib_version)
}

/// The names of all domains.
pub fn names(uri: &str) -> Result<Vec<String>, String> {
    ask(uri, |connection| {
        let domains = connection.list_all_domains(0)?;
        domains.iter().map(virt::domain::Domain::name).collect()
    })
}

/// All domains, each with the XML it will start with next time. Without passwords: libvirt gives those only to who
/// asks for them.
pub fn definitions(uri: &str) -> Result<Vec<Definition>, String> {
    ask(uri, |connection| {
        let mut found = Vec::new();
        for domain in connection.list_all_domains(0)? {
            let flags = if domain.is_persistent()? {
                virt::sys::VIR_DOMAIN_XML_INACTIVE
            } else {
                0
            };
            match domain.xml_desc(flags) {
                Ok(xml) => found.push(Definition {
                    name: domain.name()?,
                    xml,
                }),
                // It has gone since the list was made.
                Err(error) if error.code().is_known_and(|code| code == ErrorNumber::NoDomain) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    })
}

/// Asks a question. One that is not answered in time is left to its thread, which ends with the process.
fn ask<T: Send + 'static>(
    uri: &str,
    question: impl FnOnce(&Connect) -> Result<T, Error> + Send + 'static,
) -> Result<T, String> {
    let (answer, asked) = mpsc::channel();
    let uri = uri.to_owned();
    let ask = move || {
        // libvirt prints every error on stderr by itself unless told not to.
        virt::error::clear_error_callback();
        let said = Connect::open_read_only(Some(&uri)).and_then(|connection| question(&connection));
        // Nobody may be listening any more.
        let _ = answer.send(said);
    };
    let asking = match thread::Builder::new().spawn(ask) {
        Ok(thread) => thread,
        Err(error) => return Err(format!("libvirt cannot be asked: {error}")),
    };
    let answer = asked.recv_timeout(PATIENCE);
    if answer.is_ok() {
        // It has said all it will. A thread that still tidies up after libvirt while the process ends can crash it.
        let _ = asking.join();
    }
    match answer {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) => Err(format!("libvirt: {}", error.message())),
        Err(_) => Err("libvirt does not answer".to_owned()),
    }
}
