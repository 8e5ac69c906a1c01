// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! How a person names a volume on a command line: `NAME`, `~GLOBALID`, the path of its device link, or `cinder:UUID`.
//!
//! Pure. Nothing is guessed: `a.b.c` is a name, `~a.b.c` a global id, and what starts like one form is never tried as
//! another. A volume whose name really starts with `cinder:` is reached by its path.

use std::fmt;
use std::str::FromStr;

use crate::volume::{DomainUuid, GlobalId, PathMeaning, VolumeName, VolumeRef, path_meaning};

/// What Cinder's volumes start with where `SP_OPENSTACK_VOLUME_PREFIX` is not set.
pub const CINDER_PREFIX: &str = "os";
/// What an operand of Cinder's starts with.
const CINDER: &str = "cinder:";

/// A volume as it was named on a command line. `Display` gives a form that [`FromStr`] reads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// By name, by global id or by a path that carries one of them.
    Volume(VolumeRef),
    /// By the UUID that Cinder gave it.
    Cinder(DomainUuid),
}

/// Why a word names no volume. `Display` is one line that says what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperandError {
    /// `~` and then something else.
    #[error("what follows ~ is not a global id: one is like ~abc.d.1e2")]
    GlobalId,
    /// A path, but not of a device link of StorPool's.
    #[error("not a StorPool device: the paths are /dev/storpool/NAME and /dev/storpool-byid/GLOBALID")]
    Path,
    /// `cinder:` and then something else.
    #[error("what follows cinder: is not a UUID; a volume of that very name is /dev/storpool/NAME")]
    Cinder,
    /// Nothing StorPool could call a volume.
    #[error("StorPool calls no volume so: NAME, ~GLOBALID, a /dev/storpool path or cinder:UUID is expected")]
    Name,
}

impl Operand {
    /// The volume, where Cinder's volumes are called `PREFIX--volume-UUID`. `None` when that makes no legal name.
    #[must_use]
    pub fn volume(&self, prefix: &str) -> Option<VolumeRef> {
        match self {
            Self::Volume(volume) => Some(volume.clone()),
            Self::Cinder(uuid) => {
                VolumeName::parse(&format!("{prefix}--volume-{}", uuid.as_str())).map(VolumeRef::Name)
            }
        }
    }
}

impl FromStr for Operand {
    type Err = OperandError;

    fn from_str(text: &str) -> Result<Self, OperandError> {
        if let Some(id) = text.strip_prefix('~') {
            let id = GlobalId::parse(id).ok_or(OperandError::GlobalId)?;
            return Ok(Self::Volume(VolumeRef::Id(id)));
        }
        if let Some(uuid) = text.strip_prefix(CINDER) {
            return DomainUuid::parse(uuid)
                .map(Self::Cinder)
                .ok_or(OperandError::Cinder);
        }
        if text.contains('/') {
            return match path_meaning(text) {
                PathMeaning::Volume(volume) => Ok(Self::Volume(volume)),
                PathMeaning::NotAVolume | PathMeaning::Foreign => Err(OperandError::Path),
            };
        }
        let name = VolumeName::parse(text).ok_or(OperandError::Name)?;
        Ok(Self::Volume(VolumeRef::Name(name)))
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(VolumeRef::Name(name)) if name.as_str().starts_with(CINDER) => {
                write!(f, "{}", VolumeRef::Name(name.clone()).link().display())
            }
            Self::Volume(volume) => volume.fmt(f),
            Self::Cinder(uuid) => write!(f, "{CINDER}{uuid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0a0b0c0d-1111-2222-3333-444455556666";

    fn read(text: &str) -> Result<String, OperandError> {
        let operand: Operand = text.parse()?;
        assert_eq!(
            operand.to_string().parse::<Operand>().as_ref(),
            Ok(&operand),
            "{text}"
        );
        Ok(operand.volume(CINDER_PREFIX).unwrap().api())
    }

    #[test]
    fn a_volume_is_named_in_any_of_four_ways() {
        let cinder = format!("os--volume-{UUID}");
        for (text, volume) in [
            ("web1-root", "web1-root"),
            ("a.b.c", "a.b.c"), // a legal name, so it is one
            ("~a.b.c", "~a.b.c"),
            ("snap@1", "snap@1"),
            ("/dev/storpool/web1-root", "web1-root"),
            ("/dev/storpool-byid/a.b.c", "~a.b.c"),
            ("//dev/./storpool/web1-root/", "web1-root"),
            ("/dev/storpool/cinder:x", "cinder:x"),
            (&format!("cinder:{UUID}"), &cinder),
            (
                &format!("cinder:{}", UUID.to_uppercase().replace('-', "")),
                &cinder,
            ),
        ] {
            assert_eq!(read(text).as_deref(), Ok(volume), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for (text, why) in [
            ("~", OperandError::GlobalId),
            ("~web1", OperandError::GlobalId),
            ("~A.B.C", OperandError::GlobalId),
            ("cinder:", OperandError::Cinder),
            ("cinder:web1", OperandError::Cinder),
            ("/dev/sda", OperandError::Path),
            ("/dev/storpool", OperandError::Path),
            ("/dev/storpool/../sda", OperandError::Path),
            ("/dev/storpool-byid/~a.b.c", OperandError::Path),
            ("dev/storpool/a", OperandError::Path),
            ("./a", OperandError::Path),
            ("", OperandError::Name),
            ("list", OperandError::Name),
            ("#system", OperandError::Name),
            ("*gone", OperandError::Name),
            ("a b", OperandError::Name),
            ("a\n", OperandError::Name),
            (&"a".repeat(200), OperandError::Name),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn the_prefix_of_cinders_names_is_the_sites() {
        let operand: Operand = format!("cinder:{UUID}").parse().unwrap();
        let name = |prefix| operand.volume(prefix).map(|volume| volume.api());
        assert_eq!(name("pike"), Some(format!("pike--volume-{UUID}")));
        for prefix in ["\"os\"", "o s", "#os", &"a".repeat(200)] {
            assert_eq!(name(prefix), None, "{prefix}");
        }
    }
}
