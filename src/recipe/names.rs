// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--to by-id`, `--to by-name`: one volume, named otherwise.

use std::collections::HashMap;

use super::Findings;
use crate::api::Description;
use crate::domain::{ScanError, Source, each_source, scan};
use crate::volume::{GlobalId, PathMeaning, PathText, VolumeName, VolumeRef, path_text};

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
    ids: HashMap<VolumeName, Option<VolumeRef>>,
    /// `None` for a volume that has no name.
    names: HashMap<GlobalId, Option<VolumeRef>>,
}

/// Why a volume cannot be named otherwise, as the end of a sentence.
type Unnamed = &'static str;
const UNKNOWN: Unnamed = "is not known to StorPool";

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
                let own = VolumeRef::Id(id.clone());
                let there = known.ids.entry(name.clone()).or_insert_with(|| Some(own.clone()));
                *there = there.take().filter(|other| *other == own);
            }
            known.names.insert(id, name.map(VolumeRef::Name));
        }
        known
    }

    /// The same volume in the form that is wanted.
    pub(super) fn other<'v>(&'v self, volume: &'v VolumeRef, form: Form) -> Result<&'v VolumeRef, Unnamed> {
        if form.is_form_of(volume) {
            return Ok(volume);
        }
        match volume {
            VolumeRef::Name(name) => self.id_of(name.as_str()),
            VolumeRef::Id(id) => self.name_of(id.as_str()),
        }
    }

    fn id_of(&self, name: &str) -> Result<&VolumeRef, Unnamed> {
        let found = self.ids.get(name).ok_or(UNKNOWN)?;
        found
            .as_ref()
            .ok_or("is the name of several volumes, in several clusters")
    }

    fn name_of(&self, id: &str) -> Result<&VolumeRef, Unnamed> {
        let found = self.names.get(id).ok_or(UNKNOWN)?;
        found.as_ref().ok_or("has no name")
    }

    /// Whether two references are one volume, as far as is known.
    pub(super) fn are_one(&self, one: &VolumeRef, other: &VolumeRef) -> bool {
        let known = (self.other(one, Form::ById), self.other(other, Form::ById));
        one == other || matches!(known, (Ok(one), Ok(other)) if one == other)
    }
}

pub(super) fn look(xml: &[u8], form: Form, names: &Names) -> Result<Findings, ScanError> {
    let mut findings = Findings::default();
    each_source(xml, |source| {
        let (other, volume) = match (path_text(&source.path), form) {
            (PathText::Name(name), Form::ById) => (names.id_of(name), ["", name]),
            (PathText::Id(id), Form::ByName) => (names.name_of(id), ["~", id]),
            _ => return,
        };
        match other {
            Ok(other) => findings.edits.replace_by_parts(source.span, &other.path_parts()),
            Err(why) => {
                let (label, volume) = (source.label(), volume.concat());
                findings.left(format!("{}: volume \"{volume}\" {why}", label.escape_debug()));
            }
        }
    })?;
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
