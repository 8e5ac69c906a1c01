// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How a `prepare` knows that its domain migrates in, and that the host which has the volumes open is the source.
//!
//! Nothing libvirt tells `prepare` says "incoming". But on the destination of every migration `migrate begin` comes
//! first, in one call of one worker thread of the daemon (`ARCHITECTURE.md`, "Tickets", has the experiments): it
//! leaves a ticket, and the `prepare` that takes it must look the same from outside. A migration may die between the
//! two, or be an offline one that never prepares, and an ordinary start must not inherit its ticket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::claim::Process;
use crate::persist::PathError;
use crate::volume::DomainUuid;
use crate::world::World;

/// Where the tickets of a host are, one file per domain. They need not survive a boot.
pub const DIR: &str = "/run/spvirt/ticket";

/// How long a ticket counts. libvirt takes 50 ms from one hook to the other when it is idle, 4 s when 16 domains
/// come at once; and `prepare` waits for a release of the same domain that still runs here.
const LIFETIME: Duration = Duration::from_secs(30);

/// A hook call as far as two calls of one migration look alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// The domain.
    pub uuid: DomainUuid,
    /// Which boot it was.
    pub boot: String,
    /// The libvirt daemon that called.
    pub daemon: Option<Process>,
    /// The thread of the daemon that called, where the kernel tells.
    pub thread: Option<i32>,
    /// Milliseconds since boot.
    pub made: u64,
    /// What the domain's persistent definition looked like from outside: an offline migration writes one and never
    /// prepares, a live one writes it only after its `prepare`.
    pub definition: Option<String>,
    /// Whether the XML has a `<resource>`. libvirt gives one to every domain it starts, so that of a migrating
    /// domain has it on both occasions, and that of most definitions has none.
    pub resource: bool,
    /// A number that travels in the XML of this very migration (`SPVIRT_TICKET=nonce`).
    pub nonce: Option<String>,
}

/// The domain of a call, as its XML tells.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its UUID.
    pub uuid: &'a DomainUuid,
    /// Its name.
    pub domain: &'a str,
    /// Whether it has a `<resource>`.
    pub resource: bool,
    /// The number in our metadata element.
    pub nonce: Option<&'a str>,
}

impl Ticket {
    /// The ticket of the call that is being made now.
    pub fn now<W: World>(world: &W, subject: &Subject) -> Self {
        Self {
            uuid: subject.uuid.clone(),
            boot: world.boot().to_owned(),
            daemon: world.daemon(),
            thread: world.daemon_thread(),
            made: world.now(),
            definition: world.definition(subject.domain),
            resource: subject.resource,
            nonce: subject.nonce.map(str::to_owned),
        }
    }

    /// Whether `prepare`, a call that looks like `now`, belongs to the migration that left this ticket; else why not.
    pub fn admits(&self, now: &Self) -> Result<(), &'static str> {
        let age = Duration::from_millis(now.made.saturating_sub(self.made));
        if self.uuid != now.uuid || self.boot != now.boot {
            Err("it is of another boot")
        } else if self.daemon.is_none() || self.daemon != now.daemon {
            Err("it is of another libvirt daemon")
        } else if age > LIFETIME {
            Err("it is too old")
        } else if self.definition != now.definition {
            Err("the domain was defined anew since")
        } else if self.resource && !now.resource {
            Err("the domain's XML is not that of a running domain any more")
        } else if self.nonce.is_some() {
            let same = self.nonce == now.nonce;
            same.then_some(())
                .ok_or("the domain's XML does not have its number")
        } else if self.thread.is_none() {
            Err("this kernel does not tell which thread of the daemon calls: set SPVIRT_TICKET=nonce")
        } else if self.thread != now.thread {
            Err("another thread of the daemon calls")
        } else {
            Ok(())
        }
    }
}

/// `migrate begin`: leaves the ticket of this call, in place of any older one.
pub fn leave<W: World>(world: &W, subject: &Subject) -> Result<(), PathError> {
    world.leave_ticket(&Ticket::now(world, subject))
}

/// `prepare begin`: takes the domain's ticket away, whatever it says, and judges it. A ticket that cannot be read is
/// none. Needs the domain lock.
pub fn take<W: World>(world: &W, subject: &Subject) -> bool {
    let ticket = match world.take_ticket(subject.uuid) {
        Ok(Some(ticket)) => ticket,
        Ok(None) => return false,
        Err(error) => {
            log::warn!("the ticket of a migration does not count: {error}");
            return false;
        }
    };
    match ticket.admits(&Ticket::now(world, subject)) {
        Ok(()) => {
            log::info!("the domain migrates in");
            true
        }
        Err(why) => {
            log::warn!("the ticket of a migration does not count: {why}");
            false
        }
    }
}

/// `release end` and `restore begin`: whatever starts after this call, which began at `began` (milliseconds since
/// boot), is not the migration that a ticket was left of before. One that was left since is of a migration that waits
/// for this call to end.
pub fn drop<W: World>(world: &W, uuid: &DomainUuid, began: u64) {
    let dropped = world.take_ticket(uuid).and_then(|ticket| match ticket {
        Some(ticket) if ticket.made >= began => world.leave_ticket(&ticket),
        _ => Ok(()),
    });
    if let Err(error) = dropped {
        log::warn!("the ticket of a migration: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            boot: "now".into(),
            daemon: Some(Process { pid: 7, started: 1 }),
            thread: Some(9),
            made: 1000,
            definition: None,
            resource: true,
            nonce: None,
        }
    }

    #[test]
    fn a_ticket_counts_for_the_same_thread_of_the_same_daemon_soon() {
        let later = |ticket: Ticket| Ticket {
            made: 31_000,
            ..ticket
        };
        assert_eq!(ticket().admits(&later(ticket())), Ok(()));
        let others = [
            Ticket {
                boot: "later".into(),
                ..ticket()
            },
            Ticket {
                daemon: Some(Process { pid: 7, started: 2 }),
                ..ticket()
            },
            Ticket {
                daemon: None,
                ..ticket()
            },
            Ticket {
                thread: Some(10),
                ..ticket()
            },
            Ticket {
                thread: None,
                ..ticket()
            },
            Ticket {
                definition: Some("1.2.3".into()),
                ..ticket()
            },
        ];
        let defined = Ticket {
            resource: false,
            ..ticket()
        };
        assert!(ticket().admits(&defined).is_err(), "an ordinary definition");
        assert_eq!(defined.admits(&ticket()), Ok(()), "a host without cgroups");
        for other in others {
            assert!(ticket().admits(&later(other.clone())).is_err(), "{other:?}");
            assert!(other.admits(&later(ticket())).is_err(), "{other:?}");
        }
        let late = Ticket {
            made: 31_001,
            ..ticket()
        };
        assert_eq!(ticket().admits(&late), Err("it is too old"));
        // Where nothing is known, nothing is proved.
        for unknown in [
            Ticket {
                daemon: None,
                ..ticket()
            },
            Ticket {
                thread: None,
                ..ticket()
            },
        ] {
            assert!(unknown.admits(&unknown).is_err(), "{unknown:?}");
        }
    }

    #[test]
    fn a_number_in_the_xml_must_be_the_tickets() {
        let number = |nonce: &str| Ticket {
            nonce: Some(nonce.into()),
            thread: None,
            ..ticket()
        };
        assert_eq!(number("a").admits(&number("a")), Ok(()));
        assert!(number("a").admits(&number("b")).is_err());
        assert!(number("a").admits(&ticket()).is_err());
        let defined = Ticket {
            definition: Some("1.2.3".into()),
            ..number("a")
        };
        assert!(
            number("a").admits(&defined).is_err(),
            "an offline migration made the number persistent"
        );
        // A number without a ticket that asks for one is of an earlier migration.
        let old = Ticket {
            nonce: Some("a".into()),
            ..ticket()
        };
        assert_eq!(ticket().admits(&old), Ok(()));
    }
}
