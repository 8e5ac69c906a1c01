// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What is foreseen is what the decisions of a start come to, one request after the other.

use super::*;
use crate::config::Takeover;
use crate::refusal::Use;
use crate::volume::{Access, GlobalId, VolumeName};

fn client(id: u16) -> ClientId {
    ClientId::new(id).unwrap()
}

fn want(name: &str) -> Want {
    Want {
        used: Use {
            volume: VolumeRef::Name(VolumeName::parse(name).unwrap()),
            disk: "vda".into(),
            path: format!("/dev/storpool/{name}"),
        },
        snapshot: false,
        access: Access::Rw,
        shareable: false,
        optional: false,
        global_id: GlobalId::parse(&format!("d.n.{name}")),
    }
}

fn line(name: &str, on: u16, rights: Access) -> Attachment {
    Attachment {
        name: name.into(),
        global_id: GlobalId::parse(&format!("d.n.{name}")),
        snapshot: false,
        client: client(on),
        rights,
    }
}

fn item(want: &Want, attach: Option<Access>, detach: &[u16], force: bool) -> Reassign {
    Reassign {
        object: want.object(),
        attach: attach.map(|access| (client(1), access)),
        detach: detach.iter().copied().map(client).collect(),
        force,
    }
}

/// What a start of a domain on volumes a and b foresees. Client 9 is down.
fn foreseen(policy: Takeover, lines: Vec<Attachment>) -> Preview {
    let wants = [want("a"), want("b")];
    let attach = wants
        .iter()
        .map(|want| item(want, Some(Access::Rw), &[], false))
        .collect();
    start(&Seen {
        me: client(1),
        arrival: Arrival::Start(policy),
        wants: &wants,
        earlier: Vec::new(),
        attach,
        listing: Listing {
            attachments: lines,
            ..Listing::default()
        },
        clients: [(client(1), true), (client(3), true), (client(9), false)].into(),
    })
}

fn words(preview: &Preview) -> Vec<String> {
    let name = |volume: &VolumeRef| volume.api();
    preview
        .moves
        .iter()
        .flat_map(|step| {
            let condition = step
                .only_if
                .as_ref()
                .map_or(String::new(), |c| format!(" ONLY IF {c}"));
            let words = step.act.words(&name).into_iter();
            words.map(move |words| format!("{words}{condition}"))
        })
        .collect()
}

const ATTACH: [&str; 2] = [
    "attach volume \"~d.n.a\" rw to client 1",
    "attach volume \"~d.n.b\" rw to client 1",
];

#[test]
fn a_free_volume_is_attached_and_that_is_all() {
    let preview = foreseen(Takeover::Safe, vec![line("a", 3, Access::Ro)]);
    assert_eq!(words(&preview), ATTACH);
    assert!(preview.refusal.is_none() && !preview.depends());
    assert_eq!(preview.requests().len(), 1, "one request for both");
}

#[test]
fn never_is_a_refusal_after_the_attach() {
    let preview = foreseen(Takeover::Never, vec![line("b", 3, Access::Rw)]);
    assert_eq!(words(&preview), ATTACH);
    let why = preview.refusal.unwrap().to_string();
    assert!(why.contains("\"b\"") && why.contains("client 3"), "{why}");
}

#[test]
fn safe_waits_asks_and_takes_politely_from_who_is_up() {
    let lines = vec![line("a", 3, Access::Rw), line("b", 9, Access::Rw)];
    let preview = foreseen(Takeover::Safe, lines);
    assert_eq!(
        words(&preview)[2..],
        [
            "wait 2 s and look again, because another host may be starting the domain",
            "ask who is down (client 3 is not down now, client 9 is down now) ONLY IF client 9 is still down 2 s later",
            "attach volume \"~d.n.a\" rw to client 1 and detach it from client 3 ONLY IF client 3 does not have it open",
            "attach volume \"~d.n.b\" rw to client 1 and detach it from client 9, even if it is open there",
        ]
    );
    assert!(preview.depends());
    let requests = preview.requests();
    let [_, polite, forced] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    assert_eq!(*polite, [item(&want("a"), Some(Access::Rw), &[3], false)]);
    assert_eq!(*forced, [item(&want("b"), Some(Access::Rw), &[9], true)]);
}

#[test]
fn always_takes_by_force_at_once() {
    let lines = vec![line("a", 3, Access::Rw), line("a", 9, Access::Rw)];
    let preview = foreseen(Takeover::Always, lines);
    assert_eq!(
        words(&preview)[2..],
        [
            "attach volume \"~d.n.a\" rw to client 1 and detach it from client 3 and client 9, even if it is open there"
        ]
    );
    assert!(preview.refusal.is_none() && !preview.depends());
}

#[test]
fn a_client_that_is_down_or_unknown_or_full_is_told_before() {
    let wants = [want("a")];
    let refused = |clients: &[(u16, bool)], mine: usize, lines: Vec<Attachment>| {
        let preview = start(&Seen {
            me: client(1),
            arrival: Arrival::Start(Takeover::Safe),
            wants: &wants,
            earlier: Vec::new(),
            attach: vec![item(&wants[0], Some(Access::Rw), &[], false)],
            listing: Listing {
                attachments: lines,
                mine,
                lacks_ids: false,
            },
            clients: clients.iter().map(|(id, up)| (client(*id), *up)).collect(),
        });
        preview.refusal.map(|refusal| refusal.to_string())
    };
    assert!(refused(&[(1, false)], 0, vec![]).unwrap().contains("is down"));
    assert!(
        refused(&[(3, true)], 0, vec![])
            .unwrap()
            .contains("knows no client 1")
    );
    assert!(
        refused(&[(1, true)], 1024, vec![])
            .unwrap()
            .contains("at most 1024")
    );
    assert_eq!(refused(&[(1, true)], 1023, vec![]), None);
    // Nobody could be asked: nothing is known, and nothing is made up.
    assert_eq!(refused(&[], 0, vec![]), None);
    // It is attached already: a client that is down has its devices all the same.
    assert_eq!(refused(&[(1, false)], 1024, vec![line("a", 1, Access::Rw)]), None);
}

#[test]
fn what_an_earlier_run_left_is_given_back_first() {
    let wants = [want("a")];
    let preview = start(&Seen {
        me: client(1),
        arrival: Arrival::Start(Takeover::Safe),
        wants: &wants,
        earlier: vec![item(&wants[0], None, &[1], false)],
        attach: vec![item(&wants[0], Some(Access::Rw), &[], false)],
        listing: Listing {
            attachments: vec![line("a", 1, Access::Rw)],
            mine: 1,
            lacks_ids: false,
        },
        clients: [(client(1), true)].into(),
    });
    assert_eq!(
        words(&preview),
        ["detach volume \"~d.n.a\" from client 1", ATTACH[0]]
    );
    assert!(preview.refusal.is_none());
}

#[test]
fn the_list_after_a_request_is_what_storpool_would_say() {
    let mut listing = Listing {
        attachments: vec![
            line("a", 3, Access::Rw),
            line("a", 1, Access::Ro),
            line("b", 3, Access::Rw),
        ],
        ..Listing::default()
    };
    apply(&mut listing, &[item(&want("a"), Some(Access::Rw), &[3], false)]);
    assert_eq!(
        listing.attachments,
        [line("a", 1, Access::Rw), line("b", 3, Access::Rw)]
    );
    apply(&mut listing, &[item(&want("b"), Some(Access::Ro), &[], false)]);
    assert_eq!(listing.attachments[2], line("b", 1, Access::Ro), "with its name");
}
