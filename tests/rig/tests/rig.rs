// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The rig proves itself: real libvirt, real QEMU, a simulated cluster, a hook that only logs. Afterwards nothing is
//! left, also when the test process is killed half-way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use spvirt_rig::{
    Binaries, Call, Cluster, Domain, Guest, Host, Moment, Output, Running, Signal, Suite, Syscall, left_of,
    process, wait,
};

/// Tells this program, started by one of its own cases, what to be.
const ROLE: &str = "SPVIRT_RIG_ROLE";
/// For what a guest does by itself, and for what libvirt does about it.
const SOON: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    spvirt_rig::enter();
    match std::env::var(ROLE).as_deref() {
        Ok("victim") => victim(),
        Ok("broken") => broken_suite(),
        _ => Suite::sharing("rig", Stage::new)
            .shared(
                "a domain on a simulated volume starts and is destroyed",
                start_and_destroy,
            )
            .shared("a guest powers itself off", guest_powers_off)
            .shared("QEMU is killed", qemu_is_killed)
            .shared("libvirtd restarts while a guest runs", libvirtd_restarts)
            .shared("hosts reach each other and a guest moves", guest_moves)
            .shared(
                "the cluster's API is out of a host's reach for a while",
                api_out_of_reach,
            )
            .shared("a host loses power and boots again", host_loses_power)
            .shared(
                "the simulator tells what it was asked, and fails on demand",
                simulator_tells,
            )
            .shared("the journal takes lines", journal_takes_lines)
            .shared(
                "a program dies right before the wanted system call",
                dies_at_a_call,
            )
            .case("a suite says what failed and what hung", suite_reports)
            .case("a killed test leaves nothing behind", killed_test_leaves_nothing)
            .run(),
    }
}

/// A cluster with two hosts.
struct Stage {
    a: Host,
    b: Host,
    cluster: Cluster,
}

impl Stage {
    fn new() -> Self {
        let mut cluster = cluster();
        let (a, b) = (cluster.host("hosta", 1), cluster.host("hostb", 2));
        Self { a, b, cluster }
    }

    /// Makes a volume with a guest, attaches it to host A by hand and defines a domain of the same name on it.
    fn domain(&self, name: &str, guest: Guest) {
        self.cluster.volume(name, 1, guest);
        self.cluster.attach(name, 1, "rw");
        self.a
            .define(&Domain::new(name).disk(&format!("/dev/storpool/{name}")));
    }

    /// The hook calls for a domain on a host are these, in this order.
    #[track_caller]
    fn hooked(host: &Host, domain: &str, expected: &[&str]) {
        let calls = || -> Vec<String> {
            let log = host.read("/run/rig-hook.log").unwrap_or_default();
            log.lines()
                .filter_map(|line| Some(line.strip_prefix(&format!("{domain} "))?.to_owned()))
                .collect()
        };
        // virsh may return before the last hook has written its line.
        host.wait_for("all hook calls", SOON, || calls().len() >= expected.len());
        assert_eq!(calls(), expected, "{domain} on {}", host.name());
    }

    #[track_caller]
    fn is_shut_off(&self, domain: &str) {
        self.a.wait_for("the domain is off", SOON, || {
            self.a.state(domain).as_deref() == Some("shut off")
        });
        assert_eq!(self.a.qemu_pid(domain), None);
        self.cluster.detach(domain, 1);
    }
}

/// What libvirt calls for one life of a domain.
const STARTED: [&str; 3] = ["prepare begin", "start begin", "started begin"];
const STOPPED: [&str; 2] = ["stopped end", "release end"];

fn cluster() -> Cluster {
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/log-hook");
    Cluster::start(&Binaries::new(spvirt_rig::binary("storpool-sim"), hook))
}

fn start_and_destroy(stage: &mut Stage) {
    stage.domain("plain", Guest::Idle);
    assert_eq!(stage.cluster.attachments().len(), 1);
    let before = spvirt_rig::domain_starts();
    let _ = stage.a.virsh(&["start", "plain"]).ok();
    let refused = stage.a.virsh(&["start", "plain"]).failed();
    assert!(refused.stderr.contains("already active"), "{refused}");
    assert_eq!(
        spvirt_rig::domain_starts(),
        before + 1,
        "a refused start does not count"
    );
    assert!(process::lives(stage.a.qemu_pid("plain").unwrap()));
    let _ = stage.a.virsh(&["destroy", "plain"]).ok();
    stage.is_shut_off("plain");
    Stage::hooked(&stage.a, "plain", &[&STARTED[..], &STOPPED].concat());
    assert_eq!(stage.cluster.attachments(), []);
}

fn guest_powers_off(stage: &mut Stage) {
    stage.domain("off", Guest::PowerOff(5));
    let _ = stage.a.virsh(&["start", "off"]).ok();
    stage.is_shut_off("off");
    Stage::hooked(&stage.a, "off", &[&STARTED[..], &STOPPED].concat());
}

fn qemu_is_killed(stage: &mut Stage) {
    stage.domain("killed", Guest::Idle);
    let _ = stage.a.virsh(&["start", "killed"]).ok();
    stage.a.qemu_kill("killed");
    stage.is_shut_off("killed");
    Stage::hooked(&stage.a, "killed", &[&STARTED[..], &STOPPED].concat());
}

fn libvirtd_restarts(stage: &mut Stage) {
    stage.domain("keeps", Guest::Idle);
    let _ = stage.a.virsh(&["start", "keeps"]).ok();
    let (qemu, libvirtd) = (stage.a.qemu_pid("keeps"), stage.a.libvirtd_pid());
    stage.a.libvirtd_stop();
    stage.a.libvirtd_start();
    stage.a.libvirtd_kill();
    stage.a.libvirtd_start();
    assert_ne!(stage.a.libvirtd_pid(), libvirtd);
    assert_eq!(stage.a.qemu_pid("keeps"), qemu, "the same QEMU");
    assert_eq!(stage.a.state("keeps").as_deref(), Some("running"));
    let _ = stage.a.virsh(&["destroy", "keeps"]).ok();
    stage.is_shut_off("keeps");
    Stage::hooked(
        &stage.a,
        "keeps",
        &[&STARTED[..], &["reconnect begin"; 2], &STOPPED].concat(),
    );
}

fn guest_moves(stage: &mut Stage) {
    let asked = stage
        .a
        .exec(&["virsh", "--connect", "qemu+tcp://hostb/system", "hostname"])
        .ok();
    assert_eq!(asked.stdout.trim(), "hostb");
    stage.domain("moves", Guest::Dirty);
    stage.cluster.attach("moves", 2, "rw");
    let _ = stage.a.virsh(&["start", "moves"]).ok();
    let _ = stage
        .a
        .virsh(&["migrate", "--live", "moves", "qemu+tcp://hostb/system"])
        .ok();
    assert_eq!(stage.b.state("moves").as_deref(), Some("running"));
    stage.is_shut_off("moves");
    Stage::hooked(&stage.a, "moves", &[&STARTED[..], &STOPPED].concat());
    Stage::hooked(&stage.b, "moves", &[&["migrate begin"], &STARTED[..]].concat());
    let _ = stage.b.virsh(&["destroy", "moves"]).ok();
    stage.cluster.detach("moves", 2);
}

fn api_out_of_reach(stage: &mut Stage) {
    let (address, port) = stage
        .cluster
        .url()
        .trim_start_matches("http://")
        .rsplit_once(':')
        .unwrap();
    let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
    let ask = || -> Output { stage.a.exec(&["bash", "-c", &connect]) };
    let _ = ask().ok();
    stage.a.api_reachable(false);
    let _ = ask().failed();
    stage.a.api_reachable(true);
    let _ = ask().ok();
}

fn host_loses_power(stage: &mut Stage) {
    let mut host = stage.cluster.host("hostp", 9);
    stage.cluster.volume("power", 1, Guest::Idle);
    stage.cluster.attach("power", 9, "rw");
    host.define(&Domain::new("power").disk("/dev/storpool/power"));
    let _ = host.virsh(&["start", "power"]).ok();
    host.write("/var/lib/spvirt/claims/x.json", "{\"a\": 1}");
    let (qemu, boot) = (
        host.qemu_pid("power").unwrap(),
        host.read("/proc/sys/kernel/random/boot_id"),
    );
    drop(host);
    assert!(!process::lives(qemu));
    assert_eq!(
        stage.cluster.attachments().len(),
        1,
        "what was attached stays attached"
    );
    assert_eq!(stage.cluster.openers(), [] as [Value; 0]);

    host = stage.cluster.host("hostp", 9);
    assert_eq!(
        host.state("power").as_deref(),
        Some("shut off"),
        "its definition is still there"
    );
    assert_eq!(host.claims()["x.json"]["a"], 1);
    assert_ne!(host.read("/proc/sys/kernel/random/boot_id"), boot);
    let _ = host.virsh(&["start", "power"]).ok();
    assert!(stage.cluster.openers().iter().any(|o| o["volume"] == "power"));
    let _ = host.virsh(&["destroy", "power"]).ok();
    stage.cluster.detach("power", 9);
}

fn simulator_tells(stage: &mut Stage) {
    stage.cluster.volume("told", 1, Guest::None);
    stage.cluster.snapshot("told", "told@1");
    stage.cluster.rename("told", "retold");
    assert!(stage.cluster.global_id("retold").starts_with("s.b."));
    stage.cluster.forget_requests();
    let ask = || {
        let (address, token) = (stage.cluster.url(), stage.cluster.token());
        let (host, port) = address.trim_start_matches("http://").rsplit_once(':').unwrap();
        let script = format!(
            "exec 3<>/dev/tcp/{host}/{port}; printf 'GET /ctrl/1.0/AttachmentsList HTTP/1.0\\r\\n\
             Authorization: Storpool v1:{token}\\r\\n\\r\\n' >&3; cat <&3"
        );
        stage.a.exec(&["bash", "-c", &script]).ok().stdout
    };
    stage.cluster.fault("AttachmentsList", "transient", 1);
    assert!(ask().contains("\"transient\":true"));
    assert!(ask().contains("200 OK"));
    let requests = stage.cluster.requests();
    let calls: Vec<_> = requests
        .iter()
        .map(|r| (r.call.as_str(), r.error.is_some()))
        .collect();
    assert_eq!(calls, [("AttachmentsList", true), ("AttachmentsList", false)]);
}

fn journal_takes_lines(stage: &mut Stage) {
    stage.a.journald_start();
    let _ = stage.a.exec(&["logger", "--tag", "rig-a", "one line"]).ok();
    let _ = stage
        .a
        .exec(&["systemd-cat", "--identifier=rig-b", "echo", "another line"])
        .ok();
    for (identifier, line) in [("rig-a", "one line"), ("rig-b", "another line")] {
        let found = stage.a.journal(&[&format!("SYSLOG_IDENTIFIER={identifier}")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["MESSAGE"], line);
        assert_eq!(found[0]["_HOSTNAME"], "hosta");
    }
}

/// Starts this program again in another role.
fn start_self(role: &str) -> Running {
    Running::start(&[
        "env",
        &format!("{ROLE}={role}"),
        std::env::current_exe().unwrap().to_str().unwrap(),
    ])
}

/// A suite with one case that fails and one that hangs.
fn broken_suite() -> ExitCode {
    fn fails() {
        let mut cluster = cluster();
        let host = cluster.host("hostc", 3);
        println!("folder {}", cluster.folder().display());
        host.journald_start();
        let _ = host.exec(&["logger", "a line that helps"]).ok();
        let _ = host.virsh(&["start", "no-such-domain"]).ok();
    }
    fn hangs() {
        wait::until("something that never happens", Duration::from_hours(1), || {
            None::<()>
        });
    }
    Suite::new("broken")
        .deadline(Duration::from_secs(10))
        .case("fails", fails)
        .case("hangs", hangs)
        .run()
}

fn dies_at_a_call(stage: &mut Stage) {
    let mut caller = stage.a.caller();
    let make = |folder: &str| Call::program(&["/bin/mkdir", folder]);
    let whole = caller.run(&make("/run/rig-whole").traced());
    let calls = whole.trace.expect("a trace").calls;
    assert!(stage.a.path("/run/rig-whole").is_dir());
    let mkdir = Syscall {
        name: "mkdir".to_owned(),
        nth: 1,
    };
    let number = calls.iter().position(|call| *call == mkdir).expect("mkdir") + 1;
    for (moment, made) in [(Moment::Call(number), false), (Moment::Call(number + 1), true)] {
        let dead = caller.run(&make("/run/rig-dead").killed_at(moment));
        let trace = dead.trace.expect("a trace");
        assert_eq!((dead.code, trace.killed), (128 + 9, true));
        assert_eq!(trace.calls[number - 1], mkdir);
        assert_eq!(stage.a.path("/run/rig-dead").exists(), made);
    }
    let alive = caller.run(&make("/run/rig-alive").killed_at(Moment::Call(calls.len() + 100)));
    assert_eq!((alive.code, alive.trace.expect("a trace").killed), (0, false));
    let about = caller.run(&make("/run/rig-named").killed_at(Moment::Entry(mkdir)));
    assert_eq!(about.trace.expect("a trace").about, "/run/rig-named");
}

fn suite_reports() {
    let output = start_self("broken").wait(Duration::from_mins(1)).failed();
    for expected in [
        "\nFAILED fails (",
        "failed to get domain 'no-such-domain'",
        "--- hostc: libvirtd.log",
        "--- hostc: journal",
        "a line that helps",
        "requests",
        "FAILED hangs: not done after 10s; it hung in: something that never happens",
    ] {
        assert!(
            output.stdout.contains(expected),
            "{expected:?} is missing in {output}"
        );
    }
    let folder = output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("folder "))
        .unwrap();
    assert_eq!(left_of(Path::new(folder)), [] as [String; 0]);
}

/// A test that has a guest running and then waits to be killed.
fn victim() -> ExitCode {
    let mut cluster = cluster();
    let host = cluster.host("hostd", 4);
    cluster.volume("victim", 1, Guest::Idle);
    cluster.attach("victim", 4, "rw");
    host.define(&Domain::new("victim").disk("/dev/storpool/victim"));
    let _ = host.virsh(&["start", "victim"]).ok();
    let pids = [
        host.init(),
        host.libvirtd_pid().unwrap(),
        host.qemu_pid("victim").unwrap(),
        cluster.keeper(),
    ];
    println!("folder {}", cluster.folder().display());
    println!("pids {}", pids.map(|pid| pid.to_string()).join(" "));
    wait::until("the end", Duration::from_mins(1), || None)
}

fn killed_test_leaves_nothing() {
    let mut victim = start_self("victim");
    let said = |victim: &Running, key: &str| {
        let said = victim.stdout();
        said.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(str::to_owned)
    };
    let pids = wait::until("the victim's guest", Duration::from_mins(1), || {
        assert!(!victim.has_ended(), "the victim has ended: {}", victim.stdout());
        said(&victim, "pids ")
    });
    let pids: Vec<i32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let folder = said(&victim, "folder ").unwrap();
    let left = || left_of(Path::new(&folder));
    assert!(pids.iter().all(|pid| process::lives(*pid)), "{pids:?}");
    assert!(
        left().iter().any(|l| l.starts_with("loop device")),
        "the check sees what is there: {:?}",
        left()
    );

    victim.signal(Signal::SIGKILL);
    assert_eq!(victim.wait(SOON).code, 128 + 9);
    let gone = || (left().is_empty() && !pids.iter().any(|pid| process::lives(*pid))).then_some(());
    wait::until(
        "the victim's hosts, simulator, loop devices and folder are gone",
        SOON,
        gone,
    );
}
