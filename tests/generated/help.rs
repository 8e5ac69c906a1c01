// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The help of every verb: it fits a terminal, and shows how the verb is used.

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;

/// Every command that does something, with its name as typed: `spvirt xml disk`.
pub fn verbs() -> Vec<(String, Command)> {
    let mut whole = Cli::command();
    whole.build();
    let mut found = Vec::new();
    below("spvirt", &whole, &mut found);
    assert!(found.len() > 2);
    found
}

fn below(name: &str, command: &Command, found: &mut Vec<(String, Command)>) {
    for verb in command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        let name = format!("{name} {}", verb.get_name());
        if verb.has_subcommands() {
            below(&name, verb, found);
        } else {
            found.push((name, verb.clone()));
        }
    }
}

#[test]
fn help_fits_80_columns() {
    let mut all = verbs();
    all.push(("spvirt".to_owned(), Cli::command()));
    for (name, mut command) in all {
        for help in [
            command.render_help().to_string(),
            command.render_long_help().to_string(),
        ] {
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
        }
    }
}

#[test]
fn every_verb_is_shown_in_use() {
    for (name, command) in verbs() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let shown = help
            .lines()
            .any(|line| line.starts_with("  ") && line.contains(&name));
        assert!(shown, "the help of `{name}` ends without an example");
        assert!(command.get_about().is_some(), "{name}");
    }
}
