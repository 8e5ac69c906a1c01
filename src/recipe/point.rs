// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--map OLD=NEW` and `--replace TARGET=VOLUME`: a cloned or restored domain gets volumes of its own.

use super::names::Names;
use super::{Findings, disks, label};
use crate::domain::edit::{attribute, escaped};
use crate::domain::{Element, Outline, ScanError, scan};
use crate::volume::{PathMeaning, VolumeRef};

/// Another volume in the place of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// What is there.
    pub old: Old,
    /// What is to be there.
    pub new: VolumeRef,
}

/// What a map replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old {
    /// A volume, by whichever of its names.
    Volume(VolumeRef),
    /// Any other path, as written.
    Path(String),
}

/// Another volume for a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replace {
    /// The guest's name of the disk (`vda`).
    pub target: String,
    /// What it is to be on.
    pub volume: VolumeRef,
}

pub(super) fn look_for_maps(xml: &[u8], maps: &[Map], names: &Names) -> Result<Findings, ScanError> {
    let mut findings = Findings::default();
    for source in scan(xml)?.sources {
        let meaning = source.meaning();
        let map = maps.iter().find(|map| match (&map.old, &meaning) {
            (Old::Volume(old), PathMeaning::Volume(volume)) => names.are_one(old, volume),
            (Old::Path(old), _) => *old == source.path,
            (Old::Volume(_), _) => false,
        });
        if let Some(map) = map {
            findings.edits.replace(source.span, &escaped(&map.new.path()));
        }
    }
    Ok(findings)
}

pub(super) fn look_for_replaces(outline: &Outline<'_>, replaces: &[Replace]) -> Findings {
    let mut findings = Findings::default();
    for Replace { target, volume } in replaces {
        let disk = disks(outline).find(|disk| {
            let own = disk.child("target").and_then(|target| target.value("dev"));
            own.as_deref() == Some(target)
        });
        let shown = target.escape_debug();
        match disk {
            None => findings.left(format!("{shown}: the domain has no disk with this target")),
            Some(disk) => replace(&mut findings, disk, volume),
        }
    }
    findings
}

fn replace(findings: &mut Findings, disk: Element<'_, '_>, volume: &VolumeRef) {
    let path = volume.path();
    let has_chain = disk
        .child("backingStore")
        .is_some_and(|store| store.children().next().is_some());
    if has_chain || disk.child("mirror").is_some() {
        findings.left(format!(
            "{}: it has a backing chain or a block job, which would be another volume's: take <backingStore> or <mirror> out first",
            label(disk)
        ));
        return;
    }
    let edits = &mut findings.edits;
    match (disk.value("type").as_deref(), disk.child("source")) {
        (Some("block"), Some(source)) => edits.set(source, "dev", &path),
        (None | Some("file"), Some(source)) => {
            edits.set(disk, "type", "block");
            if source.attribute("file").is_some() {
                edits.rename_attribute(source, "file", "dev", &path);
            } else {
                edits.set(source, "dev", &path);
            }
        }
        (kind, source) => {
            if kind != Some("block") {
                edits.set(disk, "type", "block");
            }
            let element = format!("<source{}/>", attribute("dev", &path, disk.style().quote));
            match (source, disk.child("target")) {
                (Some(source), _) => edits.replace(source.span(), &element),
                (None, Some(target)) => edits.insert_before(target, &element),
                (None, None) => edits.append(disk, &element),
            }
        }
    }
}
