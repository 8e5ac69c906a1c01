// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Processes of this host that matter: libvirt's daemons, and multipathd.

use std::fs;
use std::path::Path;

use super::{names, text};
use crate::check::daemon::{Daemon, Unit};
use crate::claim::Process;

/// The daemons that run the qemu hook. The kernel cuts names after 15 characters, which these do not reach.
const LIBVIRT: [&str; 2] = ["libvirtd", "virtqemud"];
/// Clock ticks per second in `/proc`, the same on every Linux.
const TICKS: i64 = 100;

/// libvirt's daemons in `proc`. `reloaded` tells when systemd last reloaded a unit.
pub fn libvirt(proc: &Path, reloaded: impl Fn(&str) -> Option<i64>) -> Vec<Daemon> {
    let boot = boot_time(proc).unwrap_or_default();
    let view = |of: &str| fs::read_link(proc.join(of).join("ns/mnt")).ok();
    let mine = view("self");
    // A daemon in a container has other hooks.
    let is_here = |pid: i32| view(&pid.to_string()) == mine;
    let found = processes(proc).filter(|(_, name)| LIBVIRT.contains(&name.as_str()));
    let found = found.filter(|(pid, _)| is_here(*pid));
    let describe = |(pid, name): (i32, String)| {
        let started = ticks(proc, pid)?;
        let unit = unit(&text(&proc.join(format!("{pid}/cgroup")))?);
        Some(Daemon {
            name,
            process: Process { pid, started },
            started: boot + i64::try_from(started).ok()? / TICKS,
            unit: unit.map(|name| Unit {
                reloaded: reloaded(&name),
                name,
            }),
        })
    };
    found.filter_map(describe).collect()
}

/// Whether a program of this name runs.
#[must_use]
pub fn runs(proc: &Path, name: &str) -> bool {
    processes(proc).any(|(_, found)| found == name)
}

fn processes(proc: &Path) -> impl Iterator<Item = (i32, String)> {
    let pids = names(proc)
        .into_iter()
        .filter_map(|name| name.to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let name = text(&proc.join(format!("{pid}/comm")))?;
        Some((pid, name.trim_end().to_owned()))
    })
}

/// When a process started, in ticks since boot.
fn ticks(proc: &Path, pid: i32) -> Option<u64> {
    let stat = text(&proc.join(format!("{pid}/stat")))?;
    // The second field is the command in parentheses, which may itself hold blanks and parentheses.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// When the host booted, in seconds since 1970.
fn boot_time(proc: &Path) -> Option<i64> {
    let stat = text(&proc.join("stat"))?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// The systemd service in which a process runs, by its `/proc/PID/cgroup`.
fn unit(cgroup: &str) -> Option<String> {
    let line = cgroup
        .lines()
        .find(|line| line.contains(":name=systemd:") || line.starts_with("0::"))?;
    let service = line.rsplit('/').find(|part| part.ends_with(".service"))?;
    Some(service.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_in_both_kinds_of_cgroups() {
        for (cgroup, service) in [
            ("0::/system.slice/libvirtd.service\n", Some("libvirtd.service")),
            (
                "12:pids:/x.service\n1:name=systemd:/system.slice/virtqemud.service/sub\n",
                Some("virtqemud.service"),
            ),
            ("0::/user.slice/session-1.scope\n", None),
            ("", None),
        ] {
            assert_eq!(unit(cgroup).as_deref(), service, "{cgroup}");
        }
    }
}
