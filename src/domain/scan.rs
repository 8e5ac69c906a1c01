// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Finds what a domain's XML says about its storage, in one pass.
//!
//! Every open element has a [`Role`]; the role of a child follows from its parent's role and its own name,
//! so a path counts only where libvirt would read it. What stands after a source and speaks about it
//! (`<readonly/>`, `<shareable/>`, `<target>`) is applied when the device ends.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use super::tag::Written;
use super::token::{Open, Piece, Token};
use super::tokens::{BLANKS, Tokens};
use super::{Domain, Kind, Manager, Place, ScanError, Settings, Source, StartupPolicy};
use crate::volume::{Access, DomainUuid};

/// Namespace of our own metadata element.
pub(super) const OUR_NAMESPACE: &str = "urn:spvirt:domain:1";

/// What is said of a document whose root is something else.
pub(super) fn no_domain(offset: usize) -> ScanError {
    ScanError {
        reason: "the root element is not <domain>",
        offset,
    }
}

/// Reads a domain.
///
/// # Errors
/// When the bytes are not one well-formed XML document with the root `<domain>`, in UTF-8 and without a
/// document type declaration. Whether libvirt's schema accepts the document is not looked at.
pub fn scan(xml: &[u8]) -> Result<Domain, ScanError> {
    let mut sources = Vec::new();
    let domain = each_source(xml, |source| sources.push(source))?;
    Ok(Domain { sources, ..domain })
}

/// As [`scan`], but gives each source as soon as its device ends, for who keeps none: a long document has very many.
///
/// # Errors
/// The same; by then sources may have been given.
pub fn each_source(xml: &[u8], mut each: impl FnMut(Source)) -> Result<Domain, ScanError> {
    let mut tokens = Tokens::new(xml)?;
    let mut scanner = Scanner::default();
    loop {
        match tokens.next()? {
            Some(Token::Open(element)) => {
                if !scanner.open(&element) {
                    return Err(no_domain(element.span.start));
                }
            }
            Some(Token::Text(piece)) => scanner.text(&piece),
            Some(Token::Close(_)) => {
                scanner.close();
                scanner.domain.sources.drain(..).for_each(&mut each);
            }
            None => return Ok(scanner.domain),
        }
    }
}

/// What an open element is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Domain,
    Uuid,
    Name,
    Metadata,
    Os,
    Devices,
    /// `<disk>`, `<backingStore>`, `<mirror>` or `<dataStore>`
    Image(Image),
    /// The `<source>` of an image, which may hold a `<dataStore>`.
    ImageSource(Image),
    /// `<nvram>` whose text is the path.
    NvramText,
    /// `<nvram type=>` with a `<source>` in it.
    Nvram(Image),
    Memory,
    MemorySource,
    MemoryTarget,
    /// `<path>` of a memory device.
    MemoryPath,
    Hostdev,
    HostdevSource,
    /// `<block>` of a host device.
    HostdevBlock,
    Other,
}

/// One image of a disk's chain.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Image {
    place: Place,
    /// Which attribute of its `<source>` libvirt reads; `None` when that is no local path.
    kind: Option<Kind>,
    /// Rights that hold whatever the disk says.
    access: Option<Access>,
}

/// The device that is open: what has been seen of it so far.
#[derive(Default)]
struct Device {
    /// Its sources, with the rights that are fixed already.
    sources: Vec<(Source, Option<Access>)>,
    target: Option<String>,
    readonly: bool,
    shareable: bool,
    cdrom: bool,
}

#[derive(Default)]
struct Scanner {
    domain: Domain,
    open: Vec<Role>,
    device: Device,
    text: Text,
}

impl Scanner {
    /// Enters an element; false when it is the root and not a domain.
    fn open(&mut self, element: &Open<'_, '_>) -> bool {
        let role = match (self.open.last().copied(), element.namespace) {
            (None, None) if element.name == "domain" => Role::Domain,
            (None, _) => return false,
            (Some(parent), None) => self.role(parent, element),
            (Some(Role::Metadata), Some(namespace)) => {
                self.metadata(namespace, element);
                Role::Other
            }
            (Some(_), Some(_)) => Role::Other,
        };
        self.open.push(role);
        true
    }

    /// The role of an element without namespace; notes what its begin says.
    fn role(&mut self, parent: Role, element: &Open<'_, '_>) -> Role {
        match (parent, element.name) {
            (Role::Domain, "uuid") => self.reads_text(Role::Uuid),
            (Role::Domain, "name") => self.reads_text(Role::Name),
            (Role::Domain, "metadata") => Role::Metadata,
            (Role::Domain, "os") => Role::Os,
            (Role::Domain, "devices") => Role::Devices,
            (Role::Domain, "resource") => {
                self.domain.resource = true;
                Role::Other
            }
            (Role::Os, "nvram") if element.attribute("type").is_none() => self.reads_text(Role::NvramText),
            (Role::Os, "nvram") => Role::Nvram(image(Place::Nvram, element, None)),
            (Role::Nvram(nvram), "source") => {
                self.image_source(nvram, element);
                Role::Other
            }
            (Role::Devices, "disk") => {
                self.device.cdrom = element.says("device", "cdrom");
                Role::Image(image(Place::Disk, element, None))
            }
            (Role::Image(parent), "source") => {
                self.image_source(parent, element);
                Role::ImageSource(parent)
            }
            (Role::Image(disk), "mirror") if disk.place == Place::Disk => self.mirror(element),
            (Role::Image(_), "backingStore") => {
                Role::Image(image(Place::BackingStore, element, Some(Access::Ro)))
            }
            (Role::Image(parent) | Role::ImageSource(parent), "dataStore") => {
                Role::Image(image(Place::DataStore, element, parent.access))
            }
            (Role::Devices, "memory")
                if matches!(element.value("model").as_deref(), Some("nvdimm" | "virtio-pmem")) =>
            {
                Role::Memory
            }
            (Role::Memory, "source") => Role::MemorySource,
            (Role::MemorySource, "path") => self.reads_text(Role::MemoryPath),
            (Role::Memory, "target") => Role::MemoryTarget,
            (Role::Devices, "hostdev") if is_storage_hostdev(element) => Role::Hostdev,
            (Role::Hostdev, "source") => Role::HostdevSource,
            (Role::HostdevSource, "block") => self.reads_text(Role::HostdevBlock),
            _ => {
                self.device_says(parent, element);
                Role::Other
            }
        }
    }

    /// Notes an element that speaks about its whole device.
    fn device_says(&mut self, parent: Role, element: &Open<'_, '_>) {
        let whole_device = match parent {
            Role::Image(image) => image.place == Place::Disk,
            Role::Hostdev | Role::MemoryTarget => true,
            _ => false,
        };
        match element.name {
            "readonly" if whole_device => self.device.readonly = true,
            "shareable" if whole_device => self.device.shareable = true,
            "target" if whole_device && self.device.target.is_none() => {
                self.device.target = element.value("dev").map(Cow::into_owned);
            }
            _ => {}
        }
    }

    /// Enters a `<mirror>`: its target is a `<source>` in it, or stands in the old form's attribute, or (libvirt
    /// writes it so for old readers) both.
    fn mirror(&mut self, element: &Open<'_, '_>) -> Role {
        for (name, kind) in [("file", Kind::File), ("dev", Kind::Block)] {
            if let Some(attribute) = element.attribute(name) {
                self.found(Place::Mirror, kind, attribute.into(), Some(Access::Rw));
            }
        }
        Role::Image(image(Place::Mirror, element, Some(Access::Rw)))
    }

    fn image_source(&mut self, image: Image, element: &Open<'_, '_>) {
        let (kind, attribute) = match image.kind {
            Some(Kind::Block) => (Kind::Block, element.attribute("dev")),
            Some(Kind::File) => (Kind::File, element.attribute("file")),
            None => return,
        };
        let Some(attribute) = attribute else { return };
        self.found(image.place, kind, attribute.into(), image.access);
        if let Some((source, _)) = self.device.sources.last_mut() {
            source.startup = match element.value("startupPolicy").as_deref() {
                Some("optional") => StartupPolicy::Optional,
                Some("requisite") => StartupPolicy::Requisite,
                _ => StartupPolicy::Mandatory,
            };
        }
    }

    fn found(
        &mut self,
        place: Place,
        kind: Kind,
        (path, span): (String, Range<usize>),
        access: Option<Access>,
    ) {
        let source = Source {
            path,
            span,
            place,
            target: None,
            kind,
            access: Access::Rw,
            shareable: false,
            startup: StartupPolicy::Mandatory,
            cdrom: false,
        };
        self.device.sources.push((source, access));
    }

    /// An element of another namespace in the metadata: a manager's mark, or our own settings. Of either the first counts.
    fn metadata(&mut self, namespace: &str, element: &Open<'_, '_>) {
        if namespace == OUR_NAMESPACE
            && element.name == "domain"
            && self.domain.settings == Settings::default()
        {
            let value = |name| element.value(name).map(Cow::into_owned);
            self.domain.settings = Settings {
                takeover: value("takeover"),
                manage: value("manage"),
                filter: value("filter"),
                nonce: value("nonce"),
            };
        }
        self.domain.manager = self.domain.manager.or(manager(namespace));
    }

    fn reads_text(&mut self, role: Role) -> Role {
        self.text = Text::default();
        role
    }

    fn text(&mut self, piece: &Piece<'_>) {
        if self.open.last().is_some_and(|role| role.is_text()) {
            self.text.add(piece);
        }
    }

    fn close(&mut self) {
        let Some(role) = self.open.pop() else { return };
        match role {
            Role::Uuid if self.domain.uuid.is_none() => {
                self.domain.uuid = DomainUuid::parse(&self.text.value);
            }
            Role::Name if self.domain.name.is_empty() => self.domain.name = mem::take(&mut self.text.value),
            Role::NvramText => self.text_source(Place::Nvram, Kind::File),
            Role::MemoryPath => self.text_source(Place::Nvdimm, Kind::File),
            Role::HostdevBlock => self.text_source(Place::Hostdev, Kind::Block),
            _ => {}
        }
        let device_ends = match role {
            Role::Image(image) => image.place == Place::Disk,
            Role::Nvram(_) | Role::NvramText | Role::Memory | Role::Hostdev => true,
            _ => false,
        };
        if device_ends {
            self.device_ends();
        }
    }

    fn text_source(&mut self, place: Place, kind: Kind) {
        let (path, span) = self.text.path();
        if !path.is_empty() {
            self.found(place, kind, (path.to_owned(), span), None);
        }
    }

    /// Applies what the device said to all its sources.
    fn device_ends(&mut self) {
        let device = &mut self.device;
        let weakest = if device.readonly || device.cdrom {
            Access::Ro
        } else {
            Access::Rw
        };
        let mut left = device.sources.len();
        for (mut source, access) in device.sources.drain(..) {
            left -= 1;
            source.access = access.unwrap_or(weakest);
            source.shareable = device.shareable;
            source.cdrom = device.cdrom;
            source.target = if left == 0 {
                device.target.take()
            } else {
                device.target.clone()
            };
            self.domain.sources.push(source);
        }
        (device.target, device.readonly, device.shareable, device.cdrom) = (None, false, false, false);
    }
}

impl Role {
    /// Does the element's text matter?
    fn is_text(self) -> bool {
        matches!(
            self,
            Self::Uuid | Self::Name | Self::NvramText | Self::MemoryPath | Self::HostdevBlock
        )
    }
}

fn image(place: Place, element: &Open<'_, '_>, access: Option<Access>) -> Image {
    let kind = match element.value("type").as_deref() {
        // libvirt's default.
        None | Some("file") => Some(Kind::File),
        Some("block") => Some(Kind::Block),
        Some(_) => None,
    };
    Image { place, kind, access }
}

fn is_storage_hostdev(element: &Open<'_, '_>) -> bool {
    element.says("mode", "capabilities") && element.says("type", "storage")
}

/// Whose metadata a namespace is. Versions differ in what follows the prefix.
fn manager(namespace: &str) -> Option<Manager> {
    [
        ("http://openstack.org/xmlns/libvirt/nova/", Manager::Nova),
        ("http://opennebula.org/xmlns/libvirt/", Manager::OpenNebula),
        ("http://ovirt.org/vm/", Manager::OVirt),
    ]
    .into_iter()
    .find_map(|(prefix, manager)| namespace.starts_with(prefix).then_some(manager))
}

impl From<Written<'_>> for (String, Range<usize>) {
    fn from(attribute: Written<'_>) -> Self {
        (attribute.value().into_owned(), attribute.span)
    }
}

/// The text of an element, put together from its pieces, and the part of it between the outer blanks.
#[derive(Default)]
struct Text {
    value: String,
    /// The part of `value` that is left without the blanks.
    inner: Range<usize>,
    /// The same in the input.
    span: Range<usize>,
}

impl Text {
    fn add(&mut self, piece: &Piece<'_>) {
        let (value, raw) = (piece.value(), piece.raw());
        let blanks = |text| {
            if piece.is_plain() {
                outer_blanks(text)
            } else {
                (0, 0)
            }
        };
        let ((lead, tail), (raw_lead, raw_tail)) = (blanks(&value), blanks(raw));
        let begin = self.value.len();
        self.value.push_str(&value);
        if piece.is_plain() && lead == value.len() {
            return;
        }
        if self.span.is_empty() {
            self.inner.start = begin + lead;
            self.span.start = piece.from() + raw_lead;
        }
        self.inner.end = self.value.len() - tail;
        self.span.end = piece.from() + raw.len() - raw_tail;
    }

    fn path(&self) -> (&str, Range<usize>) {
        (
            self.value.get(self.inner.clone()).unwrap_or_default(),
            self.span.clone(),
        )
    }
}

/// Bytes of blanks before and after the rest of a text.
fn outer_blanks(text: &str) -> (usize, usize) {
    let lead = text.len() - text.trim_start_matches(BLANKS).len();
    (lead, text.len() - text.trim_end_matches(BLANKS).len())
}
