// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The readers behind `spvirt check` on made-up hosts: a folder that stands for `/`, with what a real host has there.
//! What is thought of the facts is tested beside the judgement; here a reader and its judge are put together.

#![cfg(feature = "ctl")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use spvirt::check::Verdict::{self, Fail, Pass, Warn};
use spvirt::check::hook::{PROGRAM, Program};
use spvirt::check::{self, Finding, Fix};
use spvirt::claim::Process;
use spvirt::config::Files;
use spvirt::inspect;
use tempfile::TempDir;

/// A folder that stands for `/`.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn file(self, path: &str, mode: u32, text: &str) -> Self {
        let file = self.path(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        self
    }

    fn link(self, path: &str, target: impl AsRef<Path>) -> Self {
        let link = self.path(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
        self
    }

    fn root(&self) -> &Path {
        self.0.path()
    }
}

fn verdicts(findings: &[Finding]) -> Vec<Verdict> {
    findings.iter().map(|finding| finding.verdict).collect()
}

const LINK: &str = "/etc/libvirt/hooks/qemu.d/50-storpool";

#[test]
fn hooks_are_found_as_libvirt_finds_them() {
    let root = Root::new()
        .file(PROGRAM, 0o755, "the hook")
        .file("/etc/libvirt/hooks/qemu", 0o755, "the main one")
        .file("/etc/libvirt/hooks/qemu.d/10-copy", 0o755, "the hook")
        .file("/etc/libvirt/hooks/qemu.d/20-off", 0o644, "the hook")
        .file("/etc/libvirt/hooks/qemu.d/.30-hidden~", 0o755, "another")
        .file("/etc/libvirt/hooks/qemu.d/folder/x", 0o755, "not looked at")
        .link("/etc/libvirt/hooks/qemu.d/40-gone", "/usr/sbin/gone")
        .link(LINK, PROGRAM)
        .link(
            "/etc/libvirt/hooks/qemu.d/60-relative",
            "../../../../usr/sbin/spvirt-hook",
        );
    let scripts = inspect::hooks::scripts(root.root());
    let seen: Vec<_> = scripts
        .iter()
        .map(|script| {
            let name = script.path.file_name().unwrap().to_str().unwrap();
            (name, script.runs, script.is_ours, script.link.is_some())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("qemu", true, false, false),
            (".30-hidden~", true, false, false),
            ("10-copy", true, true, false),
            ("20-off", false, true, false),
            ("40-gone", false, false, true),
            ("50-storpool", true, true, true),
            ("60-relative", true, true, true),
            ("folder", false, false, false),
        ]
    );
    assert!(
        scripts
            .iter()
            .all(|script| script.path.starts_with("/etc/libvirt/hooks"))
    );
    assert!(scripts.iter().all(|script| script.changed > 1_700_000_000));
    assert_eq!(
        inspect::hooks::target(root.root(), "/etc/libvirt/hooks/qemu.d/60-relative").as_deref(),
        Some(PROGRAM)
    );
    let program = inspect::hooks::program(root.root(), |_| Ok(env!("CARGO_PKG_VERSION").to_owned()));
    let found = check::hook::judge(&program, &scripts, &Ok(9_000_000));
    assert_eq!(verdicts(&found), [Pass, Fail, Warn, Pass], "{found:?}");
}

#[test]
fn a_host_without_hooks_is_seen() {
    let root = Root::new();
    assert_eq!(inspect::hooks::scripts(root.root()), []);
    let program = inspect::hooks::program(root.root(), |_| panic!("nothing to run"));
    assert_eq!(program, Program::Missing);
    let found = check::hook::judge(&program, &[], &Ok(9_000_000));
    assert_eq!(verdicts(&found), [Fail, Fail, Pass, Pass]);
}

/// A `/proc` in which libvirtd started 1000 s after a boot at 1,700,000,000.
fn proc(name: &str) -> Root {
    let stat = format!("77 ({name} (x) y) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100000 0 0");
    Root::new()
        .file("/stat", 0o444, "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n")
        .file("/77/comm", 0o444, &format!("{name}\n"))
        .file("/77/stat", 0o444, &stat)
        .file("/77/cgroup", 0o444, "0::/system.slice/libvirtd.service\n")
        .file("/78/comm", 0o444, "bash\n")
}

#[test]
fn daemons_are_found_with_their_start_and_their_unit() {
    let root = proc("libvirtd");
    let found = inspect::daemons::libvirt(root.root(), |unit| {
        assert_eq!(unit, "libvirtd.service");
        Some(1_700_005_000)
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].process,
        Process {
            pid: 77,
            started: 100_000
        }
    );
    assert_eq!(found[0].started, 1_700_001_000);
    let unit = found[0].unit.clone().unwrap();
    assert_eq!(
        (unit.name.as_str(), unit.reloaded),
        ("libvirtd.service", Some(1_700_005_000))
    );
    assert!(inspect::daemons::runs(root.root(), "bash"));
    assert!(!inspect::daemons::runs(root.root(), "multipathd"));
    assert_eq!(
        inspect::daemons::libvirt(proc("virtqemud").root(), |_| None).len(),
        1
    );
    assert_eq!(inspect::daemons::libvirt(proc("virtlogd").root(), |_| None), []);
}

#[test]
fn a_daemon_in_a_container_does_not_count() {
    let root = proc("libvirtd").link("/self/ns/mnt", "mnt:[1]");
    assert_eq!(inspect::daemons::libvirt(root.root(), |_| None), []);
    let root = root.link("/77/ns/mnt", "mnt:[1]");
    assert_eq!(inspect::daemons::libvirt(root.root(), |_| None).len(), 1);
}

#[test]
fn the_security_modules_are_read() {
    let root = Root::new()
        .file(PROGRAM, 0o755, "")
        .link(LINK, PROGRAM)
        .file("/proc/77/attr/current", 0o444, "libvirtd (enforce)\n")
        .file("/sys/module/apparmor/parameters/enabled", 0o444, "Y\n");
    let daemons = inspect::daemons::libvirt(proc("libvirtd").root(), |_| None);
    let facts = inspect::labels::read(root.root(), &daemons);
    assert_eq!(facts.target.as_deref(), Some(PROGRAM));
    assert_eq!(verdicts(&check::confinement::judge(&facts)), [Pass, Pass]);

    let elsewhere = Root::new()
        .file("/opt/spvirt-hook", 0o755, "")
        .file("/proc/77/attr/apparmor/current", 0o444, "libvirtd (enforce)\n")
        .file("/sys/module/apparmor/parameters/enabled", 0o444, "Y\n");
    let elsewhere = elsewhere.link(LINK, "/opt/spvirt-hook");
    let facts = inspect::labels::read(elsewhere.root(), &daemons);
    assert_eq!(facts.target.as_deref(), Some("/opt/spvirt-hook"));
    assert_eq!(verdicts(&check::confinement::judge(&facts)), [Fail, Pass]);

    let selinux = Root::new()
        .file(PROGRAM, 0o755, "")
        .file(
            "/proc/77/attr/current",
            0o444,
            "system_u:system_r:virtqemud_t:s0\0",
        )
        .file("/sys/fs/selinux/enforce", 0o444, "1");
    let facts = inspect::labels::read(selinux.root(), &daemons);
    assert_eq!(facts.selinux, Some(true));
    assert_eq!(verdicts(&check::confinement::judge(&facts)), [Pass, Fail]);
}

#[test]
fn lvm_and_multipath_are_read_with_all_their_files() {
    let bare = Root::new();
    assert_eq!(check::lvm::judge(&inspect::etc::lvm(bare.root())).verdict, Pass);
    let stock = Root::new().file(
        "/etc/lvm/lvm.conf",
        0o644,
        "devices {\n\t# global_filter = [ \"a|.*|\" ]\n}\n",
    );
    assert_eq!(check::lvm::judge(&inspect::etc::lvm(stock.root())).verdict, Warn);
    let local = stock.file(
        "/etc/lvm/lvmlocal.conf",
        0o644,
        "devices { global_filter = [ \"r|^/dev/(sp-|storpool)|\" ] }",
    );
    assert_eq!(check::lvm::judge(&inspect::etc::lvm(local.root())).verdict, Pass);
    let listed = local.file(
        "/etc/lvm/devices/system.devices",
        0o600,
        "IDTYPE=devname DEVNAME=/dev/sp-1\n",
    );
    assert_eq!(check::lvm::judge(&inspect::etc::lvm(listed.root())).verdict, Warn);

    let multipath = |root: &Root, running| {
        check::multipath::judge(&inspect::etc::multipath(root.root(), running)).verdict
    };
    assert_eq!(multipath(&bare, false), Pass);
    assert_eq!(multipath(&bare, true), Warn);
    let root = Root::new()
        .file("/etc/multipath.conf", 0o644, "defaults { find_multipaths yes }\n")
        .file(
            "/etc/multipath/conf.d/sp.conf",
            0o644,
            "blacklist {\n\tdevnode \"^sp-\"\n}\n",
        )
        .file(
            "/etc/multipath/conf.d/off.bak",
            0o644,
            "blacklist_exceptions { devnode \"^sp-\" }\n",
        );
    assert_eq!(multipath(&root, true), Pass);
}

#[test]
fn holders_of_a_disk_and_of_its_partitions_are_found() {
    let root = Root::new()
        .file("/dev/block/252:3/size", 0o444, "2048\n")
        .file("/dev/block/252:3/holders/dm-4/dm/name", 0o444, "vg0-root\n")
        .file("/dev/block/252:3/sp-3p1/partition", 0o444, "1\n")
        .file("/dev/block/252:3/sp-3p1/holders/md0/uevent", 0o444, "");
    assert_eq!(
        inspect::devices::holders(root.root(), "252:3"),
        ["dm-4 (vg0-root)", "md0"]
    );
    assert_eq!(inspect::devices::holders(root.root(), "252:4"), [""; 0]);
}

#[test]
fn the_state_folders_are_looked_at_to_the_bottom() {
    let root = Root::new();
    assert_eq!(inspect::state::read(root.root()).unwrap(), []);
    let claims = "/var/lib/spvirt/claims";
    let root = root
        .file(&format!("{claims}/a.json"), 0o600, "{}")
        .file(&format!("{claims}/b.json"), 0o644, "{}")
        .link("/run/spvirt", "/tmp");
    for folder in ["/var/lib/spvirt", claims] {
        fs::set_permissions(root.path(folder), Permissions::from_mode(0o700)).unwrap();
    }
    fs::set_permissions(root.path(claims), Permissions::from_mode(0o755)).unwrap();
    let found = check::state::folders(&inspect::state::read(root.root()).unwrap());
    let fixes: Vec<_> = found.iter().map(|finding| finding.fix.clone()).collect();
    assert_eq!(verdicts(&found), [Fail; 3], "{found:?}");
    assert!(fixes.contains(&Some(Fix::Mode(root.path(claims), 0o700))));
    assert!(fixes.contains(&Some(Fix::Mode(root.path(&format!("{claims}/b.json")), 0o600))));
    assert!(fixes.contains(&None), "the link");
}

#[test]
fn owners_and_modes_of_storpools_files_are_read() {
    let root = Root::new()
        .file("/storpool.conf", 0o640, "SP_AUTH_TOKEN=x\n")
        .file("/storpool.conf.d/b.conf", 0o644, "SP_X=1\n")
        .file("/storpool.conf.d/c.conf~", 0o666, "SP_AUTH_TOKEN=x\n");
    let files = Files {
        main: root.path("/storpool.conf"),
        dir: root.path("/storpool.conf.d"),
    };
    let judged = || {
        let found = inspect::etc::config_files(&files).unwrap();
        let findings = check::config::judge(&spvirt::config::read(&files, "h", &[]), &found);
        findings.last().unwrap().clone()
    };
    assert_eq!(judged().verdict, Pass);
    fs::set_permissions(&files.main, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(judged().verdict, Warn);
    fs::set_permissions(&files.main, Permissions::from_mode(0o600)).unwrap();
    let root = root.file("/storpool.conf.d/d.conf", 0o644, "  SP_AUTH_TOKEN=y\n");
    assert!(judged().advice.contains("d.conf"), "{:?}", judged());
    let root = root.file("/storpool.conf.d/a.conf", 0o606, "");
    assert_eq!(judged().verdict, Fail);
    for name in ["a", "d"] {
        fs::remove_file(root.path(&format!("/storpool.conf.d/{name}.conf"))).unwrap();
    }
    chown(&files.main, Some(12345), None).expect("these tests run as root");
    assert_eq!(judged().verdict, Warn);
}
