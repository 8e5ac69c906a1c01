// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What libvirt knows about domains: which there are, what they do, what they name.

use std::time::Duration;

use virt::connect::Connect;
use virt::domain::{Domain, DomainPausedReason, DomainRunningReason, DomainStateReason};
use virt::enumutil::Enum;
use virt::error::{Error, ErrorNumber};
use virt::sys;

use spvirt::health::{Guest, Life};
use spvirt::volume::DomainUuid;

use super::Libvirt;

/// How long a start may take: the hook's deadline, and QEMU's own time.
const START: Duration = Duration::from_mins(6);

/// A domain that libvirt knows.
#[derive(Debug)]
pub struct Found {
    /// Its UUID.
    pub uuid: DomainUuid,
    /// Its name.
    pub name: String,
    /// What it does; `None` if it has no QEMU.
    pub life: Option<Life>,
    /// Its XML, without secrets: of what was asked for, what runs or what would start.
    pub xml: String,
}

/// Which XML of a domain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Xml {
    /// What a start would use.
    Definition,
    /// What runs.
    Running,
}

impl Libvirt {
    /// What the domain does; `None` if it has no QEMU or libvirt does not know it.
    pub fn life(&self, uuid: &DomainUuid) -> Result<Option<Life>, String> {
        let uuid = uuid.to_string();
        self.ask(
            move |connection| match known(connection.lookup_domain_by_uuid_string(&uuid))? {
                Some(domain) => life(&domain),
                None => Ok(None),
            },
        )
    }

    /// The domain of this name or UUID, with the XML that a start would use.
    pub fn find(&self, domain: &str) -> Result<Option<Found>, String> {
        self.look_up(domain, Xml::Definition)
    }

    /// The domain of this name or UUID, with the XML of what runs, if it does.
    pub fn find_running(&self, domain: &str) -> Result<Option<Found>, String> {
        self.look_up(domain, Xml::Running)
    }

    fn look_up(&self, domain: &str, which: Xml) -> Result<Option<Found>, String> {
        // A C string ends there, and would be another name.
        if domain.contains('\0') {
            return Ok(None);
        }
        let wanted = domain.to_owned();
        self.ask(move |connection| {
            let mut domain = known(connection.lookup_domain_by_name(&wanted))?;
            if domain.is_none()
                && let Some(uuid) = DomainUuid::parse(&wanted)
            {
                domain = known(connection.lookup_domain_by_uuid_string(uuid.as_str()))?;
            }
            domain.map_or(Ok(None), |domain| found(&domain, which))
        })
    }

    /// Every domain that has a QEMU, with the XML of what runs.
    pub fn running(&self) -> Result<Vec<Found>, String> {
        self.ask(|connection| list(connection, sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE, Xml::Running))
    }

    /// The domains that libvirt starts at boot, and that are off.
    pub fn autostart_and_off(&self) -> Result<Vec<Found>, String> {
        self.ask(|connection| {
            let flags = sys::VIR_CONNECT_LIST_DOMAINS_AUTOSTART
                | sys::VIR_CONNECT_LIST_DOMAINS_INACTIVE
                | sys::VIR_CONNECT_LIST_DOMAINS_PERSISTENT;
            list(connection, flags, Xml::Definition)
        })
    }

    /// Starts a domain, as `virsh start` does.
    pub fn start(&self, uuid: &DomainUuid) -> Result<(), String> {
        let uuid = uuid.to_string();
        self.tell(START, move |connection| {
            let domain = connection.lookup_domain_by_uuid_string(&uuid)?;
            match domain.create() {
                // Somebody else was faster.
                Err(_) if domain.is_active().unwrap_or(false) => Ok(()),
                other => other,
            }
        })
    }
}

fn list(connection: &Connect, flags: u32, which: Xml) -> Result<Vec<Found>, Error> {
    let mut domains = Vec::new();
    for domain in connection.list_all_domains(flags)? {
        // It may be gone since the list was made.
        if let Some(domain) = known(found(&domain, which))? {
            domains.extend(domain);
        }
    }
    domains.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(domains)
}

/// Nothing, where libvirt knows no such domain.
fn known<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is(&error, ErrorNumber::NoDomain) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is(error: &Error, number: ErrorNumber) -> bool {
    error.code().is_known_and(|code| code == number)
}

fn found(domain: &Domain, which: Xml) -> Result<Option<Found>, Error> {
    let Some(uuid) = DomainUuid::parse(&domain.uuid_string()?) else {
        return Ok(None);
    };
    let life = life(domain)?;
    let flags = match which {
        Xml::Running if life.is_some() => 0,
        _ => sys::VIR_DOMAIN_XML_INACTIVE,
    };
    Ok(Some(Found {
        uuid,
        name: domain.name()?,
        life,
        xml: domain.xml_desc(flags)?,
    }))
}

fn life(domain: &Domain) -> Result<Option<Life>, Error> {
    if !domain.is_active()? {
        return Ok(None);
    }
    let (_, reason) = domain.state()?;
    let paused = |paused| match paused {
        DomainPausedReason::Migration | DomainPausedReason::PostCopy => Guest::PausedToMigrate,
        DomainPausedReason::PostCopyFailed => Guest::PausedByBrokenPostcopy,
        _ => Guest::Lives,
    };
    let state = match reason {
        Enum::Known(DomainStateReason::Paused(reason)) => reason.known().map_or(Guest::Lives, paused),
        Enum::Known(DomainStateReason::Running(Enum::Known(DomainRunningReason::PostCopyFailed))) => {
            Guest::RunsInBrokenPostcopy
        }
        _ => Guest::Lives,
    };
    let job = match domain.job_info() {
        Ok(job) => matches!(
            u32::try_from(job.r#type),
            Ok(sys::VIR_DOMAIN_JOB_BOUNDED | sys::VIR_DOMAIN_JOB_UNBOUNDED)
        ),
        // What libvirt says of the job of a domain that migrates in.
        Err(error) if is(&error, ErrorNumber::OperationUnsupported) => true,
        // It has ended since the question before.
        Err(error) if is(&error, ErrorNumber::OperationInvalid) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Life { state, job }))
}
