// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Who stands in the way of a start, and what the person at the keyboard can do about it. Pure.

use std::fmt;

use crate::api::Clients;
use crate::volume::{ClientId, DomainUuid};

/// Longest domain name that is repeated in a command of ours: the whole message is one line.
const NAME_MAX: usize = 60;

/// Clients that have a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// Who.
    pub clients: Vec<ClientId>,
    /// Who of them is up, where StorPool was asked and knew.
    pub states: Clients,
    /// How a command line names the domain that was to start.
    pub domain: Option<String>,
}

impl From<Vec<ClientId>> for Holders {
    fn from(clients: Vec<ClientId>) -> Self {
        Self {
            clients,
            ..Self::default()
        }
    }
}

/// `client 3, which is down, and client 4, which is up`
impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, client) in self.clients.iter().enumerate() {
            match i {
                0 => {}
                _ if i + 1 == self.clients.len() => f.write_str(", and ")?,
                _ => f.write_str(", ")?,
            }
            write!(f, "client {client}, {}", state(&self.states, *client))?;
        }
        Ok(())
    }
}

impl Holders {
    /// `client 3`, `clients 3, 4 and 7`
    #[must_use]
    pub fn names(&self) -> String {
        let mut names: Vec<_> = self.clients.iter().map(ToString::to_string).collect();
        match (names.pop(), names.is_empty()) {
            (Some(last), false) => format!("clients {} and {last}", names.join(", ")),
            (last, _) => format!("client {}", last.unwrap_or_default()),
        }
    }

    /// The next commands, behind what the message already advises; nothing if the domain is not known.
    #[must_use]
    pub fn advice(&self) -> String {
        let Some(domain) = &self.domain else {
            return String::new();
        };
        let may_be_dead = |client: &&ClientId| self.states.get(client) != Some(&true);
        let dead = self.clients.iter().filter(may_be_dead);
        let fence = dead
            .map(|client| format!("; when the host of client {client} is dead: \"spvirt fence {client}\""));
        format!(
            "; see \"spvirt explain {domain}\"{}; to take it all the same: \"spvirt takeover {domain}\"",
            fence.collect::<String>()
        )
    }
}

/// What is known about a client, as a relative clause.
#[must_use]
pub fn state(states: &Clients, client: ClientId) -> &'static str {
    match states.get(&client) {
        Some(true) => "which is up",
        Some(false) => "which is down",
        None => "whose state is unknown",
    }
}

/// How a command line names a domain without quotes: by its name, if no shell and no terminal finds anything in it.
#[must_use]
pub fn handle(name: &str, uuid: &DomainUuid) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let digits = name.chars().all(|c| c.is_ascii_digit());
    if name.chars().all(plain) && !name.starts_with('-') && !digits && name.len() <= NAME_MAX {
        name.to_owned()
    } else {
        uuid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: u16) -> ClientId {
        ClientId::new(id).unwrap()
    }

    #[test]
    fn holders_are_listed_with_their_state() {
        let mut holders = Holders::from(vec![client(3), client(4), client(7)]);
        holders.states = [(client(3), false), (client(4), true)].into();
        assert_eq!(
            holders.to_string(),
            "client 3, which is down, client 4, which is up, and client 7, whose state is unknown"
        );
        assert_eq!(holders.names(), "clients 3, 4 and 7");
        assert_eq!(holders.advice(), "");
        holders.domain = Some("web1".into());
        assert_eq!(
            holders.advice(),
            "; see \"spvirt explain web1\"; when the host of client 3 is dead: \"spvirt fence 3\"; when the host of client 7 is dead: \"spvirt fence 7\"; to take it all the same: \"spvirt takeover web1\""
        );
        holders.clients.truncate(1);
        assert_eq!(holders.to_string(), "client 3, which is down");
        assert_eq!(holders.names(), "client 3");
    }

    #[test]
    fn a_name_that_a_shell_would_misread_is_left_to_the_uuid() {
        let uuid = DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap();
        assert_eq!(handle("web-1.x_y", &uuid), "web-1.x_y");
        let long = "a".repeat(61);
        // A number would be a domain's id to virsh.
        for odd in ["a b", "-rf", "$(x)", "a'b", "", "a\nb", "\u{e4}", "12", &long] {
            assert_eq!(handle(odd, &uuid), uuid.to_string(), "{odd:?}");
        }
    }
}
