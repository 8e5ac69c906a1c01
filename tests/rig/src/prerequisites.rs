// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the rig needs from the machine. Something missing is a failure that names the package, never a skipped test.

use std::path::{Path, PathBuf};

/// Programs and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 9] = [
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("losetup", "mount"),
    ("libvirtd", "libvirt-daemon-system"),
    ("virtlogd", "libvirt-daemon-system"),
    ("virsh", "libvirt-clients"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("journalctl", "systemd"),
    ("logger", "bsdutils"),
];

/// The journal daemon, which is not in anybody's `PATH`.
pub(crate) const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// The full path of a program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    folders
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file())
}

/// Says all that is missing.
pub(crate) fn check() -> Result<(), String> {
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root: namespaces, loop devices and libvirtd need it".to_owned());
    }
    for (program, package) in PROGRAMS {
        if find(program).is_none() {
            missing.push(format!("{program}: apt-get install {package}"));
        }
    }
    if !Path::new(JOURNALD).exists() {
        missing.push(format!("{JOURNALD}: apt-get install systemd"));
    }
    if !Path::new("/dev/loop-control").exists() {
        missing.push("/dev/loop-control: modprobe loop".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "tests on real libvirt cannot run here, these are missing:\n  {}",
        missing.join("\n  ")
    ))
}

/// The hypervisor libvirt can use here: `kvm` where /dev/kvm opens, else `qemu`. `SPVIRT_RIG_HYPERVISOR` chooses:
/// where the machine itself is a virtual one, `qemu` brings these tiny guests up faster than nested `kvm`.
pub(crate) fn hypervisor() -> &'static str {
    match std::env::var("SPVIRT_RIG_HYPERVISOR").as_deref() {
        Ok("qemu") => return "qemu",
        Ok("kvm") => return "kvm",
        Ok(other) => panic!("SPVIRT_RIG_HYPERVISOR is {other:?}, not kvm or qemu"),
        Err(_) => {}
    }
    let opens = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    if opens { "kvm" } else { "qemu" }
}
