// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Three hosts and a slow StorPool, and many domains that are raced for at the same time.

use std::fmt;
use std::thread;

use serde_json::json;
use spvirt_rig::{Binaries, Cluster, Guest, Host};

use crate::chance::{self, Chance};
use crate::round::{Domain, Score};

/// Domains that are raced for side by side: nearly all time is waiting.
const DOMAINS: usize = 12;
/// Longest pause of StorPool before and after it does something, in ms. A verified `prepare` and the end of QEMU's
/// launch may so lie half a second apart.
const PAUSE: u64 = 250;

/// `SPVIRT_TAKEOVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Leaves the volume to its holder.
    Never,
    /// Takes it from a holder that does not use it.
    Safe,
    /// Takes it.
    Always,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Safe => "safe",
            Self::Always => "always",
        })
    }
}

/// The hosts.
pub struct Stage {
    /// StorPool clients 1, 2 and 3.
    pub hosts: [Host; 3],
    /// The cluster; derefs to the simulator.
    pub cluster: Cluster,
}

impl Stage {
    /// A fresh cluster with three hosts and the volumes of all domains.
    pub fn new() -> Self {
        let binaries = Binaries::new(
            spvirt_rig::binary("storpool-sim"),
            env!("CARGO_BIN_EXE_spvirt-hook"),
        );
        let mut cluster = Cluster::start(&binaries);
        let hosts = [1, 2, 3].map(|client| cluster.host(&format!("host{client}"), client));
        for number in 0..DOMAINS {
            for volume in Domain::new(number).volumes() {
                cluster.volume(volume, 1, Guest::None);
            }
        }
        Self { hosts, cluster }
    }

    /// So many rounds for each domain.
    pub fn races(&self, policy: Policy, rounds: u32) {
        let seed = chance::seed();
        println!("    SPVIRT_RACES_SEED={seed}");
        let mut chance = Chance::new(seed);
        for host in &self.hosts {
            host.write(
                "/etc/storpool.conf.d/spvirt.conf",
                format!("SPVIRT_TAKEOVER={policy}\n"),
            );
        }
        for call in ["VolumesReassignWait", "AttachmentsList", "ServicesList"] {
            let seed = chance.number() >> 12;
            let jitter = json!({"kind": "jitter", "before": PAUSE, "after": PAUSE, "seed": seed});
            self.cluster.fault_forever(call, &jitter);
        }
        let rounds = rounds * chance::multiple();
        let scores: Vec<Score> = thread::scope(|scope| {
            let start = |number| {
                let (domain, chance) = (Domain::new(number), Chance::new(chance.number()));
                scope.spawn(move || domain.is_raced_for(self, policy, rounds, chance))
            };
            let threads: Vec<_> = (0..DOMAINS).map(start).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("what is printed above"))
                .collect()
        });
        self.cluster.clear_faults();
        self.only_one_could_write(policy);
        let total = scores.iter().fold(Score::default(), Score::plus);
        println!("    {policy}: {total}");
        assert_eq!(total.rounds(), rounds * u32::try_from(DOMAINS).unwrap());
        // Races in which nobody ever ran, or nobody ever lost, would prove nothing.
        assert!(total.ran > 0 && total.refused > 0, "{total}");
    }

    /// The monitor has seen no volume open for writing at two clients, of which a forced detach, which only `always` may
    /// do, has cut off all but one.
    fn only_one_could_write(&self, policy: Policy) {
        for violation in self.cluster.monitor() {
            let clients = violation["clients"].as_object().unwrap().len();
            let cut_off = violation["cutOff"].as_array().unwrap().len();
            assert!(
                policy == Policy::Always && clients - cut_off <= 1,
                "two writers: {violation}"
            );
        }
        self.cluster.control("monitor/reset", Some(&json!({})));
    }
}
