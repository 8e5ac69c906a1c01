// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The decisions of a start, one by one.

use super::*;
use crate::refusal::Use;
use crate::volume::VolumeName;

fn client(id: u16) -> ClientId {
    ClientId::new(id).unwrap()
}

fn want(name: &str, access: Access) -> Want {
    let volume = VolumeRef::Name(VolumeName::parse(name).unwrap());
    Want {
        used: Use {
            volume,
            disk: "vda".into(),
            path: format!("/dev/storpool/{name}"),
        },
        snapshot: false,
        access,
        shareable: false,
        optional: false,
        global_id: None,
    }
}

fn listing(lines: &[(&str, u16, Access)]) -> Listing {
    let line = |(name, id, rights): &(&str, u16, Access)| Attachment {
        name: (*name).into(),
        global_id: GlobalId::parse(&format!("d.n.{name}")),
        snapshot: false,
        client: client(*id),
        rights: *rights,
    };
    Listing {
        attachments: lines.iter().map(line).collect(),
        mine: 0,
        lacks_ids: false,
    }
}

/// The next step of client 5 for one writable volume `a`.
fn step(lines: &[(&str, u16, Access)], policy: Takeover, history: &History) -> Step {
    next(
        &[want("a", Access::Rw)],
        client(5),
        &listing(lines),
        Arrival::Start(policy),
        history,
    )
}

fn waited(down: &[u16]) -> History {
    let down = down.iter().copied().map(client).collect();
    History {
        waited: true,
        down: Some(down),
        ..History::default()
    }
}

#[test]
fn mine_alone_is_settled_and_readers_elsewhere_do_not_matter() {
    let lines = [("a", 5, Access::Rw), ("a", 7, Access::Ro), ("b", 8, Access::Rw)];
    let step = step(&lines, Takeover::Never, &History::default());
    assert!(matches!(step, Step::Settle(ids) if ids == [GlobalId::parse("d.n.a").unwrap()]));
}

#[test]
fn who_is_evicted_while_attaching_has_lost() {
    let why = |lines: &[_]| match step(lines, Takeover::Safe, &waited(&[])) {
        Step::Refuse(refusal) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(why(&[("a", 7, Access::Rw)]).contains("taken by client 7"));
    assert!(why(&[("a", 5, Access::Ro), ("a", 7, Access::Rw)]).contains("taken by client 7"));
}

#[test]
fn what_got_lost_is_attached_again_twice_at_most() {
    for rounds in 0..ROUNDS {
        let history = History {
            rounds,
            ..History::default()
        };
        assert!(matches!(step(&[], Takeover::Safe, &history), Step::AttachAgain(lost) if lost == [0]));
    }
    let history = History {
        rounds: ROUNDS,
        ..History::default()
    };
    assert!(matches!(
        step(&[], Takeover::Safe, &history),
        Step::Refuse(Refusal::NotMine(_))
    ));
}

#[test]
fn rivals_get_time_the_lower_client_acts_first() {
    let pause = |other| match step(
        &[("a", 5, Access::Rw), ("a", other, Access::Rw)],
        Takeover::Safe,
        &History::default(),
    ) {
        Step::Wait(pause) => pause,
        step => panic!("{step:?}"),
    };
    assert_eq!(pause(7), SETTLE);
    assert_eq!(pause(3), SETTLE + STAGGER);
}

#[test]
fn force_is_for_the_dead_alone_and_comes_last() {
    let lines = [("a", 5, Access::Rw), ("a", 7, Access::Rw), ("a", 8, Access::Rw)];
    let Step::TakeOver(requests) = step(&lines, Takeover::Safe, &waited(&[8])) else {
        panic!("no takeover");
    };
    let summary: Vec<_> = requests
        .iter()
        .flatten()
        .map(|item| (item.detach.clone(), item.force))
        .collect();
    assert_eq!(summary, [(vec![client(7)], false), (vec![client(8)], true)]);
    assert_eq!(
        requests.len(),
        2,
        "nothing is forced when the gentle part is refused"
    );
    assert!(
        requests
            .iter()
            .flatten()
            .all(|item| item.attach == Some((client(5), Access::Rw)))
    );
}

#[test]
fn takeovers_end() {
    let lines = [("a", 5, Access::Rw), ("a", 7, Access::Rw)];
    let busy = History {
        busy: Some((BUSY_LOOKS, "open".into())),
        ..waited(&[])
    };
    assert!(matches!(
        step(&lines, Takeover::Safe, &busy),
        Step::Refuse(Refusal::OpenElsewhere { .. })
    ));
    let rounds = History {
        rounds: ROUNDS,
        ..waited(&[])
    };
    assert!(matches!(
        step(&lines, Takeover::Safe, &rounds),
        Step::Refuse(Refusal::LostRace { .. })
    ));
    assert!(matches!(
        step(&lines, Takeover::Never, &History::default()),
        Step::Refuse(Refusal::HeldElsewhere { .. })
    ));
}

#[test]
fn a_migration_goes_on_beside_its_one_source() {
    let step = |lines: &[(&str, u16, Access)]| {
        next(
            &[want("a", Access::Rw), want("b", Access::Rw)],
            client(5),
            &listing(lines),
            Arrival::Migration,
            &History::default(),
        )
    };
    let mine = [("a", 5, Access::Rw), ("b", 5, Access::Rw)];
    let with = |more: &[(&str, u16, Access)]| step(&[&mine[..], more].concat());
    assert!(matches!(with(&[]), Step::Settle(ids) if ids.len() == 2));
    let source = [("a", 3, Access::Rw), ("b", 3, Access::Rw)];
    assert!(matches!(with(&source), Step::Settle(ids) if ids.len() == 2));
    assert!(
        matches!(with(&[("a", 7, Access::Ro)]), Step::Settle(_)),
        "readers"
    );
    // Two clients have one volume, or one each: one of them is not the source.
    for more in [
        [("a", 3, Access::Rw), ("a", 7, Access::Rw)],
        [("a", 3, Access::Rw), ("b", 7, Access::Rw)],
    ] {
        let Step::Refuse(refusal) = with(&more) else {
            panic!("goes on beside {more:?}")
        };
        assert!(refusal.to_string().contains("clients 3 and 7"), "{refusal}");
    }
    // Who has lost a volume again does not fight for it.
    let lost = step(&[("a", 5, Access::Rw), ("a", 3, Access::Rw), ("b", 3, Access::Rw)]);
    assert!(matches!(lost, Step::Refuse(Refusal::NotMine(_))), "{lost:?}");
}

#[test]
fn a_server_without_ids_is_too_old() {
    let mut listing = listing(&[("a", 5, Access::Rw)]);
    listing.attachments[0].global_id = None;
    listing.lacks_ids = true;
    let step = next(
        &[want("a", Access::Rw)],
        client(5),
        &listing,
        Arrival::Start(Takeover::Safe),
        &History::default(),
    );
    assert!(matches!(step, Step::Refuse(Refusal::OldServer(_))));
}

#[test]
fn devices_must_agree_and_be_usable() {
    let link = |device: &str, sectors, read_only| Link {
        device: device.into(),
        read_only,
        sectors,
        global_id: None,
    };
    let good = link("7:1", 8, false);
    let judge = |own: Option<&Link>, by_id: Option<&Link>| device(&want("a", Access::Rw), own, by_id);
    assert_eq!(judge(Some(&good), Some(&good)), Device::Ready);
    for (own, by_id, what) in [
        (None, None, "no link"),
        (None, Some(good.clone()), "renamed"),
        (Some(good.clone()), None, "by global id is missing"),
        (Some(good.clone()), Some(link("7:2", 8, false)), "another volume"),
        (
            Some(link("7:1", 0, false)),
            Some(link("7:1", 0, false)),
            "no size",
        ),
        (
            Some(link("7:1", 8, true)),
            Some(link("7:1", 8, true)),
            "read-only",
        ),
    ] {
        let found = judge(own.as_ref(), by_id.as_ref());
        assert!(
            matches!(found, Device::NotYet(why) if why.contains(what)),
            "{found:?} is not {what}"
        );
    }
    let ro = link("7:1", 8, true);
    assert_eq!(
        device(&want("a", Access::Ro), Some(&ro), Some(&ro)),
        Device::Ready
    );
}

/// A link that no claim explains says what StorPool says: nothing, less or the same.
#[test]
fn a_link_is_believed_as_far_as_storpool_agrees() {
    let link = || {
        Some(Link {
            device: "7:1".into(),
            read_only: false,
            sectors: 8,
            global_id: GlobalId::parse("s.b.a"),
        })
    };
    let wants = [want("a", Access::Rw), want("b", Access::Rw)];
    let doubt = doubtful(&wants, &[link(), None], &[]);
    assert_eq!(doubt, [true, false]);
    for (lines, rights) in [
        (&[][..], None),
        (&[("a", 6, Access::Rw)], None),
        (&[("a", 5, Access::Ro), ("a", 6, Access::Rw)], Some(Access::Ro)),
        (&[("a", 5, Access::Rw)], Some(Access::Rw)),
    ] {
        for by_id in [false, true] {
            let mut listing = listing(lines);
            for line in &mut listing.attachments {
                line.global_id = GlobalId::parse("s.b.a");
                if by_id {
                    line.name = "~s.b.a".to_owned();
                }
            }
            let mut links = [link(), None];
            confirm(&mut links, &doubt, &wants, &listing, client(5));
            assert_eq!(links[0].as_ref().map(Link::access), rights, "{lines:?}");
            let mut links = [link(), None];
            confirm(&mut links, &[false, false], &wants, &listing, client(5));
            assert_eq!(links[0], link(), "a claim explains it");
        }
    }
}
