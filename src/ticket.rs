// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How a `prepare` knows that its domain migrates in, and that the host which has the volumes open is the source.
//!
//! Nothing libvirt tells `prepare` says "incoming". But on the destination of every migration `migrate begin` comes
//! first, in the same call of the same worker thread of the same daemon (`ARCHITECTURE.md`, "Tickets", has the
//! experiments): it leaves a ticket, and the `prepare` that takes it must look the same from outside. A migration may
//! die between the two, or be an offline one that never prepares, and an ordinary start must not inherit its ticket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::claim::Process;
use crate::persist::PathError;
use crate::volume::DomainUuid;
use crate::world::World;

/// Where the tickets of a host are, one file per domain. They need not survive a boot.
pub const DIR: &str = "/run/spvirt/ticket";

/// How long a ticket counts. libvirt takes 30 ms from one hook to the other when it is idle.
const LIFETIME: Duration = Duration::from_secs(10);

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
    /// A number that travels in the XML of this very migration (`SPVIRT_TICKET=nonce`).
    pub nonce: Option<String>,
}

impl Ticket {
    /// The call that is being made now.
    pub fn now<W: World>(world: &W, uuid: &DomainUuid, domain: &str, nonce: Option<String>) -> Self {
        Self {
            uuid: uuid.clone(),
            boot: world.boot().to_owned(),
            daemon: world.daemon(),
            thread: world.daemon_thread(),
            made: world.now(),
            definition: world.definition(domain),
            nonce,
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

/// `migrate begin`: leaves the ticket of the call that is being made, in place of any older one.
pub fn leave<W: World>(
    world: &W,
    uuid: &DomainUuid,
    domain: &str,
    nonce: Option<String>,
) -> Result<(), PathError> {
    world.leave_ticket(&Ticket::now(world, uuid, domain, nonce))
}

/// `prepare begin`: takes the domain's ticket away, whatever it says, and judges it. `nonce` is the number in the
/// domain's XML. A ticket that cannot be read is none. Needs the domain lock.
pub fn take<W: World>(world: &W, uuid: &DomainUuid, domain: &str, nonce: Option<&str>) -> bool {
    let ticket = match world.take_ticket(uuid) {
        Ok(Some(ticket)) => ticket,
        Ok(None) => return false,
        Err(error) => {
            log::warn!("the ticket of a migration does not count: {error}");
            return false;
        }
    };
    let now = Ticket::now(world, uuid, domain, nonce.map(str::to_owned));
    match ticket.admits(&now) {
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

/// `release end`: whatever starts next is not the migration that a ticket may be left of.
pub fn drop<W: World>(world: &W, uuid: &DomainUuid) {
    if let Err(error) = world.take_ticket(uuid) {
        log::warn!("the ticket of a migration stays: {error}");
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
            nonce: None,
        }
    }

    #[test]
    fn a_ticket_counts_for_the_same_thread_of_the_same_daemon_soon() {
        let later = |ticket: Ticket| Ticket {
            made: 11_000,
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
        for other in others {
            assert!(ticket().admits(&later(other.clone())).is_err(), "{other:?}");
            assert!(other.admits(&later(ticket())).is_err(), "{other:?}");
        }
        let late = Ticket {
            made: 11_001,
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
