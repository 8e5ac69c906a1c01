// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! XML of the tiny domains that tests start.

use std::fmt::Write;

use crate::prerequisites;

/// A domain with 64 MiB of memory, one processor and the disks a test gives it; boots from the first.
#[derive(Debug, Clone)]
pub struct Domain {
    name: String,
    devices: String,
    elements: String,
    disks: u8,
    cdroms: u8,
}

impl Domain {
    /// A domain without disks.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            devices: String::new(),
            elements: String::new(),
            disks: 0,
            cdroms: 0,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a writable disk on a block device.
    #[must_use]
    pub fn disk(self, device: &str) -> Self {
        self.disk_with(device, "")
    }

    /// Adds a disk on a block device, with further elements such as `<shareable/>` or `<readonly/>`.
    #[must_use]
    pub fn disk_with(mut self, device: &str, elements: &str) -> Self {
        let letter = char::from(b'a' + self.disks);
        self.disks += 1;
        writeln!(
            self.devices,
            "    <disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/>             <source dev='{device}'/><target dev='vd{letter}' bus='virtio'/>{elements}</disk>"
        )
        .expect("text");
        self
    }

    /// Adds a CD-ROM on a block device.
    #[must_use]
    pub fn cdrom(mut self, device: &str) -> Self {
        let letter = char::from(b'c' + self.cdroms);
        self.cdroms += 1;
        writeln!(
            self.devices,
            "    <disk type='block' device='cdrom'><driver name='qemu' type='raw'/>             <source dev='{device}'/><target dev='hd{letter}' bus='ide'/><readonly/></disk>"
        )
        .expect("text");
        self
    }

    /// Adds any XML to `<devices>`.
    #[must_use]
    pub fn device(mut self, xml: &str) -> Self {
        self.devices.push_str(xml);
        self
    }

    /// Adds any XML to `<domain>`, such as `<metadata>` or `<uuid>`.
    #[must_use]
    pub fn element(mut self, xml: &str) -> Self {
        self.elements.push_str(xml);
        self
    }

    /// The whole document.
    #[must_use]
    pub fn xml(&self) -> String {
        let emulator = prerequisites::find("qemu-system-x86_64").expect("QEMU");
        format!(
            "<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  {elements}
  <memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
{devices}  </devices>
</domain>
",
            kind = prerequisites::hypervisor(),
            name = escaped(&self.name),
            elements = self.elements,
            emulator = emulator.display(),
            devices = self.devices,
        )
    }
}

/// Text for an XML element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
