// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a domain wants of StorPool, and whether that is ours to give. Pure.

use std::collections::BTreeMap;

use crate::config::{Domains, Settings, Takeover};
use crate::domain::{Domain, Source, StartupPolicy};
use crate::refusal::{Refusal, Use};
use crate::volume::{Access, GlobalId, PathMeaning, VolumeRef};

/// One volume a domain needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Where the domain uses it.
    pub used: Use,
    /// A snapshot. Unknown (false) until StorPool was asked.
    pub snapshot: bool,
    /// The strongest access any of the domain's disks needs.
    pub access: Access,
    /// `<shareable/>`: the domain copes with other writers.
    pub shareable: bool,
    /// libvirt may drop the disk when its source is missing, so a missing volume is libvirt's decision.
    pub optional: bool,
    /// Its global id, once known.
    pub global_id: Option<GlobalId>,
}

/// Whether the volumes of `domain` are ours to attach: not if another stack does it, not if the domain's own
/// metadata says no, not if the site wants to be asked first.
pub fn is_ours(domain: &Domain, settings: &Settings) -> Result<bool, Refusal> {
    match (domain.settings.manage.as_deref(), settings.domains) {
        (Some("yes"), _) | (None, Domains::All) => Ok(true),
        (Some("no"), _) | (None, Domains::OptIn) => Ok(false),
        (None, Domains::Auto) => Ok(domain.manager.is_none()),
        (Some(other), _) => Err(Refusal::Metadata {
            attribute: "manage",
            value: other.to_owned(),
            allowed: "it may be \"yes\" or \"no\"",
        }),
    }
}

/// The takeover policy for `domain`: its own metadata, else the host's.
pub fn takeover(domain: &Domain, settings: &Settings) -> Result<Takeover, Refusal> {
    let Some(own) = &domain.settings.takeover else {
        return Ok(settings.takeover);
    };
    Takeover::parse(own).ok_or_else(|| Refusal::Metadata {
        attribute: "takeover",
        value: own.clone(),
        allowed: "it may be \"never\", \"safe\" or \"always\"",
    })
}

/// The volumes a domain names, each once. `followed` says what paths outside the StorPool folders turned out
/// to lead to.
pub fn wants(domain: &Domain, followed: &BTreeMap<String, VolumeRef>) -> Result<Vec<Want>, Refusal> {
    let mut wants = Vec::new();
    for source in &domain.sources {
        let volume = match source.meaning() {
            PathMeaning::Volume(volume) => Some(volume),
            PathMeaning::NotAVolume => None,
            PathMeaning::Foreign => followed.get(&source.path).cloned(),
        };
        wants.extend(volume.map(|volume| want(source, volume)));
    }
    merged(wants)
}

fn want(source: &Source, volume: VolumeRef) -> Want {
    Want {
        used: Use {
            volume,
            disk: source.label().to_owned(),
            path: source.path.clone(),
        },
        snapshot: false,
        access: source.access,
        shareable: source.shareable,
        optional: source.startup != StartupPolicy::Mandatory,
        global_id: None,
    }
}

/// One entry per volume: a volume named twice is one volume, and the strongest access wins. The order stays.
pub fn merged(wants: Vec<Want>) -> Result<Vec<Want>, Refusal> {
    let mut unique: Vec<Want> = Vec::new();
    for want in wants {
        match unique.iter_mut().find(|other| other.is_same(&want)) {
            None => unique.push(want),
            Some(first) => first.absorb(want)?,
        }
    }
    Ok(unique)
}

impl Want {
    fn is_same(&self, other: &Self) -> bool {
        let ids = self.global_id.as_ref().zip(other.global_id.as_ref());
        self.used.volume == other.used.volume || ids.is_some_and(|(a, b)| a == b)
    }

    fn absorb(&mut self, other: Self) -> Result<(), Refusal> {
        let both_write = self.access == Access::Rw && other.access == Access::Rw;
        if both_write && self.shareable != other.shareable {
            return Err(Refusal::Contradiction {
                first: self.used.clone(),
                second: other.used,
            });
        }
        // A reader does not say who else may write.
        if other.access > self.access {
            self.shareable = other.shareable;
            self.used = other.used;
        }
        self.access = self.access.max(other.access);
        self.optional &= other.optional;
        self.snapshot |= other.snapshot;
        self.global_id = self.global_id.take().or(other.global_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Manager, Settings as Own, scan};

    fn domain(disks: &str) -> Domain {
        scan(format!("<domain><name>d</name><devices>{disks}</devices></domain>").as_bytes()).unwrap()
    }

    fn disk(path: &str, more: &str) -> String {
        format!("<disk type='block'><source dev='{path}'/><target dev='vda'/>{more}</disk>")
    }

    fn summary(disks: &str) -> Vec<(String, Access, bool)> {
        let wants = wants(&domain(disks), &BTreeMap::new()).unwrap();
        wants
            .into_iter()
            .map(|w| (w.used.volume.api(), w.access, w.shareable))
            .collect()
    }

    #[test]
    fn a_volume_named_twice_is_one_with_the_strongest_access() {
        let disks = [
            disk("/dev/storpool/a", "<readonly/>"),
            disk("/dev/storpool/b", "<shareable/>"),
            disk("/dev/storpool//a", ""),
            disk("/dev/sda", ""),
        ];
        assert_eq!(
            summary(&disks.concat()),
            [("a".into(), Access::Rw, false), ("b".into(), Access::Rw, true)]
        );
    }

    #[test]
    fn two_writers_of_one_domain_must_agree_on_sharing() {
        let disks = disk("/dev/storpool/a", "") + &disk("/dev/storpool/a", "<shareable/>");
        let error = wants(&domain(&disks), &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("<shareable/>"), "{error}");
    }

    #[test]
    fn other_managers_are_left_alone_unless_told() {
        let mut settings = Settings::default();
        let mut domain = Domain {
            manager: Some(Manager::Nova),
            ..Domain::default()
        };
        assert!(!is_ours(&domain, &settings).unwrap());
        settings.domains = Domains::All;
        assert!(is_ours(&domain, &settings).unwrap());
        settings.domains = Domains::OptIn;
        assert!(!is_ours(&domain, &settings).unwrap());
        domain.settings = Own {
            manage: Some("yes".into()),
            ..Own::default()
        };
        assert!(is_ours(&domain, &settings).unwrap());
        domain.settings.manage = Some("maybe".into());
        assert!(
            is_ours(&domain, &settings)
                .unwrap_err()
                .to_string()
                .contains("manage=\"maybe\"")
        );
    }

    #[test]
    fn a_domain_may_have_its_own_takeover_policy() {
        let mut domain = Domain::default();
        let settings = Settings::default();
        assert_eq!(takeover(&domain, &settings).unwrap(), Takeover::Safe);
        domain.settings.takeover = Some("never".into());
        assert_eq!(takeover(&domain, &settings).unwrap(), Takeover::Never);
        domain.settings.takeover = Some("please".into());
        assert!(takeover(&domain, &settings).is_err());
    }
}
