// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Domains as libvirt sends them to a hook: about 6 KiB before the first disk of ours.

use std::fmt::Write as _;

use crate::disks;

/// A domain and what the hook is called with.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// What libvirt writes to the hook's stdin.
    pub xml: Vec<u8>,
}

impl Domain {
    /// A domain with two local disks and nothing of StorPool's.
    pub fn local() -> Self {
        Self::new(0, &local_disks())
    }

    /// Domain `number`, whose disks are these volumes, writable.
    pub fn on_volumes(number: u16, volumes: impl IntoIterator<Item = u16>) -> Self {
        Self::new(
            number,
            &volumes.into_iter().map(|n| disk(n, "")).collect::<String>(),
        )
    }

    /// A domain with `writable` volumes, and with `read_only` ones beside them.
    pub fn mixed(writable: std::ops::Range<u16>, read_only: &[u16]) -> Self {
        let mut disks: String = writable.map(|n| disk(n, "")).collect();
        disks.extend(read_only.iter().map(|n| disk(*n, "      <readonly/>\n")));
        Self::new(1, &disks)
    }

    /// The hook's arguments for `prepare begin`.
    pub fn prepare(&self) -> [&str; 4] {
        [&self.name, "prepare", "begin", "-"]
    }

    /// The hook's arguments for `release end`.
    pub fn release(&self) -> [&str; 4] {
        [&self.name, "release", "end", "shutoff"]
    }

    fn new(number: u16, disks: &str) -> Self {
        let name = format!("bench{number}");
        let uuid = format!("7c1d9f0e-52c4-4b8e-9a57-{number:012x}");
        let xml = include_str!("domain.xml")
            .replace("@NAME@", &name)
            .replace("@UUID@", &uuid)
            .replace("@DISKS@", disks);
        Self {
            name,
            xml: xml.into_bytes(),
        }
    }
}

fn disk(volume: u16, elements: &str) -> String {
    let path = disks::link(volume);
    let mut text = String::new();
    write!(
        text,
        "    <disk type='block' device='disk'>\n         \x20     <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>\n         \x20     <source dev='{}' index='{}'/>\n      <backingStore/>\n         \x20     <target dev='sd{volume}' bus='scsi'/>\n{elements}      <alias name='scsi0-0-0-{volume}'/>\n         \x20     <address type='drive' controller='0' bus='0' target='0' unit='{volume}'/>\n    </disk>\n",
        path.display(),
        volume + 1,
    )
    .expect("text");
    text
}

fn local_disks() -> String {
    let disk = |letter: char| {
        format!(
            "    <disk type='file' device='disk'>\n             \x20     <driver name='qemu' type='qcow2' discard='unmap'/>\n             \x20     <source file='/var/lib/libvirt/images/web1-{letter}.qcow2' index='1'/>\n      <backingStore/>\n             \x20     <target dev='vd{letter}' bus='virtio'/>\n      <alias name='virtio-disk-{letter}'/>\n    </disk>\n"
        )
    };
    ['a', 'b'].into_iter().map(disk).collect()
}
