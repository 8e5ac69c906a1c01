// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt check --fix`: the few repairs that are safe at any moment.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use spvirt::check::Fix;
use spvirt::check::hook::{LINK, PROGRAM};
use spvirt::sys;

use crate::run;

/// What a repair does, in a few words.
pub fn describe(fix: &Fix) -> String {
    match fix {
        Fix::Mode(path, mode) => format!("chmod {mode:o} {}", path.display()),
        Fix::Link => format!("ln -s {PROGRAM} {LINK}"),
        Fix::Reload(daemon) => format!("reload {}", daemon.name),
    }
}

/// Does it, or says why not.
pub fn apply(fix: &Fix) -> Result<(), String> {
    match fix {
        Fix::Mode(path, mode) => sys::restrict(path, *mode).map_err(|error| error.to_string()),
        Fix::Link => {
            let folder = Path::new(LINK).parent().unwrap_or(Path::new("/"));
            let made = fs::create_dir_all(folder).and_then(|()| symlink(PROGRAM, LINK));
            made.map_err(|error| error.to_string())
        }
        // Through systemd where it can be, which then remembers it.
        Fix::Reload(daemon) => match &daemon.unit {
            Some(unit) => run::output(Path::new("systemctl"), &["reload", &unit.name]).map(drop),
            None => sys::hang_up(daemon.process).map_err(|error| error.to_string()),
        },
    }
}
