// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Commands with a deadline, and what came of them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{process, wait};

/// How often virsh was told to start a domain and said that it did.
static DOMAIN_STARTS: AtomicUsize = AtomicUsize::new(0);

/// Domains started through virsh (`start`, `create`, `restore`) in this process so far; refused starts do not count.
#[must_use]
pub fn domain_starts() -> usize {
    DOMAIN_STARTS.load(Ordering::Relaxed)
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command as typed, for messages.
    pub command: String,
    /// Exit code; 128 + signal number when a signal ended it.
    pub code: i32,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

impl Output {
    /// The output of a command that must have succeeded.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.code == 0, "{self}");
        self
    }

    /// The output of a command that must have failed.
    ///
    /// # Panics
    /// When it succeeded.
    #[must_use]
    #[track_caller]
    pub fn failed(self) -> Self {
        assert!(self.code != 0, "should have failed: {self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

/// A command that may still run. Its output goes to unnamed files, so a daemon that it leaves behind blocks nobody.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    stdout: File,
    stderr: File,
    /// The child is `nsenter`, and the command a child of that.
    in_host: bool,
    /// Success means that a domain was started.
    starts_domain: bool,
}

impl Running {
    /// Starts `argv`, with nothing on its standard input.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn start(argv: &[&str]) -> Self {
        Self::start_as(argv, &argv.join(" "))
    }

    /// As [`Running::start`], with `shown` as the command in messages.
    pub(crate) fn start_as(argv: &[&str], shown: &str) -> Self {
        wait::doing(shown);
        let stdout = tempfile::tempfile().expect("an unnamed file for the output of a command");
        let stderr = tempfile::tempfile().expect("an unnamed file for the output of a command");
        let child = Command::new(argv[0])
            .args(&argv[1..])
            // Messages in English; and cargo's library path would travel through libvirtd into every hook.
            .env("LC_ALL", "C.UTF-8")
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("a second handle of a file"))
            .stderr(stderr.try_clone().expect("a second handle of a file"))
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run `{shown}`: {e}"));
        Self {
            child,
            command: shown.to_owned(),
            stdout,
            stderr,
            in_host: false,
            starts_domain: false,
        }
    }

    /// Marks the command as one that runs inside a host.
    pub(crate) fn in_host(mut self) -> Self {
        self.in_host = true;
        self
    }

    /// Marks the command as one that starts a domain.
    pub(crate) fn starting_a_domain(mut self, yes: bool) -> Self {
        self.starts_domain = yes;
        self
    }

    /// Whether the command has ended.
    ///
    /// # Panics
    /// When the kernel does not say.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_some()
    }

    /// The process of the command; nothing before it has begun inside its host, and after its end.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let own = i32::try_from(self.child.id()).expect("a pid");
        if self.in_host {
            process::children_of(own).first().copied()
        } else {
            Some(own)
        }
    }

    /// What the command has written to its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// Sends a signal to the command (inside the host, if it runs there).
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            process::signal(pid, signal);
        }
        // nsenter stops with the command, and would not notice its end.
        if self.in_host && signal != Signal::SIGSTOP {
            process::signal(i32::try_from(self.child.id()).expect("a pid"), Signal::SIGCONT);
        }
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When the command has not ended at the deadline. It is killed then.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self, deadline: Duration) -> Output {
        let what = format!("the end of `{}`", self.command);
        let ended = wait::attempt(&what, deadline, || {
            self.child.try_wait().expect("the state of a child")
        });
        let status = ended.unwrap_or_else(|message| {
            self.kill();
            panic!(
                "{message}\n--- stdout\n{}\n--- stderr\n{}",
                text(&self.stdout),
                text(&self.stderr)
            );
        });
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        if self.starts_domain && code == 0 {
            DOMAIN_STARTS.fetch_add(1, Ordering::Relaxed);
        }
        Output {
            command: self.command,
            code,
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}

impl Running {
    /// What the command printed when it ended or was killed at the deadline. Never panics over either.
    pub(crate) fn wait_or_kill(mut self, deadline: Duration) -> String {
        if wait::attempt("the end of a command", deadline, || {
            self.child.try_wait().ok().flatten()
        })
        .is_err()
        {
            self.kill();
        }
        text(&self.stdout) + &text(&self.stderr)
    }

    /// Ends the command at once, and what it runs inside a host.
    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that was written to `file` so far. Reads by position: the offset is shared with the one who writes.
fn text(file: &File) -> String {
    let mut bytes = vec![0; usize::try_from(file.metadata().map_or(0, |m| m.len())).unwrap_or(0)];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Runs a short administrative command of the rig itself.
///
/// # Panics
/// When it fails.
#[track_caller]
pub(crate) fn run(argv: &[&str]) -> String {
    Running::start(argv).wait(Duration::from_secs(20)).ok().stdout
}
