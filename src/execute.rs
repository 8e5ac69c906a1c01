// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The one place that changes attachments, for the hook and for every verb of the helper.

use crate::api::{ApiError, Reassign};
use crate::world::World;

/// Sends one change. Whatever takes a volume from another client is written into the log first, because the guest
/// there may lose its disk by it.
pub fn carry_out<W: World>(world: &W, items: &[Reassign]) -> Result<(), ApiError> {
    let me = world.me();
    for item in items {
        if item.detach.iter().any(|client| *client != me) {
            log::warn!("{item}");
        }
    }
    world.reassign(items)
}
