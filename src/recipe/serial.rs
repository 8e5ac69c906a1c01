// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--serial global-id`: the guest finds a volume by a number that stays, `/dev/disk/by-id/virtio-d.n.a1z`.

use super::names::{Form, Names};
use super::{Findings, disks, is_hard_disk, label, volume_of};
use crate::domain::edit::escaped;
use crate::domain::{Element, Outline, ScanError};
use crate::volume::VolumeRef;

pub(super) fn look(outline: &Outline<'_>, names: &Names) -> Findings {
    let mut findings = Findings::default();
    for (disk, volume) in ours(outline) {
        match names.other(&volume, Form::ById) {
            Ok(VolumeRef::Id(id)) => set(&mut findings, disk, id.as_str()),
            Ok(VolumeRef::Name(_)) => {}
            Err(why) => findings.left(format!("{}: volume \"{volume}\" {why}", label(disk))),
        }
    }
    findings
}

/// The volumes whose id is not in the document.
pub(super) fn asks_for(xml: &[u8]) -> Result<Vec<VolumeRef>, ScanError> {
    let outline = Outline::read(xml)?;
    let volumes = ours(&outline).map(|(_, volume)| volume);
    Ok(volumes
        .filter(|volume| matches!(volume, VolumeRef::Name(_)))
        .collect())
}

fn ours<'o, 'a>(outline: &'o Outline<'a>) -> impl Iterator<Item = (Element<'o, 'a>, VolumeRef)> {
    let disks = disks(outline).filter(|disk| is_hard_disk(*disk));
    disks.filter_map(|disk| Some((disk, volume_of(disk)?)))
}

fn set(findings: &mut Findings, disk: Element<'_, '_>, id: &str) {
    match (disk.child("serial"), disk.child("target")) {
        (Some(serial), _) if serial.content().trim() == id => {}
        (Some(serial), _) => findings.edits.set_text(serial, id),
        (None, Some(target)) => {
            let element = format!("<serial>{}</serial>", escaped(id));
            findings.edits.insert_after(target, &element);
        }
        (None, None) => {}
    }
}
