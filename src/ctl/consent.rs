// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Asking before something that cannot be taken back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::Failure;

/// Asks on the terminal. Without one nobody can answer, and silence is no consent.
pub fn ask(question: &str, verb: &str) -> Result<bool, Failure> {
    let (input, mut terminal) = (io::stdin(), io::stderr());
    if !input.is_terminal() || !terminal.is_terminal() {
        return Err(Failure::Usage(format!(
            "nobody can be asked here: say \"spvirt {verb} --yes\" to go on"
        )));
    }
    write!(terminal, "{question} Type yes to go on: ")?;
    terminal.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
