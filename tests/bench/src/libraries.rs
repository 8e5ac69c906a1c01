// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the loader must find before the hook's first instruction.

use std::path::Path;
use std::process::Command;

use crate::report::Report;

/// All it may need, beside the loader itself.
const LIBRARIES: [&str; 2] = ["libc.so.6", "libgcc_s.so.1"];

/// Checks `readelf --dynamic`.
pub fn check(hook: &Path, report: &mut Report) {
    report.part("libraries");
    let output = Command::new("readelf")
        .args(["--dynamic", "--wide"])
        .arg(hook)
        .env("LC_ALL", "C")
        .output()
        .expect("readelf: apt-get install binutils");
    assert!(
        output.status.success(),
        "readelf {}: {}",
        hook.display(),
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let mut needed: Vec<_> = text
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split_once('[')?.1.strip_suffix(']'))
        .filter(|library| !library.starts_with("ld-linux"))
        .collect();
    needed.retain(|library| !LIBRARIES.contains(library));
    let others = if needed.is_empty() {
        "none".to_owned()
    } else {
        needed.join(", ")
    };
    report.exact("the hook needs, beside libc and libgcc_s", &others, "none");
}
