// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Our own folders, and the claims in them.

use std::collections::BTreeSet;

use super::{FILE, FOLDER, Finding, Fix, LINK, Owned, some_of};
use crate::claim::{Claim, Entry, Phase};
use crate::persist::PathError;
use crate::volume::{ClientId, DomainUuid};

const TOPIC: &str = "state";

/// Judges owners and modes: only root may read and write there.
#[must_use]
pub fn folders(found: &[Owned]) -> Vec<Finding> {
    let finding = || Finding::pass(TOPIC, "that only root can reach the state of spvirt");
    let judge = |owned: &Owned| {
        let path = owned.path.display();
        let wanted = if owned.is(FOLDER) {
            0o700
        } else if owned.is(FILE) {
            0o600
        } else {
            let what = if owned.is(LINK) {
                "a link"
            } else {
                "neither a file nor a folder"
            };
            return Some(finding().fail(format!("{path} is {what}: see who made it, and remove it")));
        };
        if owned.uid != 0 {
            let uid = owned.uid;
            return Some(finding().fail(format!(
                "{path} belongs to user {uid}: see what is in it, then chown root {path}"
            )));
        }
        let open = owned.rights() & !wanted != 0;
        open.then(|| {
            let finding = finding().fail(format!("{path} is open to others: chmod {wanted:o} {path}"));
            finding.fixed_by(Fix::Mode(owned.path.clone(), wanted))
        })
    };
    let wrong: Vec<_> = found.iter().filter_map(judge).collect();
    if wrong.is_empty() { vec![finding()] } else { wrong }
}

/// What is thought of a state that cannot be looked at.
#[must_use]
pub fn unreadable(error: &PathError) -> Finding {
    Finding::pass(TOPIC, "that the state of spvirt can be read").fail(error.to_string())
}

/// Judges the claims, as far as they tell by themselves. `me` is unknown where the configuration cannot be read;
/// `busy` are the domains that a hook is working on right now.
#[must_use]
pub fn claims(
    entries: &[Entry],
    me: Option<ClientId>,
    boot: &str,
    busy: &BTreeSet<DomainUuid>,
) -> Vec<Finding> {
    let what = match entries.len() {
        1 => "the claims of domains (1)".to_owned(),
        count => format!("the claims of domains ({count})"),
    };
    let finding = || Finding::pass(TOPIC, &what);
    let mut findings = Vec::new();
    let mut stale = Vec::new();
    for entry in entries.iter().filter(|entry| !busy.contains(entry.uuid())) {
        match entry {
            Entry::Unreadable { uuid, why, .. } => findings.push(finding().fail(format!(
                "that of {uuid} cannot be read ({why}): the domain does not start until it is read or moved away"
            ))),
            Entry::Claim(claim) if me.is_some_and(|me| me != claim.client) => {
                let (domain, client) = (&claim.domain, claim.client);
                findings.push(finding().warn(format!(
                    "that of {domain} was made when this host was client {client}: detach its volumes from there by hand, then remove the claim"
                )));
            }
            Entry::Claim(claim) => stale.extend(state(claim, boot).map(|how| format!("{} ({how})", claim.domain))),
        }
    }
    if !stale.is_empty() {
        let advice = format!("unfinished: {}: spvirt reconcile", some_of(&stale));
        findings.push(finding().warn(advice));
    }
    if findings.is_empty() {
        findings.push(finding());
    }
    findings
}

/// Why nobody will finish a claim by itself.
fn state(claim: &Claim, boot: &str) -> Option<&'static str> {
    if claim.boot != boot {
        return Some("from before the last boot");
    }
    match claim.phase {
        Phase::Live => None,
        Phase::Acquiring => Some("its start was cut off"),
        Phase::Releasing => Some("not everything was detached"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Fail, Pass, Warn};
    use super::*;

    fn owned(path: &str, mode: u32, uid: u32) -> Owned {
        Owned {
            path: path.into(),
            mode,
            uid,
        }
    }

    #[test]
    fn only_what_is_closed_passes() {
        let good = [
            owned("/var/lib/spvirt", FOLDER | 0o700, 0),
            owned("/x.json", FILE | 0o400, 0),
        ];
        assert_eq!(folders(&good)[0].verdict, Pass);
        assert_eq!(folders(&[])[0].verdict, Pass, "nothing was started yet");
        for (wrong, fix) in [
            (owned("/d", FOLDER | 0o755, 0), Some(0o700)),
            (owned("/d", FOLDER | 0o1777, 0), Some(0o700)),
            (owned("/f", FILE | 0o644, 0), Some(0o600)),
            (owned("/d", FOLDER | 0o700, 5), None),
            (owned("/d", LINK | 0o777, 0), None),
            (owned("/d", 0o010_600, 0), None),
        ] {
            let found = folders(std::slice::from_ref(&wrong));
            assert_eq!(found[0].verdict, Fail, "{wrong:?}");
            assert_eq!(found[0].fix, fix.map(|mode| Fix::Mode(wrong.path.clone(), mode)));
        }
        let many = [owned("/a", FOLDER | 0o755, 0), owned("/b", FILE | 0o644, 0)];
        assert_eq!(folders(&many).len(), 2, "each has a repair of its own");
    }

    fn claim(phase: Phase, boot: &str, client: u16) -> Claim {
        Claim {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            domain: "web1".into(),
            client: ClientId::new(client).unwrap(),
            boot: boot.into(),
            made: 0,
            daemon: None,
            phase,
            unsure: false,
            volumes: vec![],
        }
    }

    fn judged(entry: Entry, busy: bool) -> (Verdict, String) {
        let busy = busy.then(|| entry.uuid().clone()).into_iter().collect();
        let found = claims(&[entry], ClientId::new(5), "now", &busy);
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].verdict, found[0].advice.clone())
    }

    #[test]
    fn a_claim_that_nobody_will_finish_is_seen() {
        for (phase, boot, client, verdict, advice) in [
            (Phase::Live, "now", 5, Pass, ""),
            (Phase::Acquiring, "now", 5, Warn, "its start was cut off"),
            (Phase::Releasing, "now", 5, Warn, "not everything was detached"),
            (Phase::Live, "earlier", 5, Warn, "from before the last boot"),
            (Phase::Live, "now", 6, Warn, "when this host was client 6"),
        ] {
            let found = judged(Entry::Claim(claim(phase, boot, client)), false);
            assert_eq!(found.0, verdict, "{phase:?} {boot} {client}");
            assert!(found.1.contains(advice), "{found:?}");
            let busy = judged(Entry::Claim(claim(phase, boot, client)), true);
            assert_eq!(busy.0, Pass, "a hook works on it");
        }
        let unreadable = Entry::Unreadable {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            why: "of a newer version".into(),
            bytes: vec![],
        };
        let found = judged(unreadable, false);
        assert_eq!(found.0, Fail);
        assert!(found.1.contains("of a newer version"), "{found:?}");
    }
}
