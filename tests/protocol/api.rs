// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A request to the simulated cluster, with everything that can go wrong on the way.

use spvirt::api::{ApiError, Fault, Reassign};

use crate::events::never_late;
use crate::state::State;
use crate::story::What;
use crate::world::Call;

/// What became of a request.
enum Answer<T> {
    /// It was answered.
    Now(Result<T, ApiError>),
    /// Nobody is there, or the answer got lost: the client tries again after a pause, if there is time.
    Again(ApiError),
    /// There is no answer until the time is over.
    Never,
    /// It waits for the client of this host.
    Waits(T),
}

impl Call {
    /// A request, which takes until `until` at most.
    pub fn ask<T>(
        &self,
        call: &'static str,
        until: u64,
        serve: impl Fn(&mut State) -> Result<T, Fault>,
        waits: impl Fn(&State) -> bool,
    ) -> Result<T, ApiError> {
        loop {
            match self.step(|state| self.answer(state, call, &serve, &waits)) {
                Answer::Now(answer) => return answer,
                Answer::Again(error) => {
                    let (now, _) = self.time();
                    if now >= until {
                        return Err(error);
                    }
                    self.sleep(until.min(now + 2000));
                }
                Answer::Never => {
                    self.sleep(until);
                    return Err(timeout(call));
                }
                Answer::Waits(done) => {
                    let back = self.engine.state().hosts[self.host].client_back;
                    self.sleep(until.min(back.unwrap_or(until)));
                    let is_back = self.engine.state().hosts[self.host].client_up;
                    return if is_back { Ok(done) } else { Err(timeout(call)) };
                }
            }
        }
    }

    fn answer<T>(
        &self,
        state: &mut State,
        call: &'static str,
        serve: impl Fn(&mut State) -> Result<T, Fault>,
        waits: impl Fn(&State) -> bool,
    ) -> Answer<T> {
        state.tasks[self.id].requests += 1;
        let address = || "sim:81".to_owned();
        let broken = || ApiError::Broken {
            address: address(),
            call,
            why: "reset".into(),
        };
        if !state.hosts[self.host].reaches {
            self.tell(state, || format!("{call}: no way to the API"));
            return Answer::Again(ApiError::Unreachable {
                address: address(),
                why: "no route".into(),
            });
        }
        let trouble = state.tasks[self.id].trouble.take();
        if trouble == Some(What::Refused) {
            self.tell(state, || format!("{call}: internal error"));
            return Answer::Now(Err(refused(call, "internal")));
        }
        if trouble == Some(What::Late) {
            self.tell(state, || format!("{call}: no answer"));
            let items = state.tasks[self.id].request.clone();
            state.put_off(self.id);
            if items.is_some_and(|items| items.iter().any(never_late)) {
                let _ = serve(state);
            }
            return Answer::Never;
        }
        let served = serve(state);
        if matches!(trouble, Some(What::ReplyLost | What::Repeated)) {
            self.tell(state, || format!("{call}: the answer is lost"));
            return match trouble {
                Some(What::Repeated) => Answer::Again(broken()),
                _ => Answer::Now(Err(broken())),
            };
        }
        match served {
            Ok(done) if waits(state) => Answer::Waits(done),
            served => Answer::Now(served.map_err(|fault| ApiError::Refused { call, fault })),
        }
    }
}

fn timeout(call: &'static str) -> ApiError {
    ApiError::Timeout {
        address: "sim:81".into(),
        call,
    }
}

fn refused(call: &'static str, name: &str) -> ApiError {
    let fault = Fault {
        name: name.into(),
        descr: "no".into(),
        transient: false,
    };
    ApiError::Refused { call, fault }
}

/// A change, for a line.
pub fn words(items: &[Reassign]) -> String {
    let word = |item: &Reassign| {
        let attach = item.attach.map(|(client, access)| format!(" {access}:{client}"));
        let detach: Vec<_> = item.detach.iter().map(ToString::to_string).collect();
        let detach = (!detach.is_empty()).then(|| format!(" detach:{}", detach.join(",")));
        let force = if item.force { " force" } else { "" };
        let volume = &item.object.volume;
        format!(
            "{volume}{}{}{force}",
            attach.unwrap_or_default(),
            detach.unwrap_or_default()
        )
    };
    items.iter().map(word).collect::<Vec<_>>().join("; ")
}
