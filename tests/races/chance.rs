// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Chance that can be repeated, and how much of it there is.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher as _, Hasher as _};

/// A source of numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (`SplitMix64`).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The seed of this run.
pub fn seed() -> u64 {
    match env::var("SPVIRT_RACES_SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|e| panic!("SPVIRT_RACES_SEED={text}: {e}")),
        Err(_) => RandomState::new().build_hasher().finish() % 1_000_000,
    }
}

/// How many times the usual number of rounds.
pub fn multiple() -> u32 {
    match env::var("SPVIRT_RACES_ROUNDS") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|e| panic!("SPVIRT_RACES_ROUNDS={text}: {e}")),
        Err(_) => 1,
    }
}
