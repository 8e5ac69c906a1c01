// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What `docs/security.md` promises: no command of `spvirt` ever shows the token or a password, the state is for root
//! alone, names that would break out of a line or a path do not, and no path of a domain's XML is opened that is not
//! StorPool's. (The hook's own words are searched in `journal.rs`.)

use serde_json::json;
use spvirt_rig::{Domain, Guest, Output, Suite};

use crate::stage::Stage;

const PASSWORD: &str = "s3cr3tp2";
const EXTRA: &str = "/etc/storpool.conf.d/zz-case.conf";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("no command shows the token", token)
        .shared("the state is for root alone", state)
        .shared("hostile names of domains stay names", names)
        .shared("no path of a domain is opened that is not a volume's", paths)
}

/// Ways to call each verb on the domain `hushed`. A verb that is not here is called in some likely ways.
fn calls(stage: &Stage) -> Vec<Vec<String>> {
    let help = stage.host.exec(&["spvirt", "--help"]).ok().stdout;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs = verbs.take_while(|line| line.starts_with("  "));
    // The description of a verb may go on in a line that is indented further.
    let verbs = verbs.filter_map(|line| {
        line.strip_prefix("  ")?
            .split(' ')
            .next()
            .filter(|verb| !verb.is_empty())
    });
    let mut calls = Vec::new();
    for verb in verbs {
        let ways: &[&[&str]] = match verb {
            "check" => &[&[], &["--json"], &["--fix"]],
            "adopt" => &[&["--all"], &["hushed", "--json"]],
            "takeover" => &[&["hushed", "--yes"], &["hushed", "--yes", "--json"]],
            "fence" => &[&["9", "--yes", "--even-if-up"]],
            "boot" => &[&["--wait", "1"]],
            "rewrite" => &[
                &["--to", "by-id", "--print-xml", "hushed"],
                &["--tune", "--all", "--json"],
                &["--to", "by-id", "/run/rig/hushed.xml"],
                &["--tune", "hushed"],
            ],
            "undo" => &[&["hushed"], &["--list", "--json", "hushed"]],
            "xml" => &[
                &["disk", "hushed"],
                &["disk", "cinder:c0ffee00-0000-4000-8000-000000000001"],
            ],
            _ => &[
                &[],
                &["--json"],
                &["hushed"],
                &["hushed", "--json"],
                &["/run/rig/hushed.xml"],
            ],
        };
        calls.extend(
            ways.iter()
                .map(|way| [&[verb], *way].concat().into_iter().map(str::to_owned).collect()),
        );
    }
    assert!(calls.len() > 15, "{calls:?}");
    calls
}

/// Everything that can go wrong with the token in reach goes wrong for every command, at its most talkative.
fn token(stage: &mut Stage) {
    let token = stage.cluster.token().to_owned();
    let screen = format!("<graphics type='vnc' port='-1' autoport='yes' passwd='{PASSWORD}'/>");
    stage.cluster.volume("hushed", 1, Guest::Idle);
    let hushed = Domain::new("hushed").disk("/dev/storpool/hushed");
    // What a person hands over as a file is theirs to show.
    stage.host.write("/run/rig/hushed.xml", hushed.xml());
    stage.host.define(&hushed.device(&screen));
    let calls = calls(stage);
    let (mut ran, mut asked) = (0, 0);
    let mut every = |stage: &Stage, what: &str| {
        for call in &calls {
            let argv: Vec<&str> = ["spvirt", "--debug"]
                .into_iter()
                .chain(call.iter().map(String::as_str))
                .collect();
            let output = stage.host.exec(&argv);
            hides(&output, &token, what);
            ran += 1;
            asked += usize::from(
                ["debug: ", "info: "]
                    .iter()
                    .any(|level| output.stderr.contains(level)),
            );
        }
    };
    every(stage, "a good host");
    let _ = stage.start("hushed");
    every(stage, "a running domain");
    let _ = stage.host.virsh(&["destroy", "hushed"]).ok();
    for fault in [
        json!({"kind": "error", "name": token, "descr": format!("token {token} is odd")}),
        json!({"kind": "garbage", "text": format!("Storpool v1:{token}")}),
        json!({"kind": "redirect", "to": format!("http://{token}@127.0.0.1:1/")}),
    ] {
        stage.cluster.fault_with("*", &fault, 1_000_000);
        every(stage, &fault["kind"].to_string());
        stage.cluster.clear_faults();
    }
    for lines in [
        format!("SP_AUTH_TOKEN {token}\n"),
        format!("SP_OURID={token}\n"),
        format!("SP_OPENSTACK_VOLUME_PREFIX=\\\nSP_AUTH_TOKEN={token} \n"),
        format!("SPVIRT_DEADLINE=\\\nSP_AUTH_TOKEN={token}\n"),
        format!("SP_AUTH_TOKEN={token} {token}\n"),
    ] {
        stage.host.write(EXTRA, lines);
        every(stage, "a broken configuration");
    }
    std::fs::remove_file(stage.host.path(EXTRA)).unwrap();
    assert!(
        asked > calls.len(),
        "only {asked} of {ran} commands said what they ask"
    );
    // The backups of definitions hold what these held, for root alone.
    for (secret, only) in [(token.as_str(), ""), (PASSWORD, "/var/lib/spvirt/backup/")] {
        let argv = [
            "grep",
            "--recursive",
            "--files-with-matches",
            secret,
            "/var/lib/spvirt",
            "/run/spvirt",
        ];
        let found = stage.host.exec(&argv).stdout;
        let elsewhere = found
            .lines()
            .find(|line| only.is_empty() || !line.starts_with(only));
        assert_eq!(elsewhere, None, "{secret}: {found}");
    }
    let open = ["find", "/var/lib/spvirt", "-perm", "/077"];
    assert_eq!(stage.host.exec(&open).ok().stdout, "");
    let _ = stage.host.exec(&["rm", "-r", "/var/lib/spvirt/backup"]).ok();
    let _ = stage.host.exec(&["spvirt", "reconcile"]);
    stage.nothing_is_left();
}

#[track_caller]
fn hides(output: &Output, token: &str, what: &str) {
    for secret in [token, PASSWORD] {
        let shown = output.stdout.contains(secret) || output.stderr.contains(secret);
        assert!(!shown, "{what}: {secret} is shown: {output}");
    }
}

fn state(stage: &mut Stage) {
    stage.domain("tight-lipped", Guest::Idle);
    let _ = stage.start("tight-lipped");
    let open = [
        "find",
        "/var/lib/spvirt",
        "/run/spvirt",
        "-perm",
        "/077",
        "-o",
        "-not",
        "-user",
        "root",
    ];
    assert_eq!(stage.host.exec(&open).ok().stdout, "");
    let claim = stage.claim_file("tight-lipped");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    for command in [
        &["cat", claim.as_str()][..],
        &["ls", "/run/spvirt/lock"],
        &["ls", "/var/lib/spvirt"],
    ] {
        let denied = stage.host.exec(&[&nobody, command].concat()).failed();
        assert!(denied.stderr.contains("Permission denied"), "{denied}");
    }
    let _ = stage.host.virsh(&["destroy", "tight-lipped"]).ok();
    // Whatever mask the caller has: a hook that makes the folders anew.
    let _ = stage
        .host
        .exec(&["rm", "-rf", "/var/lib/spvirt", "/run/spvirt"])
        .ok();
    let xml = stage.host.virsh(&["dumpxml", "tight-lipped"]).ok().stdout;
    stage.host.write("/run/rig/tight-lipped.xml", xml);
    let hook = "umask 0; /usr/sbin/spvirt-hook tight-lipped prepare begin - </run/rig/tight-lipped.xml";
    let _ = stage.host.exec(&["sh", "-c", hook]).ok();
    assert_eq!(stage.host.exec(&open).ok().stdout, "");
    let _ = stage.host.exec(&["spvirt", "reconcile"]).ok();
    stage.nothing_is_left();
}

/// Names that would do harm in a terminal, a shell, a path or a line of a list.
const NAMES: [&str; 6] = [
    "a\u{1b}[31mred\u{7}",
    "two\nlines",
    "$(touch /run/rig/harm)`touch /run/rig/harm`",
    "..",
    "-rf",
    "x' OR \"1\"; --%s%n",
];

fn names(stage: &mut Stage) {
    stage.cluster.volume("named", 1, Guest::Idle);
    let uuid = "5eed0000-0000-4000-8000-0000000000b2";
    for name in NAMES {
        // libvirt itself refuses some of them; a claim or a hook call may hold them all the same.
        let xml = Domain::new(&name.replace(['\u{1b}', '\u{7}'], "?"))
            .element(&format!("<uuid>{uuid}</uuid>"))
            .disk("/dev/storpool/named")
            .xml();
        stage.host.write("/run/rig/named.xml", xml);
        let quoted = format!("'{}'", name.replace('\'', "'\\''"));
        let call = |operation: &str| {
            let line = format!("/usr/sbin/spvirt-hook {quoted} {operation} - </run/rig/named.xml");
            stage.host.exec(&["sh", "-c", &line])
        };
        let _ = call("prepare begin").ok();
        for argv in [
            &["list"][..],
            &["list", "--json"],
            &["check"],
            &["reconcile", "--dry-run"],
            &["adopt", "--all"],
            &["explain", "--", name],
        ] {
            let output = stage.host.exec(&[&["spvirt"], argv].concat());
            let text = format!("{}{}", output.stdout, output.stderr);
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{output}");
            assert!(!text.lines().any(|line| line.starts_with("lines")), "{output}");
        }
        let claims: Vec<_> = stage.host.claims().into_keys().collect();
        assert_eq!(claims, [format!("{uuid}.json")], "{name:?}");
        let _ = call("release end").ok();
        stage.nothing_is_left();
    }
    assert_eq!(stage.host.read("/run/rig/harm"), None);
}

/// A pipe is a tripwire: who opens it waits for its other end, for ever.
fn paths(stage: &mut Stage) {
    stage.cluster.volume("honest", 1, Guest::Idle);
    let made = "mkdir -p /run/rig/trap; mkfifo /run/rig/trap/pipe; ln -s pipe /run/rig/trap/link; \
                ln -s /dev/storpool/honest /run/rig/trap/volume; mkdir -p /dev/storpool; ln -s /run/rig/trap/pipe /dev/storpool/planted";
    let _ = stage.host.exec(&["sh", "-c", made]).ok();
    let mut domain = Domain::new("trap").disk("/dev/storpool/honest");
    for path in [
        "/run/rig/trap/pipe",
        "/run/rig/trap/link",
        "/run/rig/trap/volume",
        "/run/rig/trap/new",
        "/dev/storpool/../../run/rig/trap/pipe",
        "/dev/storpool-byid/../../run/rig/trap/new",
        "/dev/storpool/a/b",
        "/dev/storpool/a%2f..%2f..",
        "/dev/storpool/#x",
    ] {
        domain = domain.disk(path);
    }
    let seed = "5eed0000-0000-4000-8000-0000000000b3";
    let xml = domain.element(&format!("<uuid>{seed}</uuid>")).xml();
    stage.host.write("/run/rig/trap.xml", xml);
    let call = |operation: &str| {
        let line = format!("/usr/sbin/spvirt-hook trap {operation} - </run/rig/trap.xml");
        stage.host.exec(&["sh", "-c", &line])
    };
    let _ = call("prepare begin").ok();
    assert_eq!(
        stage.attached(),
        ["honest rw"],
        "the one volume, and nothing that leads to it"
    );
    for argv in [&["explain", "/run/rig/trap.xml"][..], &["list"], &["check"]] {
        let _ = stage.host.exec(&[&["spvirt"], argv].concat());
    }
    let _ = call("release end").ok();
    let listed = stage.host.exec(&["ls", "/run/rig/trap"]).ok().stdout;
    assert_eq!(listed, "link\npipe\nvolume\n", "nothing was made");
    // A name that the API allows, whose link was planted: no device, so no start.
    let planted = Domain::new("planted")
        .element(&format!("<uuid>{seed}</uuid>"))
        .disk("/dev/storpool/planted")
        .xml();
    stage.host.write("/run/rig/trap.xml", planted);
    let refused = call("prepare begin").failed();
    assert!(
        refused.stderr.contains("\"planted\" does not exist in StorPool"),
        "{refused}"
    );
    let _ = stage
        .host
        .exec(&["rm", "-r", "/run/rig/trap", "/dev/storpool/planted"])
        .ok();
    stage.nothing_is_left();
}
