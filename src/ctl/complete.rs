// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Completion of the command line in a shell: the parser itself, which also knows the domains and volumes there are.
//!
//! The scripts in `packaging/completions` call this program at every TAB, with the line so far, the shell's name in
//! [`VARIABLE`]. What cannot be found out in a moment is not offered, and no error is shown: somebody is typing.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};

use spvirt::api::client::Api;
use spvirt::config::{self, Files};
use spvirt::sys;
use spvirt::volume::{BY_ID_DIR, BY_NAME_DIR, VolumeName};

use crate::cli::Cli;
use crate::libvirt::Libvirt;
use crate::overrides;

/// Set by the scripts, to the name of the shell.
pub const VARIABLE: &str = "SPVIRT_COMPLETE";
/// A person waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than this nobody reads.
const OFFERED_MAX: usize = 500;

/// The parser, with every argument that is called DOMAIN or VOLUME completed by what there is.
pub fn command() -> Command {
    with_names(Cli::command())
}

fn with_names(command: Command) -> Command {
    let command = command.mut_args(|argument| match called(&argument).split('|').next() {
        Some("DOMAIN") => argument.add(ArgValueCandidates::new(domains)),
        Some("VOLUME") => argument.add(ArgValueCompleter::new(volumes)),
        _ => argument,
    });
    command.mut_subcommands(with_names)
}

/// What stands for the argument's value in its help.
fn called(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names
        .first()
        .map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string)
}

fn domains() -> Vec<CompletionCandidate> {
    let libvirt = Libvirt::new(Cli::DEFAULT_CONNECTION);
    let mut names = libvirt.names().unwrap_or_default();
    names.sort();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Volumes whose name, global id or path begins with what was typed: in the form that was begun.
fn volumes(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(config) = config::read(&Files::system(), &sys::host_name(), &overrides()) else {
        return Vec::new();
    };
    let listed = Api::new(&config)
        .volumes(Instant::now() + PATIENCE)
        .unwrap_or_default();
    let typed = typed.to_string_lossy();
    let forms = listed.into_iter().flat_map(|volume| {
        let named = VolumeName::parse(&volume.name);
        let by_path = named.is_some().then(|| format!("{BY_NAME_DIR}/{}", volume.name));
        let id = volume.global_id;
        let by_id = id.as_ref().map(|id| format!("{BY_ID_DIR}/{id}"));
        let id = id.map(|id| format!("~{id}"));
        let name = named.map(String::from);
        [name, id, by_path, by_id]
    });
    // Nobody who has typed nothing wants to see each volume four times.
    let wanted = forms.flatten().filter(|form| match typed.as_ref() {
        "" => !form.starts_with(['~', '/']),
        typed => form.starts_with(typed),
    });
    wanted.take(OFFERED_MAX).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_with_names_are_found_in_every_verb() {
        let made = |name: &'static str| {
            Command::new(name)
                .arg(Arg::new("domain"))
                .arg(Arg::new("x").value_name("VOLUME|FILE"))
        };
        let whole =
            with_names(made("a").subcommand(made("b").subcommand(Command::new("c").arg(Arg::new("domain")))));
        let completed = |command: &Command, name: &str| {
            let argument = command
                .get_arguments()
                .find(|argument| argument.get_id() == name)
                .unwrap();
            (
                argument.get::<ArgValueCandidates>().is_some(),
                argument.get::<ArgValueCompleter>().is_some(),
            )
        };
        let b = whole.find_subcommand("b").unwrap();
        for command in [&whole, b] {
            assert_eq!(completed(command, "domain"), (true, false));
            assert_eq!(completed(command, "x"), (false, true));
        }
        assert_eq!(
            completed(b.find_subcommand("c").unwrap(), "domain"),
            (true, false)
        );
    }
}
