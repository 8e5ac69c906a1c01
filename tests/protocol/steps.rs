// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Single stories: a start or a stop that goes wrong at every one of its steps, and what the protocol says about
//! one case or another, word by word.

use std::sync::Arc;

use spvirt::config::Takeover;
use spvirt::volume::Access::{self, Ro, Rw};

use crate::engine::Engine;
use crate::scenarios::{hosts, one_host, share, share_by_two_names, two_disks};
use crate::search::play;
use crate::state::State;
use crate::story::What::{self, *};
use crate::story::{Event, Stage, id, name, shared};
use crate::task::Kind;

/// A story that is told step by step.
struct Told(Arc<Engine>);

impl Told {
    fn new(stage: Stage) -> Self {
        Self(Engine::new(State::new(Arc::new(stage), Vec::new(), false)))
    }

    /// One call, and all that follows from it.
    fn call<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        let result = what(&mut self.0.state());
        self.0.play();
        assert_eq!(self.0.state().broken, None);
        result
    }

    /// A start: how `prepare` answers, and with how many requests.
    fn start(&self, host: usize, domain: usize) -> (Result<(), String>, u32) {
        let task = self.call(|state| {
            state.start(host, domain).expect("it can be started");
            state.tasks.len() - 1
        });
        let task = &self.0.state().tasks[task];
        (task.answer.clone().unwrap(), task.requests)
    }

    fn runs(&self, host: usize, domain: usize) {
        self.start(host, domain).0.unwrap();
    }

    fn refusal(&self, host: usize, domain: usize) -> String {
        let before = self.attachments();
        let refusal = self.start(host, domain).0.unwrap_err();
        assert_eq!(self.attachments(), before, "undone");
        assert!(
            self.0.state().hosts[host]
                .entry(&crate::story::uuid(domain))
                .is_none()
        );
        refusal
    }

    /// A stop; requests of its `release`.
    fn stop(&self, host: usize, domain: usize) -> u32 {
        self.call(|state| state.qemu_ends(host, domain));
        let state = self.0.state();
        let release = state
            .tasks
            .iter()
            .rfind(|task| matches!(task.kind, Kind::Release(_)));
        release.unwrap().requests
    }

    fn reconcile(&self, host: usize) {
        self.call(|state| state.reconcile(host)).unwrap();
    }

    fn attachments(&self) -> Vec<(u32, u16, Access)> {
        self.0.state().cluster.attachments()
    }

    fn claims(&self, host: usize) -> usize {
        self.0.state().hosts[host].files.len()
    }
}

fn event(what: What) -> Event {
    Event {
        what,
        who: 0,
        which: 0,
    }
}

/// Plays `first`, then so many steps, then `then`, for all numbers of steps until nothing is left to be done; with
/// `arrives`, what is late comes after one more step.
fn at_every_step(stage: &Stage, first: &[What], then: &[What]) {
    let stage = Arc::new(stage.clone());
    let engine = Engine::new(State::new(
        Arc::clone(&stage),
        first.iter().copied().map(event).collect(),
        false,
    ));
    engine.play();
    let steps: u32 = engine.state().tasks.iter().map(|task| task.steps).sum();
    assert!(steps > 7, "there is something to go wrong");
    for step in 0..=steps + 5 {
        let go = std::iter::repeat_n(&Go, usize::try_from(step).unwrap());
        let story = first.iter().chain(go).chain(then).copied().map(event);
        if let Err(broken) = play(&stage, &story.collect::<Vec<_>>(), true) {
            panic!(
                "{then:?} at step {step}: {}\n{}",
                broken.what,
                broken.lines.join("\n")
            );
        }
    }
}

const TROUBLES: [What; 8] = [
    Kill,
    KillInFlight,
    Refused,
    ReplyLost,
    Repeated,
    Late,
    Daemon,
    Host,
];

#[test]
fn a_start_that_goes_wrong_at_any_step_never_happened_or_happened() {
    for stage in [
        two_disks(1),
        share_by_two_names(),
        hosts(1).by_hand(&[(0, 1, Ro)]),
    ] {
        for trouble in TROUBLES {
            let stage = stage.clone().budget(&[(Start, 9), (trouble, 9)]);
            at_every_step(&stage, &[Start], &[trouble]);
        }
    }
}

#[test]
fn a_stop_that_goes_wrong_at_any_step_is_finished_by_reconcile() {
    for trouble in TROUBLES {
        let stage = two_disks(1).budget(&[(Start, 9), (Stop, 9), (trouble, 9)]);
        let mut first = vec![Start];
        // Until it runs.
        first.extend(std::iter::repeat_n(Go, 40));
        first.push(Stop);
        at_every_step(&stage, &first, &[trouble]);
    }
}

#[test]
fn an_attach_of_a_dead_start_that_comes_during_the_next_one_is_not_taken_for_somebody_elses() {
    for by_hand in [&[][..], &[(0, 1, Ro)]] {
        let stage =
            hosts(1)
                .by_hand(by_hand)
                .budget(&[(Start, 9), (Daemon, 2), (KillInFlight, 1), (Arrives, 1)]);
        // Its request goes out, it dies, and with it the daemon, so that no release comes.
        let dies = |steps: usize| {
            let go = std::iter::repeat_n(Go, steps);
            let end = [Daemon, KillInFlight, Daemon, Start];
            std::iter::once(Start).chain(go).chain(end).collect::<Vec<_>>()
        };
        let is_late = |first: &Vec<What>| {
            let story = first.iter().copied().map(event).collect();
            let engine = Engine::new(State::new(Arc::new(stage.clone()), story, false));
            engine.play();
            let late = engine.state().cluster.late.len();
            late == 1
        };
        let first = (1..20).map(dies).find(is_late).expect("it is on its way");
        at_every_step(&stage, &first, &[Arrives]);
    }
}

#[test]
fn a_start_asks_twice_and_a_stop_once() {
    let told = Told::new(two_disks(1));
    assert_eq!(told.start(0, 0), (Ok(()), 2));
    assert_eq!(told.stop(0, 0), 1);
    assert_eq!((told.attachments(), told.claims(0)), (vec![], 0));
}

#[test]
fn a_migration_asks_twice_and_once() {
    let told = Told::new(two_disks(2));
    told.runs(0, 0);
    let migrate = Event {
        what: Migrate,
        who: 0,
        which: 0,
    };
    told.call(|state| state.try_to_migrate(migrate)).unwrap();
    let state = told.0.state();
    let of: Vec<_> = state
        .tasks
        .iter()
        .map(|task| (task.host, task.kind, task.requests))
        .collect();
    let expected = [
        (0, Kind::Prepare(0), 2),
        (1, Kind::Announce(0), 0),
        (1, Kind::Prepare(0), 2),
        (0, Kind::Release(0), 1),
    ];
    assert_eq!(of, expected);
    assert_eq!(state.cluster.attachments(), [(1, 2, Rw), (2, 2, Rw)]);
}

/// A host and two others; the first of these has volume 1.
fn held(policy: Takeover) -> Told {
    Told::new(hosts(3).policy(policy).by_hand(&[(1, 1, Rw)]))
}

#[test]
fn policy_never_leaves_it_to_the_other() {
    let why = held(Takeover::Never).refusal(0, 0);
    assert!(
        why.contains("attached rw on client 2") && why.contains("SPVIRT_TAKEOVER=never"),
        "{why}"
    );
}

#[test]
fn policy_safe_takes_from_an_idle_or_a_dead_client() {
    let idle = held(Takeover::Safe);
    assert_eq!(idle.start(0, 0), (Ok(()), 6));
    assert_eq!(idle.attachments(), [(1, 1, Rw)]);
    let dead = Told::new(hosts(3));
    dead.runs(1, 0);
    dead.call(|state| state.host_turns(1)).unwrap();
    assert_eq!(dead.start(0, 0), (Ok(()), 8));
    assert_eq!(dead.attachments(), [(1, 1, Rw)]);
}

#[test]
fn policy_safe_leaves_what_is_open_on_a_client_that_is_up() {
    let told = Told::new(hosts(3));
    told.runs(1, 0);
    let why = told.refusal(0, 0);
    assert!(why.contains("open on client 2, which is up"), "{why}");
}

#[test]
fn policy_always_takes_it() {
    let told = Told::new(hosts(3).policy(Takeover::Always));
    told.runs(1, 0);
    told.runs(0, 0);
    assert_eq!(told.attachments(), [(1, 1, Rw)]);
}

#[test]
fn an_attach_that_comes_late_is_found_by_the_second_look() {
    let told = Told::new(hosts(1));
    told.call(|state| {
        state.start(0, 0).unwrap();
        state.tasks[0].trouble = Some(Late);
    });
    assert_eq!(told.claims(0), 1, "the claim outlives its release");
    told.call(|state| state.arrives(0)).unwrap();
    assert_eq!(told.attachments(), [(1, 1, Rw)]);
    told.reconcile(0);
    assert_eq!((told.attachments(), told.claims(0)), (vec![], 0));
}

#[test]
fn domains_of_one_host_share_only_when_both_say_so() {
    let told = Told::new(share_by_two_names());
    told.runs(0, 0);
    told.runs(0, 1);
    told.stop(0, 0);
    assert_eq!(told.attachments(), [(1, 1, Rw)], "the other still has it");
    told.stop(0, 1);
    assert_eq!(told.attachments(), []);
    let told = Told::new(one_host(name(1, Rw), shared(id(1, Rw))));
    told.runs(0, 0);
    let why = told.refusal(0, 1);
    assert!(
        why.contains("in use by domain d0 on this host (QEMU process 1)"),
        "{why}"
    );
}

#[test]
fn whoever_lets_go_last_restores_what_was_before_the_first() {
    let told = Told::new(share());
    told.runs(0, 0);
    told.runs(0, 1);
    // As after an adoption that could not read the first claim: it takes the attachment for somebody else's.
    let mut second = told.0.state().hosts[0].claims().pop().unwrap();
    second.volumes[0].before = Some(Rw);
    let bytes = spvirt::claim::file::encode(&second).unwrap();
    told.0.state().hosts[0]
        .files
        .insert(second.uuid.to_string(), bytes);
    told.stop(0, 0);
    told.stop(0, 1);
    assert_eq!(told.attachments(), []);
}

#[test]
fn a_snapshot_taken_for_a_volume_is_given_back_all_the_same() {
    let told = Told::new(hosts(1));
    told.runs(0, 0);
    // As after an adoption, which asks StorPool nothing and so cannot tell a snapshot from a volume.
    told.0.state().cluster.volumes.get_mut(&1).unwrap().snapshot = true;
    told.stop(0, 0);
    assert_eq!((told.attachments(), told.claims(0)), (vec![], 0));
}
