// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What AppArmor and SELinux have written on processes and files.

use std::path::Path;

use super::{hooks, text};
use crate::check::confinement::Confinement;
use crate::check::daemon::Daemon;
use crate::check::hook;

/// The labels of `daemons` and of the hook, below `root`.
#[must_use]
pub fn read(root: &Path, daemons: &[Daemon]) -> Confinement {
    let of_process = |daemon: &Daemon| {
        let folder = root.join(format!("proc/{}/attr", daemon.process.pid));
        // Both modules may be there; then AppArmor has a file of its own.
        let labels = ["apparmor/current", "current"].map(|name| text(&folder.join(name)));
        let labels = labels.into_iter().flatten();
        labels
            .map(|label| label.trim_end_matches(['\0', '\n']).to_owned())
            .collect::<Vec<_>>()
    };
    let says = |path: &str| text(&root.join(path)).map(|text| text.trim_end().to_owned());
    let selinux = says("sys/fs/selinux/enforce").map(|text| text == "1");
    let target = hooks::target(root, hook::LINK);
    let label = selinux.and_then(|_| {
        let path = target.as_ref()?;
        let value = xattr::get(root.join(path.trim_start_matches('/')), "security.selinux").ok()??;
        Some(String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned())
    });
    Confinement {
        daemons: daemons.iter().flat_map(of_process).collect(),
        apparmor: says("sys/module/apparmor/parameters/enabled").as_deref() == Some("Y"),
        selinux,
        label,
        target,
    }
}
