// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The shipped acquire, release and reconcile against a simulated world: random lives of domains on two hosts,
//! with calls that die or go wrong at every step. After each step the invariants of `ARCHITECTURE.md` hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate
)]

mod cluster;
mod fake;
mod steps;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::prelude::*;

use spvirt::acquire::{Start, acquire};
use spvirt::claim::lock::Lock;
use spvirt::claim::{Claim, Entry};
use spvirt::config::Takeover;
use spvirt::policy::Want;
use spvirt::reconcile::{Action, DomainState, decide, may_go};
use spvirt::refusal::{Refusal, Use};
use spvirt::release::{self, Left};
use spvirt::ticket::Subject;
use spvirt::volume::{Access, DomainUuid, VolumeRef};
use spvirt::world::World as _;

use cluster::{Cluster, by_name, gid};
use fake::{Died, Host, Trouble};

/// A domain of the model: its number names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Volumes by number, how, by id rather than by name, shareable.
    volumes: &'static [(u32, Access, bool, bool)],
}

/// Two domains that exclude each other on volume 1, two that share 2, one that reads 3 which another writes.
pub const DOMAINS: [Plan; 5] = [
    Plan {
        volumes: &[(1, Access::Rw, false, false), (4, Access::Rw, true, false)],
    },
    Plan {
        volumes: &[(1, Access::Rw, true, false)],
    },
    Plan {
        volumes: &[(2, Access::Rw, false, true), (3, Access::Ro, false, true)],
    },
    Plan {
        volumes: &[(2, Access::Rw, true, true)],
    },
    Plan {
        volumes: &[(3, Access::Rw, true, true)],
    },
];

/// UUID of a domain.
pub fn uuid(domain: usize) -> DomainUuid {
    DomainUuid::parse(&format!("{domain:032x}")).unwrap()
}

fn wants(domain: usize) -> Vec<Want> {
    let volume = |number: u32, id: bool| {
        if id {
            VolumeRef::Id(gid(number))
        } else {
            by_name(&format!("v{number}"))
        }
    };
    let want = |&(number, access, id, shareable): &(u32, Access, bool, bool)| Want {
        used: Use {
            volume: volume(number, id),
            disk: "vda".into(),
            path: "/dev/storpool/v".into(),
        },
        snapshot: false,
        access,
        shareable,
        optional: false,
        global_id: None,
    };
    DOMAINS[domain].volumes.iter().map(want).collect()
}

/// One call that may die half-way; `None` if it did.
pub fn call<T>(host: &Host, trouble: Option<(u32, Trouble)>, call: impl FnOnce() -> T) -> Option<T> {
    host.steps.set(0);
    host.trouble.set(trouble);
    let result = catch_unwind(AssertUnwindSafe(call));
    host.trouble.set(None);
    match result {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Died>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// `prepare`: the hook's part of a start.
pub fn prepare(host: &Host, domain: usize, policy: Takeover) -> Result<(), Refusal> {
    let uuid = uuid(domain);
    acquire(
        host,
        &Start {
            subject: Subject {
                uuid: &uuid,
                domain: "d",
                resource: false,
                nonce: None,
            },
            policy,
        },
        wants(domain),
    )
}

/// `release`.
pub fn release(host: &Host, domain: usize) -> Result<(), Left> {
    let _domain = host.lock(&Lock::Domain(uuid(domain)))?;
    match host.claim(&uuid(domain))? {
        Some(Entry::Claim(claim)) => release::let_go(host, release::found(claim)),
        _ => Ok(()),
    }
}

/// What `spvirt reconcile` does about every claim.
pub fn reconcile(host: &Host) {
    for claim in host.read_claims() {
        let _domain = host.lock(&Lock::Domain(claim.uuid.clone())).unwrap();
        let active = host.running.borrow().contains(claim.uuid.as_str());
        let state = if active {
            DomainState::Active
        } else {
            DomainState::Inactive
        };
        if decide(&claim, host.me(), host.boot(), &state) == Action::Finish {
            let claim = release::found(claim);
            let unsure = claim.unsure && !may_go(&claim);
            let _ = release::let_go(host, Claim { unsure, ..claim });
        }
    }
}

/// The volumes of a domain are opened or closed at a host, by its QEMU.
pub fn qemu(host: &Host, domain: usize, starts: bool) {
    let uuid = uuid(domain).to_string();
    if starts {
        host.running.borrow_mut().insert(uuid);
    } else {
        host.running.borrow_mut().remove(&uuid);
    }
    for (number, ..) in DOMAINS[domain].volumes {
        let others = (0..DOMAINS.len()).any(|d| is_running(host, d) && uses(d, *number));
        host.cluster.open(*number, host.client, others);
    }
}

/// Whether a domain has a QEMU on the host.
pub fn is_running(host: &Host, domain: usize) -> bool {
    host.running.borrow().contains(uuid(domain).as_str())
}

fn uses(domain: usize, number: u32) -> bool {
    DOMAINS[domain].volumes.iter().any(|(n, ..)| *n == number)
}

/// I1 and I2: whoever runs has its volumes, and nobody else writes them unless all say they share.
#[track_caller]
pub fn check(hosts: &[Host]) {
    let attached: BTreeMap<(u32, u16), Access> = hosts[0]
        .cluster
        .attachments()
        .into_iter()
        .map(|(n, c, a)| ((n, c), a))
        .collect();
    let mut writers: BTreeMap<u32, Vec<(u16, usize, bool)>> = BTreeMap::new();
    for host in hosts {
        for domain in (0..DOMAINS.len()).filter(|domain| is_running(host, *domain)) {
            for (number, access, _, shareable) in DOMAINS[domain].volumes {
                let has = attached.get(&(*number, host.client));
                assert!(
                    has >= Some(access),
                    "I2: domain {domain} runs on {} without v{number}",
                    host.client
                );
                if *access == Access::Rw {
                    writers
                        .entry(*number)
                        .or_default()
                        .push((host.client, domain, *shareable));
                }
            }
        }
    }
    for (number, writers) in writers {
        let alone = writers.len() == 1 || writers.iter().all(|(_, _, shareable)| *shareable);
        assert!(alone, "I1: v{number} has several writers: {writers:?}");
    }
}

/// No request took anything from anybody who was not known to be idle or down, and nothing was detached by name.
#[track_caller]
pub fn check_requests(cluster: &Cluster) {
    for (client, item) in cluster.log.borrow().iter() {
        let others = item.detach.iter().any(|other| u16::from(*other) != *client);
        assert!(
            !others || item.attach.is_some(),
            "{client} only takes away: {item:?}"
        );
        let down = |other: &u16| cluster.down.borrow().contains(other);
        assert!(
            !item.force || item.detach.iter().all(|c| down(&u16::from(*c))),
            "force against a client that is up: {item:?}"
        );
        let by_name = matches!(item.object.volume, VolumeRef::Name(_));
        assert!(item.detach.is_empty() || !by_name, "detached by name: {item:?}");
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Happening {
    Start {
        host: usize,
        domain: usize,
        trouble: Option<(u32, Trouble)>,
        daemon_dies: bool,
    },
    Stop {
        host: usize,
        domain: usize,
        trouble: Option<(u32, Trouble)>,
        hook_lost: bool,
    },
    Reconcile {
        host: usize,
        trouble: Option<(u32, Trouble)>,
    },
    Catches,
}

fn happening() -> impl Strategy<Value = Happening> {
    let kind = prop_oneof![
        Just(Trouble::DiesBefore),
        Just(Trouble::DiesAfter),
        Just(Trouble::Refused),
        Just(Trouble::ReplyLost),
        Just(Trouble::CarriedOutLater),
        Just(Trouble::DiesInFlight)
    ];
    let trouble = || proptest::option::weighted(0.5, (0..12_u32, kind.clone()));
    let domain = 0..DOMAINS.len();
    prop_oneof![
        5 => (0..2_usize, domain.clone(), trouble(), proptest::bool::weighted(0.2)).prop_map(
            |(host, domain, trouble, daemon_dies)| Happening::Start { host, domain, trouble, daemon_dies }
        ),
        4 => (0..2_usize, domain, trouble(), proptest::bool::weighted(0.2)).prop_map(
            |(host, domain, trouble, hook_lost)| Happening::Stop { host, domain, trouble, hook_lost }
        ),
        1 => (0..2_usize, trouble()).prop_map(|(host, trouble)| Happening::Reconcile { host, trouble }),
        1 => Just(Happening::Catches),
    ]
}

fn happens(hosts: &[Host], what: &Happening, policy: Takeover) {
    match what {
        Happening::Start {
            host,
            domain,
            trouble,
            daemon_dies,
        } => {
            let host = &hosts[*host];
            // libvirt itself does not start a domain twice on one host.
            if is_running(host, *domain) {
                return;
            }
            // The limit of the protocol: an attach that comes after the next start or the next round of
            // reconcile is nobody's any more.
            host.cluster.catch_up();
            match call(host, *trouble, || prepare(host, *domain, policy)) {
                Some(Ok(())) => qemu(host, *domain, true),
                _ if *daemon_dies => {}
                _ => {
                    let _ = release(host, *domain);
                }
            }
        }
        Happening::Stop {
            host,
            domain,
            trouble,
            hook_lost,
        } => {
            let host = &hosts[*host];
            if is_running(host, *domain) {
                qemu(host, *domain, false);
                if !hook_lost {
                    let _ = call(host, *trouble, || release(host, *domain));
                }
            }
        }
        Happening::Reconcile { host, trouble } => {
            let host = &hosts[*host];
            host.cluster.catch_up();
            let _ = call(host, *trouble, || reconcile(host));
        }
        Happening::Catches => hosts[0].cluster.catch_up(),
    }
}

fn cluster() -> Cluster {
    let cluster = Cluster::default();
    for number in 1..=4 {
        cluster.volume(number, &format!("v{number}"));
    }
    cluster
}

/// Everything stops, what is late arrives, reconcile runs: then everything is as it was.
#[track_caller]
fn ends_as_it_began(hosts: &[Host], began: &[(u32, u16, Access)]) {
    for host in hosts {
        for domain in 0..DOMAINS.len() {
            if is_running(host, domain) {
                qemu(host, domain, false);
                let _ = release(host, domain);
            }
        }
    }
    hosts[0].cluster.catch_up();
    for host in hosts {
        reconcile(host);
        reconcile(host);
        assert!(
            host.read_claims().is_empty(),
            "claims stay on {}: {:?}",
            host.client,
            host.read_claims()
        );
    }
    assert_eq!(hosts[0].cluster.attachments(), began, "I3, I4");
    check_requests(hosts[0].cluster);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random lives on two hosts that may take over from each other.
    #[test]
    fn no_two_writers_nothing_pulled_nothing_left(story in proptest::collection::vec(happening(), 1..25)) {
        let cluster = cluster();
        let hosts = [Host::new(&cluster, 1), Host::new(&cluster, 2)];
        for what in &story {
            happens(&hosts, what, Takeover::Safe);
            check(&hosts);
        }
        ends_as_it_began(&hosts, &[]);
    }

    /// The same where an admin had attached some volumes by hand before: they stay as they were.
    #[test]
    fn what_was_attached_by_hand_stays(
        story in proptest::collection::vec(happening(), 1..25),
        by_hand in proptest::collection::btree_map((1..=4_u32, 1..=2_u16), prop_oneof![Just(Access::Ro), Just(Access::Rw)], 0..4)
    ) {
        let cluster = cluster();
        for ((number, client), access) in &by_hand {
            cluster.attach(*number, *client, *access);
        }
        let began = cluster.attachments();
        let hosts = [Host::new(&cluster, 1), Host::new(&cluster, 2)];
        for what in &story {
            happens(&hosts, what, Takeover::Never);
            check(&hosts);
        }
        ends_as_it_began(&hosts, &began);
    }
}
