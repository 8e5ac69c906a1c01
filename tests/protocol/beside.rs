// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a call of ours knows beside its [`World`](spvirt::world::World): the XML it reads, and libvirt.

use std::sync::Arc;

use spvirt::api::{ApiError, Listing};
use spvirt::claim::lock::{Lock, LockError};
use spvirt::claim::{Claim, Phase};
use spvirt::reconcile::DomainState;
use spvirt::volume::{ClientId, DomainUuid};
use spvirt::world::{Stage, World as _};

use crate::calls::{Reconciles, Staged};
use crate::events::domain_of;
use crate::host::Life;
use crate::story::uuid;
use crate::world::{Call, Guard};

/// How long libvirt may think about a question.
const PATIENCE: u64 = 5000;

impl Staged for Call {
    fn stage(&self) -> Arc<crate::story::Stage> {
        Arc::clone(&self.engine.state().stage)
    }
    fn marks(&self) -> (Option<String>, bool) {
        let task = &self.engine.state().tasks[self.id];
        (task.nonce.clone(), task.resource)
    }
}

impl Reconciles for Call {
    fn libvirt_says(&self, uuid: &DomainUuid) -> DomainState {
        for attempt in 0..2 {
            let state = self.step(|state| {
                let it = &state.hosts[self.host].domains[domain_of(uuid).unwrap()];
                let answer = match it.life {
                    _ if state.hosts[self.host].daemon.is_none() => {
                        Some(DomainState::Unknown("no libvirt".into()))
                    }
                    Life::Preparing | Life::Launching | Life::Releasing => None,
                    _ if it.hook.is_some() => None,
                    Life::Running | Life::Paused | Life::Incoming => Some(DomainState::Active),
                    Life::Off | Life::Gone => Some(DomainState::Inactive),
                };
                self.tell(state, || format!("asks libvirt: {answer:?}"));
                answer
            });
            match state {
                Some(state) => return state,
                None if attempt == 0 => self.sleep(self.time().0 + PATIENCE),
                None => {}
            }
        }
        DomainState::Unknown("libvirt does not answer".into())
    }

    fn try_lock(&self, lock: &Lock) -> Result<Guard, LockError> {
        self.step(|state| self.take(state, lock))
    }

    fn looks_again(&self, claim: &Claim) {
        if claim.phase == Phase::Releasing {
            let mut state = self.engine.state();
            state.late_ones_come(self.host, domain_of(&claim.uuid).unwrap());
        }
    }

    fn fresh(&self) {
        let mut state = self.engine.state();
        state.tasks[self.id].began = state.clock;
        drop(state);
        self.enter(Stage::Release);
    }

    fn running(&self) -> Vec<DomainUuid> {
        self.step(|state| {
            let host = &state.hosts[self.host];
            let hangs = |it: &crate::host::Domain| {
                it.hook.is_some() || matches!(it.life, Life::Preparing | Life::Launching | Life::Releasing)
            };
            if host.daemon.is_none() || host.domains.iter().any(hangs) {
                return Vec::new();
            }
            let active = |life| matches!(life, Life::Running | Life::Paused | Life::Incoming);
            let domains = host.domains.iter().enumerate();
            domains
                .filter(|(_, it)| active(it.life))
                .map(|(domain, _)| uuid(domain))
                .collect()
        })
    }

    fn everything_of(&self, client: ClientId) -> Result<Listing, ApiError> {
        let me = u16::from(client);
        let (_, until) = self.time();
        self.ask(
            "AttachmentsList",
            until,
            |state| {
                let mut listing = state.cluster.list_all();
                listing.attachments.retain(|line| u16::from(line.client) == me);
                Ok(listing)
            },
            |_| false,
        )
    }
}
