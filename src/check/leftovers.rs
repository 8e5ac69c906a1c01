// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Volumes that are attached to this host although nobody uses them, and those that the host itself keeps open.

use super::{Finding, some_of};
use crate::claim::{Entry, Identity};
use crate::volume::{ClientId, GlobalId, VolumeName, VolumeRef};

const TOPIC: &str = "volumes";

/// One attachment of this host, and who is on its device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// Name of the volume or snapshot as StorPool lists it.
    pub name: String,
    /// Its global id.
    pub global_id: Option<GlobalId>,
    /// Whether it is a snapshot.
    pub snapshot: bool,
    /// A process that has its device open.
    pub opener: Option<String>,
    /// Devices of the host that sit on it (`/sys/block/X/holders`), each with what it calls itself:
    /// `dm-3 (vg0-root)`.
    pub holders: Vec<String>,
}

impl Attached {
    /// As the API and StorPool's own tools name it.
    fn shown(&self) -> String {
        let kind = if self.snapshot { "snapshot" } else { "volume" };
        format!("{kind} {}", self.name)
    }

    fn is_named_in(&self, entries: &[Entry]) -> bool {
        let id = self.global_id.clone();
        let by_name = VolumeName::parse(&self.name).map(VolumeRef::Name);
        let volume = by_name.or_else(|| id.clone().map(VolumeRef::Id));
        // An attachment that can be named in no way cannot be in a claim either.
        volume.is_some_and(|volume| {
            let identity = Identity {
                volume,
                global_id: id,
            };
            entries.iter().any(|entry| entry.names(&identity))
        })
    }
}

/// Judges the attachments of `me` beside the claims of this host.
#[must_use]
pub fn judge(me: ClientId, attached: &[Attached], entries: &[Entry]) -> Vec<Finding> {
    vec![unused(me, attached, entries), held(attached, entries)]
}

/// Attached by hand, or left by something else than us: what no claim names is never ours to detach.
fn unused(me: ClientId, attached: &[Attached], entries: &[Entry]) -> Finding {
    let finding = Finding::pass(
        TOPIC,
        format!("that what is attached is used ({})", attached.len()),
    );
    let idle = |volume: &&Attached| volume.opener.is_none() && volume.holders.is_empty();
    let unused: Vec<_> = attached
        .iter()
        .filter(idle)
        .filter(|volume| !volume.is_named_in(entries))
        .map(Attached::shown)
        .collect();
    if unused.is_empty() {
        return finding;
    }
    finding.warn(format!(
        "no claim names, and nobody has open: {}: if it is not needed, storpool detach volume NAME client {me}",
        some_of(&unused)
    ))
}

/// A device that sits on a guest's volume keeps it from ever being detached.
fn held(attached: &[Attached], entries: &[Entry]) -> Finding {
    let finding = Finding::pass(TOPIC, "that the host itself sits on no volume of a domain");
    let claimed = attached.iter().filter(|volume| volume.is_named_in(entries));
    let held: Vec<_> = claimed
        .filter(|volume| !volume.holders.is_empty())
        .map(|volume| format!("{} below {}", volume.shown(), volume.holders.join(", ")))
        .collect();
    if held.is_empty() {
        return finding;
    }
    finding.fail(format!(
        "it cannot be detached from under it: {}: vgchange --activate n, or multipath -f",
        some_of(&held)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Pass, Warn};
    use super::*;
    use crate::claim::{Claim, Held, Phase};
    use crate::volume::{Access, DomainUuid};

    fn volume(name: &str, id: &str) -> Attached {
        Attached {
            name: name.into(),
            global_id: GlobalId::parse(id),
            ..Attached::default()
        }
    }

    /// A claim that names `a.b.1` by its id and `named` by its name.
    fn entries() -> Vec<Entry> {
        let held = |volume, global_id| Held {
            volume,
            snapshot: false,
            global_id,
            access: Access::Rw,
            shareable: false,
            before: None,
            disk: "vda".into(),
        };
        vec![Entry::Claim(Claim {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            domain: "web1".into(),
            client: ClientId::new(5).unwrap(),
            boot: "now".into(),
            made: 0,
            daemon: None,
            phase: Phase::Live,
            unsure: false,
            volumes: vec![
                held(VolumeRef::Id(GlobalId::parse("a.b.1").unwrap()), None),
                held(VolumeRef::Name(VolumeName::parse("named").unwrap()), None),
            ],
        })]
    }

    fn judged(attached: &[Attached]) -> Vec<Finding> {
        judge(ClientId::new(5).unwrap(), attached, &entries())
    }

    #[test]
    fn what_is_claimed_or_open_is_used() {
        let open = Attached {
            opener: Some("process 7, dd".into()),
            ..volume("backup", "a.b.3")
        };
        let below = Attached {
            holders: vec!["dm-0 (vg-lv)".into()],
            ..volume("hosts-own", "a.b.4")
        };
        let used = [volume("renamed", "a.b.1"), volume("named", "a.b.2"), open, below];
        assert!(
            judged(&used).iter().all(|finding| finding.verdict == Pass),
            "{:?}",
            judged(&used)
        );
    }

    #[test]
    fn what_nobody_uses_is_told() {
        let mut snapshot = volume("base@1", "a.b.9");
        snapshot.snapshot = true;
        let found = judged(&[volume("old", "a.b.8"), volume("~a.b.7", "a.b.7"), snapshot]);
        assert_eq!(found[0].verdict, Warn);
        assert!(
            found[0]
                .advice
                .contains("volume old, volume ~a.b.7, snapshot base@1: if it is not needed"),
            "{found:?}"
        );
    }

    #[test]
    fn a_host_that_sits_on_a_guests_volume_is_told() {
        let held = Attached {
            holders: vec!["dm-3 (vg0-root)".into()],
            ..volume("named", "a.b.2")
        };
        let found = judged(&[held]);
        assert_eq!((found[0].verdict, found[1].verdict), (Pass, Fail));
        assert!(
            found[1].advice.contains("volume named below dm-3 (vg0-root)"),
            "{found:?}"
        );
    }
}
