// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Who died where, and whether that were all.

use std::collections::BTreeSet;

use spvirt_rig::Syscall;

use crate::deaths::Next;
use crate::stage::Operation;
use crate::world::World;

/// One hook call that died.
pub struct Death {
    /// What was called.
    pub operation: Operation,
    /// At the entry of its so-many-th system call.
    pub number: usize,
    /// This one.
    pub place: Syscall,
    /// What that was about.
    pub about: String,
    /// What it left, where somebody looked.
    pub left: Option<World>,
}

/// All deaths after which the same came next.
pub struct Report {
    next: Next,
    /// The deaths, in the order of their numbers.
    pub deaths: Vec<Death>,
}

impl Report {
    /// Nobody has died yet.
    pub fn new(next: Next) -> Self {
        Self {
            next,
            deaths: Vec::new(),
        }
    }

    /// The deaths of one kind of call.
    pub fn of(&self, operation: Operation) -> impl Iterator<Item = &Death> {
        self.deaths
            .iter()
            .filter(move |death| death.operation == operation)
    }

    /// Prints it, and fails if a number is missing.
    pub fn print(&self) {
        for operation in [Operation::Prepare, Operation::Release] {
            let numbers: BTreeSet<usize> = self.of(operation).map(|death| death.number).collect();
            let last = numbers.len();
            assert!(last > 100, "a hook call of {last} system calls");
            assert!(numbers.into_iter().eq(1..=last), "a number is missing");
            let names: BTreeSet<&str> = self
                .of(operation)
                .map(|death| death.place.name.as_str())
                .collect();
            println!(
                "    {operation:?}, then {:?}: {} runs died, at each of {last} system calls ({} different ones)",
                self.next,
                self.of(operation).count(),
                names.len()
            );
            let mut before = None;
            for death in self.of(operation).take(last) {
                if let Some(left) = &death.left
                    && before.replace(left) != Some(left)
                {
                    println!(
                        "      {:>4} {} {} left: {left}",
                        death.number, death.place.name, death.about
                    );
                }
            }
        }
    }
}
