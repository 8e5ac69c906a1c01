// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Each recipe on small documents: what it changes, byte for byte, and that it does so once.

mod devices;

use super::*;
use crate::api::Description;
use crate::volume::{GlobalId, VolumeName};

fn name(text: &str) -> VolumeRef {
    VolumeRef::Name(VolumeName::parse(text).unwrap())
}

fn id(text: &str) -> VolumeRef {
    VolumeRef::Id(GlobalId::parse(text).unwrap())
}

fn facts() -> Facts {
    let known = [
        ("web1-root", "d.n.1"),
        ("web1-data", "d.n.2"),
        ("~d.n.3", "d.n.3"),
        ("twice", "d.n.4"),
        ("twice", "e.n.4"),
        ("iso@1", "d.n.5"),
    ];
    let names = Names::new(known.map(|(name, id)| Description {
        name: name.to_owned(),
        global_id: GlobalId::parse(id),
    }));
    let pools = [
        ("sp", "/dev/storpool"),
        ("ids", "/dev/storpool-byid/"),
        ("img", "/images"),
    ];
    Facts {
        names,
        pools: pools.map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        running: false,
    }
}

/// Applies recipes once, sees that a second time changes nothing, gives the text and the notes.
#[track_caller]
fn apply(xml: &str, recipes: &[Recipe]) -> (String, Vec<String>) {
    let once = rewrite(xml.as_bytes(), recipes, &facts()).unwrap();
    let twice = rewrite(&once.xml, recipes, &facts()).unwrap();
    let text = String::from_utf8(once.xml).unwrap();
    assert_eq!(String::from_utf8(twice.xml).unwrap(), text, "twice is once");
    (text, once.notes.into_iter().map(|note| note.text).collect())
}

#[track_caller]
fn devices(devices: &str, recipe: &Recipe, expected: &str, notes: &[&str]) {
    let whole = |devices: &str| format!("<domain><devices>{devices}</devices></domain>");
    let (text, said) = apply(&whole(devices), std::slice::from_ref(recipe));
    assert_eq!(text, whole(expected));
    assert_eq!(said, notes);
}

#[test]
fn volumes_are_named_by_id_and_by_name() {
    for (path, by_id, by_name) in [
        ("/dev/storpool/web1-root", Some("/dev/storpool-byid/d.n.1"), None),
        ("/dev/storpool-byid/d.n.2", None, Some("/dev/storpool/web1-data")),
        (
            "/dev/./storpool//web1-root",
            Some("/dev/storpool-byid/d.n.1"),
            None,
        ),
        (
            "&#47;dev/storpool/web1-roo&#x74;",
            Some("/dev/storpool-byid/d.n.1"),
            None,
        ),
        ("/dev/storpool/iso@1", Some("/dev/storpool-byid/d.n.5"), None),
        ("/dev/sda", None, None),
        ("/dev/storpool/*gone", None, None),
    ] {
        for (form, expected) in [(Form::ById, by_id), (Form::ByName, by_name)] {
            let disk = |path: &str| {
                format!("<disk type='block'><source  dev = \"{path}\"/><target dev='vda'/></disk>")
            };
            devices(
                &disk(path),
                &Recipe::To(form),
                &disk(expected.unwrap_or(path)),
                &[],
            );
        }
    }
}

#[test]
fn a_volume_that_cannot_be_named_otherwise_is_left_and_reported() {
    for (path, form, note) in [
        (
            "/dev/storpool/who",
            Form::ById,
            "vda: volume \"who\" is not known to StorPool",
        ),
        (
            "/dev/storpool-byid/d.n.9",
            Form::ByName,
            "vda: volume \"~d.n.9\" is not known to StorPool",
        ),
        (
            "/dev/storpool-byid/d.n.3",
            Form::ByName,
            "vda: volume \"~d.n.3\" has no name",
        ),
        (
            "/dev/storpool/twice",
            Form::ById,
            "vda: volume \"twice\" is the name of several volumes, in several clusters",
        ),
    ] {
        let disk = format!("<disk type='block'><source dev='{path}'/><target dev='vda'/></disk>");
        devices(&disk, &Recipe::To(form), &disk, &[note]);
    }
}

#[test]
fn every_place_of_a_source_is_renamed_in_one_go() {
    let xml = "<domain><os><nvram> <!-- c --> /dev/storpool/web1-root <?p?></nvram></os><devices>\
        <disk type='block'><source dev='/dev/storpool/web1-data'/><backingStore type='block'>\
        <source dev='/dev/storpool/iso@1'/></backingStore><mirror type='block' dev='/dev/storpool/web1-root'/></disk>\
        </devices></domain>";
    let (text, notes) = apply(xml, &[Recipe::To(Form::ById)]);
    let expected = xml
        .replace("/dev/storpool/web1-root", "/dev/storpool-byid/d.n.1")
        .replace("/dev/storpool/web1-data", "/dev/storpool-byid/d.n.2")
        .replace("/dev/storpool/iso@1", "/dev/storpool-byid/d.n.5");
    assert_eq!((text, notes), (expected, vec![]));
}

#[test]
fn what_is_asked_of_storpool_is_what_has_the_other_form() {
    let xml = "<domain><devices><disk type='block'><source dev='/dev/storpool/b'/></disk>\
        <disk type='block'><source dev='/dev/storpool-byid/d.n.1'/></disk>\
        <disk type='block'><source dev='/dev/storpool/b'/></disk><disk type='block'><source dev='/dev/sda'/></disk>\
        </devices></domain>";
    let asked = |recipe| asks_for(xml.as_bytes(), &[recipe]).unwrap();
    assert_eq!(asked(Recipe::To(Form::ById)), [name("b")]);
    assert_eq!(asked(Recipe::To(Form::ByName)), [id("d.n.1")]);
    assert_eq!(asked(Recipe::Serial), [name("b")]);
    assert_eq!(asked(Recipe::Tune(Tune::default())), []);
}

#[test]
fn a_clone_is_pointed_at_its_own_volumes() {
    let disk = |path: &str| format!("<disk type='block'><source dev='{path}'/><target dev='vda'/></disk>");
    let map = |old, new| Recipe::Map(vec![Map { old, new }]);
    for (old, before, after) in [
        (Old::Volume(name("a")), "/dev/storpool/a", "/dev/storpool/b"),
        (Old::Volume(name("a")), "/dev/storpool/aa", "/dev/storpool/aa"),
        (
            Old::Volume(name("web1-root")),
            "/dev/storpool-byid/d.n.1",
            "/dev/storpool/b",
        ),
        (
            Old::Volume(id("d.n.1")),
            "/dev/storpool/web1-root",
            "/dev/storpool/b",
        ),
        (Old::Path("/dev/sdb".into()), "/dev/sdb", "/dev/storpool/b"),
    ] {
        devices(&disk(before), &map(old, name("b")), &disk(after), &[]);
    }
    let recipes = [
        map(Old::Path("/images/a.raw".into()), name("web1-root")),
        Recipe::Block,
        Recipe::To(Form::ById),
    ];
    let (text, _) = apply(
        "<domain><devices><disk><source file='/images/a.raw'/></disk></devices></domain>",
        &recipes,
    );
    assert_eq!(
        text,
        "<domain><devices><disk type='block'><source dev='/dev/storpool-byid/d.n.1'/></disk></devices></domain>"
    );
}

#[test]
fn a_disk_gets_another_volume_whatever_it_had() {
    let replace = Recipe::Replace(vec![Replace {
        target: "vda".into(),
        volume: name("b"),
    }]);
    let target = "<target dev='vda'/>";
    for (before, after, notes) in [
        (
            "<disk type='block'><source dev='/dev/sda'/>T</disk>",
            "<disk type='block'><source dev='/dev/storpool/b'/>T</disk>",
            &[][..],
        ),
        (
            "<disk type='file'><source file='/a' index='1'/><backingStore/>T</disk>",
            "<disk type='block'><source dev='/dev/storpool/b' index='1'/><backingStore/>T</disk>",
            &[],
        ),
        (
            "<disk type='network'><source protocol='rbd' name='x'><host name='y'/></source>T</disk>",
            "<disk type='block'><source dev='/dev/storpool/b'/>T</disk>",
            &[],
        ),
        (
            "<disk device='cdrom'>T</disk>",
            "<disk device='cdrom' type='block'><source dev='/dev/storpool/b'/>T</disk>",
            &[],
        ),
        (
            "<disk type='file'><source startupPolicy='optional'/>T</disk>",
            "<disk type='block'><source startupPolicy='optional' dev='/dev/storpool/b'/>T</disk>",
            &[],
        ),
        (
            "<disk type='block'><source dev='/dev/sda'/><backingStore type='file'><source file='/b'/></backingStore>T</disk>",
            "<disk type='block'><source dev='/dev/sda'/><backingStore type='file'><source file='/b'/></backingStore>T</disk>",
            &[
                "vda: it has a backing chain or a block job, which would be another volume's: take <backingStore> or <mirror> out first",
            ],
        ),
        (
            "<disk><target dev='vdb'/></disk>",
            "<disk><target dev='vdb'/></disk>",
            &["vda: the domain has no disk with this target"],
        ),
    ] {
        devices(
            &before.replace('T', target),
            &replace,
            &after.replace('T', target),
            notes,
        );
    }
}

#[test]
fn the_serial_number_is_the_global_id() {
    let disk = |path: &str, serial: &str| {
        format!("<disk type='block'><source dev='{path}'/><target dev='vda'/>{serial}</disk>")
    };
    let by_id = "/dev/storpool-byid/d.n.1";
    for (path, before, after) in [
        (by_id, "", "<serial>d.n.1</serial>"),
        (by_id, "<serial>X</serial>", "<serial>d.n.1</serial>"),
        (by_id, "<serial/>", "<serial>d.n.1</serial>"),
        (by_id, "<serial> d.n.1\n</serial>", "<serial> d.n.1\n</serial>"),
        ("/dev/storpool/web1-data", "", "<serial>d.n.2</serial>"),
        ("/dev/sda", "", ""),
    ] {
        devices(&disk(path, before), &Recipe::Serial, &disk(path, after), &[]);
    }
}

#[test]
fn what_a_running_guest_would_see_is_refused_with_the_reason() {
    let running = Facts {
        running: true,
        ..facts()
    };
    let tune = |tune| Recipe::Tune(tune);
    let seen = [
        Recipe::Serial,
        tune(Tune {
            virtio_scsi: true,
            ..Tune::default()
        }),
        tune(Tune {
            queues: Some(Queues::PerCpu),
            ..Tune::default()
        }),
    ];
    for recipe in seen {
        let refused = rewrite(b"<domain/>", &[Recipe::Block, recipe], &running).unwrap_err();
        assert!(
            refused.to_string().contains("changes what the guest sees"),
            "{refused}"
        );
    }
    let unseen = [
        Recipe::To(Form::ById),
        Recipe::Block,
        tune(Tune {
            detect_zeroes: true,
            iothread: true,
            ..Tune::default()
        }),
    ];
    assert_eq!(
        rewrite(b"<domain/>", &unseen, &running).unwrap().xml,
        b"<domain/>"
    );
}

#[test]
fn what_is_not_understood_is_refused_whatever_the_recipes() {
    for recipes in [&[][..], &[Recipe::Block], &[Recipe::To(Form::ById)]] {
        assert!(matches!(
            rewrite(b"<pool/>", recipes, &facts()),
            Err(Refused::NotUnderstood(_))
        ));
    }
}
