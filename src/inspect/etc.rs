// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Configuration files: StorPool's, LVM's, multipath's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{names, text};
use crate::check::Owned;
use crate::check::config::ConfigFile;
use crate::check::lvm::Lvm;
use crate::check::multipath::Multipath;
use crate::config::{ConfigError, Files};

/// StorPool's files, with owner, mode, and whether the token is in them.
pub fn config_files(files: &Files) -> Result<Vec<ConfigFile>, ConfigError> {
    let describe = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        let text = text(path).unwrap_or_default();
        Some(ConfigFile {
            owned: Owned {
                path: path.to_owned(),
                mode: found.mode(),
                uid: found.uid(),
            },
            has_token: text
                .lines()
                .any(|line| line.trim_start().starts_with("SP_AUTH_TOKEN")),
        })
    };
    Ok(files.list()?.iter().filter_map(|path| describe(path)).collect())
}

/// LVM's files below `root`.
#[must_use]
pub fn lvm(root: &Path) -> Lvm {
    let read = |name: &str| text(&root.join("etc/lvm").join(name));
    Lvm {
        main: read("lvm.conf"),
        local: read("lvmlocal.conf"),
        devices: read("devices/system.devices"),
    }
}

/// multipath's files below `root`; whether its daemon runs is for [`super::daemons`] to say.
#[must_use]
pub fn multipath(root: &Path, running: bool) -> Multipath {
    let mut whole = text(&root.join("etc/multipath.conf")).unwrap_or_default();
    let folder = root.join("etc/multipath/conf.d");
    let extra = names(&folder).into_iter().map(|name| folder.join(name));
    for path in extra.filter(|path| path.extension().is_some_and(|end| end == "conf")) {
        whole.push('\n');
        whole.push_str(&text(&path).unwrap_or_default());
    }
    Multipath { running, text: whole }
}
