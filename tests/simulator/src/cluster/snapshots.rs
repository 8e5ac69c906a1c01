// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Snapshots: taken, changed, deleted (which takes a while), collected when nobody needs them.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use super::requests::{GroupSnapshot, SnapshotUpdate, VolumeRevert, VolumeSnapshot};
use super::volumes::Made;
use super::{ApiError, Cluster, Object, Snapshot};

/// How long a deleted snapshot stays listed, in ms.
const LINGER_MS: u64 = 300;

/// Unix time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u64);

impl Now {
    /// The time.
    pub fn read() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    /// In seconds.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl Cluster {
    /// `VolumeSnapshot`
    pub fn volume_snapshot(
        &mut self,
        reference: &str,
        request: &VolumeSnapshot,
        now: Now,
    ) -> Result<Made, ApiError> {
        let volume = self.volume(reference)?.id;
        if let Some(name) = &request.name {
            self.check_free(name)?;
        }
        Self::check_tags(request.tags.as_ref().unwrap_or(&super::requests::Tags::new()))?;
        let made = self.take(volume, request, now);
        self.bump(&BTreeSet::new());
        Ok(made)
    }

    /// `VolumesGroupSnapshot`: volumes and their snapshots.
    pub fn group_snapshot(
        &mut self,
        request: &GroupSnapshot,
        now: Now,
    ) -> Result<Vec<(u64, Made)>, ApiError> {
        if request.volumes.is_empty() {
            return Err(ApiError::invalid("volumes is empty"));
        }
        let mut volumes = Vec::new();
        let mut names = BTreeSet::new();
        for member in &request.volumes {
            volumes.push(self.volume(&member.volume)?.id);
            if let Some(name) = &member.name {
                self.check_free(name)?;
                if !names.insert(name) {
                    return Err(ApiError::new(
                        "objectExists",
                        format!("'{name}' is asked for twice"),
                    ));
                }
            }
            for tags in member.tags.iter().chain(&request.tags) {
                Self::check_tags(tags)?;
            }
        }
        let mut made = Vec::new();
        for (volume, member) in volumes.into_iter().zip(&request.volumes) {
            let mut tags = request.tags.clone().unwrap_or_default();
            tags.extend(member.tags.clone().unwrap_or_default());
            let one = VolumeSnapshot {
                name: member.name.clone(),
                tags: Some(tags),
                ..VolumeSnapshot::default()
            };
            made.push((volume, self.take(volume, &one, now)));
        }
        self.bump(&BTreeSet::new());
        Ok(made)
    }

    /// Puts a snapshot between the volume and its parent.
    fn take(&mut self, volume: u64, request: &VolumeSnapshot, now: Now) -> Made {
        let (id, gid) = self.fresh();
        let Some(of) = self.objects.get_mut(&volume) else {
            return Made {
                id,
                copy_of: None,
                size: 0,
            };
        };
        let snapshot = Object {
            id,
            name: request.name.clone().unwrap_or_else(|| format!("@{id}")),
            gid,
            size: of.size,
            parent: of.parent.replace(id),
            template: of.template.clone(),
            created: now.seconds(),
            tags: request.tags.clone().unwrap_or_default(),
            policy: of.policy.clone(),
            snapshot: Some(Snapshot {
                of: Some(volume),
                auto_name: request.name.is_none(),
                bound: request.bind == Some(true),
                delete_at: request
                    .target_delete_date
                    .or(request.delete_after.map(|s| now.seconds().saturating_add(s))),
                ..Snapshot::default()
            }),
        };
        let size = snapshot.size;
        self.objects.insert(id, snapshot);
        Made {
            id,
            copy_of: Some(volume),
            size,
        }
    }

    /// `SnapshotUpdate`
    pub fn snapshot_update(
        &mut self,
        reference: &str,
        request: &SnapshotUpdate,
        now: Now,
    ) -> Result<u64, ApiError> {
        let snapshot = self.snapshot(reference)?;
        let id = snapshot.id;
        let policy = request.policy()?;
        if let Some(name) = request.rename.as_ref().filter(|name| **name != snapshot.name) {
            self.check_free(name)?;
        }
        if let Some(template) = &request.template {
            self.template(template)?;
        }
        if let Some(tags) = &request.tags {
            Self::check_tags(tags)?;
        }
        let holders = self.holders(id);
        if let Some(object) = self.objects.get_mut(&id) {
            if let Some(name) = &request.rename {
                object.name.clone_from(name);
            }
            if let Some(template) = &request.template {
                object.template.clone_from(template);
            }
            object.policy = object.policy.with(&policy);
            Self::merge_tags(&mut object.tags, request.tags.clone().unwrap_or_default());
            if let Some(snapshot) = &mut object.snapshot {
                snapshot.auto_name &= request.rename.is_none();
                snapshot.bound = request.bind.unwrap_or(snapshot.bound);
                let date = request
                    .target_delete_date
                    .or(request.delete_after.map(|s| now.seconds().saturating_add(s)));
                snapshot.delete_at = date.or(snapshot.delete_at);
            }
        }
        self.bump(&holders);
        Ok(id)
    }

    /// `SnapshotDelete`: the snapshot stays listed as `*name` for a while.
    pub fn snapshot_delete(&mut self, reference: &str, linger: bool, now: Now) -> Result<(), ApiError> {
        let id = self.snapshot(reference)?.id;
        if let Some(client) = self.holders(id).first() {
            return Err(ApiError::new(
                "busy",
                format!("'{}' is attached at client {client}", self.label(id)),
            ));
        }
        self.begin_delete(id, now.0 + if linger { LINGER_MS } else { 0 });
        self.bump(&BTreeSet::new());
        Ok(())
    }

    fn begin_delete(&mut self, id: u64, gone_at: u64) {
        if let Some(object) = self.objects.get_mut(&id)
            && let Some(snapshot) = object.snapshot.as_mut().filter(|s| s.gone_at.is_none())
        {
            snapshot.gone_at = Some(gone_at);
            object.name = format!("*{}", object.name);
        }
    }

    /// `VolumeRevert`: returns the volume, the snapshot, and the volume's new size where it changes.
    pub fn volume_revert(
        &mut self,
        reference: &str,
        request: &VolumeRevert,
        attached_ok: bool,
    ) -> Result<(u64, u64, u64), ApiError> {
        let volume = self.volume(reference)?;
        let snapshot = self.snapshot(&request.to_snapshot)?;
        let (id, from) = (volume.id, snapshot.id);
        let size = if request.revert_size == Some(true) {
            snapshot.size
        } else {
            volume.size.max(snapshot.size)
        };
        let holders = self.holders(id);
        if let Some(client) = holders.first().filter(|_| !attached_ok) {
            return Err(ApiError::new(
                "busy",
                format!("'{}' is attached at client {client}", volume.label()),
            ));
        }
        if let Some(volume) = self.objects.get_mut(&id) {
            volume.size = size;
            volume.parent = Some(from);
        }
        self.bump(&holders);
        Ok((id, from, size))
    }

    /// Removes what is due: deleted snapshots, and bound ones without child or attachment. Returns them.
    pub fn collect(&mut self, now: Now) -> Vec<u64> {
        let expired = |o: &&Object| {
            o.snapshot
                .as_ref()
                .is_some_and(|s| s.delete_at.is_some_and(|t| t <= now.seconds()))
        };
        let expired: Vec<u64> = self.objects.values().filter(expired).map(|o| o.id).collect();
        for id in expired {
            if self.holders(id).is_empty() {
                self.begin_delete(id, now.0);
            }
        }
        let mut gone = Vec::new();
        let needed: BTreeSet<u64> = self.objects.values().filter_map(|o| o.parent).collect();
        for object in self.objects.values() {
            let Some(snapshot) = &object.snapshot else {
                continue;
            };
            let unneeded =
                snapshot.bound && !needed.contains(&object.id) && self.holders(object.id).is_empty();
            if unneeded || snapshot.gone_at.is_some_and(|t| t <= now.0) {
                gone.push(object.id);
            }
        }
        for id in &gone {
            self.remove(*id);
        }
        gone
    }
}
