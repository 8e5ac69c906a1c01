// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! libvirt, asked with a time limit: it does not answer about a domain while any hook works on it. The only
//! user of the `virt` bindings.

mod domains;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};

use spvirt::reconcile::DomainState;
use spvirt::volume::DomainUuid;

pub use domains::{Known, Session, Trouble, Which};

/// How long libvirt may think about one question.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the domain is active. A question that is not answered in time is left to its thread, which ends with
/// the process.
pub fn state(uri: &str, uuid: &DomainUuid) -> DomainState {
    let (answer, asked) = mpsc::channel();
    let (uri, uuid) = (uri.to_owned(), uuid.to_string());
    let ask = move || {
        // Nobody may be listening any more.
        let _ = answer.send(ask(&uri, &uuid));
    };
    if let Err(error) = thread::Builder::new().spawn(ask) {
        return DomainState::Unknown(format!("libvirt cannot be asked: {error}"));
    }
    match asked.recv_timeout(PATIENCE) {
        Ok(Ok(true)) => DomainState::Active,
        Ok(Ok(false)) => DomainState::Inactive,
        Ok(Err(error)) => DomainState::Unknown(format!("libvirt: {}", error.message())),
        Err(_) => DomainState::Unknown("libvirt does not answer".to_owned()),
    }
}

fn ask(uri: &str, uuid: &str) -> Result<bool, Error> {
    // libvirt prints every error on stderr by itself unless told not to.
    virt::error::clear_error_callback();
    let connection = Connect::open_read_only(Some(uri))?;
    match connection.lookup_domain_by_uuid_string(uuid) {
        Ok(domain) => domain.is_active(),
        Err(error) if error.code().is_known_and(|code| code == ErrorNumber::NoDomain) => Ok(false),
        Err(error) => Err(error),
    }
}
