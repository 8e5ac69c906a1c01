// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Single stories: a start or a stop that dies at every one of its steps, and the cases of the protocol.

use spvirt::config::Takeover;
use spvirt::volume::Access;

use crate::cluster::Cluster;
use crate::fake::{Host, Trouble};
use crate::{call, check_requests, cluster, ends_as_it_began, is_running, prepare, qemu, reconcile, release};

const TROUBLES: [Trouble; 6] = [
    Trouble::DiesBefore,
    Trouble::DiesAfter,
    Trouble::Refused,
    Trouble::ReplyLost,
    Trouble::CarriedOutLater,
    Trouble::DiesInFlight,
];

#[test]
fn a_start_that_goes_wrong_at_any_step_never_happened_or_happened() {
    for trouble in TROUBLES {
        for step in 0.. {
            let cluster = cluster();
            let hosts = [Host::new(&cluster, 1)];
            let result = call(&hosts[0], Some((step, trouble)), || {
                prepare(&hosts[0], 0, Takeover::Safe)
            });
            let steps = hosts[0].steps.get();
            if let Some(Ok(())) = result {
                assert_eq!(cluster.attachments().len(), 2, "{trouble:?} at {step}");
                qemu(&hosts[0], 0, true);
            }
            ends_as_it_began(&hosts, &[]);
            if step > steps {
                assert!(step > 3, "the story had steps");
                break;
            }
        }
    }
}

#[test]
fn a_stop_that_goes_wrong_at_any_step_is_finished_by_reconcile() {
    for trouble in TROUBLES {
        for step in 0.. {
            let cluster = cluster();
            let hosts = [Host::new(&cluster, 1)];
            prepare(&hosts[0], 0, Takeover::Safe).unwrap();
            let _ = call(&hosts[0], Some((step, trouble)), || release(&hosts[0], 0));
            let steps = hosts[0].steps.get();
            ends_as_it_began(&hosts, &[]);
            if step > steps {
                break;
            }
        }
    }
}

#[test]
fn a_start_asks_twice_and_a_stop_once() {
    let cluster = cluster();
    let host = Host::new(&cluster, 1);
    prepare(&host, 0, Takeover::Safe).unwrap();
    assert_eq!(host.steps.replace(0), 4, "claim, reassign, list, claim");
    release(&host, 0).unwrap();
    assert_eq!(host.steps.get(), 3, "claim, reassign, claim");
}

/// Another client has volume 1.
fn held(open: bool) -> Cluster {
    let cluster = cluster();
    cluster.attach(1, 7, Access::Rw);
    cluster.open(1, 7, open);
    cluster
}

fn starts(cluster: &Cluster, policy: Takeover) -> Result<(), String> {
    let host = Host::new(cluster, 1);
    prepare(&host, 1, policy).map_err(|refusal| {
        assert_eq!(cluster.attachments(), [(1, 7, Access::Rw)], "undone");
        assert!(host.read_claims().is_empty());
        refusal.to_string()
    })
}

#[test]
fn policy_never_leaves_it_to_the_other() {
    let why = starts(&held(false), Takeover::Never).unwrap_err();
    assert!(
        why.contains("attached rw on client 7") && why.contains("SPVIRT_TAKEOVER=never"),
        "{why}"
    );
}

#[test]
fn policy_safe_takes_from_an_idle_or_a_dead_client() {
    let idle = held(false);
    starts(&idle, Takeover::Safe).unwrap();
    assert_eq!(idle.attachments(), [(1, 1, Access::Rw)]);
    check_requests(&idle);
    let dead = held(true);
    dead.down.borrow_mut().insert(7);
    starts(&dead, Takeover::Safe).unwrap();
    assert_eq!(dead.attachments(), [(1, 1, Access::Rw)]);
    check_requests(&dead);
}

#[test]
fn policy_safe_leaves_what_is_open_on_a_client_that_is_up() {
    let cluster = held(true);
    let why = starts(&cluster, Takeover::Safe).unwrap_err();
    assert!(why.contains("open on client 7, which is up"), "{why}");
    check_requests(&cluster);
}

#[test]
fn policy_always_takes_it() {
    let cluster = held(true);
    starts(&cluster, Takeover::Always).unwrap();
    assert_eq!(cluster.attachments(), [(1, 1, Access::Rw)]);
}

#[test]
fn an_attach_that_comes_late_is_found_by_the_second_look() {
    let cluster = cluster();
    let host = Host::new(&cluster, 1);
    // Step 0 writes the claim, step 1 is the attach.
    let result = call(&host, Some((1, Trouble::CarriedOutLater)), || {
        prepare(&host, 1, Takeover::Safe)
    });
    assert!(matches!(result, Some(Err(_))));
    release(&host, 1).unwrap();
    assert_eq!(host.read_claims().len(), 1, "the claim outlives its release");
    cluster.catch_up();
    assert_eq!(cluster.attachments().len(), 1);
    reconcile(&host);
    assert_eq!(cluster.attachments(), []);
    assert!(host.read_claims().is_empty());
}

#[test]
fn an_attach_of_a_dead_start_that_comes_during_the_next_one_is_not_taken_for_somebody_elses() {
    for by_hand in [None, Some(Access::Ro)] {
        for step in 0.. {
            let cluster = cluster();
            if let Some(access) = by_hand {
                cluster.attach(1, 1, access);
            }
            let before = cluster.attachments();
            let host = Host::new(&cluster, 1);
            let died = call(&host, Some((1, Trouble::DiesInFlight)), || {
                prepare(&host, 1, Takeover::Safe)
            });
            assert!(died.is_none());
            let next = call(&host, Some((step, Trouble::LateOnesArrive)), || {
                prepare(&host, 1, Takeover::Safe)
            });
            assert!(matches!(next, Some(Ok(()))), "at {step}");
            release(&host, 1).unwrap();
            let steps = host.steps.get();
            ends_as_it_began(std::slice::from_ref(&host), &before);
            if step > steps {
                break;
            }
        }
    }
}

#[test]
fn a_link_that_is_about_to_go_is_not_taken_for_somebody_elses() {
    for by_hand in [None, Some(Access::Ro)] {
        let cluster = cluster();
        if let Some(access) = by_hand {
            cluster.attach(1, 1, access);
        }
        let before = cluster.attachments();
        let host = Host::new(&cluster, 1);
        prepare(&host, 1, Takeover::Safe).unwrap();
        // Step 0 writes the claim, step 1 is the detach. The devices follow while the next start begins: it sees them
        // when it asks for what is done already, and does not have to wait for that, and when it notes what is there.
        host.lag.set(2);
        let died = call(&host, Some((1, Trouble::DiesAfter)), || release(&host, 1));
        assert!(died.is_none());
        host.lag.set(0);
        prepare(&host, 1, Takeover::Safe).unwrap();
        release(&host, 1).unwrap();
        ends_as_it_began(std::slice::from_ref(&host), &before);
    }
}

#[test]
fn domains_of_one_host_share_only_when_both_say_so() {
    let cluster = cluster();
    let host = Host::new(&cluster, 1);
    for domain in [0, 2, 3] {
        prepare(&host, domain, Takeover::Safe).unwrap();
        qemu(&host, domain, true);
    }
    let why = prepare(&host, 1, Takeover::Safe).unwrap_err().to_string();
    assert!(
        why.contains("in use by domain d on this host (QEMU process 1)"),
        "{why}"
    );
    assert!(is_running(&host, 0));
    qemu(&host, 2, false);
    release(&host, 2).unwrap();
    assert!(
        cluster.attachments().contains(&(2, 1, Access::Rw)),
        "the other still has it"
    );
    qemu(&host, 3, false);
    release(&host, 3).unwrap();
    assert!(!cluster.attachments().iter().any(|(number, ..)| *number == 2));
}

#[test]
fn whoever_lets_go_last_restores_what_was_before_the_first() {
    let cluster = cluster();
    let host = Host::new(&cluster, 1);
    prepare(&host, 2, Takeover::Safe).unwrap();
    prepare(&host, 3, Takeover::Safe).unwrap();
    // As after an adoption that could not read the first claim: it takes the attachment for somebody else's.
    let mut second = host.read_claims().pop().unwrap();
    assert_eq!(second.uuid, crate::uuid(3));
    second.volumes[0].before = Some(Access::Rw);
    host.put(&second);
    release(&host, 2).unwrap();
    release(&host, 3).unwrap();
    assert_eq!(cluster.attachments(), []);
}

#[test]
fn a_snapshot_taken_for_a_volume_is_given_back_all_the_same() {
    let cluster = cluster();
    let host = Host::new(&cluster, 1);
    prepare(&host, 3, Takeover::Safe).unwrap();
    // As after an adoption, which asks StorPool nothing and so cannot tell a snapshot from a volume.
    cluster.volumes.borrow_mut().get_mut(&2).unwrap().snapshot = true;
    release(&host, 3).unwrap();
    assert_eq!(cluster.attachments(), []);
    assert!(host.read_claims().is_empty());
}
