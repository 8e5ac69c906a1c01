// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the kernel tells about this host and its processes. The only user of `nix`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};

use crate::claim::Process;
use crate::persist::{PathError, at};

/// The kernel's node name: what `uname -n` prints, and what StorPool's configuration sections are named after.
#[must_use]
pub fn host_name() -> String {
    nix::sys::utsname::uname()
        .map(|names| names.nodename().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The id of this boot.
pub fn boot_id() -> Result<String, PathError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(small_file(path)
        .map_err(at("reading", path))?
        .trim_end()
        .to_owned())
}

/// Milliseconds since boot, suspends included.
#[must_use]
pub fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// When this process was started, in milliseconds since boot, not later than it was.
#[must_use]
pub fn own_start() -> u64 {
    // The kernel tells processes time in hundredths of a second, whatever its own clock is.
    process(nix::unistd::getpid().as_raw()).map_or_else(since_boot, |me| me.started * 10)
}

/// The process that called us.
#[must_use]
pub fn parent() -> Option<Process> {
    process(nix::unistd::getppid().as_raw())
}

/// Which thread of the process that called us did it: the kernel keeps a thread's children apart
/// (`/proc/PID/task/TID/children`, where it was built with `CONFIG_PROC_CHILDREN`).
#[must_use]
pub fn parent_thread() -> Option<i32> {
    let me = nix::unistd::getpid().to_string();
    let threads = format!("/proc/{}/task", nix::unistd::getppid());
    let mut threads = fs::read_dir(threads).ok()?.flatten();
    let thread = threads.find(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.split_ascii_whitespace().any(|child| child == me)
    })?;
    thread.file_name().to_str()?.parse().ok()
}

/// A number nobody has used before and nobody can guess.
pub fn random_id() -> Result<String, PathError> {
    let path = Path::new("/proc/sys/kernel/random/uuid");
    Ok(small_file(path)
        .map_err(at("reading", path))?
        .trim_end()
        .to_owned())
}

/// What changes whenever a file is written or replaced; `None` where there is no file. Follows no link.
#[must_use]
pub fn stamp(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::symlink_metadata(path).ok()?;
    let (inode, size) = (found.ino(), found.size());
    Some(format!("{inode}.{size}.{}.{}", found.ctime(), found.ctime_nsec()))
}

/// The process with this id, if there is one now.
#[must_use]
pub fn process(pid: i32) -> Option<Process> {
    let stat = small_file(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    // The second field is the command in parentheses, which may itself hold blanks and parentheses.
    let after_command = stat.rsplit_once(") ")?.1;
    let started = after_command.split(' ').nth(19)?.parse().ok()?;
    Some(Process { pid, started })
}

/// Whether exactly this process still runs.
#[must_use]
pub fn is_alive(it: Process) -> bool {
    process(it.pid) == Some(it)
}

/// The QEMU process of a domain: libvirt starts it with `-uuid UUID`.
#[must_use]
pub fn qemu_of(uuid: &str) -> Option<i32> {
    pids().find(|pid| {
        let line = command_line(*pid);
        let mut words = line.split(|b| *b == 0);
        words.any(|word| word == b"-uuid") && words.next() == Some(uuid.as_bytes())
    })
}

/// The words of a process, each ended by a NUL; none if it is one of the kernel's. One that is being killed has lost
/// them as soon as its first thread is gone, but the threads that cannot be killed have them still.
fn command_line(pid: i32) -> Vec<u8> {
    let of = |folder: &Path| fs::read(folder.join("cmdline")).unwrap_or_default();
    let whole = of(Path::new(&format!("/proc/{pid}")));
    if !whole.is_empty() {
        return whole;
    }
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let mut lines = threads.flatten().map(|thread| of(&thread.path()));
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// The first process that has the block device `major:minor` open, as `pid (command)`.
#[must_use]
pub fn opener_of(device: &str) -> Option<String> {
    let has_it = |pid: &i32| {
        let folder = fs::read_dir(format!("/proc/{pid}/fd"));
        folder.is_ok_and(|fds| {
            fds.flatten()
                .any(|fd| device_of(&fd.path()).is_ok_and(|d| d.as_deref() == Some(device)))
        })
    };
    pids().find(has_it).map(called)
}

/// For each of these block devices (`major:minor`) a process that has it open, if there is one. One look at all
/// processes, whatever the number of devices.
#[must_use]
pub fn openers_of(devices: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut openers = BTreeMap::new();
    if devices.is_empty() {
        return openers;
    }
    for pid in pids() {
        let fds = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let open = fds.filter_map(|fd| device_of(&fd.path()).ok()?);
        for device in open.filter(|device| devices.contains(device)) {
            openers.entry(device).or_insert_with(|| called(pid));
        }
    }
    openers
}

/// A process for people.
fn called(pid: i32) -> String {
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {pid}, {}", command.trim_end())
}

/// Sets the rights of a file or folder. Neither follows a link nor waits for the other end of a pipe.
pub fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Sends SIGHUP to exactly this process.
pub fn hang_up(it: Process) -> io::Result<()> {
    if !is_alive(it) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let pid = nix::unistd::Pid::from_raw(it.pid);
    Ok(nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP)?)
}

fn pids() -> impl Iterator<Item = i32> {
    let names = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok())
}

/// The device number of the block device that `path` leads to, as `major:minor`; `None` if it is something else.
pub fn device_of(path: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let found = fs::metadata(path)?;
    let number = found.rdev();
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    Ok(found
        .file_type()
        .is_block_device()
        .then(|| format!("{major}:{minor}")))
}

/// What sysfs says about a block device.
#[derive(Debug)]
pub struct Disk {
    /// It cannot be written to. Also said of a device that cannot be asked.
    pub read_only: bool,
    /// Size in sectors of 512 bytes; 0 if it has none (yet).
    pub sectors: u64,
}

/// Asks sysfs about the block device `major:minor`.
#[must_use]
pub fn disk(device: &str) -> Disk {
    // The long way to the folder is gone once for all attributes.
    let folder = File::open(PathBuf::from("/sys/dev/block").join(device));
    let attribute = |name: &str| -> Option<u64> {
        let file = openat(
            folder.as_ref().ok()?,
            name,
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .ok()?;
        at_once(File::from(file)).ok()?.trim_end().parse().ok()
    };
    Disk {
        read_only: attribute("ro") != Some(0),
        sectors: attribute("size").unwrap_or(0),
    }
}

/// A file of the kernel's, see [`at_once`].
fn small_file(path: &Path) -> io::Result<String> {
    at_once(File::open(path)?)
}

/// Reads a file of the kernel's that is given out in one piece. Reading it like any other takes five times the
/// calls, and these are much of what a start with many volumes does.
fn at_once(mut file: File) -> io::Result<String> {
    let mut bytes = [0; 1024];
    let length = file.read(&mut bytes)?;
    let text = bytes.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time_too() {
        let me = process(std::process::id().try_into().unwrap()).unwrap();
        assert!(is_alive(me));
        assert!(!is_alive(Process {
            started: me.started + 1,
            ..me
        }));
        assert!(parent().is_some());
        assert_eq!(process(0), None);
    }

    #[test]
    fn the_kernel_tells_host_boot_and_time() {
        assert!(!host_name().is_empty());
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(since_boot() > 0);
        assert!(own_start() > 0 && own_start() <= since_boot());
        assert_eq!(device_of(Path::new("/dev/null")).unwrap(), None);
    }

    #[test]
    fn the_thread_that_started_this_process_is_known() {
        let thread = parent_thread().expect("a kernel with CONFIG_PROC_CHILDREN");
        let parent = parent().unwrap().pid;
        assert!(Path::new(&format!("/proc/{parent}/task/{thread}")).exists());
    }

    #[test]
    fn a_file_that_is_written_again_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web1.xml");
        assert_eq!(stamp(&path), None);
        fs::write(&path, "one").unwrap();
        let first = stamp(&path).unwrap();
        assert_eq!(stamp(&path).as_ref(), Some(&first));
        fs::write(folder.path().join("new"), "one").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_ne!(stamp(&path).unwrap(), first);
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }

    #[test]
    fn rights_are_taken_from_the_file_itself() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        restrict(&file, 0o640).unwrap();
        assert!(restrict(&link, 0o600).is_err());
        assert_eq!(mode(&file), 0o640, "not through the link");
        restrict(folder.path(), 0o700).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
    }

    #[test]
    fn a_qemu_is_found_by_its_uuid() {
        let uuid = "11112222-3333-4444-5555-666677778888";
        assert_eq!(qemu_of(uuid), None);
        // Any process with such a command line will do; this one ends when its stdin closes. What it says first comes
        // from the new program: right after `spawn` the kernel may not show the new command line yet.
        let mut child = Command::new("sh")
            .args(["-c", "echo up; read x", "guest", "-uuid", uuid])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 2];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(qemu_of(uuid), child.id().try_into().ok());
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
