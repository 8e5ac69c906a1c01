// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The completions as a shell uses them: the committed script asks the program, the program answers. Domains and
//! volumes are offered in `tests/e2e/completion.rs`, where there are some.

#![cfg(feature = "ctl")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;
use std::process::Command;

/// What bash offers at TAB behind these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions/spvirt.bash");
    let program = Path::new(env!("CARGO_BIN_EXE_spvirt")).parent().unwrap();
    let last = words.len() - 1;
    // What bash does at TAB; without a terminal `compopt` has nothing to act on.
    let lines = format!(
        "source '{}'; compopt() {{ return 1; }}; COMP_WORDS=({}); COMP_CWORD={last}; COMP_TYPE=9; \
         _clap_complete_spvirt spvirt '{}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words[last]
    );
    let output = Command::new("bash")
        .args(["-c", &lines])
        .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split(['\n', '\u{b}']).map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_what_the_parser_knows() {
    assert_eq!(offered(&["spvirt", "recon"]), ["reconcile"]);
    assert_eq!(offered(&["spvirt", "check", "--j"]), ["--json"]);
    assert_eq!(offered(&["spvirt", "nonsense", "q"]), [""; 0]);
}
