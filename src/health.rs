// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What is wrong with a domain that runs here: volumes it has lost, and splits at the end of a migration, where two
//! hosts have a QEMU for it. Reported, never repaired: what is right, only a person can know. Pure.

use std::fmt;

use crate::api::{Attachment, Listing};
use crate::claim::{Claim, Held};
use crate::volume::{Access, ClientId, VolumeRef};
use crate::world::Link;

/// What libvirt says about a domain that has a QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// What the guest does.
    pub state: Guest,
    /// Something is under way with it: a migration in either direction, a save.
    pub job: bool,
}

/// What the guest of a domain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// It runs, or was paused by a person.
    Lives,
    /// It was paused for a migration.
    PausedToMigrate,
    /// It is paused, and a part of its memory is on the other host, which cannot be reached.
    PausedByBrokenPostcopy,
    /// It runs, and a part of its memory is on the other host, which cannot be reached.
    RunsInBrokenPostcopy,
}

/// Something a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Volumes are not attached here with the access the domain needs.
    Lost(Vec<Lost>),
    /// A volume is attached, and its device is not there.
    NoDevice(VolumeRef),
    /// Paused after a migration that has ended, with the volumes others have rw.
    PausedAfterMigration(Vec<Elsewhere>),
    /// A post-copy migration was cut in the middle; whether the guest runs here or there.
    BrokenPostcopy {
        /// It runs here.
        here: bool,
        /// Volumes that others have rw.
        elsewhere: Vec<Elsewhere>,
    },
    /// It has a QEMU here, and others have its exclusive volumes rw too.
    Shared(Vec<Elsewhere>),
}

/// A volume that the domain is without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The volume.
    pub volume: VolumeRef,
    /// Where the domain uses it.
    pub disk: String,
    /// Who has it rw now.
    pub holders: Vec<ClientId>,
}

/// A volume that other clients have rw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The volume.
    pub volume: VolumeRef,
    /// Who.
    pub holders: Vec<ClientId>,
}

/// Everything that is wrong with a domain that has a QEMU here. `links` are those of the claim's volumes.
#[must_use]
pub fn troubles(
    claim: &Claim,
    me: ClientId,
    listing: &Listing,
    links: &[Option<Link>],
    life: Life,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let lacks = |held: &&Held| held.rights(listing, me) < Some(held.access);
    let lost: Vec<_> = claim.volumes.iter().filter(lacks).collect();
    let lost: Vec<_> = lost
        .into_iter()
        .map(|held| Lost {
            volume: held.volume.clone(),
            disk: held.disk.clone(),
            holders: rivals(held, listing, me),
        })
        .collect();
    if !lost.is_empty() {
        troubles.push(Trouble::Lost(lost));
    }
    let volumes = claim.volumes.iter().zip(links);
    let no_device = volumes.filter(|(held, link)| link.is_none() && !lacks(held));
    troubles.extend(no_device.map(|(held, _)| Trouble::NoDevice(held.volume.clone())));
    let exclusive = |held: &&Held| held.access == Access::Rw && !held.shareable;
    let elsewhere: Vec<_> = claim
        .volumes
        .iter()
        .filter(exclusive)
        .map(|held| Elsewhere {
            volume: held.volume.clone(),
            holders: rivals(held, listing, me),
        })
        .filter(|it| !it.holders.is_empty())
        .collect();
    let is_lost = troubles.iter().any(|trouble| matches!(trouble, Trouble::Lost(_)));
    troubles.extend(split(elsewhere, life, is_lost));
    troubles
}

fn split(elsewhere: Vec<Elsewhere>, life: Life, is_lost: bool) -> Option<Trouble> {
    match life.state {
        // libvirt keeps the job of a broken post-copy for whoever repairs it.
        Guest::RunsInBrokenPostcopy => Some(Trouble::BrokenPostcopy {
            here: true,
            elsewhere,
        }),
        Guest::PausedByBrokenPostcopy => Some(Trouble::BrokenPostcopy {
            here: false,
            elsewhere,
        }),
        _ if life.job => None,
        Guest::PausedToMigrate => Some(Trouble::PausedAfterMigration(elsewhere)),
        // A takeover explains it.
        Guest::Lives if elsewhere.is_empty() || is_lost => None,
        Guest::Lives => Some(Trouble::Shared(elsewhere)),
    }
}

/// Other clients that may write to the volume.
fn rivals(held: &Held, listing: &Listing, me: ClientId) -> Vec<ClientId> {
    let writes = |line: &&Attachment| line.client != me && line.rights == Access::Rw;
    let lines = listing.attachments.iter().filter(writes);
    let clients = lines.filter(|line| held.is_line(line)).map(|line| line.client);
    let mut clients: Vec<_> = clients.collect();
    clients.sort_unstable();
    clients.dedup();
    clients
}

impl Trouble {
    /// In words. `domain` is how a command line names it.
    #[must_use]
    pub fn words(&self, domain: &str) -> String {
        match self {
            Self::Lost(lost) => {
                let each: Vec<_> = lost.iter().map(ToString::to_string).collect();
                format!("the domain runs, but is without {}", each.join(", "))
            }
            Self::NoDevice(volume) => format!(
                "volume \"{volume}\" is attached, but its device is not there: is storpool_block healthy, was it renamed?"
            ),
            Self::PausedAfterMigration(elsewhere) if elsewhere.is_empty() => format!(
                "the domain is paused here after a migration, and no other client has its volumes rw: if it runs nowhere else, \"virsh resume {domain}\""
            ),
            Self::PausedAfterMigration(elsewhere) => format!(
                "the domain is paused here after a migration, and {}: it probably runs there; if it does, \"virsh destroy {domain}\" here; never \"virsh resume {domain}\" while it does",
                too(elsewhere)
            ),
            Self::BrokenPostcopy { here, elsewhere } => {
                let place = if *here {
                    "it runs here"
                } else {
                    "it is paused here"
                };
                let too = if elsewhere.is_empty() {
                    String::new()
                } else {
                    format!(", and {}", too(elsewhere))
                };
                format!(
                    "the post-copy migration of the domain was cut off: {place}{too}; a part of its memory is on each host: \"virsh migrate --postcopy-resume\" on the source goes on, destroying it on either host loses the guest; never \"virsh resume {domain}\""
                )
            }
            Self::Shared(elsewhere) => format!(
                "the domain has a QEMU here, {}, and no migration is under way: if it runs there as well, \"virsh destroy\" one of the two at once; if nothing there uses the volume, detach it there",
                too(elsewhere)
            ),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume \"{}\" ({})", self.volume, self.disk)?;
        match clients(&self.holders) {
            Some(clients) => write!(f, ", which {clients} has rw"),
            None => Ok(()),
        }
    }
}

/// `volume "web1" is attached rw on client 2 too`
fn too(elsewhere: &[Elsewhere]) -> String {
    let each = elsewhere.iter().map(|it| {
        let on = clients(&it.holders).unwrap_or_default();
        format!("volume \"{}\" is attached rw on {on} too", it.volume)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn clients(clients: &[ClientId]) -> Option<String> {
    let named: Vec<_> = clients.iter().map(|client| format!("client {client}")).collect();
    (!named.is_empty()).then(|| named.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Phase;
    use crate::volume::{DomainUuid, GlobalId, VolumeName};

    const QUIET: Life = Life {
        state: Guest::Lives,
        job: false,
    };

    fn client(id: u16) -> ClientId {
        ClientId::new(id).unwrap()
    }

    fn held(name: &str, shareable: bool) -> Held {
        Held {
            volume: VolumeRef::Name(VolumeName::parse(name).unwrap()),
            snapshot: false,
            global_id: GlobalId::parse(&format!("d.n.{name}")),
            access: Access::Rw,
            shareable,
            before: None,
            disk: "vda".into(),
        }
    }

    fn claim() -> Claim {
        Claim {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            domain: "web1".into(),
            client: client(1),
            boot: "now".into(),
            made: 0,
            daemon: None,
            phase: Phase::Live,
            unsure: false,
            volumes: vec![held("web1", false), held("shared", true)],
        }
    }

    fn listing(lines: &[(&str, u16, Access)]) -> Listing {
        let line = |(name, on, rights): &(&str, u16, Access)| Attachment {
            name: (*name).into(),
            global_id: GlobalId::parse(&format!("d.n.{name}")),
            snapshot: false,
            client: client(*on),
            rights: *rights,
        };
        Listing {
            attachments: lines.iter().map(line).collect(),
            ..Listing::default()
        }
    }

    const BOTH: [(&str, u16, Access); 3] = [
        ("web1", 1, Access::Rw),
        ("shared", 1, Access::Rw),
        ("shared", 2, Access::Rw),
    ];

    fn link() -> Link {
        Link {
            device: "7:1".into(),
            read_only: false,
            sectors: 8,
            global_id: None,
        }
    }

    fn words(lines: &[(&str, u16, Access)], life: Life) -> Vec<String> {
        let found = troubles(
            &claim(),
            client(1),
            &listing(lines),
            &[Some(link()), Some(link())],
            life,
        );
        found.iter().map(|trouble| trouble.words("web1")).collect()
    }

    fn doubled() -> Vec<(&'static str, u16, Access)> {
        [&BOTH[..], &[("web1", 2, Access::Rw), ("web1", 3, Access::Ro)]].concat()
    }

    #[test]
    fn a_domain_that_has_what_it_needs_is_in_no_trouble() {
        assert_eq!(words(&BOTH, QUIET), [""; 0]);
    }

    #[test]
    fn a_migration_under_way_is_no_trouble() {
        for state in [Guest::Lives, Guest::PausedToMigrate] {
            let life = Life { state, job: true };
            assert_eq!(words(&doubled(), life), [""; 0], "{state:?}");
        }
    }

    #[test]
    fn a_split_is_told_with_what_to_do() {
        let paused = Life {
            state: Guest::PausedToMigrate,
            job: false,
        };
        let told = words(&doubled(), paused);
        assert_eq!(
            told,
            [
                "the domain is paused here after a migration, and volume \"web1\" is attached rw on client 2 too: it probably runs there; if it does, \"virsh destroy web1\" here; never \"virsh resume web1\" while it does"
            ]
        );
        let alone = words(&BOTH, paused);
        assert!(
            alone[0].contains("if it runs nowhere else, \"virsh resume web1\""),
            "{alone:?}"
        );
        let twice = words(&doubled(), QUIET);
        assert!(
            twice[0].contains("volume \"web1\" is attached rw on client 2 too"),
            "{twice:?}"
        );
        assert_eq!((told.len(), alone.len(), twice.len()), (1, 1, 1));
        for (state, place) in [
            (Guest::PausedByBrokenPostcopy, "paused here"),
            (Guest::RunsInBrokenPostcopy, "runs here"),
        ] {
            // libvirt keeps the job.
            let told = words(&doubled(), Life { state, job: true });
            assert!(
                told[0].contains(place) && told[0].contains("client 2 too"),
                "{told:?}"
            );
        }
    }

    #[test]
    fn what_is_lost_is_told_with_who_has_it() {
        let told = words(&[("shared", 1, Access::Rw), ("web1", 2, Access::Rw)], QUIET);
        assert_eq!(
            told,
            ["the domain runs, but is without volume \"web1\" (vda), which client 2 has rw"]
        );
        let lowered = words(&[("shared", 1, Access::Ro), BOTH[0]], QUIET);
        assert_eq!(
            lowered,
            ["the domain runs, but is without volume \"shared\" (vda)"]
        );
        let no_device = troubles(&claim(), client(1), &listing(&BOTH), &[None, Some(link())], QUIET);
        assert_eq!(no_device, [Trouble::NoDevice(held("web1", false).volume)]);
    }
}
