// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt-hook`, the libvirt qemu hook: installed as `/etc/libvirt/hooks/qemu.d/50-storpool`.

use std::io::{self, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = spvirt::hook::run(std::env::args_os(), io::stdin().lock(), spvirt::hook::line);
    // Here and below: a closed descriptor is nobody's fault but the reader's.
    let _ = io::stdout().write_all(&outcome.output);
    if let Some(message) = outcome.message {
        let _ = writeln!(io::stderr(), "{message}");
    }
    ExitCode::from(outcome.code)
}
