// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the look at the bytes calls plainly foreign has no volume by the scan either.

use std::path::Path;

use spvirt::domain::{Domain, Kind, plainly_foreign};
use spvirt::volume::PathMeaning;

use crate::corpus;

/// The look and the scan do not contradict each other.
#[track_caller]
pub fn agrees(xml: &[u8], domain: &Domain) {
    let Some(uuid) = plainly_foreign(xml) else {
        return;
    };
    for source in &domain.sources {
        let path = Path::new(&source.path);
        let link = source.kind == Kind::Block && path.is_absolute() && !path.starts_with("/dev");
        let ours = matches!(source.meaning(), PathMeaning::Volume(_)) || link;
        assert!(!ours, "{source:?} in a plainly foreign document");
    }
    assert!(domain.uuid.is_none() || domain.uuid == Some(uuid));
}

#[test]
fn most_real_documents_are_plainly_foreign() {
    let documents = corpus::domains();
    let foreign = documents
        .iter()
        .filter(|document| plainly_foreign(document.text.as_bytes()).is_some());
    let count = foreign.count();
    assert!(count * 10 > documents.len() * 6, "{count} of {}", documents.len());
}

#[test]
fn whatever_could_hide_a_path_is_left_to_the_scan() {
    let uuid = "<uuid>0a0b0c0d-1111-2222-3333-444455556666</uuid>";
    let with = |more: &str| format!("<domain>{uuid}{more}</domain>");
    let foreign = |more: &str| plainly_foreign(with(more).as_bytes()).is_some();
    for harmless in [
        "",
        "<disk type='block'><source dev='/dev/vg/x'/><target dev='vda'/></disk>",
        "<disk><source file='/var/lib/libvirt/images/stor.pool'/><iotune/><blockio logical_block_size='512'/></disk>",
        "<name>a &amp; b</name>",
    ] {
        assert!(foreign(harmless), "{harmless}");
    }
    for suspect in [
        "<source dev='/dev/storpool/x'/>",
        "<source dev='/dev/stor&#112;ool/x'/>",
        "<nvram>/dev/stor<!-- -->pool/x</nvram>",
        "<nvram>/dev/stor<?x y?>pool/x</nvram>",
        "<nvram>/dev/stor<![CDATA[pool/x]]></nvram>",
        "<source dev='/var/lib/one/disk.0'/>",
        "<source dev = \"/mnt/x\"/>",
        "<source><block>/mnt/x</block></source>",
        "\0",
    ] {
        assert!(!foreign(suspect), "{suspect}");
    }
    assert_eq!(plainly_foreign(b"<domain><uuid>no</uuid></domain>"), None);
    assert_eq!(plainly_foreign(b"<domain><uuid>0a0b0c0d"), None);
    assert_eq!(plainly_foreign(b""), None);
}
