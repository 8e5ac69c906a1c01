// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Who is on the devices of volumes. The devices themselves are never opened.

use std::collections::BTreeSet;
use std::path::Path;

use super::{names, text};
use crate::api::Attachment;
use crate::check::leftovers::Attached;
use crate::volume::{VolumeName, VolumeRef};
use crate::{device, sys};

/// The attachments of this host, with who has them open.
#[must_use]
pub fn attached(attachments: &[Attachment]) -> Vec<Attached> {
    let reference = |attachment: &Attachment| {
        let id = attachment.global_id.clone().map(VolumeRef::Id);
        id.or_else(|| VolumeName::parse(&attachment.name).map(VolumeRef::Name))
    };
    let known: Vec<_> = attachments
        .iter()
        .filter_map(|a| Some((a, reference(a)?)))
        .collect();
    let references: Vec<_> = known.iter().map(|(_, reference)| reference.clone()).collect();
    let devices: Vec<_> = device::devices(&references)
        .into_iter()
        .map(|link| link.map(|link| link.device))
        .collect();
    let wanted: BTreeSet<_> = devices.iter().flatten().cloned().collect();
    let openers = sys::openers_of(&wanted);
    let describe = |((attachment, _), device): (&(&Attachment, VolumeRef), Option<String>)| Attached {
        name: attachment.name.clone(),
        global_id: attachment.global_id.clone(),
        snapshot: attachment.snapshot,
        opener: device.as_ref().and_then(|device| openers.get(device).cloned()),
        holders: device
            .map(|device| holders(Path::new("/sys"), &device))
            .unwrap_or_default(),
    };
    known.iter().zip(devices).map(describe).collect()
}

/// Devices of the host that sit on the block device `major:minor`, by sysfs, each with the name it has for people.
#[must_use]
pub fn holders(sys: &Path, device: &str) -> Vec<String> {
    let folder = sys.join("dev/block").join(device);
    // A partition's holders are not its disk's: look at both.
    let partitions = names(&folder).into_iter().map(|name| folder.join(name));
    let partitions = partitions.filter(|path| path.join("partition").exists());
    let folders = std::iter::once(folder.clone()).chain(partitions);
    let mut found = BTreeSet::new();
    for folder in folders.map(|folder| folder.join("holders")) {
        for name in names(&folder) {
            let mapped = text(&folder.join(&name).join("dm/name"));
            let name = name.to_string_lossy();
            found.insert(match mapped {
                Some(mapped) => format!("{name} ({})", mapped.trim_end()),
                None => name.into_owned(),
            });
        }
    }
    found.into_iter().collect()
}
