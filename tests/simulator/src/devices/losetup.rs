// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Loop devices, through `losetup` and `blockdev` of util-linux (the ioctls would need unsafe code).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Two `losetup --find` that pick the same device make one of them sleep a quarter of a second.
static FINDING: Mutex<()> = Mutex::new(());

/// Runs a tool; its standard output, or an error with what it said.
fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!(
        "{}: {}: {said}",
        command.get_program().display(),
        output.status
    )))
}

/// Makes a loop device of `file`, with direct I/O where the file system can, so that two devices of one
/// file see each other's writes.
pub fn attach(file: &Path, read_only: bool) -> io::Result<PathBuf> {
    let _finding = FINDING.lock().unwrap_or_else(PoisonError::into_inner);
    let try_with = |direct: bool| {
        let mut command = Command::new("losetup");
        command.args(["--find", "--show"]);
        if direct {
            command.arg("--direct-io=on");
        }
        if read_only {
            command.arg("--read-only");
        }
        run(command.arg(file)).map(PathBuf::from)
    };
    // Under a burst of others `--find` may lose every race it enters: once more then, and without direct
    // I/O where that is what fails.
    try_with(true)
        .or_else(|_| try_with(true))
        .or_else(|_| try_with(false))
}

/// Frees the device if it (still) belongs to `file`. One that is open stays until it is closed.
pub fn detach(device: &Path, file: &Path) -> io::Result<()> {
    if backing_file(device).as_deref() != Some(file) {
        return Ok(());
    }
    run(Command::new("losetup").arg("--detach").arg(device)).map(drop)
}

/// Makes the device read-only or writable, also while it is open.
pub fn set_read_only(device: &Path, read_only: bool) -> io::Result<()> {
    let flag = if read_only { "--setro" } else { "--setrw" };
    run(Command::new("blockdev").arg(flag).arg(device)).map(drop)
}

/// Whether the kernel takes the device for read-only.
pub fn is_read_only(device: &Path) -> bool {
    let name = device.file_name().unwrap_or_default();
    fs::read_to_string(Path::new("/sys/block").join(name).join("ro")).is_ok_and(|flag| flag.trim() == "1")
}

/// Lets the device take the size its file has now.
pub fn take_size(device: &Path) -> io::Result<()> {
    run(Command::new("losetup").arg("--set-capacity").arg(device)).map(drop)
}

/// Writes what the page cache holds for the device to its file.
pub fn flush(device: &Path) -> io::Result<()> {
    run(Command::new("blockdev").arg("--flushbufs").arg(device)).map(drop)
}

/// The file behind a loop device.
pub fn backing_file(device: &Path) -> Option<PathBuf> {
    let name = device.file_name()?;
    let text = fs::read_to_string(Path::new("/sys/block").join(name).join("loop/backing_file")).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Some(PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(text)))
}

/// Loop devices whose file lies in `folder`, with that file.
pub fn within(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let devices = names
        .filter(|n| n.starts_with("loop"))
        .map(|n| Path::new("/dev").join(n));
    devices
        .filter_map(|device| backing_file(&device).map(|file| (device, file)))
        .filter(|(_, file)| file.starts_with(folder))
        .collect()
}
