// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! One process, from its start to its end, the way libvirt runs a hook: argv, the domain's XML on a pipe, a small
//! environment.
//!
//! `Command` starts it with `posix_spawn` as long as nothing needs code between fork and exec; `docs/numbers.md`
//! tells how to see that it does.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What everything is compared with.
pub const TRUE: &str = "/bin/true";

/// Starts `program` with a pipe for its stdin.
pub fn spawn(program: &Path, args: &[&str]) -> Child {
    Command::new(program)
        .args(args)
        .env_clear()
        .envs([("LC_ALL", "C"), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Hands over the XML. `/bin/true` may be gone by now.
pub fn feed(child: &mut Child, xml: &[u8]) {
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(xml);
}

/// Runs `program` and takes its time. Anything but exit code 0 ends the bench: the time of a failure is not a
/// result.
pub fn timed(program: &Path, args: &[&str], xml: &[u8]) -> Duration {
    let began = Instant::now();
    let mut child = spawn(program, args);
    feed(&mut child, xml);
    let status = child.wait().expect("our child");
    let time = began.elapsed();
    assert!(status.success(), "{} {args:?}: {status}", program.display());
    time
}
