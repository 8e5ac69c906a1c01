// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a rewrite does to a domain's XML. Pure: a recipe reads the document and the facts, and says what to change,
//! what it leaves and why.
//!
//! Recipes run one after the other, each on what the one before left. Each finds nothing to do in its own result.

mod block;
mod names;
mod point;
mod serial;
mod tune;

use std::collections::BTreeMap;

use crate::domain::edit::Edits;
use crate::domain::{Element, Outline, ScanError, scan};
use crate::volume::{PathMeaning, VolumeRef, path_meaning};

pub use names::{Form, Names};
pub use point::{Map, Old, Replace};
pub use tune::{Queues, Tune};

/// One change of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// Name volumes by name or by global id.
    To(Form),
    /// Set what suits StorPool.
    Tune(Tune),
    /// Turn `type='file'` and `type='volume'` with a volume of ours into `type='block'`.
    Block,
    /// Put other volumes in the place of some.
    Map(Vec<Map>),
    /// Give some disks other volumes.
    Replace(Vec<Replace>),
    /// Make the global id the disk's serial number.
    Serial,
}

/// What a rewrite knows beside the XML.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Names and global ids, by StorPool.
    pub names: Names,
    /// Target folders of storage pools, by libvirt or by the user.
    pub pools: BTreeMap<String, String>,
    /// The guest runs with this XML, or will before it is shut down: nothing that it could see may change.
    pub running: bool,
}

/// Something that was not changed, in words that begin with the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How serious it is.
    pub kind: NoteKind,
    /// The whole sentence.
    pub text: String,
}

/// Whether a note is for information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// Nothing is wrong.
    Hint,
    /// Something that was asked for could not be done; the rest was.
    Left,
}

/// A rewritten document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The document; equal to the original when there was nothing to change.
    pub xml: Vec<u8>,
    /// What was left.
    pub notes: Vec<Note>,
}

/// Why nothing of a document was rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The document is not a domain that is understood.
    #[error("{0}")]
    NotUnderstood(#[from] ScanError),
    /// The guest would see it.
    #[error("{recipe} changes what the guest sees ({what}): shut the domain down and rewrite its definition")]
    GuestWouldSee {
        /// The option.
        recipe: &'static str,
        /// The parts of its hardware.
        what: &'static str,
    },
}

/// What one recipe finds.
#[derive(Debug, Default)]
struct Findings {
    edits: Edits,
    notes: Vec<Note>,
}

impl Findings {
    fn left(&mut self, text: String) {
        self.notes.push(Note {
            kind: NoteKind::Left,
            text,
        });
    }

    fn hint(&mut self, text: String) {
        self.notes.push(Note {
            kind: NoteKind::Hint,
            text,
        });
    }
}

/// Applies recipes to a document.
///
/// # Errors
/// When the document is not understood, or a recipe would change what a running guest sees. Then nothing is changed,
/// whatever the other recipes would have done.
pub fn rewrite(xml: &[u8], recipes: &[Recipe], facts: &Facts) -> Result<Rewritten, Refused> {
    if facts.running
        && let Some(refused) = recipes.iter().find_map(Recipe::guest_would_see)
    {
        return Err(refused);
    }
    let mut rewritten = Rewritten {
        xml: Vec::new(),
        notes: Vec::new(),
    };
    if recipes.is_empty() {
        scan(xml)?;
    }
    for recipe in recipes {
        let before = if rewritten.xml.is_empty() {
            xml
        } else {
            &rewritten.xml
        };
        let mut findings = recipe.look(before, facts)?;
        rewritten.notes.append(&mut findings.notes);
        if !findings.edits.is_empty() {
            rewritten.xml = findings.edits.apply(before)?;
        }
    }
    if rewritten.xml.is_empty() {
        rewritten.xml = xml.to_vec();
    }
    rewritten.notes.dedup();
    Ok(rewritten)
}

/// The changes that one recipe makes.
///
/// # Errors
/// When the document is not understood.
pub fn edits(xml: &[u8], recipe: &Recipe, facts: &Facts) -> Result<Edits, ScanError> {
    Ok(recipe.look(xml, facts)?.edits)
}

/// The volumes of a document whose other name the recipes will ask for.
///
/// # Errors
/// When the document is not understood.
pub fn asks_for(xml: &[u8], recipes: &[Recipe]) -> Result<Vec<VolumeRef>, ScanError> {
    let mut volumes = Vec::new();
    for recipe in recipes {
        match recipe {
            Recipe::To(form) => volumes.extend(names::asks_for(xml, *form)?),
            Recipe::Serial => volumes.extend(serial::asks_for(xml)?),
            // What they put in may be named otherwise by a recipe that follows.
            Recipe::Map(maps) => volumes.extend(maps.iter().map(|map| map.new.clone())),
            Recipe::Replace(replaces) => {
                volumes.extend(replaces.iter().map(|replace| replace.volume.clone()));
            }
            Recipe::Tune(_) | Recipe::Block => {}
        }
    }
    let asks = |recipe: &Recipe| matches!(recipe, Recipe::To(_) | Recipe::Serial);
    if !recipes.iter().any(asks) {
        volumes.clear();
    }
    volumes.sort_unstable();
    volumes.dedup();
    Ok(volumes)
}

/// The disks that differ between a document and the same rewritten, with the name for a message, as they are now.
///
/// # Errors
/// When one of the documents is not understood.
pub fn changed_disks(before: &[u8], after: &[u8]) -> Result<Vec<(String, String)>, ScanError> {
    let (before, after) = (Outline::read(before)?, Outline::read(after)?);
    let pairs = disks(&before).zip(disks(&after));
    let changed = pairs.filter(|(before, after)| before.text() != after.text());
    Ok(changed
        .map(|(_, after)| (label(after), after.text().to_owned()))
        .collect())
}

/// Whether the document describes a domain that runs: it has a number.
///
/// # Errors
/// When the document is not understood.
pub fn is_of_running(xml: &[u8]) -> Result<bool, ScanError> {
    Ok(Outline::read(xml)?.root().attribute("id").is_some())
}

impl Recipe {
    fn look(&self, xml: &[u8], facts: &Facts) -> Result<Findings, ScanError> {
        match self {
            Self::To(form) => names::look(xml, *form, &facts.names),
            Self::Tune(tune) => Ok(tune::look(&Outline::read(xml)?, tune)),
            Self::Block => Ok(block::look(&Outline::read(xml)?, &facts.pools)),
            Self::Map(maps) => point::look_for_maps(xml, maps, &facts.names),
            Self::Replace(replaces) => Ok(point::look_for_replaces(&Outline::read(xml)?, replaces)),
            Self::Serial => Ok(serial::look(&Outline::read(xml)?, &facts.names)),
        }
    }

    /// Why it must not be applied to a running guest.
    fn guest_would_see(&self) -> Option<Refused> {
        let (recipe, what) = match self {
            Self::Serial => ("--serial", "the serial numbers of its disks"),
            Self::Tune(tune) if tune.virtio_scsi => {
                ("--tune virtio-scsi", "the model of its SCSI controller")
            }
            Self::Tune(tune) if tune.queues.is_some() => ("--tune queues", "the queues of its disks"),
            Self::To(_) | Self::Tune(_) | Self::Block | Self::Map(_) | Self::Replace(_) => return None,
        };
        Some(Refused::GuestWouldSee { recipe, what })
    }
}

/// The disks of a domain.
fn disks<'o, 'a>(outline: &'o Outline<'a>) -> impl Iterator<Item = Element<'o, 'a>> {
    let devices = outline.root().children_named("devices");
    devices.flat_map(|devices| devices.children_named("disk"))
}

/// The guest's name of a disk, for a message.
fn label(disk: Element<'_, '_>) -> String {
    let target = disk.child("target").and_then(|target| target.value("dev"));
    target.map_or_else(|| "a disk".to_owned(), |target| target.escape_debug().to_string())
}

/// The volume of ours that a disk's own source names, if libvirt is told to open it as a block device.
fn volume_of(disk: Element<'_, '_>) -> Option<VolumeRef> {
    if disk.value("type").as_deref() != Some("block") {
        return None;
    }
    match path_meaning(&disk.child("source")?.value("dev")?) {
        PathMeaning::Volume(volume) => Some(volume),
        PathMeaning::NotAVolume | PathMeaning::Foreign => None,
    }
}

/// Whether a disk is a hard disk: libvirt's default.
fn is_hard_disk(disk: Element<'_, '_>) -> bool {
    disk.value("device").is_none_or(|device| device == "disk")
}

#[cfg(test)]
mod tests;
