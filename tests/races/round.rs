// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! One domain that all hosts start at once, over and over, and the judge.

use std::fmt;

use spvirt_rig::{Caller, Life, Start};

use crate::chance::Chance;
use crate::stage::{Policy, Stage};

/// Longest time from the end of `prepare` to QEMU, in ms.
const LAUNCH: u64 = 300;

/// A domain on two volumes.
pub struct Domain {
    name: String,
    uuid: String,
    volumes: [String; 2],
}

/// How the rounds ended.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// Rounds in which one ran.
    pub ran: u32,
    /// Rounds in which all were refused.
    pub none: u32,
    /// Starts that were refused.
    pub refused: u32,
    /// Starts that lost their volumes between `prepare` and QEMU.
    pub late: u32,
    /// Guests that lost their volumes while they ran.
    pub evicted: u32,
}

impl Score {
    /// All rounds.
    pub fn rounds(&self) -> u32 {
        self.ran + self.none
    }

    /// Both together.
    pub fn plus(self, other: &Self) -> Self {
        Self {
            ran: self.ran + other.ran,
            none: self.none + other.none,
            refused: self.refused + other.refused,
            late: self.late + other.late,
            evicted: self.evicted + other.evicted,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds: one ran in {}, all were refused in {}; {} starts refused, {} came too late, {} evicted while they ran",
            self.rounds(),
            self.ran,
            self.none,
            self.refused,
            self.late,
            self.evicted
        )
    }
}

impl Domain {
    /// One of the domains.
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("race{number}"),
            uuid: format!("5eed0000-0000-4000-8000-0000000000{number:02x}"),
            volumes: ["root", "data"].map(|what| format!("race{number}-{what}")),
        }
    }

    /// Its volumes.
    pub fn volumes(&self) -> &[String] {
        &self.volumes
    }

    /// Its start on one host.
    fn life(&self, launch: u64) -> Life {
        let devices = self
            .volumes
            .iter()
            .map(|volume| format!("/dev/storpool/{volume}"));
        let domain = spvirt_rig::Domain::new(&self.name).element(&format!("<uuid>{}</uuid>", self.uuid));
        Life {
            domain: self.name.clone(),
            uuid: self.uuid.clone(),
            xml: devices
                .clone()
                .fold(domain, |domain, device| domain.disk(&device))
                .xml(),
            devices: devices.collect(),
            launch,
        }
    }

    /// So many rounds.
    pub fn is_raced_for(&self, stage: &Stage, policy: Policy, rounds: u32, mut chance: Chance) -> Score {
        let mut callers = stage.hosts.each_ref().map(spvirt_rig::Host::caller);
        let mut score = Score::default();
        for round in 1..=rounds {
            for caller in &mut callers {
                caller.start(&self.life(chance.number() % (LAUNCH + 1)));
            }
            let starts = callers.each_mut().map(Caller::started);
            let story = format!("{} {policy}, round {round}: {starts:?}", self.name);
            self.judge(stage, policy, &starts, &mut score, &story);
            for caller in &mut callers {
                caller.stop();
            }
            self.is_free(stage, &story);
        }
        score
    }

    /// Whether it ended as it may: who runs with its volumes is alone, and there is one unless all were refused.
    fn judge(&self, stage: &Stage, policy: Policy, starts: &[Start; 3], score: &mut Score, story: &str) {
        let running: Vec<u16> = (1..)
            .zip(starts)
            .filter(|(_, start)| **start == Start::Runs)
            .map(|(client, _)| client)
            .collect();
        let refused = starts
            .iter()
            .filter(|start| matches!(start, Start::Refused(_)))
            .count();
        let attached = self.attached(stage);
        let holders: Vec<u16> = running
            .iter()
            .copied()
            .filter(|client| attached == self.wholly_at(*client))
            .collect();
        if policy != Policy::Always {
            assert!(running.len() <= 1, "two run; {story}");
        }
        if refused == starts.len() {
            assert!(attached.is_empty(), "nobody runs, and {attached:?}; {story}");
            score.none += 1;
        } else {
            assert_eq!(holders.len(), 1, "{attached:?}; {story}");
            score.ran += 1;
        }
        let count = |n: usize| u32::try_from(n).unwrap();
        score.refused += count(refused);
        score.late += count(starts.len() - refused - running.len());
        score.evicted += count(running.len() - holders.len());
    }

    /// Nothing of it is attached, nothing claimed.
    fn is_free(&self, stage: &Stage, story: &str) {
        assert_eq!(self.attached(stage), [], "after {story}");
        for host in &stage.hosts {
            let file = format!("/var/lib/spvirt/claims/{}.json", self.uuid);
            assert_eq!(host.read(&file), None, "{}, after {story}", host.name());
        }
    }

    /// Where its volumes are attached for writing, sorted.
    fn attached(&self, stage: &Stage) -> Vec<(String, u16)> {
        let all = stage.cluster.attachments().into_iter();
        all.filter(|it| self.volumes.contains(&it.volume))
            .map(|it| (it.volume, it.client))
            .collect()
    }

    /// What [`Domain::attached`] says when one client has all.
    fn wholly_at(&self, client: u16) -> Vec<(String, u16)> {
        let mut all: Vec<_> = self
            .volumes
            .iter()
            .map(|volume| (volume.clone(), client))
            .collect();
        all.sort();
        all
    }
}
