// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Taking everything from a client whose host is dead, or will be shot. Pure but for [`fence`].

use std::collections::BTreeSet;

use crate::api::{ApiError, Attachment, Clients, Listing, Object, Reassign};
use crate::down;
use crate::execute::carry_out;
use crate::refusal::Refusal;
use crate::volume::{ClientId, VolumeName, VolumeRef};
use crate::world::World;

/// Why a client is not fenced.
#[derive(Debug, thiserror::Error)]
pub enum NotFenced {
    /// It is this host.
    #[error("client {0} is this host: it is never fenced from itself")]
    Ourselves(ClientId),
    /// The cluster has no such client.
    #[error("StorPool knows no client {0}: \"storpool service list\" shows which there are")]
    Unknown(ClientId),
    /// It lives.
    #[error(
        "client {0} is up: its guests would lose their disks. Shut its host down first; if it must be, say --even-if-up too"
    )]
    Up(ClientId),
    /// An object has neither a global id nor a name that can be written.
    #[error("{0:?} has no global id, and no name by which it could be detached")]
    Nameless(String),
    /// Who is up could not be found out.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// In time.
    #[error("the time is over (SPVIRT_DEADLINE)")]
    OutOfTime,
}

/// Makes sure that the client may be fenced: known, not this host, and down in two readings unless the operator says
/// that it does not matter.
pub fn check<W: World>(world: &W, client: ClientId, even_if_up: bool) -> Result<(), NotFenced> {
    if client == world.me() {
        return Err(NotFenced::Ourselves(client));
    }
    let clients = world.clients()?;
    judge(&clients, client, even_if_up)?;
    if even_if_up {
        return Ok(());
    }
    match down::twice(world, &BTreeSet::from([client])) {
        Ok(down) if down.contains(&client) => Ok(()),
        Ok(_) => Err(NotFenced::Up(client)),
        Err(Refusal::Api(error)) => Err(error.into()),
        Err(_) => Err(NotFenced::OutOfTime),
    }
}

/// By one reading.
fn judge(clients: &Clients, client: ClientId, even_if_up: bool) -> Result<(), NotFenced> {
    match clients.get(&client) {
        None => Err(NotFenced::Unknown(client)),
        Some(true) if !even_if_up => Err(NotFenced::Up(client)),
        Some(_) => Ok(()),
    }
}

/// One request that takes everything in `listing` from the client.
pub fn plan(listing: &Listing, client: ClientId) -> Result<Vec<Reassign>, NotFenced> {
    of(listing, client)
        .map(|line| {
            Ok(Reassign {
                object: object(line)?,
                attach: None,
                detach: vec![client],
                force: true,
            })
        })
        .collect()
}

/// What the client has.
pub fn of(listing: &Listing, client: ClientId) -> impl Iterator<Item = &Attachment> {
    let lines = listing.attachments.iter();
    lines.filter(move |line| line.client == client)
}

fn object(line: &Attachment) -> Result<Object, NotFenced> {
    let by_name = || VolumeName::parse(&line.name).map(VolumeRef::Name);
    let volume = line.global_id.clone().map(VolumeRef::Id).or_else(by_name);
    Ok(Object {
        volume: volume.ok_or_else(|| NotFenced::Nameless(line.name.clone()))?,
        snapshot: line.snapshot,
    })
}

/// Sends the plan. Whatever the answer is: what became of it is for the next list to say.
pub fn fence<W: World>(world: &W, plan: &[Reassign]) -> Result<(), ApiError> {
    if plan.is_empty() {
        return Ok(());
    }
    carry_out(world, plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Access, GlobalId};

    fn client(id: u16) -> ClientId {
        ClientId::new(id).unwrap()
    }

    #[test]
    fn only_a_known_client_that_is_down_or_given_up_is_fenced() {
        let clients: Clients = [(client(3), false), (client(4), true)].into();
        assert!(judge(&clients, client(3), false).is_ok());
        assert!(matches!(judge(&clients, client(4), false), Err(NotFenced::Up(_))));
        assert!(judge(&clients, client(4), true).is_ok());
        for twice in [false, true] {
            assert!(matches!(
                judge(&clients, client(5), twice),
                Err(NotFenced::Unknown(_))
            ));
        }
    }

    #[test]
    fn everything_of_the_client_goes_by_force_and_nothing_else() {
        let line = |name: &str, id: Option<&str>, snapshot, on| Attachment {
            name: name.into(),
            global_id: id.and_then(GlobalId::parse),
            snapshot,
            client: client(on),
            rights: Access::Rw,
        };
        let mut listing = Listing {
            attachments: vec![
                line("a", Some("d.n.1"), false, 3),
                line("a", Some("d.n.1"), false, 4),
                line("*gone", Some("d.n.2"), true, 3),
                line("old", None, false, 3),
            ],
            ..Listing::default()
        };
        let items = plan(&listing, client(3)).unwrap();
        let named: Vec<_> = items
            .iter()
            .map(|item| (item.object.volume.api(), item.object.snapshot))
            .collect();
        assert_eq!(
            named,
            [
                ("~d.n.1".into(), false),
                ("~d.n.2".into(), true),
                ("old".into(), false)
            ]
        );
        for item in items {
            assert_eq!(
                (item.attach, item.detach, item.force),
                (None, vec![client(3)], true)
            );
        }
        assert!(plan(&listing, client(5)).unwrap().is_empty());
        listing.attachments.push(line("#odd", None, false, 3));
        assert!(plan(&listing, client(3)).is_err());
    }
}
