// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The documents: a domain as libvirt writes it, with as many disks as make it 3 KiB, 100 KiB and 10 MiB long.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// A document in a file.
pub struct Document {
    /// What it is called.
    pub name: &'static str,
    pub xml: Vec<u8>,
    pub path: PathBuf,
    pub disks: usize,
}

const HEAD: &str = "<domain type='test'>
  <name>bench</name>
  <uuid>7c1d9f0e-52c4-4b8e-9a57-0123456789ab</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo=\"http://libosinfo.org/xmlns/libvirt/domain/1.0\">
      <libosinfo:os id=\"http://debian.org/debian/12\"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='KiB'>4194304</memory>
  <currentMemory unit='KiB'>4194304</currentMemory>
  <vcpu placement='static'>4</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <clock offset='utc'>
    <timer name='rtc' tickpolicy='catchup'/>
    <timer name='pit' tickpolicy='delay'/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
";
const TAIL: &str = "    <controller type='scsi' index='0' model='virtio-scsi'/>
    <interface type='bridge'>
      <mac address='52:54:00:5e:fc:f5'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'>
      <target type='isa-serial' port='0'/>
    </serial>
    <memballoon model='virtio'/>
  </devices>
</domain>
";

/// Makes the documents, in a folder of the target folder.
pub fn make() -> Vec<Document> {
    let own = std::env::current_exe().expect("this program");
    let folder = own.with_file_name("spvirt-bench-documents");
    fs::create_dir_all(&folder).expect("a folder beside this program");
    let document = |(name, size): (&'static str, usize)| {
        let mut xml = HEAD.to_owned();
        let mut disks = 0;
        while xml.len() + TAIL.len() < size {
            disk(&mut xml, disks);
            disks += 1;
        }
        xml.push_str(TAIL);
        let path = folder.join(name.replace(' ', ""));
        fs::write(&path, &xml).expect("room for a document");
        Document {
            name,
            xml: xml.into_bytes(),
            path: path.clone(),
            disks,
        }
    };
    [("3 KiB", 3 << 10), ("100 KiB", 100 << 10), ("10 MiB", 10 << 20)]
        .map(document)
        .into()
}

fn disk(xml: &mut String, number: usize) {
    let mut target = String::new();
    let mut rest = number + 1;
    while rest > 0 {
        rest -= 1;
        target.insert(0, char::from(b'a' + u8::try_from(rest % 26).expect("a letter")));
        rest /= 26;
    }
    write!(
        xml,
        "    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/>
      <source dev='/dev/storpool/vol-{number}'/>
      <target dev='sd{target}' bus='scsi'/>
      <serial>SER{number}</serial>
      <address type='drive' controller='0' bus='0' target='0' unit='{number}'/>
    </disk>
"
    )
    .expect("text");
}
