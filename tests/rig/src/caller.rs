// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A process in a host that stands for libvirt's daemon: it is the parent of the hooks it calls, and of a process that
//! stands for QEMU. It does in a moment what real ones take seconds for, so a test can do it a thousand times.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::libc::O_DIRECT;
use nix::sys::wait::WaitStatus;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::tracer::{self, Moment, Trace};
use crate::{Host, enter, host};

/// Where libvirt finds the hook.
const HOOK: &str = "/etc/libvirt/hooks/qemu.d/50-storpool";

/// A program to run to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Standard input.
    pub input: String,
    /// Whether it is traced.
    pub traced: bool,
    /// Traced, it is killed then.
    pub killed_at: Option<Moment>,
}

impl Call {
    /// A call of the hook as libvirt makes it: `operation` is `prepare begin`, `release end`...
    #[must_use]
    pub fn hook(domain: &str, operation: &str, xml: &str) -> Self {
        let words = [HOOK, domain]
            .into_iter()
            .chain(operation.split(' '))
            .chain(["-"]);
        Self {
            argv: words.map(str::to_owned).collect(),
            input: xml.to_owned(),
            traced: false,
            killed_at: None,
        }
    }

    /// Any program.
    #[must_use]
    pub fn program(argv: &[&str]) -> Self {
        Self {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            input: String::new(),
            traced: false,
            killed_at: None,
        }
    }

    /// The same call, traced.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// The same call, killed at that moment if it gets there.
    #[must_use]
    pub fn killed_at(mut self, moment: Moment) -> Self {
        self.killed_at = Some(moment);
        self.traced()
    }
}

/// How a [`Call`] ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    /// Exit code; 128 + signal number when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// What was seen of it, if it was traced.
    pub trace: Option<Trace>,
}

/// A domain to start: `prepare`, then a QEMU that opens the devices for writing. What fails is taken back with
/// `release`, as libvirt does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Life {
    /// Its name.
    pub domain: String,
    /// Its UUID.
    pub uuid: String,
    /// Its XML.
    pub xml: String,
    /// Devices that QEMU opens.
    pub devices: Vec<String>,
    /// Milliseconds from the end of `prepare` to QEMU.
    pub launch: u64,
}

/// What became of a [`Life`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// QEMU has its devices open.
    Runs,
    /// `prepare` refused, with this line.
    Refused(String),
    /// `prepare` was fine, but QEMU could not open a device.
    NoDevice(String),
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Run(Call),
    Start(Life),
    Stop,
}

/// The process, as the test sees it.
#[derive(Debug)]
pub struct Caller {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Host {
    /// Starts a process that calls hooks. It must be dropped before the host.
    #[must_use]
    pub fn caller(&self) -> Caller {
        // Process 1 of the host is this very program.
        let mut process = host::inside(self.init(), &["/proc/1/exe", enter::CALLER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a caller of hooks");
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Caller {
            process,
            orders,
            answers,
        }
    }
}

impl Caller {
    /// Runs a program to its end.
    pub fn run(&mut self, call: &Call) -> Ended {
        self.tell(&Order::Run(call.clone()));
        self.answer()
    }

    /// Begins to start a domain; [`Caller::started`] waits for the end of that.
    pub fn start(&mut self, life: &Life) {
        self.tell(&Order::Start(life.clone()));
    }

    /// What became of the last start.
    pub fn started(&mut self) -> Start {
        self.answer()
    }

    /// Stops the domain that runs: its QEMU ends, then comes `release`. Without one it does nothing.
    pub fn stop(&mut self) {
        self.tell(&Order::Stop);
        self.answer::<()>();
    }

    fn tell(&mut self, order: &Order) {
        let mut line = serde_json::to_string(order).expect("JSON");
        line.push('\n');
        let orders = self.orders.as_mut().expect("it lives as long as we do");
        orders.write_all(line.as_bytes()).expect("a caller that listens");
    }

    fn answer<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a caller that answers");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("the caller of hooks said {line:?}: {e}"))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

/// The caller's whole life.
pub(crate) fn run() -> ExitCode {
    let mut guest = None;
    for order in std::io::stdin().lines() {
        let order = order.expect("an order");
        let answer = match serde_json::from_str(&order).expect("an order") {
            Order::Run(call) => serde_json::to_string(&perform(&call)),
            Order::Start(life) => serde_json::to_string(&begin(&life, &mut guest)),
            Order::Stop => {
                end(&mut guest);
                serde_json::to_string(&())
            }
        };
        println!("{}", answer.expect("JSON"));
    }
    ExitCode::SUCCESS
}

/// Runs a program to its end.
fn perform(call: &Call) -> Ended {
    let streams = |command: &mut Command| {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", path)
            .env("HOME", "/root");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    };
    let mut trace = None;
    let mut child;
    let code;
    if call.traced {
        let ended = tracer::run(
            &call.argv,
            call.input.as_bytes(),
            call.killed_at.as_ref(),
            streams,
        );
        let (traced, status, seen) = ended.expect("a traced program");
        (child, trace) = (traced, Some(seen));
        code = match status {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            other => panic!("not an end: {other:?}"),
        };
    } else {
        let mut command = Command::new(&call.argv[0]);
        command.args(&call.argv[1..]).stdin(Stdio::piped());
        streams(&mut command);
        child = command.spawn().unwrap_or_else(|e| panic!("{:?}: {e}", call.argv));
        let mut stdin = child.stdin.take().expect("a pipe");
        // Who does not read it all is free not to.
        let _ = stdin.write_all(call.input.as_bytes());
        drop(stdin);
        let status = child.wait().expect("a child");
        code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    }
    // They say less than a pipe holds.
    let text = |stream: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("what a program said");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ended {
        code,
        stdout: text(child.stdout.as_mut().expect("a pipe")),
        stderr: text(child.stderr.as_mut().expect("a pipe")),
        trace,
    }
}

/// A domain that runs.
struct Running {
    life: Life,
    qemu: Child,
}

fn begin(life: &Life, guest: &mut Option<Running>) -> Start {
    let release = || perform(&Call::hook(&life.domain, "release end", &life.xml));
    let prepared = perform(&Call::hook(&life.domain, "prepare begin", &life.xml));
    if prepared.code != 0 {
        release();
        return Start::Refused(prepared.stderr.trim_end().to_owned());
    }
    thread::sleep(Duration::from_millis(life.launch));
    let mut qemu = Command::new("/proc/1/exe")
        .args([enter::QEMU, "-uuid", &life.uuid])
        .args(&life.devices)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a stand-in for QEMU");
    let mut said = String::new();
    BufReader::new(qemu.stdout.take().expect("a pipe"))
        .read_line(&mut said)
        .expect("the first word of QEMU");
    if said != OPEN {
        qemu.wait().expect("a child");
        release();
        return Start::NoDevice(said.trim_end().to_owned());
    }
    *guest = Some(Running {
        life: life.clone(),
        qemu,
    });
    Start::Runs
}

fn end(guest: &mut Option<Running>) {
    if let Some(Running { life, mut qemu }) = guest.take() {
        qemu.kill().and_then(|()| qemu.wait()).expect("the end of QEMU");
        perform(&Call::hook(&life.domain, "release end", &life.xml));
    }
}

/// What the stand-in for QEMU says when it has its devices.
const OPEN: &str = "open\n";

/// The whole life of the stand-in for QEMU: it opens the devices for writing and keeps them until its caller goes.
pub(crate) fn qemu() -> ExitCode {
    let open = |device: String| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_DIRECT)
            .open(&device);
        file.map_err(|error| format!("{device}: {error}"))
    };
    // Role, `-uuid` and the UUID come first.
    let opened: Result<Vec<File>, String> = std::env::args().skip(4).map(open).collect();
    match opened {
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
        Ok(files) => {
            print!("{OPEN}");
            std::io::stdout().flush().expect("a caller that listens");
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(files);
            ExitCode::SUCCESS
        }
    }
}
