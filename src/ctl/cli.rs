// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The command line.

use clap::{Parser, Subcommand};

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
    /// Check whether this host is fit to run domains on StorPool
    ///
    /// Looks at the configuration, at StorPool, at the hook and whether libvirt calls it, at what else on the
    /// host may get hold of volumes, at the state of spvirt, and at the disks of domains. Each line ends in PASS,
    /// in WARN (it works, or nobody can tell) or in FAIL, with what to do. Changes nothing without --fix.
    #[command(after_help = "Examples:\n  spvirt check\n  spvirt check --fix\n  \
        spvirt check --json | jq '.findings[] | select(.verdict != \"pass\")'\n\n\
        Exit code 1 when anything is FAIL, as of virt-host-validate.")]
    Check {
        /// Repair what is safe to repair: rights of spvirt's own files, a missing link to the hook, a libvirt
        /// that has not noticed the hook (a reload, which guests do not notice)
        #[arg(long)]
        fix: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show which domain holds which volume on this host
    #[command(after_help = "Example:\n  spvirt list")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Finish what crashes and lost hook calls left behind
    ///
    /// Looks at every claim: a claim of a domain that does not run any more is released exactly as the hook
    /// would have done. Running domains are never touched, nor is anything that no claim names. Safe to run at
    /// any moment, beside hooks and beside itself.
    #[command(
        after_help = "Examples:\n  spvirt reconcile --dry-run\n  spvirt reconcile\n\n\
        Exit code 1 when anything is left or needs a person."
    )]
    Reconcile {
        /// Only say what would be done
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_documented() {
        Cli::command().help_expected(true).debug_assert();
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
}
