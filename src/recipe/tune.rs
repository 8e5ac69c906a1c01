// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--tune`: how QEMU should work on a StorPool device. It is a block device with its own cache and replication, so
//! the host's page cache in between costs and protects nothing, and what the guest discards is given back.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Findings, disks, is_hard_disk, volume_of};
use crate::domain::edit::attribute;
use crate::domain::{Element, Outline};

/// What to set, beside `cache='none' io='native' discard='unmap'`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tune {
    /// `detect_zeroes='unmap'`: zeroes that the guest writes are given back too, for some CPU time.
    pub detect_zeroes: bool,
    /// An iothread for the disks, apart from QEMU's main loop.
    pub iothread: bool,
    /// The queues of virtio disks and virtio-scsi controllers. The guest sees them.
    pub queues: Option<Queues>,
    /// `model='virtio-scsi'` for the SCSI controllers of the disks. The guest sees it.
    pub virtio_scsi: bool,
}

/// How many queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queues {
    /// As many as the domain has virtual CPUs, at most 64.
    PerCpu,
    /// This many.
    Number(u16),
}

const QUEUES_MAX: u16 = 64;

pub(super) fn look(outline: &Outline<'_>, tune: &Tune) -> Findings {
    let mut findings = Findings::default();
    let iothread = tune.iothread.then(|| iothread(outline));
    let queues = tune.queues.map(|queues| match queues {
        Queues::Number(number) => number,
        Queues::PerCpu => cpus(outline).clamp(1, QUEUES_MAX),
    });
    let queues = queues.map(|queues| queues.to_string());
    let mut controllers = BTreeSet::new();
    let mut uses_iothread = false;
    for disk in disks(outline).filter(|disk| is_hard_disk(*disk) && volume_of(*disk).is_some()) {
        let bus = disk.child("target").and_then(|target| target.value("bus"));
        let on_virtio = bus.as_deref() == Some("virtio");
        let mut wanted = vec![("cache", "none"), ("io", "native"), ("discard", "unmap")];
        if tune.detect_zeroes {
            wanted.push(("detect_zeroes", "unmap"));
        }
        let driver = disk.child("driver");
        let has = |name| driver.is_some_and(|driver| driver.attribute(name).is_some());
        if let Some(iothread) = iothread
            .as_deref()
            .filter(|_| on_virtio && !has("iothread") && !has("iothreads"))
        {
            wanted.push(("iothread", iothread));
            uses_iothread = true;
        }
        if let Some(queues) = queues.as_deref().filter(|_| on_virtio) {
            wanted.push(("queues", queues));
        }
        if bus.as_deref() == Some("scsi") {
            controllers.insert(controller_of(disk));
        }
        set_driver(&mut findings, disk, driver, &wanted);
    }
    let scsi = Scsi {
        virtio: tune.virtio_scsi,
        queues: queues.as_deref(),
    };
    for index in &controllers {
        scsi.controller(&mut findings, outline, index);
    }
    if uses_iothread {
        make_iothread(&mut findings, outline);
    }
    findings
}

/// Sets attributes of a disk's driver, which is made if there is none.
fn set_driver(
    findings: &mut Findings,
    disk: Element<'_, '_>,
    driver: Option<Element<'_, '_>>,
    wanted: &[(&str, &str)],
) {
    if let Some(driver) = driver {
        for (name, value) in wanted {
            findings.edits.set(driver, name, value);
        }
        return;
    }
    let quote = disk.style().quote;
    let own = [("name", "qemu"), ("type", "raw")];
    let attributes: String = own
        .iter()
        .chain(wanted)
        .map(|(name, value)| attribute(name, value, quote))
        .collect();
    let element = format!("<driver{attributes}/>");
    match disk.children().next() {
        Some(first) => findings.edits.insert_before(first, &element),
        None => findings.edits.append(disk, &element),
    }
}

/// The iothread that disks are given: the first that the domain names, else the first that it counts.
fn iothread(outline: &Outline<'_>) -> String {
    let ids = outline.find(&["iothreadids", "iothread"]);
    let id = ids.and_then(|thread| thread.value("id"));
    id.map_or_else(|| "1".to_owned(), Cow::into_owned)
}

/// Makes the domain have an iothread, if it has none.
fn make_iothread(findings: &mut Findings, outline: &Outline<'_>) {
    let root = outline.root();
    let named = outline.find(&["iothreadids", "iothread"]).is_some();
    match root.child("iothreads") {
        _ if named => {}
        Some(count) if count.content().trim() == "0" => findings.edits.set_text(count, "1"),
        Some(_) => {}
        None => {
            // Where libvirt writes it.
            let before = [
                "name",
                "uuid",
                "metadata",
                "memory",
                "currentMemory",
                "vcpu",
                "vcpus",
            ];
            let mut children = root.children();
            let element = "<iothreads>1</iothreads>";
            match children
                .by_ref()
                .filter(|child| child.is_plain() && before.contains(&child.name()))
                .last()
            {
                Some(sibling) => findings.edits.insert_after(sibling, element),
                None => findings.edits.append(root, element),
            }
        }
    }
}

/// How many virtual CPUs the domain has.
fn cpus(outline: &Outline<'_>) -> u16 {
    let vcpu = outline.root().child("vcpu");
    vcpu.and_then(|vcpu| vcpu.content().trim().parse().ok())
        .unwrap_or(1)
}

/// The index of a SCSI disk's controller, as written.
fn controller_of(disk: Element<'_, '_>) -> String {
    let controller = disk
        .child("address")
        .and_then(|address| address.value("controller"));
    controller.map_or_else(|| "0".to_owned(), Cow::into_owned)
}

/// What is set on a SCSI controller.
struct Scsi<'a> {
    virtio: bool,
    queues: Option<&'a str>,
}

impl Scsi<'_> {
    fn controller(&self, findings: &mut Findings, outline: &Outline<'_>, index: &str) {
        if !self.virtio && self.queues.is_none() {
            return;
        }
        let Some(devices) = outline.root().child("devices") else {
            return;
        };
        let mut all = devices.children_named("controller");
        let controller = all.find(|controller| {
            controller.value("type").as_deref() == Some("scsi")
                && controller.value("index").unwrap_or("0".into()) == index
        });
        let quote = outline.style.quote;
        let Some(controller) = controller else {
            if self.virtio {
                let attributes = [("type", "scsi"), ("index", index), ("model", "virtio-scsi")];
                let attributes: String = attributes
                    .map(|(name, value)| attribute(name, value, quote))
                    .concat();
                let queues = self.queues.map(|queues| attribute("queues", queues, quote));
                let element = queues.map_or_else(
                    || format!("<controller{attributes}/>"),
                    |queues| format!("<controller{attributes}>\n  <driver{queues}/>\n</controller>"),
                );
                findings.edits.append(devices, &element);
            }
            return;
        };
        let model = controller.value("model");
        let is_virtio = matches!(
            model.as_deref(),
            Some("virtio-scsi" | "virtio-transitional" | "virtio-non-transitional")
        );
        if self.virtio && !is_virtio {
            findings.edits.set(controller, "model", "virtio-scsi");
        }
        match self.queues {
            None => {}
            Some(_) if !is_virtio && !self.virtio => findings.hint(format!(
                "SCSI controller {}: only virtio-scsi has queues: add \"virtio-scsi\"",
                index.escape_debug()
            )),
            Some(queues) => match controller.child("driver") {
                Some(driver) => findings.edits.set(driver, "queues", queues),
                None => findings.edits.append(
                    controller,
                    &format!("<driver{}/>", attribute("queues", queues, quote)),
                ),
            },
        }
    }
}
