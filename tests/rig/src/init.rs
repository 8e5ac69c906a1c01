// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Process 1 of a test host: builds the host's own view of the machine, then reaps orphans until the test lets go.
//!
//! It holds the read end of a pipe whose only write end is in the test process. When the test ends, however it
//! ends, the pipe closes, process 1 exits and the kernel kills everything in the namespace.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde::{Deserialize, Serialize};

use crate::system::{self, Cgroup, System};

/// What process 1 is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Host name.
    pub(crate) name: String,
    /// Folder of this host, its "disk": the private files that outlive a power cut.
    pub(crate) folder: PathBuf,
    /// The file that all hosts share as /etc/hosts.
    pub(crate) hosts: PathBuf,
    /// Programs to show under another path: (file on this machine, path in the host).
    pub(crate) programs: Vec<(PathBuf, PathBuf)>,
    /// What the host has as its root; the machine's, without.
    pub(crate) system: Option<System>,
}

/// Folders of the machine that a host sees as its own copy-on-write version.
const COPIED: [&str; 3] = ["/etc", "/usr/sbin", "/var"];

/// What a copy must not show of the machine below it: its domains, its hooks, its StorPool configuration, its state.
const HIDDEN: [&str; 9] = [
    "/etc/libvirt/hooks",
    "/etc/libvirt/qemu",
    "/etc/spvirt",
    "/etc/storpool.conf",
    "/etc/storpool.conf.d",
    "/var/lib/libvirt",
    "/var/lib/spvirt",
    "/var/log/journal",
    "/var/log/libvirt",
];

/// Folders that libvirt or the product expect and that packages or systemd make on a real host.
pub(crate) const EXPECTED: [&str; 9] = [
    "/etc/libvirt/hooks/qemu.d",
    "/etc/storpool.conf.d",
    "/var/cache/libvirt/qemu",
    "/var/lib/libvirt/boot",
    "/var/lib/libvirt/images",
    "/var/lib/libvirt/qemu",
    "/var/log/libvirt",
    "/run/lock",
    "/run/libvirt",
];

/// Device nodes every host has: name, major, minor, mode.
const NODES: [(&str, u64, u64, u32); 9] = [
    ("null", 1, 3, 0o666),
    ("zero", 1, 5, 0o666),
    ("full", 1, 7, 0o666),
    ("random", 1, 8, 0o666),
    ("urandom", 1, 9, 0o666),
    ("kmsg", 1, 11, 0o600),
    ("tty", 5, 0, 0o666),
    ("console", 5, 1, 0o600),
    ("net/tun", 10, 200, 0o666),
];

/// Device nodes a host has if the machine has them.
const OPTIONAL_NODES: [&str; 3] = ["kvm", "vhost-net", "userfaultfd"];

/// Parent of process 1: makes the namespaces, prints the pid of process 1 as the test sees it, waits for its end.
pub(crate) fn parent(plan: &str) -> ExitCode {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID;
    unshare(namespaces).expect("own namespaces");
    let known: Plan = serde_json::from_str(plan).expect("a host plan");
    if known.system.as_ref().is_some_and(|system| system.booted) {
        return parent_of_systemd(plan, &known);
    }
    let mut init = start(plan, Stdio::inherit());
    let _ = init.wait();
    ExitCode::SUCCESS
}

/// systemd watches no pipe of ours: this process does, and kills it when the test has gone. Process 1 gone, the kernel
/// kills everything in the namespace.
fn parent_of_systemd(plan: &str, known: &Plan) -> ExitCode {
    bind_flags(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC);
    let cgroup = Cgroup::enter(known);
    unshare(CloneFlags::CLONE_NEWCGROUP).expect("a cgroup namespace");
    let mut init = start(plan, Stdio::null());
    cgroup.leave();
    let stdin = std::io::stdin();
    // No thread could wait for one of the two: there is none after a step into another pid namespace.
    while let Ok(None) = init.try_wait() {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, 100_u16);
        // Nobody ever writes: readable means that the test is gone.
        if fds[0].any().unwrap_or(true) {
            let _ = init.kill();
            let _ = init.wait();
        }
    }
    cgroup.remove();
    ExitCode::SUCCESS
}

/// Starts process 1 and tells its pid.
fn start(plan: &str, stdin: Stdio) -> Child {
    let init = Command::new("/proc/self/exe")
        .args([super::enter::INIT, plan])
        .stdin(stdin)
        .spawn()
        .expect("process 1");
    println!("{}", init.id());
    std::io::stdout().flush().expect("the pipe to the test");
    init
}

/// Process 1.
pub(crate) fn run(plan: &str) -> ExitCode {
    let plan: Plan = serde_json::from_str(plan).expect("a host plan");
    if plan.system.as_ref().is_some_and(|system| system.booted) {
        set_pdeathsig(Signal::SIGKILL).expect("an end with the parent");
        build(&plan);
        println!("ready");
        std::io::stdout().flush().expect("the pipe to the test");
        system::boot();
    }
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().expect("SIGCHLD blocked");
    let ended =
        SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).expect("a signal fd");

    build(&plan);
    println!("ready");
    std::io::stdout().flush().expect("the pipe to the test");

    let stdin = std::io::stdin();
    loop {
        while !matches!(
            waitpid(None, Some(WaitPidFlag::WNOHANG)),
            Err(_) | Ok(WaitStatus::StillAlive)
        ) {}
        let mut fds = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut fds, PollTimeout::NONE);
        // Nobody ever writes: readable means that the test is gone.
        if fds[0].any().unwrap_or(true) {
            return ExitCode::SUCCESS;
        }
        while let Ok(Some(_)) = ended.read_signal() {}
    }
}

/// Builds the host's view.
fn build(plan: &Plan) {
    nix::unistd::sethostname(&plan.name).expect("the host's name");
    umask(Mode::from_bits_truncate(0o022));
    bind_flags(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC);
    if let Some(system) = &plan.system {
        system::build(plan, system);
        return;
    }
    mount_fs("proc", Path::new("/proc"), "");
    let changes = |path: &str| plan.folder.join(path.trim_start_matches('/').replace('/', "-"));
    let first_boot = !changes(COPIED[0]).exists();
    for path in COPIED {
        copy_on_write(&changes(path), path);
        if path == "/etc" {
            // Before /var is covered: the cluster's folder may lie below it.
            bind(&plan.hosts, Path::new("/etc/hosts"));
        }
    }
    for path in HIDDEN.iter().filter(|_| first_boot) {
        let path = Path::new(path);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("a folder of the machine hidden from the host");
        } else if path.exists() {
            fs::remove_file(path).expect("a file of the machine hidden from the host");
        }
    }
    devices(&plan.folder.join("dev"));
    replace(&plan.folder.join("dev"), "/dev");
    own_sysfs(&plan.folder.join("sys"));
    replace(&plan.folder.join("sys"), "/sys");
    mount_fs("tmpfs", Path::new("/run"), "mode=755");
    for path in EXPECTED {
        fs::create_dir_all(path).expect("a folder libvirt expects");
    }
    give_to_qemu(Path::new("/var/lib/libvirt/qemu"));
    own_boot(Path::new("/"));
    for (program, path) in &plan.programs {
        fs::write(path, "").expect("a place for a program");
        bind(program, path);
    }
}

/// A boot of its own, so that claims of "an earlier boot" can be told from this one's.
pub(crate) fn own_boot(root: &Path) {
    let boot_id = root.join("run/boot-id");
    let fresh = fs::read("/proc/sys/kernel/random/uuid").expect("a fresh UUID");
    fs::write(&boot_id, fresh).expect("a boot id");
    bind(&boot_id, &root.join("proc/sys/kernel/random/boot_id"));
}

/// Makes the place for the disks of a cluster's hosts: in memory, as an overlay's upper folder must not lie on another
/// overlay, which the machine's own root may be.
pub(crate) fn disks(at: &Path) {
    fs::create_dir_all(at).expect("a folder for the hosts' disks");
    mount_fs("tmpfs", at, "mode=755");
}

/// Covers `path` with a copy-on-write version of itself whose changes lie in `changes`.
fn copy_on_write(changes: &Path, path: &str) {
    let (upper, work) = (changes.join("upper"), changes.join("work"));
    fs::create_dir_all(&upper).expect("an overlay's upper folder");
    fs::create_dir_all(&work).expect("an overlay's work folder");
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)).expect("permissions");
    let options = format!(
        "lowerdir={path},upperdir={},workdir={}",
        upper.display(),
        work.display()
    );
    mount_fs("overlay", Path::new(path), &options);
}

/// A private /dev, as devtmpfs would be on another machine.
///
/// `/dev/storpool` must not be a mount of its own: libvirt treats mounts below /dev in a special way.
pub(crate) fn devices(dev: &Path) {
    // Looked up before the machine's /dev goes.
    let optional = OPTIONAL_NODES.map(|name| (name, fs::metadata(Path::new("/dev").join(name)).ok()));
    fs::create_dir_all(dev).expect("a folder for /dev");
    mount_fs("tmpfs", dev, "mode=755,size=16m");
    for folder in ["net", "pts", "shm", "mqueue", "hugepages"] {
        fs::create_dir(dev.join(folder)).expect("a folder in /dev");
    }
    for (name, major, minor, mode) in NODES {
        character(&dev.join(name), makedev(major, minor), mode);
    }
    for (name, metadata) in optional {
        if let Some(metadata) = metadata.filter(|m| m.file_type().is_char_device()) {
            character(&dev.join(name), metadata.rdev(), 0o666);
        }
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
        ("log", "/run/systemd/journal/dev-log"),
    ] {
        symlink(target, dev.join(link)).expect("a link in /dev");
    }
    mount_fs(
        "devpts",
        &dev.join("pts"),
        "newinstance,ptmxmode=0666,mode=620,gid=5",
    );
    mount_fs("tmpfs", &dev.join("shm"), "mode=1777");
}

/// Puts a mount in the place of the machine's. That has to be gone, not just covered: libvirt would trip over a
/// `/dev/pts` it still sees in the mount table.
fn replace(own: &Path, at: &str) {
    umount2(at, MntFlags::MNT_DETACH).expect("the machine's folder unmounted");
    mount(Some(own), at, None::<&str>, MsFlags::MS_MOVE, None::<&str>).expect("the host's folder in place");
}

/// A /sys of the host's own network namespace (else libvirt finds network cards that it cannot open), with the
/// machine's cgroups.
fn own_sysfs(sys: &Path) {
    fs::create_dir_all(sys).expect("a folder for /sys");
    mount_fs("sysfs", sys, "");
    system::bind_recursively(Path::new("/sys/fs/cgroup"), &sys.join("fs/cgroup"));
}

/// Makes a character device node.
fn character(path: &Path, device: u64, mode: u32) {
    mknod(path, SFlag::S_IFCHR, Mode::empty(), device).expect("a device node");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions of a device node");
}

/// Mounts a file system of its own kind.
pub(crate) fn mount_fs(kind: &str, at: &Path, options: &str) {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options))
        .unwrap_or_else(|e| panic!("cannot mount {kind} on {} ({options}): {e}", at.display()));
}

/// Shows a file of the machine under another path.
pub(crate) fn bind(source: &Path, at: &Path) {
    mount(Some(source), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|e| panic!("cannot show {} as {}: {e}", source.display(), at.display()));
}

/// Changes how a mount point propagates.
pub(crate) fn bind_flags(at: &Path, flags: MsFlags) {
    mount(None::<&str>, at, None::<&str>, flags, None::<&str>).expect("mount propagation");
}

/// QEMU runs as this user on Debian and keeps its monitor socket here.
fn give_to_qemu(folder: &Path) {
    if let Ok(Some(user)) = nix::unistd::User::from_name("libvirt-qemu") {
        nix::unistd::chown(folder, Some(user.uid), Some(user.gid)).expect("QEMU's folder");
    }
}
