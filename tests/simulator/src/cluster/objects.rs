// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Finding volumes, snapshots and templates by what a caller calls them.

use super::names::{is_global_id, is_snapshot_name, is_volume_name};
use super::{ApiError, Cluster, Object, Template};

impl Object {
    /// Its name, or `~globalId` where it has none.
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            format!("~{}", self.gid)
        } else {
            self.name.clone()
        }
    }

    /// Whether `reference` (a name or `~globalId`) means this object.
    fn is_called(&self, reference: &str) -> bool {
        match reference.strip_prefix('~') {
            Some(gid) => self.gid == gid,
            None => self.name == reference,
        }
    }
}

impl Cluster {
    fn find(&self, reference: &str, snapshot: bool) -> Option<&Object> {
        self.objects
            .values()
            .find(|o| o.snapshot.is_some() == snapshot && o.is_called(reference))
    }

    /// The volume called `reference`.
    pub fn volume(&self, reference: &str) -> Result<&Object, ApiError> {
        let well_formed = reference
            .strip_prefix('~')
            .map_or_else(|| is_volume_name(reference), is_global_id);
        if !well_formed {
            return Err(ApiError::invalid(format!("'{reference}' is not a volume name")));
        }
        self.find(reference, false)
            .ok_or_else(|| ApiError::missing("Volume", reference))
    }

    /// The snapshot called `reference`.
    pub fn snapshot(&self, reference: &str) -> Result<&Object, ApiError> {
        let well_formed = reference
            .strip_prefix('~')
            .map_or_else(|| is_snapshot_name(reference), is_global_id);
        if !well_formed {
            return Err(ApiError::invalid(format!("'{reference}' is not a snapshot name")));
        }
        self.find(reference, true)
            .ok_or_else(|| ApiError::missing("Snapshot", reference))
    }

    /// The template `name`.
    pub fn template(&self, name: &str) -> Result<&Template, ApiError> {
        if !super::names::is_template_name(name) {
            return Err(ApiError::invalid(format!("'{name}' is not a template name")));
        }
        self.templates
            .get(name)
            .ok_or_else(|| ApiError::missing("Template", name))
    }

    /// Checks that `name` may be given to a new or renamed object.
    pub fn check_free(&self, name: &str) -> Result<(), ApiError> {
        if !is_volume_name(name) {
            return Err(ApiError::invalid(format!(
                "'{name}' is not a name for a volume or snapshot"
            )));
        }
        if self.objects.values().any(|o| o.name == name) {
            return Err(ApiError::new(
                "objectExists",
                format!("An object named '{name}' exists already"),
            ));
        }
        Ok(())
    }

    /// Checks tags.
    pub fn check_tags(tags: &super::requests::Tags) -> Result<(), ApiError> {
        for (name, value) in tags {
            if !super::names::is_tag_name(name) || !super::names::is_tag_value(value) {
                return Err(ApiError::invalid(format!("'{name}'='{value}' is not a tag")));
            }
        }
        Ok(())
    }

    /// Sets tags; an empty value removes one.
    pub fn merge_tags(into: &mut super::requests::Tags, tags: super::requests::Tags) {
        for (name, value) in tags {
            if value.is_empty() {
                into.remove(&name);
            } else {
                into.insert(name, value);
            }
        }
    }
}
