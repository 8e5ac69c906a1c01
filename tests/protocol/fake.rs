// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A simulated world for the shipped acquire and release: hosts, a cluster, and a step counter at which a call
//! dies or an API call goes wrong. Claims pass through their real encoding.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use spvirt::api::{ApiError, Attachment, Clients, Description, Fault, Listing, Object, Reassign};
use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Entry, Identity, Process, file};
use spvirt::persist::PathError;
use spvirt::ticket::Ticket;
use spvirt::volume::{Access, ClientId, DomainUuid, VolumeRef};
use spvirt::world::{Link, Stage, World};

use crate::cluster::{Cluster, Volume, gid};

/// What goes wrong, at which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The process dies before the step takes effect.
    DiesBefore,
    /// The process dies after the step took effect.
    DiesAfter,
    /// An API call is not carried out and says so.
    Refused,
    /// An API call is carried out, its reply is lost.
    ReplyLost,
    /// An API call is carried out only when the call that made it is over.
    CarriedOutLater,
    /// The process dies while its API call is on the way; it is carried out later.
    DiesInFlight,
    /// Nothing goes wrong, but what was put off is carried out right before the step.
    LateOnesArrive,
}

/// The payload with which a call dies.
pub struct Died;

/// One host of the cluster.
pub struct Host<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Its client.
    pub client: u16,
    /// Which boot it is in.
    pub boot: String,
    /// The claim files.
    pub files: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The tickets.
    pub tickets: RefCell<BTreeMap<String, Ticket>>,
    /// Domains that have a QEMU.
    pub running: RefCell<BTreeSet<String>>,
    /// Locks that are held.
    held: Rc<RefCell<BTreeSet<String>>>,
    /// Steps taken.
    pub steps: Cell<u32>,
    /// For so many looks its devices lag behind a change.
    pub lag: Cell<u32>,
    /// What goes wrong at which step.
    pub trouble: Cell<Option<(u32, Trouble)>>,
}

/// A held lock.
pub struct Guard {
    held: Rc<RefCell<BTreeSet<String>>>,
    name: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.held.borrow_mut().remove(&self.name);
    }
}

impl<'a> Host<'a> {
    /// A host without claims.
    pub fn new(cluster: &'a Cluster, client: u16) -> Self {
        Self {
            cluster,
            client,
            boot: "now".into(),
            files: RefCell::default(),
            tickets: RefCell::default(),
            running: RefCell::default(),
            held: Rc::default(),
            steps: Cell::new(0),
            lag: Cell::new(0),
            trouble: Cell::new(None),
        }
    }

    /// The claims, readable ones.
    pub fn read_claims(&self) -> Vec<Claim> {
        let entries = self.entries().into_iter();
        entries
            .filter_map(|entry| {
                if let Entry::Claim(claim) = entry {
                    Some(claim)
                } else {
                    None
                }
            })
            .collect()
    }

    /// Puts a claim in place by hand.
    pub fn put(&self, claim: &Claim) {
        self.files
            .borrow_mut()
            .insert(claim.uuid.to_string(), file::encode(claim).unwrap());
    }

    fn entries(&self) -> Vec<Entry> {
        let files = self.files.borrow();
        files
            .iter()
            .map(|(name, bytes)| file::decode(&DomainUuid::parse(name).unwrap(), bytes.clone()))
            .collect()
    }

    /// One step of a call: the place where things go wrong.
    fn step<T>(&self, effect: impl FnOnce(Option<Trouble>) -> T) -> T {
        let number = self.steps.get();
        self.steps.set(number + 1);
        let trouble = self
            .trouble
            .get()
            .filter(|(at, _)| *at == number)
            .map(|(_, trouble)| trouble);
        if trouble == Some(Trouble::DiesBefore) {
            std::panic::panic_any(Died);
        }
        if trouble == Some(Trouble::LateOnesArrive) {
            self.cluster.catch_up();
        }
        let result = effect(trouble);
        if matches!(trouble, Some(Trouble::DiesAfter | Trouble::DiesInFlight)) {
            std::panic::panic_any(Died);
        }
        result
    }
}

/// The answer to an API call, in trouble or not.
fn api<T>(trouble: Option<Trouble>, call: impl FnOnce() -> Result<T, Fault>) -> Result<T, ApiError> {
    let call_name = "call";
    let address = || "sim:81".to_owned();
    match trouble {
        Some(Trouble::Refused) => {
            let fault = Fault {
                name: "internal".into(),
                descr: "no".into(),
                transient: false,
            };
            Err(ApiError::Refused {
                call: call_name,
                fault,
            })
        }
        Some(Trouble::ReplyLost) => {
            let _ = call();
            Err(ApiError::Broken {
                address: address(),
                call: call_name,
                why: "reset".into(),
            })
        }
        Some(Trouble::CarriedOutLater | Trouble::DiesInFlight) => Err(ApiError::Timeout {
            address: address(),
            call: call_name,
        }),
        _ => call().map_err(|fault| ApiError::Refused {
            call: call_name,
            fault,
        }),
    }
}

impl World for Host<'_> {
    type Guard = Guard;

    fn me(&self) -> ClientId {
        ClientId::new(self.client).unwrap()
    }
    fn boot(&self) -> &str {
        &self.boot
    }
    fn now(&self) -> u64 {
        u64::from(self.steps.get())
    }
    fn daemon(&self) -> Option<Process> {
        None
    }
    fn daemon_thread(&self) -> Option<i32> {
        None
    }
    fn definition(&self, _: &str) -> Option<String> {
        None
    }
    fn orphaned(&self) -> bool {
        false
    }
    fn enter(&self, _: Stage) {}
    fn pause(&self, _: Duration) -> bool {
        true
    }

    fn lock(&self, lock: &Lock) -> Result<Guard, LockError> {
        let name = lock.to_string();
        let taken = self.held.borrow_mut().insert(name.clone());
        assert!(taken, "{name} is taken twice by one call: a deadlock");
        Ok(Guard {
            held: Rc::clone(&self.held),
            name,
        })
    }

    fn claim(&self, uuid: &DomainUuid) -> Result<Option<Entry>, PathError> {
        Ok(self.entries().into_iter().find(|entry| entry.uuid() == uuid))
    }
    fn claims(&self) -> Result<Vec<Entry>, PathError> {
        Ok(self.entries())
    }
    fn save(&self, claim: &Claim) -> Result<(), PathError> {
        assert!(
            self.held.borrow().contains("claims"),
            "a claim is written without the claims lock"
        );
        self.step(|_| {
            self.files
                .borrow_mut()
                .insert(claim.uuid.to_string(), file::encode(claim).unwrap())
        });
        Ok(())
    }
    fn forget(&self, uuid: &DomainUuid) -> Result<(), PathError> {
        assert!(
            self.held.borrow().contains("claims"),
            "a claim is removed without the claims lock"
        );
        self.step(|_| self.files.borrow_mut().remove(uuid.as_str()));
        Ok(())
    }
    fn leave_ticket(&self, ticket: &Ticket) -> Result<(), PathError> {
        self.step(|_| {
            self.tickets
                .borrow_mut()
                .insert(ticket.uuid.to_string(), ticket.clone())
        });
        Ok(())
    }
    fn take_ticket(&self, uuid: &DomainUuid) -> Result<Option<Ticket>, PathError> {
        Ok(self.tickets.borrow_mut().remove(uuid.as_str()))
    }
    fn proof_of_life(&self, entry: &Entry, _: &Identity) -> Option<String> {
        self.running
            .borrow()
            .contains(entry.uuid().as_str())
            .then(|| "QEMU process 1".into())
    }

    fn links(&self, volumes: &[VolumeRef]) -> Vec<Option<Link>> {
        let mut stale = self.cluster.stale.borrow_mut();
        let shown = if stale.0 > 0 {
            stale.0 -= 1;
            stale.1.clone()
        } else {
            self.cluster.volumes.borrow().clone()
        };
        let link = |volume: &VolumeRef| {
            let number = [false, true].into_iter().find_map(|snapshot| {
                self.cluster.find(&Object {
                    volume: volume.clone(),
                    snapshot,
                })
            })?;
            let access = *shown[&number].attached.get(&self.client)?;
            Some(Link {
                device: format!("7:{number}"),
                read_only: access == Access::Ro,
                sectors: 8,
                global_id: Some(gid(number)),
            })
        };
        volumes.iter().map(link).collect()
    }
    fn holder(&self, _: &VolumeRef) -> Option<String> {
        None
    }

    fn reassign(&self, items: &[Reassign]) -> Result<(), ApiError> {
        self.step(|trouble| {
            let mut log = self.cluster.log.borrow_mut();
            log.extend(items.iter().map(|item| (self.client, item.clone())));
            drop(log);
            if matches!(trouble, Some(Trouble::CarriedOutLater | Trouble::DiesInFlight)) {
                self.cluster.pending.borrow_mut().push(items.to_vec());
            }
            if self.lag.get() > 0 {
                *self.cluster.stale.borrow_mut() = (self.lag.get(), self.cluster.volumes.borrow().clone());
            }
            api(trouble, || self.cluster.apply(items))
        })
    }
    fn attachments(&self, refs: &[VolumeRef]) -> Result<Listing, ApiError> {
        self.step(|trouble| {
            api(trouble, || {
                let volumes = self.cluster.volumes.borrow();
                let wanted = |number: u32, volume: &Volume| {
                    refs.iter().any(|r| match r {
                        VolumeRef::Name(name) => name.as_str() == volume.name,
                        VolumeRef::Id(id) => *id == gid(number),
                    })
                };
                let of = volumes.iter().filter(|(number, volume)| wanted(**number, volume));
                let lines = of.flat_map(|(number, volume)| {
                    volume.attached.iter().map(|(client, rights)| Attachment {
                        name: volume.name.clone(),
                        global_id: Some(gid(*number)),
                        snapshot: volume.snapshot,
                        client: ClientId::new(*client).unwrap(),
                        rights: *rights,
                    })
                });
                Ok(Listing {
                    attachments: lines.collect(),
                    mine: 0,
                    lacks_ids: false,
                })
            })
        })
    }
    fn describe(&self, object: &Object) -> Result<Option<Description>, ApiError> {
        self.step(|trouble| {
            api(trouble, || {
                Ok(self.cluster.find(object).map(|number| Description {
                    name: self.cluster.volumes.borrow()[&number].name.clone(),
                    global_id: Some(gid(number)),
                }))
            })
        })
    }
    fn clients(&self) -> Result<Clients, ApiError> {
        self.step(|trouble| {
            api(trouble, || {
                let up = |client: u16| {
                    (
                        ClientId::new(client).unwrap(),
                        !self.cluster.down.borrow().contains(&client),
                    )
                };
                Ok((1..=9).map(up).collect())
            })
        })
    }
}
