// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Domains whose disks are set up in a way that fails, loses data or wastes space on StorPool.

use super::{Finding, some_of};
use crate::domain::{Element, Outline, mentions_storpool};
use crate::volume::{PathMeaning, path_meaning};

const TOPIC: &str = "domains";

/// A domain as libvirt knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its XML: of a persistent domain that which it starts with next time.
    pub xml: String,
}

/// Judges the disks of all domains, or says why nobody knows them.
#[must_use]
pub fn judge(domains: &Result<Vec<Definition>, String>) -> Vec<Finding> {
    let what = "the disks of domains";
    let domains = match domains {
        Ok(domains) => domains,
        Err(why) => {
            return vec![Finding::pass(TOPIC, what).warn(format!("libvirt does not tell them: {why}"))];
        }
    };
    let ours: Vec<_> = domains
        .iter()
        .filter(|domain| mentions_storpool(domain.xml.as_bytes()))
        .collect();
    let findings: Vec<_> = ours.iter().filter_map(|domain| domain_finding(domain)).collect();
    if findings.is_empty() {
        vec![Finding::pass(
            TOPIC,
            format!("{what} ({} with StorPool volumes)", ours.len()),
        )]
    } else {
        findings
    }
}

fn domain_finding(domain: &Definition) -> Option<Finding> {
    let name = domain.name.escape_debug();
    let finding = Finding::pass(TOPIC, format!("the disks of {name}"));
    let outline = match Outline::read(domain.xml.as_bytes()) {
        Ok(outline) => outline,
        Err(why) => return Some(finding.warn(format!("its XML is not understood: {why}"))),
    };
    let devices = outline.find(&["devices"]);
    let disks = devices
        .into_iter()
        .flat_map(|devices| devices.children_named("disk"));
    let (mut fails, mut risks) = (Vec::new(), Vec::new());
    for disk in disks.filter(is_ours) {
        let target = disk
            .child("target")
            .and_then(|target| Some(target.value("dev")?.into_owned()));
        let target = target.unwrap_or_else(|| "a disk".to_owned());
        if disk.value("type").as_deref() != Some("block") {
            fails.push(target);
            continue;
        }
        let risk = risk(disk);
        if !risk.is_empty() {
            risks.push(format!("{target} {risk}"));
        }
    }
    if !fails.is_empty() {
        let fails = some_of(&fails);
        return Some(finding.fail(format!(
            "QEMU opens a volume only as type='block': {fails}: spvirt rewrite --block {name}"
        )));
    }
    (!risks.is_empty()).then(|| {
        let risks = some_of(&risks);
        finding.warn(format!("{risks}: spvirt rewrite --tune {name}"))
    })
}

/// Whether the disk's source is a volume.
fn is_ours(disk: &Element<'_, '_>) -> bool {
    let source = disk.child("source");
    let path = |name: &str| source.and_then(|source| source.value(name));
    let path = path("dev").or_else(|| path("file"));
    path.is_some_and(|path| matches!(path_meaning(&path), PathMeaning::Volume(_)))
}

/// What is wrong with a writable disk's driver: a cache in the host's memory is lost with the host and makes migrations
/// unsafe; threads instead of native I/O are slow; without discard the volume never gets space back.
fn risk(disk: Element<'_, '_>) -> String {
    if disk.child("readonly").is_some() || disk.value("device").as_deref() == Some("cdrom") {
        return String::new();
    }
    let driver = disk.child("driver");
    let is = |name: &str, good: &[&str]| {
        let value = driver.and_then(|driver| driver.value(name));
        value.is_some_and(|value| good.contains(&value.as_ref()))
    };
    let mut risks = Vec::new();
    if !is("cache", &["none", "directsync"]) {
        risks.push("cache is not none");
    }
    if !is("io", &["native", "io_uring"]) {
        risks.push("io is not native");
    }
    if !is("discard", &["unmap"]) {
        risks.push("discard is not unmap");
    }
    risks.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Pass, Warn};
    use super::*;

    fn judged(disks: &str) -> Finding {
        let domain = Definition {
            name: "web1".into(),
            xml: format!("<domain><name>web1</name><devices>{disks}</devices></domain>"),
        };
        judge(&Ok(vec![domain])).swap_remove(0)
    }

    fn disk(driver: &str, more: &str) -> String {
        format!(
            "<disk type='block'><driver {driver}/><source dev='/dev/storpool/x'/><target dev='vda'/>{more}</disk>"
        )
    }

    const GOOD: &str = "cache='none' io='native' discard='unmap'";

    #[test]
    fn good_disks_and_other_peoples_pass() {
        for disks in [
            disk(GOOD, ""),
            disk("cache=\"directsync\" io=\"io_uring\" discard=\"unmap\"", ""),
            disk("name='qemu'", "<readonly/>"),
            "<disk type='file'><source file='/var/lib/storpool.img'/></disk>".to_owned(),
            "<disk type='block' device='cdrom'><source dev='/dev/storpool/iso'/></disk>".to_owned(),
        ] {
            let found = judged(&disks);
            assert_eq!(found.verdict, Pass, "{found:?}");
            assert!(found.what.ends_with("(1 with StorPool volumes)"), "{found:?}");
        }
    }

    #[test]
    fn risky_disks_are_told() {
        for (driver, advice) in [
            (
                "cache='writeback' io='native' discard='unmap'",
                "vda cache is not none:",
            ),
            (
                "cache='none' io='threads' discard='unmap'",
                "vda io is not native:",
            ),
            ("cache='none' io='native'", "vda discard is not unmap:"),
            (
                "name='qemu'",
                "vda cache is not none and io is not native and discard is not unmap:",
            ),
        ] {
            let found = judged(&disk(driver, ""));
            assert_eq!(found.verdict, Warn, "{driver}");
            assert!(found.advice.starts_with(advice), "{found:?}");
        }
    }

    #[test]
    fn a_volume_given_as_a_file_fails() {
        let file = "<disk type='file'><source file='/dev/storpool/x'/><target dev='vdb'/></disk>";
        let found = judged(&(disk(GOOD, "") + file));
        assert_eq!(found.verdict, Fail);
        assert!(found.advice.contains("only as type='block': vdb"), "{found:?}");
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(judged("<storpool>&nonsense;</storpool>").verdict, Warn);
        assert_eq!(judge(&Err("silent".into()))[0].verdict, Warn);
        let name = "a\nb";
        let domain = Definition {
            name: name.into(),
            xml: "<storpool".into(),
        };
        assert_eq!(judge(&Ok(vec![domain]))[0].what, "the disks of a\\nb");
    }
}
