// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Domains and their XML, one question after the other on one connection.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::sys;

use spvirt::volume::DomainUuid;

use super::PATIENCE;

/// How long a change, or a question about all domains, may take.
const LONG_PATIENCE: Duration = Duration::from_mins(1);

/// Why libvirt did not do something.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It said no.
    #[error("libvirt: {0}")]
    Said(String),
    /// There is no such domain.
    #[error("libvirt knows no domain with the name or UUID {0:?}")]
    NoDomain(String),
    /// It said nothing in time.
    #[error("libvirt does not answer: a hook may be working on the domain, try again")]
    Silent,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Said(error.message().to_owned())
    }
}

/// A domain by its names.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name, any characters.
    pub name: String,
    /// Its UUID.
    pub uuid: DomainUuid,
}

/// A domain as libvirt describes it. The XML has all passwords in it.
#[derive(Debug)]
pub struct Description {
    /// What it is started from next time.
    pub inactive: String,
    /// It runs.
    pub active: bool,
    /// It has a definition that outlives it.
    pub persistent: bool,
}

/// Which XML of a running domain.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// As it runs.
    Live,
    /// What a migration sends.
    Migratable,
}

/// The thread that asks, and what it is to ask.
type Asker = (Sender<Question>, JoinHandle<()>);
type Question = Box<dyn FnOnce(&Result<Connect, Error>) + Send>;

/// A connection to libvirt that may write.
#[derive(Debug)]
pub struct Session {
    uri: String,
    /// Who asks, on a thread of its own: one that gets no answer is left behind.
    asker: RefCell<Option<Asker>>,
    /// How long libvirt has been waited for, and for how many answers.
    waited: Cell<(Duration, u32)>,
}

impl Session {
    /// Connects when it is first asked something.
    pub fn new(uri: &str) -> Self {
        // libvirt prints every error on stderr by itself unless told not to.
        virt::error::clear_error_callback();
        Self {
            uri: uri.to_owned(),
            asker: RefCell::new(None),
            waited: Cell::default(),
        }
    }

    /// All domains, sorted by name.
    pub fn all(&self) -> Result<Vec<Known>, Trouble> {
        let mut all = self.ask(LONG_PATIENCE, |connection| {
            let domains = connection.list_all_domains(0)?;
            domains.iter().map(known).collect::<Result<Vec<_>, _>>()
        })?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The domain of this name or UUID.
    pub fn find(&self, text: &str) -> Result<Known, Trouble> {
        let wanted = text.to_owned();
        self.ask(PATIENCE, move |connection| {
            let by_name = connection.lookup_domain_by_name(&wanted);
            let domain = match (by_name, DomainUuid::parse(&wanted)) {
                (Err(error), Some(uuid)) if is_missing(&error) => {
                    connection.lookup_domain_by_uuid_string(uuid.as_str())
                }
                (domain, _) => domain,
            };
            match domain {
                Err(error) if is_missing(&error) => Err(Trouble::NoDomain(wanted)),
                domain => known(&domain?),
            }
        })
    }

    /// What the domain is.
    pub fn describe(&self, uuid: &DomainUuid) -> Result<Description, Trouble> {
        self.about(PATIENCE, uuid, |domain| {
            Ok(Description {
                inactive: domain.xml_desc(sys::VIR_DOMAIN_XML_SECURE | sys::VIR_DOMAIN_XML_INACTIVE)?,
                active: domain.is_active()?,
                persistent: domain.is_persistent()?,
            })
        })
    }

    /// The XML of a running domain, with all passwords.
    pub fn running(&self, uuid: &DomainUuid, which: Which) -> Result<String, Trouble> {
        let flags = match which {
            Which::Live => sys::VIR_DOMAIN_XML_SECURE,
            Which::Migratable => sys::VIR_DOMAIN_XML_SECURE | sys::VIR_DOMAIN_XML_MIGRATABLE,
        };
        self.about(PATIENCE, uuid, move |domain| Ok(domain.xml_desc(flags)?))
    }

    /// Makes `xml` the definition of the domain it names.
    pub fn define(&self, xml: &str) -> Result<(), Trouble> {
        let xml = xml.to_owned();
        self.ask(LONG_PATIENCE, move |connection| {
            connection.define_domain_xml(&xml)?;
            Ok(())
        })
    }

    /// Changes a device of a running domain.
    pub fn update(&self, uuid: &DomainUuid, device: &str) -> Result<(), Trouble> {
        let device = device.to_owned();
        self.about(LONG_PATIENCE, uuid, move |domain| {
            Ok(domain.update_device_flags(&device, sys::VIR_DOMAIN_AFFECT_LIVE)?)
        })
    }

    /// The XML of each storage pool, with its name.
    pub fn pools(&self) -> Result<Vec<(String, String)>, Trouble> {
        self.ask(LONG_PATIENCE, |connection| {
            let pools = connection.list_all_storage_pools(0)?;
            let described = pools.iter().map(|pool| Ok((pool.name()?, pool.xml_desc(0)?)));
            described.collect()
        })
    }

    fn about<T: Send + 'static>(
        &self,
        patience: Duration,
        uuid: &DomainUuid,
        question: impl FnOnce(&Domain) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let uuid = uuid.to_string();
        self.ask(patience, move |connection| {
            question(&connection.lookup_domain_by_uuid_string(&uuid)?)
        })
    }

    fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce(&Connect) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (answer, answered) = mpsc::channel();
        let question: Question = Box::new(move |connection| {
            let said = match connection {
                Ok(connection) => question(connection),
                Err(error) => Err(error.clone().into()),
            };
            // Nobody may be listening any more.
            let _ = answer.send(said);
        });
        let mut asker = self.asker.borrow_mut();
        let (sender, thread) = match asker.take() {
            Some(running) => running,
            None => start(self.uri.clone())?,
        };
        let began = Instant::now();
        let sent = sender.send(question);
        let said = match sent {
            Ok(()) => answered.recv_timeout(patience),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        let (waited, answers) = self.waited.get();
        self.waited.set((waited + began.elapsed(), answers + 1));
        match said {
            Ok(said) => {
                *asker = Some((sender, thread));
                said
            }
            Err(_) => Err(Trouble::Silent),
        }
    }
}

impl Drop for Session {
    /// Ends the connection as libvirt likes it. One that gave no answer ends with the process.
    fn drop(&mut self) {
        let (waited, answers) = self.waited.get();
        log::debug!("libvirt: {answers} answers in {} ms", waited.as_millis());
        if let Some((sender, thread)) = self.asker.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

fn start(uri: String) -> Result<Asker, Trouble> {
    let (sender, questions) = mpsc::channel::<Question>();
    let work = move || {
        let connection = Connect::open(Some(&uri));
        for question in questions {
            question(&connection);
        }
    };
    match thread::Builder::new().spawn(work) {
        Ok(thread) => Ok((sender, thread)),
        Err(error) => Err(Trouble::Said(error.to_string())),
    }
}

fn known(domain: &Domain) -> Result<Known, Trouble> {
    let uuid = domain.uuid_string()?;
    Ok(Known {
        name: domain.name()?,
        uuid: DomainUuid::parse(&uuid).ok_or_else(|| Trouble::Said(format!("{uuid:?} is no UUID")))?,
    })
}

fn is_missing(error: &Error) -> bool {
    error.code().is_known_and(|code| code == ErrorNumber::NoDomain)
}
