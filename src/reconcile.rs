// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What to do about a claim that no hook is working on. Pure.

use crate::claim::{Claim, Phase};
use crate::volume::ClientId;

/// What libvirt says about a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainState {
    /// It has a QEMU: running, paused, anything.
    Active,
    /// It has none, or libvirt does not know it.
    Inactive,
    /// libvirt did not answer, with what it said or that it said nothing.
    Unknown(String),
}

/// What to do about one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is as it should be.
    Keep,
    /// Finish the release that a crash, a lost hook call or a busy device left open.
    Finish,
    /// Nothing now, for this reason: the next run may know more.
    Skip(String),
    /// Nothing ever, a person has to look: for this reason.
    Report(String),
}

/// Decides. No QEMU of an earlier boot can be alive, so such a claim is finished even if libvirt is silent; a
/// running domain is never touched, whatever its claim says.
#[must_use]
pub fn decide(claim: &Claim, me: ClientId, boot: &str, state: &DomainState) -> Action {
    if claim.client != me {
        let theirs = claim.client;
        return Action::Report(format!(
            "made when this host was client {theirs}, now it is client {me}: detach its volumes from client {theirs} by hand, then remove the claim"
        ));
    }
    match state {
        DomainState::Inactive => Action::Finish,
        DomainState::Unknown(_) if claim.boot != boot => Action::Finish,
        DomainState::Unknown(why) => Action::Skip(why.clone()),
        DomainState::Active if claim.phase == Phase::Live => Action::Keep,
        DomainState::Active => Action::Report(
            "the domain runs, but its claim was never completed or is being released".to_owned(),
        ),
    }
}

/// Whether the claim may go now that its volumes are detached. One with an attach of unknown outcome must have
/// been seen *releasing* before: the server may apply that attach long after its reply timed out.
#[must_use]
pub fn may_go(before: &Claim) -> bool {
    !before.unsure || before.phase == Phase::Releasing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::DomainUuid;

    fn claim(phase: Phase, boot: &str) -> Claim {
        Claim {
            uuid: DomainUuid::parse("0a0b0c0d-1111-2222-3333-444455556666").unwrap(),
            domain: "d".into(),
            client: ClientId::new(5).unwrap(),
            boot: boot.into(),
            made: 0,
            daemon: None,
            phase,
            unsure: false,
            volumes: vec![],
        }
    }

    #[test]
    fn only_what_cannot_run_is_released() {
        let me = ClientId::new(5).unwrap();
        let unknown = DomainState::Unknown("silent".into());
        for phase in [Phase::Acquiring, Phase::Live, Phase::Releasing] {
            let (now, earlier) = (claim(phase, "now"), claim(phase, "earlier"));
            assert_eq!(decide(&now, me, "now", &DomainState::Inactive), Action::Finish);
            assert_eq!(decide(&now, me, "now", &unknown), Action::Skip("silent".into()));
            assert_eq!(decide(&earlier, me, "now", &unknown), Action::Finish);
            assert_ne!(decide(&now, me, "now", &DomainState::Active), Action::Finish);
            assert_ne!(decide(&earlier, me, "now", &DomainState::Active), Action::Finish);
            let other = ClientId::new(6).unwrap();
            assert!(matches!(
                decide(&earlier, other, "now", &DomainState::Inactive),
                Action::Report(_)
            ));
        }
        assert_eq!(
            decide(&claim(Phase::Live, "now"), me, "now", &DomainState::Active),
            Action::Keep
        );
    }

    #[test]
    fn an_attach_of_unknown_outcome_is_looked_at_twice() {
        let unsure = |phase| Claim {
            unsure: true,
            ..claim(phase, "now")
        };
        assert!(!may_go(&unsure(Phase::Acquiring)));
        assert!(!may_go(&unsure(Phase::Live)));
        assert!(may_go(&unsure(Phase::Releasing)));
        assert!(may_go(&claim(Phase::Live, "now")));
    }
}
