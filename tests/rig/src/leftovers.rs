// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What a cluster might have left on the machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{command, process, system};

/// Everything this process has made so far.
static MADE: Mutex<Made> = Mutex::new(Made {
    folders: Vec::new(),
    namespaces: Vec::new(),
});

/// What to look for.
struct Made {
    /// Folders of clusters.
    folders: Vec<PathBuf>,
    /// Pid namespaces of hosts. Each is held open: the kernel would give its number to the next one on the machine.
    namespaces: Vec<(PathBuf, File)>,
}

/// Remembers the folder of a cluster.
pub(crate) fn made_folder(folder: &Path) {
    MADE.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .folders
        .push(folder.to_owned());
}

/// Remembers the pid namespace of a host, by its first process.
pub(crate) fn made_namespace(init: i32) -> PathBuf {
    let namespace = process::pid_namespace(init).expect("the host's pid namespace");
    let held = File::open(format!("/proc/{init}/ns/pid")).expect("the host's pid namespace");
    MADE.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .namespaces
        .push((namespace.clone(), held));
    namespace
}

/// What remains of all clusters and hosts this process has made; empty when all is clean.
#[must_use]
pub fn leftovers() -> Vec<String> {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<String> = made.folders.iter().flat_map(|folder| left_of(folder)).collect();
    for pid in made
        .namespaces
        .iter()
        .flat_map(|(namespace, _)| process::in_namespace(namespace))
    {
        found.push(format!("process {pid}: {}", process::command_line(pid)));
    }
    found
}

/// Nothing remains of what this process has made. Call it when every cluster has been dropped.
///
/// # Panics
/// When something does.
#[track_caller]
pub fn assert_no_leftovers() {
    let found = leftovers();
    assert!(found.is_empty(), "left behind:\n  {}", found.join("\n  "));
}

/// What remains of one cluster: its folder, loop devices on files in it, mounts, processes that name it.
#[must_use]
pub fn left_of(folder: &Path) -> Vec<String> {
    let name = folder.to_str().expect("a folder of the rig");
    let mut found = Vec::new();
    if folder.exists() {
        found.push(format!("folder {name}"));
    }
    found.extend(
        loop_devices(folder)
            .into_iter()
            .map(|device| format!("loop device {device}")),
    );
    found.extend(system::cgroups_of(folder));
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains(name))
            .map(|line| format!("mount {line}")),
    );
    found.extend(
        process::naming(name)
            .into_iter()
            .map(|(pid, command)| format!("process {pid}: {command}")),
    );
    found
}

/// Loop devices whose backing file lies below `folder`, even if that file is deleted by now.
pub(crate) fn loop_devices(folder: &Path) -> Vec<String> {
    let table = command::run(&["losetup", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"]);
    let below = format!(" {}/", folder.display());
    table
        .lines()
        .filter_map(|line| line.contains(&below).then(|| line.split(' ').next())?)
        .map(str::to_owned)
        .collect()
}
