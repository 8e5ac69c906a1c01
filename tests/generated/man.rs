// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The manual pages.

use std::fs;

use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::roff::{Roff, bold, italic, roman};
use spvirt::config::KEYS;

use super::{help, root};
use crate::cli::Cli;

/// A page: its template, with what the code says in it.
pub fn page(name: &str) -> String {
    let path = root().join("packaging/man").join(format!("{name}.in"));
    let template = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut page = String::new();
    for line in template.lines() {
        match line {
            "@SYNOPSIS@" => page += &synopsis(),
            "@VERBS@" => page += &verbs(),
            "@OPTIONS@" => page += &options(&Cli::command()),
            "@KEYS@" => page += &keys(),
            _ => {
                page += &line.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
                page.push('\n');
            }
        }
    }
    let stray = page.lines().find(|line| line.starts_with('@'));
    assert_eq!(stray, None, "{name}: nothing stands for this word");
    page
}

/// One line for each verb.
fn synopsis() -> String {
    let mut text = String::new();
    for (i, (name, command)) in help::verbs().into_iter().enumerate() {
        let mut roff = Roff::new();
        if i > 0 {
            roff.control("br", []);
        }
        let arguments = usage(&name, command);
        roff.text([bold(name), roman(arguments)]);
        text += &roff.to_roff();
    }
    text
}

/// What follows the verb in its usage.
fn usage(name: &str, mut command: Command) -> String {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    usage
        .strip_prefix(name)
        .unwrap_or_else(|| panic!("{usage}"))
        .to_owned()
}

/// A section for each verb: what it does, its options, its examples.
fn verbs() -> String {
    let mut text = String::new();
    for (name, command) in help::verbs() {
        let mut roff = Roff::new();
        let heading = format!("{name}{}", usage(&name, command.clone()));
        roff.control("SS", [heading.as_str()]);
        let about = command
            .get_long_about()
            .or(command.get_about())
            .map(ToString::to_string);
        paragraphs(&mut roff, &about.unwrap_or_default(), true);
        text += &roff.to_roff();
        text += &options(&command);
        let mut roff = Roff::new();
        let after = command.get_after_help().map(ToString::to_string);
        paragraphs(&mut roff, &after.unwrap_or_default(), false);
        text += &roff.to_roff();
    }
    text
}

/// Paragraphs as in a help text: lines that are indented are examples.
fn paragraphs(roff: &mut Roff, text: &str, begins_section: bool) {
    let written = text
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty());
    for (i, paragraph) in written.enumerate() {
        // The first one of a section needs none.
        if i > 0 || !begins_section {
            roff.control("PP", []);
        }
        let mut example = false;
        for line in paragraph.lines() {
            if line.starts_with("  ") != example {
                example = !example;
                if example {
                    roff.control("PP", []).control("RS", ["4"]).control("nf", []);
                } else {
                    roff.control("fi", []).control("RE", []);
                }
            }
            roff.text([roman(line.trim_start())]);
        }
        if example {
            roff.control("fi", []).control("RE", []);
        }
    }
}

/// The arguments and options of a command, without those that every command has.
fn options(command: &Command) -> String {
    let everywhere = |argument: &Arg| {
        let of_whole = command.get_name() == "spvirt";
        argument.is_global_set() && !of_whole || matches!(argument.get_id().as_str(), "help" | "version")
    };
    let mut roff = Roff::new();
    for argument in command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && !everywhere(argument))
    {
        let mut head = Vec::new();
        let short = argument.get_short_and_visible_aliases().unwrap_or_default();
        let short = short.into_iter().map(|short| format!("-{short}"));
        let long = argument.get_long_and_visible_aliases().unwrap_or_default();
        let long = long.into_iter().map(|long| format!("--{long}"));
        for (i, flag) in short.chain(long).enumerate() {
            if i > 0 {
                head.push(roman(", "));
            }
            head.push(bold(flag));
        }
        let takes_value = argument.get_action().takes_values();
        if takes_value || argument.is_positional() {
            let may_lack = argument
                .get_num_args()
                .is_some_and(|range| range.min_values() == 0);
            let (before, after) = match (head.is_empty(), argument.is_require_equals_set(), may_lack) {
                (true, _, _) => ("", ""),
                (_, true, true) => ("[=", "]"),
                (_, true, false) => ("=", ""),
                _ => (" ", ""),
            };
            for name in argument.get_value_names().unwrap_or_default() {
                head.extend([roman(before), italic(name.as_str()), roman(after)]);
            }
        }
        roff.control("TP", []);
        roff.text(head);
        let help = argument.get_long_help().or(argument.get_help());
        let said = help.map(ToString::to_string).unwrap_or_default();
        let mut said = said.trim_end_matches('.').to_owned();
        let defaults = argument.get_default_values();
        if takes_value && !defaults.is_empty() {
            let defaults: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
            said = format!("{said}. Default: {}", defaults.join(" "));
        }
        let values: Vec<_> = argument
            .get_possible_values()
            .iter()
            .filter(|_| takes_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        if !values.is_empty() {
            said = format!("{said}. One of: {}", values.join(", "));
        }
        for (i, paragraph) in said.split("\n\n").enumerate() {
            if i > 0 {
                roff.control("IP", []);
            }
            roff.text([roman(paragraph.replace('\n', " "))]);
        }
    }
    roff.to_roff()
}

/// Every setting.
fn keys() -> String {
    let mut roff = Roff::new();
    for key in KEYS {
        let default = if key.default.is_empty() {
            "empty"
        } else {
            key.default
        };
        roff.control("TP", []);
        roff.text([bold(key.name)]);
        roff.text([roman(key.help)]);
        roff.text([roman(format!("Must be {}. Default: {default}.", key.allowed))]);
    }
    roff.to_roff()
}

#[test]
fn the_pages_are_clean() {
    for name in ["spvirt.1", "spvirt-hook.8", "spvirt.conf.5"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, page(name)).unwrap();
        let output = std::process::Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(&file)
            .output()
            .expect("mandoc: make setup");
        let said = [output.stdout, output.stderr].concat();
        assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}
