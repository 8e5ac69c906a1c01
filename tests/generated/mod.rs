// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The manual pages and the completions, made from the definitions of the parser and of the settings. They are part
//! of the repository, and a test compares: `make generated` writes them again.
//!
//! A page is a template beside it, `packaging/man/PAGE.in`, written by hand, in which a line `@WORD@` stands for what
//! is made here.

mod help;
mod man;

use std::fs;
use std::path::PathBuf;

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::complete;

/// Set, the files are written instead of compared.
const REGENERATE: &str = "SPVIRT_REGENERATE";

/// Every generated file, below the root of the repository.
fn files() -> Vec<(&'static str, String)> {
    vec![
        ("packaging/man/spvirt.1", man::page("spvirt.1")),
        ("packaging/man/spvirt-hook.8", man::page("spvirt-hook.8")),
        ("packaging/man/spvirt.conf.5", man::page("spvirt.conf.5")),
        ("packaging/completions/spvirt.bash", script(&Bash)),
        ("packaging/completions/_spvirt", autoloaded(&script(&Zsh))),
        ("packaging/completions/spvirt.fish", script(&Fish)),
    ]
}

#[test]
fn what_is_generated_is_committed() {
    let regenerate = std::env::var_os(REGENERATE).is_some();
    for (path, text) in files() {
        let file = root().join(path);
        if regenerate {
            fs::write(&file, &text).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == text,
            "{path} is not what the code says: make generated"
        );
    }
}

/// A script that asks the installed program at every TAB.
fn script(shell: &dyn EnvCompleter) -> String {
    let mut script = Vec::new();
    shell
        .write_registration(complete::VARIABLE, "spvirt", "spvirt", "spvirt", &mut script)
        .unwrap();
    let script = String::from_utf8(script).unwrap();
    let (first, rest) = match script.trim_start().split_once('\n') {
        // zsh reads this line first of all.
        Some((first, rest)) if first.starts_with("#compdef") => (format!("{first}\n"), rest.to_owned()),
        _ => (String::new(), script.trim_start().to_owned()),
    };
    format!(
        "{first}# SPDX-FileCopyrightText: 2026 the spvirt authors\n# SPDX-License-Identifier: LGPL-2.1-or-later\n\
         # Made by `make generated`.\n{}\n",
        rest.trim_end()
    )
}

/// zsh runs a file of its function path as the function of that name, at the first TAB: it has to answer at once.
fn autoloaded(script: &str) -> String {
    let (before, last) = script.trim_end().rsplit_once('\n').unwrap();
    let function = last
        .strip_prefix("compdef ")
        .and_then(|rest| rest.strip_suffix(" spvirt"))
        .unwrap();
    format!(
        "{before}\nif [[ $funcstack[1] == _spvirt ]]; then\n    {function} \"$@\"\nelse\n    {last}\nfi\n"
    )
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
