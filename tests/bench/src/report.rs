// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What was found, line by line, and whether each bound holds.

use std::process::ExitCode;

/// The lines so far.
#[derive(Debug, Default)]
pub struct Report {
    broken: Vec<String>,
}

impl Report {
    /// A heading.
    pub fn part(name: &str) {
        println!("\n{name}");
    }

    /// A measured value with a bound from the project's issue.
    pub fn bound(&mut self, what: &str, value: f64, most: f64, unit: &str, details: &str) {
        let verdict = if value <= most { "holds" } else { "BROKEN" };
        println!("  {what:<48} {value:>8.2} {unit:<10} at most {most}: {verdict}  ({details})");
        if value > most {
            self.broken
                .push(format!("{what}: {value:.2} {unit}, at most {most}"));
        }
    }

    /// The same for a value that must not be less.
    pub fn bound_below(&mut self, what: &str, value: f64, least: f64, unit: &str, details: &str) {
        let verdict = if value >= least { "holds" } else { "BROKEN" };
        println!("  {what:<48} {value:>8.2} {unit:<10} at least {least}: {verdict}  ({details})");
        if value < least {
            self.broken
                .push(format!("{what}: {value:.2} {unit}, at least {least}"));
        }
    }

    /// A fact that must be so.
    pub fn exact(&mut self, what: &str, found: &str, expected: &str) {
        let verdict = if found == expected { "holds" } else { "BROKEN" };
        println!("  {what:<48} {found}: {verdict}");
        if found != expected {
            self.broken.push(format!("{what}: {found}, must be {expected}"));
        }
    }

    /// A value without a bound.
    pub fn note(what: &str, details: &str) {
        println!("  {what:<48} {details}");
    }

    /// The end: the bounds that were broken.
    #[must_use]
    pub fn finish(&self) -> ExitCode {
        if self.broken.is_empty() {
            println!("\nevery bound holds");
            return ExitCode::SUCCESS;
        }
        println!("\nbroken:");
        for line in &self.broken {
            println!("  {line}");
        }
        ExitCode::FAILURE
    }
}
