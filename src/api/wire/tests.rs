// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What goes out, and what may come back.

use super::*;
use crate::api::Object;
use crate::volume::VolumeName;

fn client(id: u16) -> ClientId {
    ClientId::new(id).unwrap()
}

fn by_name(name: &str) -> VolumeRef {
    VolumeRef::Name(VolumeName::parse(name).unwrap())
}

fn item(volume: VolumeRef, snapshot: bool, attach: Option<(ClientId, Access)>) -> Reassign {
    Reassign {
        object: Object { volume, snapshot },
        attach,
        detach: vec![],
        force: false,
    }
}

#[test]
fn items_say_what_applies_and_nothing_else() {
    let items = [
        item(by_name("root"), false, Some((client(5), Access::Rw))),
        item(
            VolumeRef::Id(GlobalId::parse("d.n.1").unwrap()),
            true,
            Some((client(5), Access::Ro)),
        ),
        Reassign {
            detach: vec![client(7)],
            force: true,
            ..item(by_name("x"), false, None)
        },
    ];
    let body = String::from_utf8(reassign_body(&items, 0).unwrap()).unwrap();
    let expected = concat!(
        r#"{"reassign":[{"volume":"root","rw":[5]},{"snapshot":"~d.n.1","ro":[5]},"#,
        r#"{"volume":"x","detach":[7],"force":true}],"attachTimeout":1}"#
    );
    assert_eq!(body, expected, "and never a timeout of 0");
}

#[test]
fn a_list_keeps_what_was_asked_for() {
    let body = br#"{"data":[
        {"volume":"root","snapshot":false,"client":5,"rights":"rw","pos":0,"globalId":"d.n.1"},
        {"volume":"snap@x","snapshot":true,"client":"7","rights":"ro","pos":3,"globalId":"d.n.2","new":{"a":[1]}},
        {"volume":"~d.n.3","snapshot":false,"client":5,"rights":"ro","pos":1},
        {"volume":"other","snapshot":false,"client":5,"rights":"rw","pos":2,"globalId":"d.n.4"}
    ],"generation":3}"#;
    let objects = [
        by_name("root"),
        VolumeRef::Id(GlobalId::parse("d.n.2").unwrap()),
        VolumeRef::Id(GlobalId::parse("d.n.3").unwrap()),
    ];
    let listing = read_attachments(&body[..], &objects, client(5)).unwrap().unwrap();
    let seen: Vec<_> = listing
        .attachments
        .iter()
        .map(|a| (a.name.as_str(), u16::from(a.client), a.rights))
        .collect();
    assert_eq!(
        seen,
        [
            ("root", 5, Access::Rw),
            ("snap@x", 7, Access::Ro),
            ("~d.n.3", 5, Access::Ro)
        ]
    );
    assert_eq!(listing.mine, 3);
}

#[test]
fn a_list_keeps_everything_of_a_client_if_asked() {
    let body = br##"{"data":[
        {"volume":"root","snapshot":false,"client":5,"rights":"rw","pos":0,"globalId":"d.n.1"},
        {"volume":"root","snapshot":false,"client":"7","rights":"rw","pos":0,"globalId":"d.n.1"},
        {"volume":"#system","snapshot":false,"client":7,"rights":"rw","pos":1,"globalId":"d.n.5"},
        {"volume":"*gone","snapshot":true,"client":7,"rights":"ro","pos":2},
        {"volume":"other","snapshot":false,"client":6,"rights":"rw","pos":2,"globalId":"d.n.4"}
    ]}"##;
    let found = |objects: &[VolumeRef], also| {
        let listing = read_attachments_of(&body[..], objects, client(also), client(5)).unwrap();
        let lines = listing.unwrap().attachments.into_iter();
        lines
            .map(|line| format!("{} {}", line.name, line.client))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&[], 7), ["root 7", "#system 7", "*gone 7"]);
    assert_eq!(found(&[by_name("root")], 6), ["root 5", "root 7", "other 6"]);
    assert_eq!(found(&[], 8), [""; 0]);
}

#[test]
fn what_is_not_a_list_of_attachments_is_an_error_and_never_empty() {
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "{\"data\":{}}",
        "{\"data\":null}",
        "{\"data\":\"\"}",
        "{\"data\":[{}]}",
        "{\"data\":[]} x",
        "{\"data\":[]",
        "{\"data\":[],\"data\":[]}",
        "<html>",
        "{\"generation\":1}",
        r#"{"data":[{"volume":"a","snapshot":false,"client":0,"rights":"rw"}]}"#,
        r#"{"data":[{"volume":"a","snapshot":false,"client":1,"rights":"rwx"}]}"#,
        r#"{"data":[{"volume":null,"snapshot":false,"client":1,"rights":"rw"}]}"#,
        r#"{"data":[{"volume":"a","snapshot":0,"client":1,"rights":"rw"}]}"#,
        r#"{"data":[{"volume":"a","snapshot":false,"client":1,"rights":"rw","globalId":"x"}]}"#,
        r#"{"data":[{"volume":"a","snapshot":false,"client":1,"rights":"rw","globalId":4}]}"#,
    ] {
        assert!(
            read_attachments(body.as_bytes(), &[by_name("a")], client(1)).is_err(),
            "{body}"
        );
    }
    assert_eq!(
        read_attachments(&b"{\"data\":[]}"[..], &[], client(1))
            .unwrap()
            .unwrap(),
        Listing::default()
    );
}

#[test]
fn an_error_member_is_a_fault_whatever_else_is_there() {
    let body =
        br#"{"data":{"ok":true},"error":{"name":"busy","descr":"'a' is open at client 3","transient":true}}"#;
    let fault = read_ok(&body[..]).unwrap().unwrap_err();
    assert!(fault.is_open() && fault.transient);
    let bare = read_ok(&b"{\"error\":{}}"[..]).unwrap().unwrap_err();
    assert_eq!(
        bare,
        Fault {
            name: String::new(),
            descr: String::new(),
            transient: false
        }
    );
    assert!(read_ok(&b"{\"data\":{\"ok\":false}}"[..]).is_err());
    assert!(read_ok(&b"{\"data\":{}}"[..]).is_err());
    assert!(
        read_ok(&b"{\"data\":{\"ok\":true,\"generation\":4}}"[..])
            .unwrap()
            .is_ok()
    );
}

#[test]
fn descriptions_and_clients() {
    let one = br#"{"data":[{"name":"a","globalId":"d.n.1","size":512}]}"#;
    assert_eq!(
        read_description(&one[..]).unwrap().unwrap().global_id,
        GlobalId::parse("d.n.1")
    );
    assert!(read_description(&b"{\"data\":[]}"[..]).is_err());
    let body = br#"{"data":{"clusterStatus":"running","clients":{"1":{"id":1,"status":"running"},"2":{"status":"down"}}}}"#;
    let clients = read_clients(&body[..]).unwrap().unwrap();
    assert_eq!(
        clients.into_iter().collect::<Vec<_>>(),
        [(client(1), true), (client(2), false)]
    );
    assert!(read_clients(&b"{\"data\":{\"clients\":{\"x\":{\"status\":\"down\"}}}}"[..]).is_err());
    assert!(read_clients(&b"{\"data\":{\"clients\":{\"1\":{\"status\":\"booting\"}}}}"[..]).is_err());
}

#[test]
fn old_servers_call_open_volumes_invalid() {
    let fault = |name: &str, descr: &str| Fault {
        name: name.into(),
        descr: descr.into(),
        transient: false,
    };
    assert!(fault("invalidParam", "'v' is open at client 2").is_open());
    assert!(fault("busy", "").is_open());
    assert!(!fault("invalidParam", "No such client registered").is_open());
    assert!(fault("invalidParam", "No such client registered").is_unknown_client());
}
