// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! AppArmor and SELinux: may the daemon run the hook, and may the hook do its work?

use std::path::Path;

use super::Finding;
use super::hook::PROGRAM;

const TOPIC: &str = "confinement";
/// Folders of which the libvirt profile of Debian and Ubuntu lets each program run outside of it.
const RUN_FREELY: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib/libvirt"];
/// Below this a program may run inside libvirt's own profile.
const RUN_INSIDE: &str = "/etc/libvirt/hooks";
/// The label that our SELinux module gives to the hook.
const HOOK_TYPE: &str = "spvirt_hook_exec_t";

/// What the two say about this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The security label of each running daemon (`/proc/PID/attr/current`): `libvirtd (enforce)`,
    /// `system_u:system_r:virtqemud_t:s0`, `unconfined`.
    pub daemons: Vec<String>,
    /// Whether AppArmor is on.
    pub apparmor: bool,
    /// Whether SELinux is on, and if so whether it enforces.
    pub selinux: Option<bool>,
    /// The label of the hook's file, where SELinux is on.
    pub label: Option<String>,
    /// Where the link of the hook ends.
    pub target: Option<String>,
}

/// Judges both.
#[must_use]
pub fn judge(facts: &Confinement) -> Vec<Finding> {
    vec![apparmor(facts), selinux(facts)]
}

fn apparmor(facts: &Confinement) -> Finding {
    let finding = |how: &str| Finding::pass(TOPIC, format!("that AppArmor lets libvirt run the hook{how}"));
    if !facts.apparmor {
        return finding(" (it is not in use)");
    }
    if !facts.daemons.iter().any(|label| label.ends_with(" (enforce)")) {
        return finding(" (no running libvirt is confined)");
    }
    let finding = finding("");
    let Some(target) = facts.target.as_deref().map(Path::new) else {
        return finding.warn("there is no hook to run");
    };
    let free = RUN_FREELY
        .iter()
        .any(|folder| target.parent() == Some(Path::new(folder)));
    if free || target.starts_with(RUN_INSIDE) {
        finding
    } else {
        finding.fail(format!(
            "libvirt's profile allows no program there: install {} as {PROGRAM}",
            target.display()
        ))
    }
}

fn selinux(facts: &Confinement) -> Finding {
    let finding = |how: &str| Finding::pass(TOPIC, format!("that SELinux lets libvirt run the hook{how}"));
    let Some(enforcing) = facts.selinux else {
        return finding(" (it is not in use)");
    };
    let is = |kind: &str| {
        let of = |label: &String| label.split(':').nth(2) == Some(kind);
        facts.daemons.iter().any(of)
    };
    let labelled = facts
        .label
        .as_deref()
        .is_some_and(|label| label.split(':').nth(2) == Some(HOOK_TYPE));
    let finding = finding(if enforcing { "" } else { " (it only warns)" });
    if !is("virtqemud_t") || labelled {
        return finding;
    }
    let trouble = format!(
        "virtqemud may not let it talk to StorPool: semodule --install /usr/share/selinux/packages/spvirt.pp, then restorecon -v {PROGRAM}"
    );
    if enforcing {
        finding.fail(trouble)
    } else {
        finding.warn(trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Pass, Warn};
    use super::*;

    fn facts(daemon: &str) -> Confinement {
        Confinement {
            daemons: vec![daemon.to_owned()],
            target: Some(PROGRAM.to_owned()),
            ..Confinement::default()
        }
    }

    #[test]
    fn where_neither_is_in_use_both_pass() {
        let findings = judge(&facts("unconfined"));
        assert!(
            findings
                .iter()
                .all(|f| f.verdict == Pass && f.what.ends_with("(it is not in use)"))
        );
    }

    #[test]
    fn apparmor_allows_few_folders() {
        for (target, verdict) in [
            (Some("/usr/sbin/spvirt-hook"), Pass),
            (Some("/usr/lib/libvirt/spvirt-hook"), Pass),
            (Some("/etc/libvirt/hooks/qemu.d/50-storpool"), Pass),
            (Some("/usr/sbin/deeper/spvirt-hook"), Fail),
            (Some("/usr/local/sbin/spvirt-hook"), Fail),
            (Some("/opt/spvirt-hook"), Fail),
            (None, Warn),
        ] {
            let mut facts = facts("libvirtd (enforce)");
            facts.apparmor = true;
            facts.target = target.map(str::to_owned);
            assert_eq!(apparmor(&facts).verdict, verdict, "{target:?}");
            facts.daemons = vec!["libvirtd (complain)".into(), "unconfined".into()];
            assert_eq!(apparmor(&facts).verdict, Pass, "{target:?}, not enforced");
        }
    }

    #[test]
    fn selinux_needs_the_module_where_virtqemud_is_confined() {
        let (confined, free) = (
            "system_u:system_r:virtqemud_t:s0",
            "system_u:system_r:virtd_t:s0-s0:c0.c1023",
        );
        let bin = Some("system_u:object_r:bin_t:s0");
        let ours = Some("system_u:object_r:spvirt_hook_exec_t:s0");
        for (daemon, enforcing, label, verdict) in [
            (free, true, bin, Pass),
            (confined, true, ours, Pass),
            (confined, true, bin, Fail),
            (confined, true, None, Fail),
            (confined, false, bin, Warn),
        ] {
            let facts = Confinement {
                selinux: Some(enforcing),
                label: label.map(str::to_owned),
                ..facts(daemon)
            };
            assert_eq!(selinux(&facts).verdict, verdict, "{daemon} {enforcing} {label:?}");
        }
    }
}
