// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The command line. What a verb takes is in the verb's own file.

use clap::{Parser, Subcommand};

use crate::{adopt, boot, explain, fence, list, reconcile, takeover};

/// StorPool volumes for plain libvirt: see what domains hold, and clean up
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true, max_term_width = 80)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed or something is left, 2 wrong usage.\n\
    Domains are started and stopped with virsh as ever: the hook does the rest."
)]
pub struct Cli {
    /// Connect to this libvirt
    #[arg(
        short,
        long,
        global = true,
        value_name = "URI",
        default_value = "qemu:///system"
    )]
    pub connect: String,
    /// Say on stderr what is asked of StorPool
    #[arg(long, global = true)]
    pub debug: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    List(list::Args),
    Explain(explain::Args),
    Reconcile(reconcile::Args),
    Adopt(adopt::Args),
    Takeover(takeover::Args),
    Fence(fence::Args),
    Boot(boot::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_documented() {
        Cli::command().help_expected(true).debug_assert();
        for verb in Cli::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }

    #[test]
    fn the_manual_knows_every_verb_and_option() {
        let manual = include_str!("../../packaging/man/spvirt.1").replace("\\-", "-");
        let cli = Cli::command();
        for verb in cli.get_subcommands() {
            let name = verb.get_name();
            assert!(manual.contains(&format!("\n.B {name}\n")), "{name}");
            let options = verb.get_arguments().filter_map(clap::Arg::get_long);
            for option in options.chain(cli.get_arguments().filter_map(clap::Arg::get_long)) {
                assert!(manual.contains(&format!("--{option}")), "{name} --{option}");
            }
        }
    }

    #[test]
    fn help_fits_80_columns() {
        let mut all = Cli::command();
        all.build();
        let mut commands: Vec<_> = all.get_subcommands().cloned().collect();
        commands.push(all);
        for mut command in commands {
            let help = command.render_long_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn a_domain_may_be_called_like_an_option() {
        let cli = Cli::try_parse_from(["spvirt", "explain", "--", "-rf"]).unwrap();
        assert!(matches!(cli.verb, Verb::Explain(args) if args.domain == "-rf"));
        assert!(Cli::try_parse_from(["spvirt", "explain", "-rf"]).is_err());
    }
}
