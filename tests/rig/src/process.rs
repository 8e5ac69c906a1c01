// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Processes as /proc shows them: whose children, in which pid namespace, under which number inside.

use std::fs;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// All process ids.
fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("a readable /proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether the process exists and is more than an unreaped exit status.
#[must_use]
pub fn lives(pid: i32) -> bool {
    // The state is the first field after the command name, which may hold blanks and parentheses itself.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Sends a signal; a process that has gone already is fine.
///
/// # Panics
/// When the kernel refuses.
pub fn signal(pid: i32, signal: Signal) {
    match signal::kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(e) => panic!("cannot send {signal} to process {pid}: {e}"),
    }
}

/// A line of /proc/PID/status.
fn status_line(pid: i32, key: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()))
}

/// The children of a process.
pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    let parent = parent.to_string();
    all()
        .filter(|pid| status_line(*pid, "PPid:").as_ref() == Some(&parent))
        .collect()
}

/// The pid namespace of a process.
pub(crate) fn pid_namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// The processes in a pid namespace.
pub(crate) fn in_namespace(namespace: &PathBuf) -> Vec<i32> {
    all()
        .filter(|pid| pid_namespace(*pid).as_ref() == Some(namespace))
        .collect()
}

/// The process (as we see it) that is number `inner` inside a pid namespace.
pub(crate) fn outer_pid(namespace: &PathBuf, inner: i32) -> Option<i32> {
    let inner = inner.to_string();
    in_namespace(namespace).into_iter().find(|pid| {
        status_line(*pid, "NSpid:").is_some_and(|ids| ids.split_whitespace().last() == Some(&inner))
    })
}

/// The command line of a process, for messages.
pub(crate) fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim_end()
        .to_owned()
}

/// Processes that have `text` on their command line: (pid, command line).
pub(crate) fn naming(text: &str) -> Vec<(i32, String)> {
    let commands = all().map(|pid| (pid, command_line(pid)));
    commands
        .filter(|(pid, command)| *pid != own() && command.contains(text))
        .collect()
}

/// This process.
fn own() -> i32 {
    Pid::this().as_raw()
}
