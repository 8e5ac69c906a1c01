// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The command line. What a verb takes is in the verb's own file.

use clap::{Parser, Subcommand};

use crate::{adopt, boot, check, explain, fence, list, reconcile, takeover};

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
        default_value = Self::DEFAULT_CONNECTION
    )]
    pub connect: String,
    /// Say on stderr what is asked of StorPool
    #[arg(long, global = true)]
    pub debug: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli {
    /// The connection that is used when none is named.
    pub const DEFAULT_CONNECTION: &str = "qemu:///system";
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Check(check::Args),
    List(list::Args),
    Explain(explain::Args),
    Reconcile(reconcile::Args),
    Adopt(adopt::Args),
    Takeover(takeover::Args),
    Fence(fence::Args),
    Boot(boot::Args),
    /// Change what domains say about their volumes, and not a byte more
    Rewrite(Box<crate::rewrite::Rewrite>),
    /// Put a domain's definition back to what it was before a rewrite
    Undo(crate::undo::Undo),
    /// Print an element that is ready for virsh
    Xml(crate::xml::Xml),
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
    fn a_domain_may_be_called_like_an_option() {
        let cli = Cli::try_parse_from(["spvirt", "explain", "--", "-rf"]).unwrap();
        assert!(matches!(cli.verb, Verb::Explain(args) if args.domain == "-rf"));
        assert!(Cli::try_parse_from(["spvirt", "explain", "-rf"]).is_err());
    }
}
