// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Runs a program under ptrace, counts its system calls over all its threads, and kills it at the entry of one: that
//! call is not carried out any more.
//!
//! So that the same number is the same moment in every run, threads do not race: who starts a thread waits until that
//! thread has come to rest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The moment at which a traced program is killed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Moment {
    /// At the entry of its so-many-th system call after it was executed, counted from 1 over all threads.
    Call(usize),
    /// At the entry of this very call.
    Entry(Syscall),
}

/// One system call of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Syscall {
    /// Its name.
    pub name: String,
    /// Counted from 1 among the calls of this name.
    pub nth: usize,
}

/// How a traced run went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trace {
    /// Every call that was entered, in order. The program died at the entry of the last, if it was killed.
    pub calls: Vec<Syscall>,
    /// What the last call was about: a path, or what its first argument, a descriptor, leads to.
    pub about: String,
    /// Whether it was killed at the wanted moment; else it ended by itself.
    pub killed: bool,
}

/// Says that it is there, waits for a line on standard input, and becomes what the arguments say: by then it is traced.
const START: &str = "echo && read -r line && exec \"$0\" \"$@\"";

/// Starts `argv` with `input` on its standard input, and traces it to its end. `prepared` makes pipes of its other
/// streams, and nobody reads them meanwhile.
pub(crate) fn run(
    argv: &[String],
    input: &[u8],
    moment: Option<&Moment>,
    prepared: impl FnOnce(&mut Command),
) -> io::Result<(Child, WaitStatus, Trace)> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", START]).args(argv).stdin(Stdio::piped());
    prepared(&mut command);
    let mut child = command.spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    // The shell has been executed: what comes next is the program.
    let stdout = child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
    stdout.read_exact(&mut [0])?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options)?;
    // Shorter than a pipe is long: nothing reads it yet.
    let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    stdin.write_all(b"\n").and_then(|()| stdin.write_all(input))?;
    drop(stdin);
    let (status, trace) = Tracer::new(pid, moment).follow()?;
    Ok((child, status, trace))
}

/// A program that is being traced.
struct Tracer<'a> {
    /// Its first thread.
    program: Pid,
    moment: Option<&'a Moment>,
    calls: Vec<Syscall>,
    counts: BTreeMap<String, usize>,
    about: String,
    killed: bool,
    /// A thread that has started another, and waits until that one has come to rest.
    waiting: Option<Pid>,
}

impl<'a> Tracer<'a> {
    fn new(program: Pid, moment: Option<&'a Moment>) -> Self {
        Self {
            program,
            moment,
            calls: Vec::new(),
            counts: BTreeMap::new(),
            about: String::new(),
            killed: false,
            waiting: None,
        }
    }

    /// Until the program has ended.
    fn follow(mut self) -> io::Result<(WaitStatus, Trace)> {
        loop {
            let status = waitpid(None, Some(WaitPidFlag::__WALL))?;
            match status {
                WaitStatus::PtraceEvent(pid, _, event) if event == Event::PTRACE_EVENT_CLONE as i32 => {
                    self.waiting = Some(pid);
                }
                WaitStatus::PtraceEvent(pid, ..) => resume(pid, None)?,
                WaitStatus::PtraceSyscall(pid) => self.stopped(pid)?,
                WaitStatus::Stopped(pid, signal) => resume(pid, Some(signal))?,
                WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if pid == self.program => {
                    let trace = Trace {
                        calls: self.calls,
                        about: self.about,
                        killed: self.killed,
                    };
                    return Ok((status, trace));
                }
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => self.at_rest()?,
                _ => {}
            }
        }
    }

    /// A thread stands at the entry or the exit of a system call.
    fn stopped(&mut self, pid: Pid) -> io::Result<()> {
        let Some(number) = entered(pid)? else {
            return resume(pid, None);
        };
        let name = name(number);
        let nth = self.counts.entry(name.clone()).or_default();
        *nth += 1;
        let call = Syscall { name, nth: *nth };
        let due = match self.moment {
            None => false,
            Some(Moment::Call(at)) => self.calls.len() + 1 == *at,
            Some(Moment::Entry(entry)) => *entry == call,
        };
        self.calls.push(call);
        if due {
            self.about = about(pid);
            self.killed = true;
            kill(self.program, Signal::SIGKILL)?;
            return Ok(());
        }
        resume(pid, None)?;
        if pid != self.program && RESTS.contains(&number) {
            self.at_rest()?;
        }
        Ok(())
    }

    /// The youngest thread sleeps or has ended.
    fn at_rest(&mut self) -> io::Result<()> {
        self.waiting.take().map_or(Ok(()), |pid| resume(pid, None))
    }
}

/// Lets a thread run to its next system call. One that is gone (killed, with all others) is fine.
fn resume(pid: Pid, signal: Option<Signal>) -> io::Result<()> {
    match ptrace::syscall(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The number of the system call that the thread enters; nothing if it leaves one.
fn entered(pid: Pid) -> io::Result<Option<i64>> {
    /// `PTRACE_SYSCALL_INFO_ENTRY`.
    const ENTRY: u8 = 1;
    match ptrace::syscall_info(pid) {
        Ok(info) if info.op == ENTRY => Ok(Some(ptrace::getregs(pid)?.orig_rax.cast_signed())),
        Ok(_) | Err(Errno::ESRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the call is about that the thread enters.
fn about(pid: Pid) -> String {
    let Ok(registers) = ptrace::getregs(pid) else {
        return String::new();
    };
    let number = registers.orig_rax.cast_signed();
    let descriptor = || {
        let link = fs::read_link(format!("/proc/{pid}/fd/{}", registers.rdi));
        link.unwrap_or_default().display().to_string()
    };
    if PATH_FIRST.contains(&number) {
        text_at(pid, registers.rdi)
    } else if PATH_SECOND.contains(&number) {
        text_at(pid, registers.rsi)
    } else if DESCRIPTOR_FIRST.contains(&number) {
        descriptor()
    } else {
        String::new()
    }
}

/// The zero-terminated text at an address of a process.
fn text_at(pid: Pid, address: u64) -> String {
    let mut bytes = [0; 256];
    let read = File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_at(&mut bytes, address));
    let text = bytes[..read.unwrap_or(0)].split(|b| *b == 0).next();
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

/// Calls in which a thread waits for something else to happen.
const RESTS: [i64; 6] = [
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_futex,
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_ppoll,
];

const PATH_FIRST: [i64; 7] = [
    libc::SYS_access,
    libc::SYS_mkdir,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_stat,
    libc::SYS_unlink,
    libc::SYS_execve,
];

const PATH_SECOND: [i64; 4] = [
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_statx,
];

const DESCRIPTOR_FIRST: [i64; 14] = [
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_getdents64,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The name of a system call, for those that programs here use.
fn name(number: i64) -> String {
    macro_rules! named {
        ($($constant:ident $name:literal),+ $(,)?) => {
            match number {
                $(libc::$constant => $name.to_owned(),)+
                other => format!("call-{other}"),
            }
        };
    }
    named!(
        SYS_access "access", SYS_arch_prctl "arch_prctl", SYS_bind "bind", SYS_brk "brk",
        SYS_clock_gettime "clock_gettime", SYS_clock_nanosleep "clock_nanosleep", SYS_clone "clone",
        SYS_clone3 "clone3", SYS_close "close", SYS_connect "connect", SYS_dup "dup", SYS_epoll_create1 "epoll_create1",
        SYS_epoll_ctl "epoll_ctl", SYS_epoll_wait "epoll_wait", SYS_eventfd2 "eventfd2", SYS_execve "execve",
        SYS_exit "exit", SYS_exit_group "exit_group", SYS_fcntl "fcntl", SYS_fdatasync "fdatasync",
        SYS_flock "flock", SYS_fstat "fstat", SYS_fsync "fsync", SYS_ftruncate "ftruncate", SYS_futex "futex",
        SYS_getcwd "getcwd", SYS_getdents64 "getdents64", SYS_getpeername "getpeername", SYS_getpid "getpid", SYS_getppid "getppid",
        SYS_getrandom "getrandom", SYS_getsockname "getsockname", SYS_getsockopt "getsockopt", SYS_gettid "gettid", SYS_getuid "getuid",
        SYS_ioctl "ioctl", SYS_lseek "lseek", SYS_lstat "lstat", SYS_madvise "madvise", SYS_mkdir "mkdir",
        SYS_mmap "mmap", SYS_mprotect "mprotect", SYS_mremap "mremap", SYS_munmap "munmap", SYS_nanosleep "nanosleep",
        SYS_newfstatat "newfstatat", SYS_openat "openat", SYS_poll "poll", SYS_ppoll "ppoll", SYS_prctl "prctl",
        SYS_pread64 "pread64", SYS_prlimit64 "prlimit64", SYS_read "read", SYS_readlink "readlink",
        SYS_readlinkat "readlinkat", SYS_recvfrom "recvfrom", SYS_rename "rename", SYS_rseq "rseq",
        SYS_rt_sigaction "rt_sigaction", SYS_rt_sigprocmask "rt_sigprocmask",
        SYS_sched_getaffinity "sched_getaffinity", SYS_sched_yield "sched_yield", SYS_sendmsg "sendmsg",
        SYS_sendto "sendto", SYS_set_robust_list "set_robust_list", SYS_set_tid_address "set_tid_address",
        SYS_setsockopt "setsockopt", SYS_shutdown "shutdown", SYS_sigaltstack "sigaltstack", SYS_socket "socket",
        SYS_stat "stat", SYS_statx "statx", SYS_uname "uname", SYS_unlink "unlink", SYS_write "write",
        SYS_writev "writev",
    )
}
