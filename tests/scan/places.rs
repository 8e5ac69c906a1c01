// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every place a path can stand, and every place that only looks like one.

use spvirt::domain::{Manager, Place, StartupPolicy, scan};
use spvirt::volume::{Access, PathMeaning};

use crate::{corpus, scanned, xpath};

/// For `<os>`: the firmware's variables.
const NVRAM: &str = "<nvram template='/dev/storpool/decoy'>\n <!-- /dev/storpool/decoy -->/dev/storpool-byid/a.b.c<![CDATA[]]> </nvram>";
/// For `<devices>`: sources in all places.
const DEVICES: &str = r#"
    <disk device="disk" type="block">
      <source file="/dev/storpool/decoy" dev="/dev/storpool/top" startupPolicy="optional">
        <seclabel model="dac"/>
        <reservations managed="no"><source type="unix" path="/dev/storpool/decoy" dev="/dev/storpool/decoy"/></reservations>
        <dataStore type="file"><format type="raw"/><source file="/dev/storpool/data"></source></dataStore>
      </source>
      <mirror type='file' file='/dev/storpool/m1' format='raw' job='copy'>
        <source file='/dev/storpool/m1'/>
        <backingStore type='block'><source dev='/dev/storpool/m2'/></backingStore>
      </mirror>
      <backingStore type="block">
        <source dev="/dev/storpool/back1"><dataStore type="block"><source dev="/dev/storpool/data2"/></dataStore></source>
        <backingStore type='file'><source file='/dev/storpool/back2' dev='/dev/storpool/decoy'/>
          <backingStore type='network'><source protocol='rbd' name='/dev/storpool/decoy' dev='/dev/storpool/decoy' file='/dev/storpool/decoy'/>
            <backingStore type='block'><source dev='/dev/storpool/back3'/><backingStore/></backingStore>
          </backingStore>
        </backingStore>
      </backingStore>
      <target dev="vda"/>
      <shareable/>
    </disk>
    <disk type='block' device='cdrom'><target dev='sda'/><source startupPolicy = 'requisite' dev = '/dev/storpool/iso'/></disk>
    <disk><source file='/dev/storpool/by-default'/><mirror dev='/dev/storpool/old'/><target dev='vdb'/><readonly></readonly></disk>
    <disk type='block' device='lun'><source dev='/dev/storpool/a&amp;b'/><target dev='sdb'/></disk>
    <memory model='nvdimm'><source><path><![CDATA[/dev/storpool/nv]]></path></source><target><readonly/></target></memory>
    <memory model='virtio-pmem'><source><path> /dev/storpool/pmem </path></source></memory>
    <hostdev mode='capabilities' type='storage'><source><block>/dev/storpool/host</block></source><readonly/></hostdev>"#;
/// For `<devices>`: nothing of it is a source.
const DECOY_DEVICES: &str = r#"
    <!-- <disk type='block'><source dev='/dev/storpool/decoy'/></disk> -->
    <?spvirt <source dev='/dev/storpool/decoy'/>?>
    <foo:disk xmlns:foo="urn:foo" type='block'><source dev='/dev/storpool/decoy'/></foo:disk>
    <disk xmlns="urn:foo" type='block'><source dev='/dev/storpool/decoy'/></disk>
    <disk type='block'><s:source xmlns:s='urn:s' dev='/dev/storpool/decoy'/><x:y xmlns:x='urn:x'><source dev='/dev/storpool/decoy'/></x:y></disk>
    <disk type='dir'><source dir='/dev/storpool/decoy' dev='/dev/storpool/decoy'/></disk>
    <disk type='volume'><source pool='/dev/storpool/decoy' volume='/dev/storpool/decoy'/></disk>
    <disk type='vhostuser'><source type='unix' path='/dev/storpool/decoy'/></disk>
    <disk type='nvme'><source type='pci' dev='/dev/storpool/decoy'/></disk>
    <disk type='block'><driver><source dev='/dev/storpool/decoy'/></driver><mirror type='network'><source dev='/dev/storpool/decoy'/></mirror></disk>
    <disk type='block'><source file='/dev/storpool/decoy'/></disk>
    <disk type='dir'><source><backingStore type='block'><source dev='/dev/storpool/decoy'/></backingStore></source></disk>
    <serial type='dev'><source path='/dev/storpool/decoy' dev='/dev/storpool/decoy'/></serial>
    <console type='dev'><source path='/dev/storpool/decoy'/></console>
    <filesystem type='block'><source dev='/dev/storpool/decoy'/></filesystem>
    <memory model='dimm'><source><path>/dev/storpool/decoy</path></source></memory>
    <hostdev mode='subsystem' type='storage'><source><block>/dev/storpool/decoy</block></source></hostdev>
    <hostdev mode='capabilities' type='misc'><source><char>/dev/storpool/decoy</char></source></hostdev>
    <nvram>/dev/storpool/decoy</nvram>"#;
/// For `<domain>`: nothing of it is a source.
const DECOYS: &str = r"
  <metadata>
    <disk type='block'><source dev='/dev/storpool/decoy'/></disk>
    <m:devices xmlns:m='urn:m'><disk type='block'><source dev='/dev/storpool/decoy'/></disk></m:devices>
    <devices><disk type='block'><source dev='/dev/storpool/decoy'/></disk></devices>
  </metadata>
  <description>/dev/storpool/decoy <![CDATA[<disk type='block'><source dev='/dev/storpool/decoy'/></disk>]]></description>
  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <qemu:arg value='/dev/storpool/decoy'/><devices><disk type='block'><source dev='/dev/storpool/decoy'/></disk></devices>
  </qemu:commandline>
  <disk type='block'><source dev='/dev/storpool/decoy'/></disk>
  <nvram>/dev/storpool/decoy</nvram>
  <domain><devices><disk type='block'><source dev='/dev/storpool/decoy'/></disk></devices></domain>";
/// How many sources [`NVRAM`] and [`DEVICES`] name.
const PLACES: usize = 17;

/// A small document with a source in every place.
pub const EVERY_PLACE: &str = "<?xml version=\"1.0\" encoding='utf-8'?>\r\n<!-- first --><domain type='kvm'>
<os><nvram>\r\n /dev/storpool&#x2f;vars\r\n</nvram></os><devices>
<disk type='block'><source dev=\"/dev/storpool/&amp;&#x61;\"/><mirror type='file'><source file='/m'/></mirror>
<backingStore type='file'><source file='/b'><dataStore type='block'><source dev='/d'/></dataStore></source></backingStore></disk>
<memory model='nvdimm'><source><path><![CDATA[/p<]]>&lt;</path></source></memory>
<hostdev mode='capabilities' type='storage'><source><block>/h <!-- c -->i</block></source></hostdev>
</devices></domain><!-- last -->\n";

#[test]
fn each_place_has_its_access_and_label() {
    let domain = scan(
        format!("<domain><os>{NVRAM}</os><devices>{DEVICES}{DECOY_DEVICES}</devices>{DECOYS}</domain>")
            .as_bytes(),
    )
    .unwrap();
    let rows: Vec<_> = domain
        .sources
        .iter()
        .map(|s| (s.path.as_str(), s.place, s.label(), s.access, s.startup))
        .collect();
    let (ro, rw) = (Access::Ro, Access::Rw);
    let (mandatory, requisite, optional) = (
        StartupPolicy::Mandatory,
        StartupPolicy::Requisite,
        StartupPolicy::Optional,
    );
    assert_eq!(
        rows,
        [
            ("/dev/storpool-byid/a.b.c", Place::Nvram, "nvram", rw, mandatory),
            ("/dev/storpool/top", Place::Disk, "vda", rw, optional),
            ("/dev/storpool/data", Place::DataStore, "vda", rw, mandatory),
            ("/dev/storpool/m1", Place::Mirror, "vda", rw, mandatory),
            ("/dev/storpool/m1", Place::Mirror, "vda", rw, mandatory),
            ("/dev/storpool/m2", Place::BackingStore, "vda", ro, mandatory),
            ("/dev/storpool/back1", Place::BackingStore, "vda", ro, mandatory),
            ("/dev/storpool/data2", Place::DataStore, "vda", ro, mandatory),
            ("/dev/storpool/back2", Place::BackingStore, "vda", ro, mandatory),
            ("/dev/storpool/back3", Place::BackingStore, "vda", ro, mandatory),
            ("/dev/storpool/iso", Place::Disk, "sda", ro, requisite),
            ("/dev/storpool/by-default", Place::Disk, "vdb", ro, mandatory),
            ("/dev/storpool/old", Place::Mirror, "vdb", rw, mandatory),
            ("/dev/storpool/a&b", Place::Disk, "sdb", rw, mandatory),
            ("/dev/storpool/nv", Place::Nvdimm, "nvdimm", ro, mandatory),
            ("/dev/storpool/pmem", Place::Nvdimm, "nvdimm", rw, mandatory),
            ("/dev/storpool/host", Place::Hostdev, "hostdev", ro, mandatory),
        ]
    );
    assert!(
        domain
            .sources
            .iter()
            .all(|s| s.shareable == (s.label() == "vda") && s.cdrom == (s.label() == "sda"))
    );
    assert!(matches!(domain.sources[0].meaning(), PathMeaning::Volume(_)));
    assert_eq!(domain.sources[13].meaning(), PathMeaning::NotAVolume);
}

#[test]
fn real_documents_with_everything_put_in_read_the_same_to_both_readers() {
    let reader = xpath::Reader::new();
    let mut changed = 0;
    for document in corpus::domains() {
        let before = reader.sources(&document.text).unwrap().len();
        let Some(text) = with(&document.text, "</devices>", &format!("{DECOY_DEVICES}{DEVICES}")) else {
            continue;
        };
        let text = with(&text, "</domain>", DECOYS).unwrap();
        let (text, places) = match with(&text, "</os>", NVRAM) {
            Some(text) => (text, PLACES),
            None => (text, PLACES - 1),
        };
        let expected = reader.sources(&text).unwrap();
        assert_eq!(expected.len(), before + places, "{}", document.name);
        assert!(expected.iter().all(|source| !source.path.contains("decoy")));
        assert_eq!(scanned(&text), expected, "{}", document.name);
        changed += 1;
    }
    assert!(changed >= 60, "only {changed} documents");
}

/// The text with `more` before the last `end`.
fn with(text: &str, end: &str, more: &str) -> Option<String> {
    let at = text.rfind(end)?;
    Some(format!("{}{more}{}", &text[..at], &text[at..]))
}

#[test]
fn real_documents_tell_who_they_are_and_who_manages_them() {
    let (mut uuids, mut managed) = (0, 0);
    for document in corpus::domains() {
        let domain = scan(document.text.as_bytes()).unwrap();
        let package = sxd_document::parser::parse(&document.text).unwrap();
        let ask = |xpath| {
            sxd_xpath::evaluate_xpath(&package.as_document(), xpath)
                .unwrap()
                .into_string()
        };
        assert_eq!(domain.name, ask("string(/domain/name)"), "{}", document.name);
        let uuid = spvirt::volume::DomainUuid::parse(&ask("string(/domain/uuid)"));
        assert_eq!(domain.uuid, uuid, "{}", document.name);
        uuids += usize::from(uuid.is_some());
        let ovirt =
            !ask("string(count(/domain/metadata/*[starts-with(namespace-uri(), 'http://ovirt.org/vm/')]))")
                .eq("0");
        assert_eq!(
            domain.manager,
            ovirt.then_some(Manager::OVirt),
            "{}",
            document.name
        );
        managed += usize::from(ovirt);
    }
    assert!(
        uuids >= 50 && managed >= 4,
        "only {uuids} uuids, {managed} managed"
    );
}
