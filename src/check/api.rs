// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! StorPool: does it answer, does it know this host, is there room for more attachments?

use super::Finding;
use crate::api::{ApiError, Clients, Listing};
use crate::volume::ClientId;

const TOPIC: &str = "storpool";
/// Attachments a client may have.
const ATTACHMENTS_MAX: usize = 1024;
/// From here on somebody should know.
const ATTACHMENTS_MANY: usize = ATTACHMENTS_MAX * 9 / 10 + 1;

/// Judges what StorPool answered to `me`: who runs, and what is attached. Only one of two errors is told when both
/// calls failed: they are nearly always the same.
#[must_use]
pub fn judge(
    me: ClientId,
    clients: &Result<Clients, ApiError>,
    listing: &Result<Listing, ApiError>,
) -> Vec<Finding> {
    let answers = Finding::pass(TOPIC, "that StorPool answers and accepts the token");
    let (clients, listing) = match (clients, listing) {
        (Ok(clients), Ok(listing)) => (clients, listing),
        (Err(error), _) | (_, Err(error)) => return vec![answers.fail(error.to_string())],
    };
    vec![answers, running(me, clients), ids(listing), room(listing)]
}

fn running(me: ClientId, clients: &Clients) -> Finding {
    let finding = Finding::pass(TOPIC, format!("that client {me}, this host, is running"));
    match clients.get(&me) {
        Some(true) => finding,
        Some(false) => finding.fail("StorPool says that it is down: systemctl status storpool_block"),
        None => finding.fail(
            "StorPool knows no such client: is SP_OURID right, and has storpool_block ever run on this host?",
        ),
    }
}

fn ids(listing: &Listing) -> Finding {
    let finding = Finding::pass(TOPIC, "that StorPool tells global ids");
    if listing.lacks_ids {
        finding.fail("it lists attachments without them: it is too old, and domains with volumes are refused")
    } else {
        finding
    }
}

fn room(listing: &Listing) -> Finding {
    let used = listing.mine;
    let finding = Finding::pass(
        TOPIC,
        format!("for room for more attachments ({used} of {ATTACHMENTS_MAX} used)"),
    );
    match used {
        ATTACHMENTS_MAX.. => finding.fail("there is none: detach what this host does not need"),
        ATTACHMENTS_MANY.. => finding.warn("it will soon be full: detach what this host does not need"),
        _ => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::Verdict::{Fail, Pass, Warn};
    use super::*;

    fn verdicts(clients: &[(u16, bool)], mine: usize, lacks_ids: bool) -> Vec<Verdict> {
        let id = |id| ClientId::new(id).unwrap();
        let clients = clients.iter().map(|(client, up)| (id(*client), *up)).collect();
        let listing = Listing {
            mine,
            lacks_ids,
            ..Listing::default()
        };
        let findings = judge(id(5), &Ok(clients), &Ok(listing));
        findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_good_answer_passes() {
        assert_eq!(verdicts(&[(5, true), (6, false)], 921, false), [Pass; 4]);
    }

    #[test]
    fn each_trouble_is_told() {
        assert_eq!(verdicts(&[(5, false)], 0, false)[1], Fail, "down");
        assert_eq!(verdicts(&[(6, true)], 0, false)[1], Fail, "unknown");
        assert_eq!(verdicts(&[(5, true)], 0, true)[2], Fail, "too old");
        assert_eq!(verdicts(&[(5, true)], 1000, false)[3], Warn);
        assert_eq!(verdicts(&[(5, true)], 1024, false)[3], Fail);
    }

    #[test]
    fn an_error_is_told_once() {
        let error = || ApiError::Unauthorized {
            address: "a:81".into(),
            status: 403,
        };
        let me = ClientId::new(5).unwrap();
        for (clients, listing) in [
            (Err(error()), Err(error())),
            (Ok(Clients::new()), Err(error())),
            (Err(error()), Ok(Listing::default())),
        ] {
            let findings = judge(me, &clients, &listing);
            assert_eq!(findings.len(), 1);
            assert_eq!(findings[0].verdict, Fail);
            assert!(findings[0].advice.contains("check SP_AUTH_TOKEN"));
        }
    }
}
