// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! One process, from its start to its end, the way libvirt runs a hook: argv, the domain's XML on a pipe, a small
//! environment.
//!
//! `Command` starts it with `posix_spawn` as long as nothing needs code between fork and exec; `docs/numbers.md`
//! tells how to see that it does.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What everything is compared with.
pub const TRUE: &str = "/bin/true";

/// Longest XML that fits into a pipe before anybody reads it, in bytes.
const PIPE: usize = 64 << 10;

/// Starts `program` with `stdin`, and with the little environment that libvirt gives a hook.
pub fn spawn(program: &Path, args: &[&str], stdin: impl Into<Stdio>) -> Child {
    Command::new(program)
        .args(args)
        .env_clear()
        .envs([("LC_ALL", "C"), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")])
        .stdin(stdin)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Runs `program` and takes its time. Anything but exit code 0 ends the bench: the time of a failure is not a
/// result.
///
/// The pipe is filled before the clock starts: otherwise the hook, and not `/bin/true`, would wait until the bench
/// has a processor again to write to it.
pub fn timed(program: &Path, args: &[&str], xml: &[u8]) -> Duration {
    assert!(xml.len() < PIPE, "XML that does not fit into a pipe");
    let (stdin, mut feed) = io::pipe().expect("a pipe");
    feed.write_all(xml).expect("room in the pipe");
    drop(feed);
    let began = Instant::now();
    let mut child = spawn(program, args, stdin);
    let status = child.wait().expect("our child");
    let time = began.elapsed();
    assert!(status.success(), "{} {args:?}: {status}", program.display());
    time
}
