// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Documents written in every way XML allows, and the same questions about them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::expected;

/// What may stand between two elements.
const BETWEEN: [&str; 10] = [
    "",
    "\n  ",
    "\r\n\t\t",
    " <!-- <disk type='block'><source dev='/dev/storpool/v1'/></disk> -->\n",
    "<?disk <source dev='/dev/storpool/v1'/> ?>",
    "<x:disk xmlns:x='urn:x' type='block'><source dev='/dev/storpool/w1'/></x:disk>",
    "<foo xmlns='urn:y'><disk type='block'><source dev='/dev/storpool/w1'/></disk></foo>",
    "\n    <interface type='network'><source network='default'/></interface>\n",
    "<description>&lt;source dev='/dev/storpool/v1'/&gt; <![CDATA[<disk/>]]> \u{444}</description>",
    "\n\n",
];
const HEADS: [&str; 5] = [
    "",
    "<?xml version='1.0' encoding='utf-8'?>\r\n",
    "\u{feff}",
    "<!-- web1 -->\n",
    "<?p i?>\n  ",
];

#[derive(Debug, Clone)]
struct Disk {
    kind: &'static str,
    device: &'static str,
    driver: &'static str,
    number: usize,
    referenced: bool,
    quote: char,
    /// Where blanks may be, these are.
    blank: &'static str,
    more: &'static str,
    empty: bool,
}

fn disk() -> impl Strategy<Value = Disk> {
    let looks = (
        select(&["'", "\""][..]),
        select(&["", " ", "\n\t", "  "][..]),
        any::<bool>(),
        any::<bool>(),
    );
    let content = (
        select(&["block", "block", "file", ""][..]),
        select(&["", "disk", "cdrom", "lun"][..]),
        select(
            &[
                "",
                "<driver/>",
                "<driver name='qemu' cache='none'></driver>",
                "<driver io=\"threads\" discard='ignore' />",
            ][..],
        ),
        0..40_usize,
        select(
            &[
                "",
                "<readonly/>",
                "<backingStore/>",
                "<x:driver xmlns:x='urn:x'/><x:source xmlns:x='urn:x' file='/dev/storpool/w1'/>",
                "<backingStore type='file'><format type='raw'/><source file='/dev/storpool/v39'/></backingStore>",
                "<!-- c --><serial>x&amp;y</serial>",
                "<mirror type='block' job='copy'><source dev='/dev/storpool/v38'/></mirror>",
            ][..],
        ),
    );
    (looks, content).prop_map(
        |((quote, blank, referenced, empty), (kind, device, driver, number, more))| Disk {
            kind,
            device,
            driver,
            number,
            referenced,
            quote: quote.chars().next().unwrap(),
            blank,
            more,
            empty,
        },
    )
}

impl Disk {
    fn xml(&self) -> String {
        let (q, b) = (self.quote, self.blank);
        let attribute = |name: &str, value: &str| {
            if value.is_empty() {
                String::new()
            } else {
                format!(" {b}{name}{b}={b}{q}{value}{q}")
            }
        };
        let name = if self.kind == "block" { "dev" } else { "file" };
        let path = format!("/dev/storpool/v{}", self.number);
        let path = if self.referenced {
            path.replace('/', "&#x2F;")
        } else {
            path
        };
        let close = if self.empty {
            "/>".to_owned()
        } else {
            format!("></source{b}>")
        };
        format!(
            "<disk{}{}{b}>{}{b}<source{}{b}{close}{b}<target dev='vda' bus=\"virtio\"/>{}{b}</disk{b}>",
            attribute("type", self.kind),
            attribute("device", self.device),
            self.driver,
            attribute(name, &path),
            self.more,
        )
    }
}

fn document() -> impl Strategy<Value = String> {
    let between = || select(&BETWEEN[..]);
    let disks = vec((between(), disk()), 0..6);
    (select(&HEADS[..]), between(), disks, between(), between()).prop_map(|(head, first, disks, end, tail)| {
        let disks: Vec<String> = disks
            .iter()
            .flat_map(|(between, disk)| [(*between).to_owned(), disk.xml()])
            .collect();
        let disks = disks.concat();
        let tail = if tail.contains("xmlns") || tail.contains("description") || tail.contains("interface") { "\n" } else { tail };
        format!("{head}<domain type='kvm'>{first}<name>a</name><devices>{disks}{end}</devices>{end}</domain>{tail}")
    })
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(300),
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_volume_is_named_by_id(xml in document()) {
        let (recipe, intended) = expected::by_id();
        expected::check(&xml, &recipe, intended);
    }

    #[test]
    fn a_disk_is_tuned(xml in document()) {
        let (recipe, intended) = expected::tuned();
        expected::check(&xml, &recipe, intended);
    }

    #[test]
    fn a_file_becomes_a_block_device(xml in document()) {
        let (recipe, intended) = expected::blocked();
        expected::check(&xml, &recipe, intended);
    }
}
