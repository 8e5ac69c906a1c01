// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The scheduler: every call of ours runs on a thread of its own, and exactly one of them at a time. Each method
//! of [`World`](spvirt::world::World) is one step, before which the baton goes to whoever is next in the story.
//! So a run depends on the story alone, and can be repeated.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use crate::calls;
use crate::state::State;
use crate::task::Waits;
use crate::world::Call;

/// Who has the baton: a task by number, or the test itself.
pub type Turn = Option<usize>;

/// The payload with which a process dies.
pub struct Died;

/// A simulation.
pub struct Engine {
    state: Mutex<State>,
    test: Thread,
}

impl Engine {
    /// A simulation with nothing going on.
    pub fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            test: thread::current(),
        })
    }

    /// The state, for who has the baton.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays the story that was given to the state until nothing goes on any more.
    pub fn play(self: &Arc<Self>) {
        drop(self.pass(self.state(), None));
    }

    /// One step of a task: others may go first, and it may die here.
    pub fn step<T>(self: &Arc<Self>, id: usize, waits: Waits, effect: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        state.tasks[id].waits = waits;
        if state.is_deadlocked(id) {
            state.breaks("calls wait for each other's locks");
        }
        let mut state = self.pass(state, Some(id));
        if state.tasks[id].killed {
            drop(state);
            // Not a panic: no hook is called, nothing is printed.
            resume_unwind(Box::new(Died));
        }
        state.tasks[id].waits = Waits::Ready;
        let result = effect(&mut state);
        state.after_step(id);
        result
    }

    /// Gives the baton to who is next, and comes back when it is `me` again.
    fn pass<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>, me: Turn) -> MutexGuard<'a, State> {
        if !self.hand_on(&mut state, me) {
            return state;
        }
        drop(state);
        self.wait(me)
    }

    /// Finds out who is next, and wakes them; false if that is `me`.
    fn hand_on(self: &Arc<Self>, state: &mut State, me: Turn) -> bool {
        let next = state.advance();
        for id in state.unborn() {
            state.tasks[id].thread = Some(self.spawn(id, state));
        }
        state.turn = next;
        if next == me {
            return false;
        }
        match next {
            Some(id) => state.tasks[id].thread.as_ref().unwrap().unpark(),
            None => self.test.unpark(),
        }
        true
    }

    fn wait(&self, me: Turn) -> MutexGuard<'_, State> {
        loop {
            let state = self.state();
            if state.turn == me {
                return state;
            }
            drop(state);
            thread::park();
        }
    }

    fn spawn(self: &Arc<Self>, id: usize, state: &State) -> Thread {
        let call = Call::new(Arc::clone(self), id, state);
        let kind = state.tasks[id].kind;
        let engine = Arc::clone(self);
        let life = move || {
            let killed = engine.wait(Some(id)).tasks[id].killed;
            let outcome = if killed {
                Err(Box::new(Died) as Box<_>)
            } else {
                catch_unwind(AssertUnwindSafe(|| calls::run(call, kind)))
            };
            let mut state = engine.state();
            match outcome {
                Ok(done) => state.finished(id, Some(done)),
                Err(payload) if payload.is::<Died>() => state.finished(id, None),
                Err(_) => {
                    state.breaks("a call of ours panics");
                    state.finished(id, None);
                }
            }
            engine.hand_on(&mut state, Some(id));
        };
        let builder = thread::Builder::new()
            .name(format!("{kind:?}"))
            .stack_size(1 << 20);
        builder.spawn(life).unwrap().thread().clone()
    }
}
