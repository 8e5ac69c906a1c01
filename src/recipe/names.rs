// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--to by-id`, `--to by-name`: one volume, named otherwise.

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
pub struct Names(Vec<(Option<VolumeName>, GlobalId)>);

/// Why a volume cannot be named otherwise, as the end of a sentence.
type Unnamed = &'static str;

impl Names {
    /// Takes what StorPool said.
    #[must_use]
    pub fn new(descriptions: impl IntoIterator<Item = Description>) -> Self {
        let known = |description: Description| {
            let id = description.global_id?;
            // A name that begins with `~` is none: the volume has only its id.
            Some((VolumeName::parse(&description.name), id))
        };
        let mut names: Vec<_> = descriptions.into_iter().filter_map(known).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    /// The same volume in the form that is wanted.
    pub(super) fn other(&self, volume: &VolumeRef, form: Form) -> Result<VolumeRef, Unnamed> {
        if form.is_form_of(volume) {
            return Ok(volume.clone());
        }
        let mut found = self.0.iter().filter(|(name, id)| match volume {
            VolumeRef::Name(wanted) => name.as_ref() == Some(wanted),
            VolumeRef::Id(wanted) => id == wanted,
        });
        match (found.next(), found.next()) {
            (None, _) => Err("is not known to StorPool"),
            (Some(_), Some(_)) => Err("is the name of several volumes, in several clusters"),
            (Some((_, id)), None) if form == Form::ById => Ok(VolumeRef::Id(id.clone())),
            (Some((Some(name), _)), None) => Ok(VolumeRef::Name(name.clone())),
            (Some((None, _)), None) => Err("has no name"),
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
            Ok(other) => findings
                .edits
                .replace(source.span, &escaped(&other.link().to_string_lossy())),
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
