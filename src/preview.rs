// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a start would do: the shipped decisions ([`plan::next`]) run over what the list will say after each of our
//! own requests, until they settle or refuse. Pure; [`crate::foresee`] makes the one real observation.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::{ATTACHMENTS_MAX, Attachment, Clients, Listing, Object, Reassign};
use crate::down::{self, GRACE};
use crate::plan::{self, Arrival, History, Step};
use crate::policy::Want;
use crate::refusal::Refusal;
use crate::volume::{ClientId, VolumeRef};

/// More steps than any start takes.
const STEPS_MAX: usize = 16;

/// What was seen before anything is done.
#[derive(Debug)]
pub struct Seen<'a> {
    /// This host's client.
    pub me: ClientId,
    /// How the domain would come here.
    pub arrival: Arrival,
    /// Its volumes, with their ids.
    pub wants: &'a [Want],
    /// What an earlier run of the domain has left to give back.
    pub earlier: Vec<Reassign>,
    /// What the start asks for first.
    pub attach: Vec<Reassign>,
    /// Who has the volumes.
    pub listing: Listing,
    /// Who is up; empty if that could not be asked.
    pub clients: Clients,
}

/// What would be done, and how it would end.
#[derive(Debug)]
pub struct Preview {
    /// One after the other.
    pub moves: Vec<Move>,
    /// Why the start is refused, if all goes as foreseen; `None`: the domain starts.
    pub refusal: Option<Refusal>,
}

/// One step.
#[derive(Debug, PartialEq, Eq)]
pub struct Move {
    /// What is done.
    pub act: Act,
    /// What must be so, which only the attempt tells; otherwise the start is refused.
    pub only_if: Option<String>,
}

/// What one step does.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// One request: all of it or nothing.
    Ask(Vec<Reassign>),
    /// Look again after this time: who has the volumes may be about to use them.
    Wait(Duration),
    /// Ask who is down, twice.
    AskWhoIsDown {
        /// Who has the volumes.
        rivals: BTreeSet<ClientId>,
        /// Who of them is down now.
        down: BTreeSet<ClientId>,
    },
}

impl Act {
    /// In words, a line for each volume. `name` says what a volume is called.
    #[must_use]
    pub fn words(&self, name: &dyn Fn(&VolumeRef) -> String) -> Vec<String> {
        match self {
            Self::Ask(items) => {
                let words = |item: &Reassign| item.words(&name(&item.object.volume));
                items.iter().map(words).collect()
            }
            Self::Wait(time) => vec![format!(
                "wait {} s and look again, because another host may be starting the domain",
                time.as_secs_f32()
            )],
            Self::AskWhoIsDown { rivals, down } => {
                let state = |client: &ClientId| {
                    let word = if down.contains(client) { "down" } else { "not down" };
                    format!("client {client} is {word} now")
                };
                let states: Vec<_> = rivals.iter().map(state).collect();
                vec![format!("ask who is down ({})", states.join(", "))]
            }
        }
    }
}

impl Preview {
    /// A start that is refused after these moves.
    #[must_use]
    pub fn refused(moves: Vec<Move>, refusal: Refusal) -> Self {
        Self {
            moves,
            refusal: Some(refusal),
        }
    }

    /// The requests, one after the other.
    #[must_use]
    pub fn requests(&self) -> Vec<Vec<Reassign>> {
        let asks = self.moves.iter().filter_map(|step| match &step.act {
            Act::Ask(items) => Some(items.clone()),
            _ => None,
        });
        asks.collect()
    }

    /// Whether the end depends on something that only the attempt tells.
    #[must_use]
    pub fn depends(&self) -> bool {
        self.refusal.is_none() && self.moves.iter().any(|step| step.only_if.is_some())
    }
}

/// What the release of an earlier run comes down to: a step of its own.
#[must_use]
pub fn giving_back(earlier: &[Reassign]) -> Vec<Move> {
    ask(earlier.to_vec()).into_iter().collect()
}

fn ask(items: Vec<Reassign>) -> Option<Move> {
    (!items.is_empty()).then_some(Move {
        act: Act::Ask(items),
        only_if: None,
    })
}

/// Runs the decisions to their end.
#[must_use]
pub fn start(seen: &Seen) -> Preview {
    let Seen { me, wants, .. } = *seen;
    let mut moves = giving_back(&seen.earlier);
    let mut listing = seen.listing.clone();
    apply(&mut listing, &seen.earlier);
    if let Some(refusal) = refused_by_storpool(seen, &listing) {
        moves.extend(ask(seen.attach.clone()));
        return Preview::refused(moves, refusal);
    }
    moves.extend(ask(seen.attach.clone()));
    // It asks by name where it knows no id yet; the list will tell it.
    let attach = seen.attach.iter().zip(wants).map(|(item, want)| Reassign {
        object: want.object(),
        ..item.clone()
    });
    apply(&mut listing, &attach.collect::<Vec<_>>());
    let mut history = History::default();
    for _ in 0..STEPS_MAX {
        match plan::next(wants, me, &listing, seen.arrival, &history) {
            Step::Settle(_) => {
                return Preview { moves, refusal: None };
            }
            Step::Refuse(refusal) => return Preview::refused(moves, refusal),
            Step::Wait(time) => {
                history.waited = true;
                moves.push(Move {
                    act: Act::Wait(time),
                    only_if: None,
                });
            }
            Step::AskWhoIsDown(rivals) => {
                let down = down::down(&seen.clients, &rivals);
                history.down = Some(down.clone());
                let act = Act::AskWhoIsDown { rivals, down };
                let only_if = still_down(&act);
                moves.push(Move { act, only_if });
            }
            Step::TakeOver(requests) => {
                history.rounds += 1;
                for items in requests {
                    apply(&mut listing, &items);
                    let only_if = not_open(&items, me);
                    moves.push(Move {
                        act: Act::Ask(items),
                        only_if,
                    });
                }
            }
            // After an attach that was carried out nothing is missing.
            Step::AttachAgain(lost) => {
                let lost = lost.first().and_then(|i| wants.get(*i)).or(wants.first());
                let refusal = lost.map_or(Refusal::OutOfTime, |want| Refusal::NotMine(want.used.clone()));
                return Preview::refused(moves, refusal);
            }
        }
    }
    Preview::refused(moves, Refusal::OutOfTime)
}

/// What StorPool will say to the attach, as far as the list and the services tell.
fn refused_by_storpool(seen: &Seen, listing: &Listing) -> Option<Refusal> {
    let new = plan::missing(seen.wants, seen.me, listing).len();
    if new == 0 {
        return None;
    }
    let client = seen.me;
    match seen.clients.get(&client) {
        Some(false) => Some(Refusal::ClientDown(client)),
        None if !seen.clients.is_empty() => Some(Refusal::UnknownClient(client)),
        _ if listing.mine + new > ATTACHMENTS_MAX => Some(Refusal::TooMany {
            client,
            count: listing.mine,
            why: format!("{new} more are needed"),
        }),
        _ => None,
    }
}

fn still_down(act: &Act) -> Option<String> {
    let Act::AskWhoIsDown { down, .. } = act else {
        return None;
    };
    let named: Vec<_> = down.iter().map(|client| format!("client {client}")).collect();
    (!named.is_empty()).then(|| {
        let verb = if named.len() == 1 { "is" } else { "are" };
        format!(
            "{} {verb} still down {} s later",
            named.join(" and "),
            GRACE.as_secs()
        )
    })
}

/// A polite detach from others works only if they do not have the volume open.
fn not_open(items: &[Reassign], me: ClientId) -> Option<String> {
    let others = |item: &Reassign| item.detach.clone().into_iter().filter(|client| *client != me);
    let polite: BTreeSet<_> = items
        .iter()
        .filter(|item| !item.force)
        .flat_map(others)
        .map(|client| format!("client {client}"))
        .collect();
    let polite: Vec<_> = polite.into_iter().collect();
    let many = polite.len() > 1;
    let verb = if many { "do not have" } else { "does not have" };
    let what = if items.len() > 1 { "any of it" } else { "it" };
    (!polite.is_empty()).then(|| format!("{} {verb} {what} open", polite.join(" and ")))
}

/// What the list will say after a request was carried out.
pub fn apply(listing: &mut Listing, items: &[Reassign]) {
    for item in items {
        let about = |line: &Attachment| is_about(line, &item.object);
        let known = listing.attachments.iter().find(|line| about(line)).cloned();
        listing
            .attachments
            .retain(|line| !(about(line) && item.detach.contains(&line.client)));
        let Some((client, rights)) = item.attach else {
            continue;
        };
        let mine = listing
            .attachments
            .iter_mut()
            .find(|line| about(line) && line.client == client);
        if let Some(line) = mine {
            line.rights = rights;
        } else {
            let global_id = match &item.object.volume {
                VolumeRef::Id(id) => Some(id.clone()),
                VolumeRef::Name(_) => known.as_ref().and_then(|line| line.global_id.clone()),
            };
            listing.attachments.push(Attachment {
                name: known.map_or_else(|| item.object.volume.api(), |line| line.name),
                global_id,
                snapshot: item.object.snapshot,
                client,
                rights,
            });
        }
    }
}

fn is_about(line: &Attachment, object: &Object) -> bool {
    let same = match &object.volume {
        VolumeRef::Name(name) => line.name == name.as_str(),
        VolumeRef::Id(id) => line.global_id.as_ref() == Some(id) || line.name == object.volume.api(),
    };
    same && line.snapshot == object.snapshot
}

/// Whether a list has a line about a want.
#[must_use]
pub fn is_listed(want: &Want, listing: &Listing) -> bool {
    let object = want.object();
    let mut lines = listing.attachments.iter();
    lines.any(|line| is_about(line, &object))
}

#[cfg(test)]
mod tests;
