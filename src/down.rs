// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Which clients are down, as far as that can be known: before anything is taken by force.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::Clients;
use crate::refusal::Refusal;
use crate::volume::ClientId;
use crate::world::World;

/// Between two readings of who is down: a restarting `storpool_block` is not a dead host.
pub const GRACE: Duration = Duration::from_secs(2);

/// Those of `suspects` that are down in two readings with a pause between them.
pub fn twice<W: World>(world: &W, suspects: &BTreeSet<ClientId>) -> Result<BTreeSet<ClientId>, Refusal> {
    let first = down(&world.clients()?, suspects);
    if first.is_empty() {
        return Ok(first);
    }
    if !world.pause(GRACE) {
        return Err(Refusal::OutOfTime);
    }
    let second = down(&world.clients()?, suspects);
    Ok(first.intersection(&second).copied().collect())
}

/// Those of `suspects` that are down by one reading. A client that `ServicesList` does not name is not known to be
/// down.
#[must_use]
pub fn down(clients: &Clients, suspects: &BTreeSet<ClientId>) -> BTreeSet<ClientId> {
    let is_down = |client: &ClientId| clients.get(client) == Some(&false);
    suspects.iter().copied().filter(is_down).collect()
}
