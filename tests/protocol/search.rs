// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Plays stories, many of them, looks for one that breaks an invariant, and tells the shortest such.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use spvirt::config::Takeover;
use spvirt::volume::Access;

use crate::engine::Engine;
use crate::host::Life;
use crate::state::State;
use crate::story::{Event, Stage, What};

/// Stories are looked at by so many threads.
const SHARDS: u64 = 2;

/// A story that breaks an invariant.
#[derive(Debug)]
pub struct Broken {
    /// Which, and how.
    pub what: String,
    /// What happened, a line each.
    pub lines: Vec<String>,
}

/// How often what came of a story.
pub type Seen = BTreeMap<String, u32>;

/// Plays one story to its end and beyond: everything recovers, stops, is reconciled, and starts once more.
pub fn play(stage: &Arc<Stage>, story: &[Event], tell: bool) -> Result<Seen, Broken> {
    let engine = Engine::new(State::new(Arc::clone(stage), story.to_vec(), tell));
    let acts: [fn(&mut State); 11] = [
        |_| {},
        State::recovers,
        State::everything_stops,
        State::reconciles,
        State::reconciles,
        State::reconciles,
        State::everything_is_as_before,
        State::starts_once_more,
        State::has_started,
        State::everything_stops,
        State::everything_is_as_before,
    ];
    for act in acts {
        act(&mut engine.state());
        engine.play();
        let mut end = engine.state();
        if let Some(what) = end.broken.take() {
            let lines = end.lines.take().unwrap_or_default();
            return Err(Broken { what, lines });
        }
    }
    let mut end = engine.state();
    for (what, times) in end.happened.clone() {
        *end.seen.entry(format!("{what:?}")).or_default() += times;
    }
    Ok(std::mem::take(&mut end.seen))
}

/// Plays random stories: what came of them, or the shortest that breaks an invariant.
pub fn search(stage: Stage, stories: u32, seed: u64) -> Result<Seen, Broken> {
    let stage = Arc::new(stage);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: stories,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let sum = RefCell::new(Seen::new());
    let result = runner.run(&stage.stories(), |story| {
        let seen = play(&stage, &story, false).map_err(|broken| TestCaseError::fail(broken.what))?;
        let mut sum = sum.borrow_mut();
        for (what, times) in seen {
            *sum.entry(what).or_default() += times;
        }
        Ok(())
    });
    match result {
        Ok(()) => Ok(sum.into_inner()),
        Err(TestError::Fail(_, story)) => Err(play(&stage, &story, true).unwrap_err()),
        Err(TestError::Abort(why)) => panic!("no stories: {why}"),
    }
}

/// Plays random stories, and fails with the shortest that breaks an invariant. What came of them.
pub fn holds(stage: &Stage, stories: u32) -> Seen {
    let (seed, stories) = (seed(), stories * factor());
    println!("{stories} stories, SPVIRT_MODEL_SEED={seed}");
    let shard = |shard: u64| search(stage.clone(), stories.div_ceil(2), seed + shard);
    thread::scope(|scope| {
        let shards: Vec<_> = (0..SHARDS)
            .map(|number| scope.spawn(move || shard(number)))
            .collect();
        let mut sum = Seen::new();
        for shard in shards {
            match shard.join().unwrap() {
                Ok(seen) => seen
                    .into_iter()
                    .for_each(|(what, times)| *sum.entry(what).or_default() += times),
                Err(Broken { what, lines }) => {
                    panic!("{what}\nSPVIRT_MODEL_SEED={seed}\n{}\n", lines.join("\n"));
                }
            }
        }
        sum
    })
}

/// Random, or what `SPVIRT_MODEL_SEED` says.
fn seed() -> u64 {
    std::env::var("SPVIRT_MODEL_SEED").map_or_else(
        |_| {
            use std::hash::{BuildHasher as _, RandomState};
            RandomState::new().hash_one(0) >> 16
        },
        |seed| seed.parse().expect("SPVIRT_MODEL_SEED is a number"),
    )
}

/// How many times as many stories as usual: `SPVIRT_MODEL_TIMES`.
fn factor() -> u32 {
    std::env::var("SPVIRT_MODEL_TIMES")
        .map_or(1, |times| times.parse().expect("SPVIRT_MODEL_TIMES is a number"))
}

impl State {
    fn recovers(&mut self) {
        if self.stage.one_must_run && self.ran == 0 && self.happened.contains_key(&What::Start) {
            self.breaks("every starter has failed, though only the other starters were in the way");
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].probed.clear();
            if !self.hosts[host].up {
                let _ = self.host_turns(host);
            }
            if !self.hosts[host].reaches {
                let _ = self.cut_turns(host);
            }
            if !self.hosts[host].client_up {
                self.client_returns(host);
            }
            if self.hosts[host].daemon.is_none() {
                let _ = self.daemon_turns(host);
            }
            for domain in 0..self.stage.domains.len() {
                self.domain(host, domain).stuck.clear();
            }
        }
        while self.arrives(0).is_some() {}
    }

    fn everything_stops(&mut self) {
        for host in 0..self.hosts.len() {
            for domain in 0..self.stage.domains.len() {
                if matches!(
                    self.hosts[host].domains[domain].life,
                    Life::Running | Life::Paused
                ) {
                    let name = self.hosts[host].name;
                    self.tell(|_| format!("{name} d{domain}: stops"));
                    self.qemu_ends(host, domain);
                }
            }
        }
    }

    fn reconciles(&mut self) {
        for host in 0..self.hosts.len() {
            if !self.hosts[host].files.is_empty() {
                let _ = self.reconcile(host);
            }
        }
    }

    /// I3 and I4.
    fn everything_is_as_before(&mut self) {
        let of = |(number, client, access)| ((client, number), access);
        let attached: Vec<((u16, u32), Access)> = self.cluster.attachments().into_iter().map(of).collect();
        let mut attached: BTreeMap<_, _> = attached.into_iter().collect();
        if let Some(host) = self.hosts.iter().find(|host| !host.files.is_empty()) {
            let what = format!("I4: a claim stays on {}: {:?}", host.name, host.claims());
            self.breaks(what);
        }
        for (of, access) in self.cluster.hand.clone() {
            if attached.remove(&of) != Some(access) {
                self.breaks(format!("I3: by hand v{} was {access} on client {}", of.1, of.0));
            }
        }
        attached.retain(|of, access| self.cluster.taken.get(of).is_none_or(|by_hand| by_hand < access));
        if !attached.is_empty() {
            self.breaks(format!("I4: left attached (client, volume): {attached:?}"));
        }
    }

    /// Runs nowhere, is open nowhere: it can be started anywhere.
    fn starts_once_more(&mut self) {
        if self.stage.policy != Takeover::Never {
            let host = self.stage.startable[self.tasks.len() % self.stage.startable.len()];
            let _ = self.start(host, self.tasks.len() % self.stage.domains.len());
        }
    }

    fn has_started(&mut self) {
        let runs = |host: &crate::host::Host| host.domains.iter().any(|it| it.life == Life::Running);
        if self.stage.policy != Takeover::Never && !self.hosts.iter().any(runs) {
            self.breaks("AVAIL: it runs nowhere and is open nowhere, and still cannot be started");
        }
    }
}
