// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A libvirt domain as far as this project is concerned: who it is, and every device path it names.
//!
//! Pure. [`scan`] has three outcomes for its caller: understood; not understood, and the bytes do not
//! [mention StorPool](mentions_storpool); not understood, and they may name a volume.

pub mod edit;
mod namespaces;
mod outline;
mod pool;
mod redact;
mod scan;
mod tag;
mod template;
mod token;
mod tokens;

use std::ops::Range;

pub use outline::{Element, Outline, Style};
pub use pool::pool_folder;
pub use redact::without_secrets;
pub use scan::{each_source, scan};
pub use tag::Written;
pub use template::{Slot, Template, TemplateError};

use crate::volume::{Access, DomainUuid, PathMeaning, path_meaning};

/// What a domain's XML says about the domain and its storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domain {
    /// `/domain/uuid`, if it is there and is a UUID.
    pub uuid: Option<DomainUuid>,
    /// `/domain/name` decoded, blanks and all; empty when there is none. Any character is possible: never
    /// part of a path, and escaped before it is printed.
    pub name: String,
    /// Every local path that QEMU opens for storage, in document order, StorPool's or not.
    pub sources: Vec<Source>,
    /// Whether `/domain/resource` is there: libvirt gives one to every domain it starts on a host with cgroups.
    pub resource: bool,
    /// The cloud stack that left its metadata in the domain.
    pub manager: Option<Manager>,
    /// Our own metadata element.
    pub settings: Settings,
}

/// A path from which (or to which) the domain's storage is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path, decoded.
    pub path: String,
    /// The bytes that stand for the path in the input: an attribute's value between its quotes, or an
    /// element's text without the blanks around it (CDATA brackets included). Another path, XML-escaped,
    /// may be put in place of exactly these bytes.
    pub span: Range<usize>,
    /// Where in the domain it stands.
    pub place: Place,
    /// The guest's name of the disk (`vda`), where there is one. See [`Source::label`].
    pub target: Option<String>,
    /// Whether libvirt is told to open a block device or a file.
    pub kind: Kind,
    /// The weakest rights with which the domain works.
    pub access: Access,
    /// `<shareable/>`: other domains may write to it at the same time.
    pub shareable: bool,
    /// What libvirt does when the path does not exist at start.
    pub startup: StartupPolicy,
    /// Part of a disk with `device='cdrom'`.
    pub cdrom: bool,
}

impl Source {
    /// What the path means to us.
    #[must_use]
    pub fn meaning(&self) -> PathMeaning {
        path_meaning(&self.path)
    }

    /// How a message calls the source: the disk's target, or the kind of place it stands in.
    #[must_use]
    pub fn label(&self) -> &str {
        self.target.as_deref().unwrap_or(match self.place {
            Place::Nvram => "nvram",
            Place::Nvdimm => "nvdimm",
            Place::Hostdev => "hostdev",
            Place::Disk | Place::BackingStore | Place::Mirror | Place::DataStore => "disk",
        })
    }
}

/// Where a source stands in the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `<disk><source>`
    Disk,
    /// A level of `<backingStore>`, which QEMU opens read-only.
    BackingStore,
    /// `<mirror>`: the target of a running block job, which is written whatever the disk says.
    Mirror,
    /// `<dataStore>`: the external data file of a qcow2 image.
    DataStore,
    /// `<os><nvram>`: the firmware's variables.
    Nvram,
    /// The backing of an NVDIMM or virtio-pmem memory device.
    Nvdimm,
    /// `<hostdev mode='capabilities' type='storage'>`
    Hostdev,
}

/// Whether a path is given to libvirt as a block device or as a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<source dev=>` of a `type='block'`, or a `<block>`.
    Block,
    /// `<source file=>` of a `type='file'`, or a plain path. QEMU cannot open a StorPool device this way as a
    /// disk.
    File,
}

/// libvirt's `startupPolicy`: may the source be missing when the domain starts?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum StartupPolicy {
    /// No. Also what is meant when the attribute is absent.
    #[default]
    Mandatory,
    /// Not at boot; after a migration, restore or revert the source is dropped when missing.
    Requisite,
    /// Always: the source is dropped when missing.
    Optional,
}

/// A stack that attaches its domains' volumes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manager {
    /// OpenStack Nova.
    Nova,
    /// OpenNebula.
    OpenNebula,
    /// oVirt.
    OVirt,
}

/// The attributes of `<spvirt:domain xmlns:spvirt="urn:spvirt:domain:1" .../>` in the domain's metadata, as
/// written: what they mean, and whether they mean anything, is for the policy to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Overrides the host's takeover policy.
    pub takeover: Option<String>,
    /// Whether this domain's volumes are ours to attach.
    pub manage: Option<String>,
    /// Which rewrites an incoming migration gets.
    pub filter: Option<String>,
    /// The ticket's number, where a site binds tickets to one migration.
    pub nonce: Option<String>,
}

/// Why a document was not understood. Holds no text of the document, which may carry passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset})")]
pub struct ScanError {
    /// The reason, a clause in plain words.
    pub reason: &'static str,
    /// Where the reader stood, in bytes from the start of the input; never past its end.
    pub offset: usize,
}

impl ScanError {
    /// The place as a person counts it, `(line, column)` from 1, the column in bytes; `xml` is what was scanned.
    #[must_use]
    pub fn line_column(&self, xml: &[u8]) -> (usize, usize) {
        let before = xml.get(..self.offset).unwrap_or(xml);
        let line = before.split(|b| *b == b'\n').count();
        let column = before.rsplit(|b| *b == b'\n').next().map_or(0, <[u8]>::len) + 1;
        (line, column)
    }
}

/// The UUID of a domain that is plainly none of our business: its bytes cannot spell a StorPool path, nor a block
/// source outside `/dev` that could be a link to one, under any reading of XML. `None` says nothing: then only a
/// [`scan`] tells.
///
/// Nearly all hook calls on most hosts are about such domains, and parsing costs them more than all else we do.
/// Character references, comments, CDATA and processing instructions could hide a path from a look at the bytes,
/// so a document with any is left to the scan; libvirt writes none.
#[must_use]
pub fn plainly_foreign(xml: &[u8]) -> Option<DomainUuid> {
    let mut previous = b' ';
    for (at, byte) in xml.iter().enumerate() {
        let rest = || xml.get(at..).unwrap_or_default();
        let suspect = match byte {
            b's' => rest().starts_with(b"storpool"),
            b'#' => previous == b'&',
            b'!' | b'?' => previous == b'<',
            b'<' => rest().starts_with(b"<block") && !rest().starts_with(b"<blockio"),
            b'/' => {
                matches!(previous, b'\'' | b'"') && !rest().starts_with(b"/dev/") && is_value_of_dev(xml, at)
            }
            b' '..=b'~' | b'\t' | b'\r' | b'\n' | 0x80.. => false,
            _ => true,
        };
        if suspect {
            return None;
        }
        previous = *byte;
    }
    let (open, close) = (b"<uuid>", b"</uuid>");
    let start = xml.windows(open.len()).position(|window| window == open)? + open.len();
    let text = xml.get(start..)?;
    let end = text.windows(close.len()).position(|window| window == close)?;
    DomainUuid::parse(std::str::from_utf8(text.get(..end)?).ok()?)
}

/// Whether the quoted value that begins at `at` is that of an attribute whose name ends in `dev`.
fn is_value_of_dev(xml: &[u8], at: usize) -> bool {
    let before = xml
        .get(..at.saturating_sub(1))
        .unwrap_or_default()
        .trim_ascii_end();
    let name = before.strip_suffix(b"=").map(<[u8]>::trim_ascii_end);
    name.is_some_and(|name| name.ends_with(b"dev"))
}

/// Do the bytes hold `storpool` anywhere? The question that is left when a document was not understood.
#[must_use]
pub fn mentions_storpool(bytes: &[u8]) -> bool {
    let word = b"storpool";
    bytes.windows(word.len()).any(|window| window == word)
}
