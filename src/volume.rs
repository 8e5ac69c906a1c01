// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a StorPool volume is called: names, global ids, and the device paths that carry them.
//!
//! Pure. The grammar is the API's own (see `ARCHITECTURE.md`, "Names"): `a.b.c` is a legal *name* and
//! `~a.b.c` a global id, so one is never turned into the other by guessing.

use std::borrow::Borrow;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Folder in which the StorPool client links attached volumes by name.
pub const BY_NAME_DIR: &str = "/dev/storpool";
/// Folder in which the StorPool client links attached volumes by global id.
pub const BY_ID_DIR: &str = "/dev/storpool-byid";
/// Longest object name the API accepts, in bytes.
const NAME_MAX: usize = 199;

/// Name of a StorPool volume or snapshot: `[A-Za-z0-9_.:@-]{1,199}`, not `list` and not `status`.
///
/// Names that start with `#` (system volumes) or `*` (snapshots being deleted) exist in StorPool but are
/// never a disk of ours, so they do not parse. A name with `@` can only be a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// The name, if `text` is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::fits(text).then(|| Self(text.to_owned()))
    }

    fn fits(text: &str) -> bool {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.:@-".contains(&b);
        let fits = (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(legal);
        fits && !matches!(text, "list" | "status" | "." | "..")
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Global id of a volume or snapshot, `location.cluster.number` in `[a-z0-9]`, without the leading `~`.
///
/// It never changes, whereas a name can: everything we remember is keyed by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GlobalId(String);

impl GlobalId {
    /// The global id, if `text` (without `~`) is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::fits(text).then(|| Self(text.to_owned()))
    }

    fn fits(text: &str) -> bool {
        let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        text.len() <= NAME_MAX && text.split('.').count() == 3 && text.split('.').all(part)
    }

    /// The id as text, without `~`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives a checked string type the conversions serde and `Display` need.
macro_rules! checked_text {
    ($type:ident, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text).ok_or_else(|| format!(concat!("{:?} is not a ", $what), text))
            }
        }
        /// Equal texts are equal, and hash alike: a table may be asked by the text alone.
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0
            }
        }
    };
}
checked_text!(VolumeName, "StorPool volume name");
checked_text!(GlobalId, "StorPool global id");
checked_text!(DomainUuid, "domain UUID");

/// How a domain names a volume: by the name that may change or by the id that does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeRef {
    /// `/dev/storpool/NAME`
    Name(VolumeName),
    /// `/dev/storpool-byid/GLOBALID`
    Id(GlobalId),
}

impl VolumeRef {
    /// The reference as the API takes it in paths and bodies: `NAME` or `~GLOBALID`.
    #[must_use]
    pub fn api(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Id(id) => format!("~{id}"),
        }
    }

    /// Whether the API means this when it says `name`, which is `~GLOBALID` for what has none, and `global_id`, which
    /// servers before 2022 do not say.
    #[must_use]
    pub fn is_called(&self, name: &str, global_id: Option<&str>) -> bool {
        match self {
            Self::Name(own) => name == own.as_str(),
            Self::Id(id) => global_id == Some(id.as_str()) || name.strip_prefix('~') == Some(id.as_str()),
        }
    }

    /// The device link that stands for this reference on a client host.
    #[must_use]
    pub fn link(&self) -> PathBuf {
        self.path().into()
    }

    /// The same as text, the way a domain names it.
    #[must_use]
    pub fn path(&self) -> String {
        self.path_parts().concat()
    }

    /// The same in three pieces. No character in them means anything to XML.
    #[must_use]
    pub fn path_parts(&self) -> [&str; 3] {
        match self {
            Self::Name(name) => [BY_NAME_DIR, "/", name.as_str()],
            Self::Id(id) => [BY_ID_DIR, "/", id.as_str()],
        }
    }
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.api())
    }
}

/// What a path in a domain's XML means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMeaning {
    /// The device link of a StorPool volume or snapshot.
    Volume(VolumeRef),
    /// It lies in one of the StorPool folders, yet no object can have that name. Worth a log line, not ours.
    NotAVolume,
    /// Some other path.
    Foreign,
}

/// The same, with the part of the path that says which volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathText<'p> {
    /// The device link by this name, which is one.
    Name(&'p str),
    /// The device link by this global id, which is one.
    Id(&'p str),
    /// See [`PathMeaning::NotAVolume`].
    NotAVolume,
    /// See [`PathMeaning::Foreign`].
    Foreign,
}

/// Reads a device path. `//`, `.`, `..` and a trailing `/` are resolved as text: nothing is opened or followed.
#[must_use]
pub fn path_meaning(path: &str) -> PathMeaning {
    match path_text(path) {
        PathText::Name(name) => PathMeaning::Volume(VolumeRef::Name(VolumeName(name.to_owned()))),
        PathText::Id(id) => PathMeaning::Volume(VolumeRef::Id(GlobalId(id.to_owned()))),
        PathText::NotAVolume => PathMeaning::NotAVolume,
        PathText::Foreign => PathMeaning::Foreign,
    }
}

/// As [`path_meaning`], for who reads very many and keeps none.
#[must_use]
pub fn path_text(path: &str) -> PathText<'_> {
    let Some((parts, count)) = normalised(path) else {
        return PathText::Foreign;
    };
    match parts.get(..count).unwrap_or_default() {
        ["dev", "storpool", name] if VolumeName::fits(name) => PathText::Name(name),
        ["dev", "storpool-byid", id] if GlobalId::fits(id) => PathText::Id(id),
        ["dev", "storpool" | "storpool-byid", ..] => PathText::NotAVolume,
        _ => PathText::Foreign,
    }
}

/// The first components of an absolute path after lexical normalisation, as many as can make a difference.
fn normalised(path: &str) -> Option<([&str; 4], usize)> {
    let mut parts = [""; 4];
    let mut count = 0_usize;
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => count = count.saturating_sub(1),
            _ => {
                if let Some(place) = parts.get_mut(count) {
                    *place = part;
                }
                count += 1;
            }
        }
    }
    Some((parts, count.min(4)))
}

/// Rights of an attachment. `Ro < Rw`, so the stronger of two is their `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read-only.
    Ro,
    /// Read and write.
    Rw,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
        })
    }
}

/// A StorPool client (a host that may have volumes attached), 1..=4095. Unique within one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct ClientId(u16);

impl ClientId {
    /// The client with this number, if it is in the API's range.
    #[must_use]
    pub fn new(id: u16) -> Option<Self> {
        (1..=0x0fff).contains(&id).then_some(Self(id))
    }
}

impl TryFrom<u16> for ClientId {
    type Error = String;
    fn try_from(id: u16) -> Result<Self, String> {
        Self::new(id).ok_or_else(|| format!("client id {id} is not in 1..4095"))
    }
}

impl From<ClientId> for u16 {
    fn from(id: ClientId) -> u16 {
        id.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// UUID of a libvirt domain in its canonical lower-case form: the only stable key of a domain
/// (names change on `virsh migrate --dname`), and the only part of its XML that ever becomes a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainUuid(String);

impl DomainUuid {
    /// The UUID, if `text` is one: 32 hex digits, with `-` anywhere between them as libvirt allows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut canonical = String::with_capacity(36);
        for (i, c) in digits.to_ascii_lowercase().chars().enumerate() {
            if matches!(i, 8 | 12 | 16 | 20) {
                canonical.push('-');
            }
            canonical.push(c);
        }
        Some(Self(canonical))
    }

    /// The UUID as text, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        match path_meaning(path) {
            PathMeaning::Volume(volume) => volume.api(),
            PathMeaning::NotAVolume => "not a volume".into(),
            PathMeaning::Foreign => "foreign".into(),
        }
    }

    #[test]
    fn reads_device_paths_lexically() {
        for (path, expected) in [
            ("/dev/storpool/web1-root", "web1-root"),
            ("/dev/storpool-byid/d.n.a1z", "~d.n.a1z"),
            ("/dev/storpool/d.n.a1z", "d.n.a1z"), // a legal name, not an id
            ("//dev///storpool/./x/", "x"),
            ("/dev/x/../storpool/x", "x"),
            ("/dev/storpool/a/b/c/../../../x", "x"),
            ("/a/b/c/d/e/f/../../../../../../dev/storpool/x", "x"),
            ("/dev/storpool/x/y/z/..", "not a volume"),
            ("/../dev/storpool/x", "x"),
            ("/dev/storpool/vol-part1", "vol-part1"), // a legal name, so StorPool decides
            ("/dev/storpool-byid/d.n.a1z-part1", "not a volume"),
            ("/dev/storpool/../sda", "foreign"),
            ("/dev/storpool-byid/~d.n.a1z", "not a volume"),
            ("/dev/storpool/list", "not a volume"),
            ("/dev/storpool/status", "not a volume"),
            ("/dev/storpool/#sys", "not a volume"),
            ("/dev/storpool/*gone", "not a volume"),
            ("/dev/storpool/a%20b", "not a volume"),
            ("/dev/storpool/a b", "not a volume"),
            ("/dev/storpool/a\n", "not a volume"),
            ("/dev/storpool/a/b", "not a volume"),
            ("/dev/storpool", "not a volume"),
            ("/dev/storpoolx/a", "foreign"),
            ("dev/storpool/a", "foreign"),
            ("", "foreign"),
        ] {
            assert_eq!(name(path), expected, "{path}");
        }
        let longest = "a".repeat(199);
        assert_eq!(name(&format!("/dev/storpool/{longest}")), longest);
        assert_eq!(name(&format!("/dev/storpool/{longest}a")), "not a volume");
    }

    #[test]
    fn a_link_is_read_back_as_its_reference() {
        for reference in [
            VolumeRef::Name(VolumeName::parse("snap@1:x").unwrap()),
            VolumeRef::Id(GlobalId::parse("d.n.a1z").unwrap()),
        ] {
            let link = reference.link();
            assert_eq!(
                path_meaning(link.to_str().unwrap()),
                PathMeaning::Volume(reference)
            );
        }
    }

    #[test]
    fn uuids_have_one_canonical_form() {
        let canonical = "0a0b0c0d-1111-2222-3333-444455556666";
        for text in [
            canonical,
            "0A0B0C0D111122223333444455556666",
            " 0a0b0c0d-1111-22223333-444455556666\n",
        ] {
            assert_eq!(DomainUuid::parse(text).unwrap().as_str(), canonical);
        }
        for text in [
            "",
            "../../../etc/passwd",
            "0a0b0c0d-1111-2222-3333-44445555666",
            "g".repeat(32).as_str(),
        ] {
            assert_eq!(DomainUuid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn clients_are_in_the_range_of_the_api() {
        assert_eq!(ClientId::new(0), None);
        assert_eq!(ClientId::new(4096), None);
        assert_eq!(ClientId::new(4095).map(u16::from), Some(4095));
    }
}
