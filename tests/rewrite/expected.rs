// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What each recipe should do, said on the tree of the other parser: without positions, and without the product's
//! idea of where anything stands.

use std::fmt::Write as _;

use spvirt::api::Description;
use spvirt::domain::scan;
use spvirt::recipe::{self, Facts, Form, Map, Names, Old, Recipe, Tune};
use spvirt::volume::{GlobalId, VolumeName, VolumeRef};

use crate::tree::{self, Child, Document, Tree};

/// As many volumes as any document has sources, and more.
const VOLUMES: usize = 400;

/// The document with a volume of ours, `v0` and on, in the place of every source; how many these are.
pub fn with_volumes(xml: &str) -> (String, usize) {
    let sources = scan(xml.as_bytes()).unwrap().sources;
    let mut written = String::new();
    let mut done = 0;
    for (number, source) in sources.iter().enumerate() {
        write!(
            written,
            "{}/dev/storpool/v{number}",
            &xml[done..source.span.start]
        )
        .unwrap();
        done = source.span.end;
    }
    (written + &xml[done..], sources.len())
}

/// Every volume is known: `v7` is `d.n.7`.
pub fn facts() -> Facts {
    let known = (0..VOLUMES).map(|number| Description {
        name: format!("v{number}"),
        global_id: GlobalId::parse(&format!("d.n.{number}")),
    });
    Facts {
        names: Names::new(known),
        pools: [("pool".to_owned(), "/dev/storpool".to_owned())].into(),
        running: false,
    }
}

/// Applies a recipe: the bytes outside its changes are the document's, twice is once, and the other parser finds what
/// `intended` makes of the tree.
#[track_caller]
pub fn check(xml: &str, recipe: &Recipe, intended: impl FnOnce(&mut Document)) -> String {
    let facts = facts();
    let rewritten = recipe::rewrite(xml.as_bytes(), std::slice::from_ref(recipe), &facts).unwrap();
    let text = String::from_utf8(rewritten.xml).unwrap();
    let mut edits = recipe::edits(xml.as_bytes(), recipe, &facts).unwrap();
    let mut at = (0, 0);
    for (span, replacement) in edits.spans() {
        let kept = &xml[at.0..span.start];
        assert!(
            span.len() < 400 && replacement.len() < 400,
            "a whole part is written anew"
        );
        assert_eq!(&text[at.1..at.1 + kept.len()], kept, "the bytes before a change");
        let there = at.1 + kept.len();
        assert_eq!(&text[there..there + replacement.len()], replacement);
        at = (span.end, there + replacement.len());
    }
    assert_eq!(&text[at.1..], &xml[at.0..], "the bytes after the last change");

    let again = recipe::rewrite(text.as_bytes(), std::slice::from_ref(recipe), &facts).unwrap();
    assert_eq!(String::from_utf8(again.xml).unwrap(), text, "twice is once");

    let mut expected = tree::read(xml);
    intended(&mut expected);
    assert_eq!(tree::read(&text), expected, "{recipe:?}\n{xml}\n{text}");
    text
}

/// `v7` everywhere becomes what `new` makes of 7, wherever it is a whole value.
fn everywhere(document: &mut Document, new: &dyn Fn(&str) -> String) {
    let renamed = |value: &str| {
        let number = value.trim().strip_prefix("/dev/storpool/v")?;
        number
            .parse::<usize>()
            .ok()
            .map(|_| value.replace(value.trim(), &new(number)))
    };
    document.root.walk(&mut |element| {
        for value in element.attributes.values_mut() {
            *value = renamed(value).unwrap_or_else(|| value.clone());
        }
        for child in &mut element.children {
            if let Child::Text(text) = child {
                *text = renamed(text).unwrap_or_else(|| text.clone());
            }
        }
    });
}

pub fn by_id() -> (Recipe, impl Fn(&mut Document)) {
    let intended =
        |document: &mut Document| everywhere(document, &|number| format!("/dev/storpool-byid/d.n.{number}"));
    (Recipe::To(Form::ById), intended)
}

pub fn mapped() -> (Recipe, impl Fn(&mut Document)) {
    let map = |number: usize| Map {
        old: Old::Volume(VolumeRef::Id(GlobalId::parse(&format!("d.n.{number}")).unwrap())),
        new: VolumeRef::Name(VolumeName::parse(&format!("w{number}")).unwrap()),
    };
    let intended =
        |document: &mut Document| everywhere(document, &|number| format!("/dev/storpool/w{number}"));
    (Recipe::Map((0..VOLUMES).map(map).collect()), intended)
}

fn is_ours(path: Option<&str>) -> bool {
    path.is_some_and(|path| path.starts_with("/dev/storpool"))
}

pub fn tuned() -> (Recipe, impl Fn(&mut Document)) {
    const WANTED: [(&str, &str); 4] = [
        ("cache", "none"),
        ("io", "native"),
        ("discard", "unmap"),
        ("detect_zeroes", "unmap"),
    ];
    let recipe = Recipe::Tune(Tune {
        detect_zeroes: true,
        ..Tune::default()
    });
    let disk = |disk: &mut Tree| {
        let hard = matches!(disk.attribute("device"), None | Some("disk"));
        let dev = disk.child("source").and_then(|source| source.attribute("dev"));
        if !hard || disk.attribute("type") != Some("block") || !is_ours(dev) {
            return;
        }
        if disk.child("driver").is_none() {
            let first = disk
                .children
                .iter()
                .position(|child| matches!(child, Child::Element(_)));
            let driver = Tree::new("driver").with("name", "qemu").with("type", "raw");
            disk.children.insert(first.unwrap(), Child::Element(driver));
        }
        let driver = disk.child_mut("driver").unwrap();
        for (name, value) in WANTED {
            driver.set(name, value);
        }
    };
    (recipe, move |document: &mut Document| devices(document, &disk))
}

pub fn blocked() -> (Recipe, impl Fn(&mut Document)) {
    fn image(image: &mut Tree) {
        let file = image
            .child("source")
            .and_then(|source| source.attribute("file"))
            .map(str::to_owned);
        let is_file = matches!(image.attribute("type"), None | Some("file"));
        if is_file && is_ours(file.as_deref()) {
            image.set("type", "block");
            let source = image.child_mut("source").unwrap();
            source.attributes.remove("file");
            source.set("dev", &file.unwrap());
        }
        parts(image, &["backingStore", "mirror", "dataStore"]);
        if let Some(source) = image.child_mut("source") {
            parts(source, &["dataStore"]);
        }
    }
    fn parts(tree: &mut Tree, names: &[&str]) {
        let parts = tree
            .elements_mut()
            .filter(|part| names.contains(&part.name.as_str()));
        parts.for_each(image);
    }
    let intended = |document: &mut Document| {
        devices(document, &image);
        for os in document
            .root
            .elements_mut()
            .filter(|element| element.name == "os")
        {
            for nvram in os.elements_mut().filter(|element| element.name == "nvram") {
                if nvram.attribute("type").is_some() {
                    image(nvram);
                }
            }
        }
    };
    (Recipe::Block, intended)
}

fn devices(document: &mut Document, act: &dyn Fn(&mut Tree)) {
    let devices = document
        .root
        .elements_mut()
        .filter(|element| element.name == "devices");
    for devices in devices {
        devices
            .elements_mut()
            .filter(|element| element.name == "disk")
            .for_each(act);
    }
}
