// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Making, changing and deleting volumes and templates. What has to happen to the backing files is said in
//! the result; doing it is the caller's part.

use std::collections::BTreeSet;

use super::requests::{OnAttached, TemplateCreate, TemplateUpdate, VolumeCreate, VolumeUpdate};
use super::snapshots::Now;
use super::{ApiError, Cluster, Object, Snapshot, Template};

/// What a new object is made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// The new object.
    pub id: u64,
    /// Object whose content it gets.
    pub copy_of: Option<u64>,
    /// Its size in bytes.
    pub size: u64,
}

impl Cluster {
    /// `VolumeCreate`. The second result is the transient snapshot of a clone.
    pub fn volume_create(
        &mut self,
        request: &VolumeCreate,
        now: Now,
    ) -> Result<(Made, Option<u64>), ApiError> {
        let policy = request.policy()?;
        if let Some(name) = &request.name {
            // CloudStack sends "" for a volume without a name.
            if !name.is_empty() {
                self.check_free(name)?;
            }
        }
        if let Some(tags) = &request.tags {
            Self::check_tags(tags)?;
        }
        let template = request
            .template
            .as_deref()
            .map(|name| self.template(name))
            .transpose()?
            .cloned();
        let parent_of_template = template
            .as_ref()
            .map(|t| t.parent.as_str())
            .filter(|p| !p.is_empty());
        let source = match (&request.parent, &request.base_on) {
            (Some(_), Some(_)) => return Err(ApiError::invalid("either parent or baseOn")),
            (Some(parent), None) => Some(self.snapshot(parent)?.clone()),
            (None, Some(base)) => Some(self.volume(base)?.clone()),
            (None, None) => parent_of_template.map(|p| self.snapshot(p)).transpose()?.cloned(),
        };
        let default = template
            .as_ref()
            .and_then(|t| t.size)
            .or(source.as_ref().map(|s| s.size));
        let size = request.size.map(|s| s.0).or(default);
        let size = size.ok_or_else(|| ApiError::invalid("size is needed"))?;
        if source.as_ref().is_some_and(|s| s.size > size) {
            return Err(ApiError::invalid(
                "the volume would be smaller than what it is made of",
            ));
        }
        let transient = request
            .base_on
            .is_some()
            .then(|| source.as_ref().map(|s| s.id))
            .flatten();
        let transient = transient.map(|volume| self.add_transient(volume, now));
        let (id, gid) = self.fresh();
        let inherited = template.map(|t| t.policy).unwrap_or_default();
        let object = Object {
            id,
            name: request.name.clone().unwrap_or_default(),
            gid,
            size,
            parent: transient.or_else(|| source.as_ref().map(|s| s.id)),
            template: request.template.clone().unwrap_or_default(),
            created: now.seconds(),
            tags: request
                .tags
                .clone()
                .unwrap_or_default()
                .into_iter()
                .filter(|(_, v)| !v.is_empty())
                .collect(),
            policy: inherited.with(&policy),
            snapshot: None,
        };
        self.objects.insert(id, object);
        self.bump(&BTreeSet::new());
        let copy_of = source.map(|s| s.id);
        Ok((Made { id, copy_of, size }, transient))
    }

    fn add_transient(&mut self, volume: u64, now: Now) -> u64 {
        let (id, gid) = self.fresh();
        let base = self.objects.get(&volume).cloned();
        let object = Object {
            id,
            name: format!("@{id}"),
            gid,
            size: base.as_ref().map_or(0, |b| b.size),
            parent: base.as_ref().and_then(|b| b.parent),
            template: base.as_ref().map(|b| b.template.clone()).unwrap_or_default(),
            created: now.seconds(),
            tags: super::requests::Tags::new(),
            policy: base.map(|b| b.policy).unwrap_or_default(),
            snapshot: Some(Snapshot {
                of: Some(volume),
                auto_name: true,
                bound: true,
                transient: true,
                ..Snapshot::default()
            }),
        };
        self.objects.insert(id, object);
        id
    }

    /// `VolumeUpdate`. Returns the volume and, where it changes, its new size.
    pub fn volume_update(
        &mut self,
        reference: &str,
        request: &VolumeUpdate,
    ) -> Result<(u64, Option<u64>), ApiError> {
        let volume = self.volume(reference)?;
        let (id, old) = (volume.id, volume.size);
        let policy = request.policy()?;
        if let Some(name) = request.rename.as_ref().filter(|name| **name != volume.name) {
            self.check_free(name)?;
        }
        if let Some(template) = &request.template {
            self.template(template)?;
        }
        if let Some(tags) = &request.tags {
            Self::check_tags(tags)?;
        }
        let size = match (request.size, request.size_add) {
            (Some(_), Some(_)) => return Err(ApiError::invalid("either size or sizeAdd")),
            (Some(size), None) => size.0,
            (None, Some(add)) => old
                .checked_add(add.0)
                .ok_or_else(|| ApiError::invalid("too large"))?,
            (None, None) => old,
        };
        if size < old && request.shrink_ok != Some(true) {
            return Err(ApiError::invalid(
                "the volume would shrink, and shrinkOk is not set",
            ));
        }
        let holders = self.holders(id);
        if let Some(volume) = self.objects.get_mut(&id) {
            if let Some(name) = &request.rename {
                volume.name.clone_from(name);
            }
            if let Some(template) = &request.template {
                volume.template.clone_from(template);
            }
            volume.size = size;
            volume.policy = volume.policy.with(&policy);
            Self::merge_tags(&mut volume.tags, request.tags.clone().unwrap_or_default());
        }
        self.bump(&holders);
        Ok((id, (size != old).then_some(size)))
    }

    /// Whether a delete may go on, and which clients it must detach first.
    pub fn delete_detaches(&self, id: u64, on_attached: OnAttached) -> Result<BTreeSet<u16>, ApiError> {
        let holders = self.holders(id);
        match holders.first() {
            Some(client) if on_attached == OnAttached::Fail => {
                let name = self.label(id);
                Err(ApiError::new(
                    "busy",
                    format!("'{name}' is attached at client {client}"),
                ))
            }
            _ => Ok(holders),
        }
    }

    /// Removes an object that is attached nowhere.
    pub fn remove(&mut self, id: u64) {
        self.objects.remove(&id);
        for object in self.objects.values_mut() {
            if object.parent == Some(id) {
                object.parent = None;
            }
            if let Some(snapshot) = object.snapshot.as_mut().filter(|s| s.of == Some(id)) {
                snapshot.of = None;
            }
        }
        self.bump(&BTreeSet::new());
    }

    /// `VolumeTemplateCreate`
    pub fn template_create(&mut self, request: &TemplateCreate) -> Result<(), ApiError> {
        let policy = request.policy()?;
        let name = request
            .name
            .as_deref()
            .ok_or_else(|| ApiError::invalid("name is needed"))?;
        if !super::names::is_template_name(name) {
            return Err(ApiError::invalid(format!("'{name}' is not a template name")));
        }
        if self.templates.contains_key(name) {
            return Err(ApiError::new(
                "objectExists",
                format!("Template '{name}' exists already"),
            ));
        }
        if let Some(parent) = &request.parent {
            self.snapshot(parent)?;
        }
        let (id, _) = self.fresh();
        let template = Template {
            id,
            size: request.size.map(|s| s.0),
            parent: request.parent.clone().unwrap_or_default(),
            policy,
        };
        self.templates.insert(name.to_owned(), template);
        self.bump(&BTreeSet::new());
        Ok(())
    }

    /// `VolumeTemplateUpdate`
    pub fn template_update(&mut self, name: &str, request: &TemplateUpdate) -> Result<(), ApiError> {
        let policy = request.policy()?;
        let mut template = self.template(name)?.clone();
        if let Some(parent) = &request.parent {
            self.snapshot(parent)?;
            template.parent.clone_from(parent);
        }
        template.size = request.size.map(|s| s.0).or(template.size);
        template.policy = template.policy.with(&policy);
        let new = request.rename.as_deref().unwrap_or(name);
        if !super::names::is_template_name(new) {
            return Err(ApiError::invalid(format!("'{new}' is not a template name")));
        }
        if new != name && self.templates.contains_key(new) {
            return Err(ApiError::new(
                "objectExists",
                format!("Template '{new}' exists already"),
            ));
        }
        self.templates.remove(name);
        for object in self.objects.values_mut().filter(|o| o.template == name) {
            new.clone_into(&mut object.template);
            if request.propagate == Some(true) {
                object.policy = object.policy.with(&policy);
            }
        }
        self.templates.insert(new.to_owned(), template);
        self.bump(&BTreeSet::new());
        Ok(())
    }

    /// `VolumeTemplateDelete`
    pub fn template_delete(&mut self, name: &str) -> Result<(), ApiError> {
        self.template(name)?;
        if self.objects.values().any(|o| o.template == name) {
            return Err(ApiError::new("busy", format!("Template '{name}' is in use")));
        }
        self.templates.remove(name);
        self.bump(&BTreeSet::new());
        Ok(())
    }
}
