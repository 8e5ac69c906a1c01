// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The domain that a command is about: one that libvirt knows, or a file with the XML of one.

use std::io::{self, Read as _};
use std::path::Path;

use spvirt::acquire::Start;
use spvirt::config::{Config, Takeover};
use spvirt::domain::Domain;
use spvirt::health::Life;
use spvirt::hook::{self, Input};
use spvirt::persist;
use spvirt::policy::{self, Want};
use spvirt::sys;
use spvirt::volume::DomainUuid;

use crate::Failure;
use crate::libvirt::{Found, Libvirt};

/// A domain and its XML.
#[derive(Debug)]
pub struct Subject {
    /// Its UUID; of a file without one, one that nobody has.
    pub uuid: DomainUuid,
    /// What its XML says.
    pub domain: Domain,
    /// What it does; `None` if it has no QEMU, or is a file's.
    pub life: Option<Life>,
}

impl Subject {
    /// Reads what `argument` names: `-` is standard input, what has a `/` or ends in `.xml` is a file, anything else
    /// a domain's name or UUID.
    pub fn named(libvirt: &Libvirt, argument: &str) -> Result<Self, Failure> {
        let path = Path::new(argument);
        let file = argument.contains('/') || path.extension().is_some_and(|it| it == "xml");
        if argument == "-" {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            Self::read(&bytes, None, "standard input")
        } else if file {
            let bytes = persist::read(path)?;
            let bytes = bytes.ok_or_else(|| Failure::Refused(format!("{argument:?}: no such file")))?;
            Self::read(&bytes, None, argument)
        } else {
            Self::defined(libvirt, argument)
        }
    }

    /// The domain of this name or UUID, as a start would see it.
    pub fn defined(libvirt: &Libvirt, name: &str) -> Result<Self, Failure> {
        let found = libvirt.find(name).map_err(Failure::Refused)?;
        Self::of(found.ok_or_else(|| unknown(name))?)
    }

    /// What libvirt told about a domain.
    pub fn of(found: Found) -> Result<Self, Failure> {
        let subject = Self::read(found.xml.as_bytes(), found.life, &found.name)?;
        Ok(Self {
            uuid: found.uuid,
            ..subject
        })
    }

    fn read(xml: &[u8], life: Option<Life>, what: &str) -> Result<Self, Failure> {
        let not_understood = |why: String| Failure::Refused(format!("{what:?} is not understood: {why}"));
        let domain = Input::read(xml).document().map_err(not_understood)?;
        let uuid = match &domain.uuid {
            Some(uuid) => uuid.clone(),
            None => nobody()?,
        };
        Ok(Self { uuid, domain, life })
    }

    /// The volumes it wants; nothing if they are not ours to attach.
    pub fn wants(&self, config: &Config) -> Result<Option<Vec<Want>>, Failure> {
        if !policy::is_ours(&self.domain, &config.spvirt)? {
            return Ok(None);
        }
        Ok(Some(hook::wanted(&self.domain, config)?))
    }

    /// A start of it.
    pub fn start(&self, policy: Takeover) -> Start<'_> {
        Start {
            subject: hook::subject(&self.domain, &self.uuid),
            policy,
        }
    }
}

/// Why a domain is not found.
pub fn unknown(name: &str) -> Failure {
    Failure::Refused(format!("libvirt knows no domain {name:?}"))
}

/// A UUID that nobody has: libvirt makes up one for a domain that comes without.
fn nobody() -> Result<DomainUuid, Failure> {
    let random = sys::random_id()?;
    DomainUuid::parse(&random).ok_or_else(|| Failure::Refused("the kernel gives no UUID".to_owned()))
}
