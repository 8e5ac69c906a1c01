// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--to by-id`, `--to by-name`: one volume, named otherwise.

use std::collections::HashMap;

use super::Findings;
use crate::api::Description;
use crate::domain::edit::escaped;
use crate::domain::{ScanError, Source, scan};
use crate::volume::{GlobalId, PathMeaning, VolumeName, VolumeRef};

/// How a path names a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/dev/storpool-byid/GLOBALID`, which stays.
    ById,
    /// `/dev/storpool/NAME`, which people read.
    ByName,
}

impl Form {
    fn is_form_of(self, volume: &VolumeRef) -> bool {
        match volume {
            VolumeRef::Name(_) => self == Self::ByName,
            VolumeRef::Id(_) => self == Self::ById,
        }
    }
}

/// Which name and which global id are one volume.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// `None` for a name that several volumes have, in several clusters.
    ids: HashMap<VolumeName, Option<GlobalId>>,
    /// `None` for a volume that has no name.
    names: HashMap<GlobalId, Option<VolumeName>>,
}

/// Why a volume cannot be named otherwise, as the end of a sentence.
type Unnamed = &'static str;

impl Names {
    /// Takes what StorPool said.
    #[must_use]
    pub fn new(descriptions: impl IntoIterator<Item = Description>) -> Self {
        let mut known = Self::default();
        for Description { name, global_id } in descriptions {
            let Some(id) = global_id else { continue };
            // A name that begins with `~` is none: the volume has only its id.
            let name = VolumeName::parse(&name);
            if let Some(name) = &name {
                let there = known.ids.entry(name.clone()).or_insert_with(|| Some(id.clone()));
                *there = there.take().filter(|other| *other == id);
            }
            known.names.insert(id, name);
        }
        known
    }

    /// The same volume in the form that is wanted.
    pub(super) fn other(&self, volume: &VolumeRef, form: Form) -> Result<VolumeRef, Unnamed> {
        const UNKNOWN: Unnamed = "is not known to StorPool";
        if form.is_form_of(volume) {
            return Ok(volume.clone());
        }
        match volume {
            VolumeRef::Name(name) => match self.ids.get(name) {
                Some(Some(id)) => Ok(VolumeRef::Id(id.clone())),
                Some(None) => Err("is the name of several volumes, in several clusters"),
                None => Err(UNKNOWN),
            },
            VolumeRef::Id(id) => match self.names.get(id) {
                Some(Some(name)) => Ok(VolumeRef::Name(name.clone())),
                Some(None) => Err("has no name"),
                None => Err(UNKNOWN),
            },
        }
    }

    /// Whether two references are one volume, as far as is known.
    pub(super) fn are_one(&self, one: &VolumeRef, other: &VolumeRef) -> bool {
        let id = |volume| self.other(volume, Form::ById).ok();
        one == other || id(one).is_some_and(|one| id(other) == Some(one))
    }
}

pub(super) fn look(xml: &[u8], form: Form, names: &Names) -> Result<Findings, ScanError> {
    let mut findings = Findings::default();
    for source in scan(xml)?.sources {
        let Some(volume) = volume(&source).filter(|volume| !form.is_form_of(volume)) else {
            continue;
        };
        match names.other(&volume, form) {
            Ok(other) => findings.edits.replace(source.span, &escaped(&other.path())),
            Err(why) => findings.left(format!(
                "{}: volume \"{volume}\" {why}",
                source.label().escape_debug()
            )),
        }
    }
    Ok(findings)
}

/// The volumes that are named in the other form.
pub(super) fn asks_for(xml: &[u8], form: Form) -> Result<Vec<VolumeRef>, ScanError> {
    let sources = scan(xml)?.sources;
    let volumes = sources.iter().filter_map(volume);
    Ok(volumes.filter(|volume| !form.is_form_of(volume)).collect())
}

fn volume(source: &Source) -> Option<VolumeRef> {
    match source.meaning() {
        PathMeaning::Volume(volume) => Some(volume),
        PathMeaning::NotAVolume | PathMeaning::Foreign => None,
    }
}
