// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the helper says: `explain` foresees what the hook then does, request by request, and `list` shows who owns
//! what.

use serde_json::{Value, json};
use spvirt_rig::{Domain, Guest, Output, Signal, Suite};

use crate::acts::{LIST, REASSIGN};
use crate::conflicts::{OTHER, give_to_other, opener, reassigns, second_host};
use crate::stage::{SOON, Stage};

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("explain: foresees every request of a start", explain_foresees)
        .shared("explain: an idle, a dead, an open holder", explain_conflicts)
        .shared("explain: what an earlier run left", explain_earlier_run)
        .shared("explain: what is refused, and why", explain_refusals)
        .shared("explain: a domain that runs", explain_running)
        .shared("explain: a file, without libvirt", explain_file)
        .shared("explain: a hostile name", explain_hostile)
        .shared("list: attachments by hand, and releasing claims", list)
}

impl Stage {
    /// Runs the helper.
    pub fn spvirt(&self, arguments: &[&str]) -> Output {
        let argv: Vec<&str> = ["spvirt"].iter().chain(arguments).copied().collect();
        self.host.exec(&argv)
    }

    /// Runs the helper with `--json`; its exit code and what it printed.
    #[track_caller]
    pub fn spvirt_json(&self, arguments: &[&str]) -> (i32, Value) {
        let (verb, rest) = arguments.split_first().expect("a verb");
        let output = self.spvirt(&[&[verb, "--json"], rest].concat());
        let json = serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output}"));
        (output.code, json)
    }
}

/// How the list of attachments calls a volume.
pub fn listed(stage: &Stage, volume: &str) -> String {
    if stage.switched("attachment-names", "gid") {
        format!("~{}", stage.cluster.global_id(volume))
    } else {
        volume.to_owned()
    }
}

/// The requests of a plan.
pub fn planned(report: &Value) -> Vec<Vec<Value>> {
    let steps = report["plan"].as_array().cloned().unwrap_or_default();
    let requests = steps.iter().filter(|step| step["does"] == "request");
    requests
        .map(|step| step["request"].as_array().unwrap().clone())
        .collect()
}

/// Explains the domain, then starts it: that is what happens, request by request. Explaining changes nothing.
#[track_caller]
fn foreseen(stage: &Stage, domain: &str, verdict: &str) -> Value {
    let before = stage.cluster.attachments();
    let claims = stage.host.claims();
    stage.forget();
    let (code, report) = stage.spvirt_json(&["explain", domain]);
    assert!(
        !stage.calls().contains(&REASSIGN.to_owned()),
        "explain only looks"
    );
    assert_eq!(stage.cluster.attachments(), before);
    assert_eq!(stage.host.claims(), claims);
    assert_eq!(report["verdict"], verdict, "{report}");
    let refused = verdict == "refused";
    assert_eq!(code, i32::from(refused), "{report}");
    stage.forget();
    let started = stage.host.virsh(&["start", domain]);
    if refused {
        let why = report["refusal"].as_str().unwrap();
        let told = started.failed().stderr;
        assert!(told.contains(why), "{why:?} is not in {told:?}");
    } else {
        let _ = started.ok();
        assert_eq!(planned(&report), reassigns(stage), "{report}");
    }
    report
}

#[track_caller]
fn ends(stage: &Stage, domain: &str) {
    let _ = stage.host.virsh(&["destroy", domain]).ok();
    stage.nothing_is_left();
}

fn explain_foresees(stage: &mut Stage) {
    stage.cluster.volume("many-a", 1, Guest::Idle);
    stage.volumes(&["many-b", "many-c"]);
    let snapshot = stage.cluster.snapshot("many-c", "many-snap");
    let domain = Domain::new("many")
        .disk("/dev/storpool/many-a")
        .disk(&format!(
            "/dev/storpool-byid/{}",
            stage.cluster.global_id("many-b")
        ))
        .disk_with("/dev/storpool/many-snap", "<readonly/>");
    stage.host.define(&domain);
    let report = foreseen(stage, "many", "starts");
    assert_eq!(planned(&report).len(), 1);
    assert_eq!(report["volumes"][2]["snapshot"], true, "{report}");
    assert_eq!(report["volumes"][2]["global_id"], snapshot.as_str());
    ends(stage, "many");
    // One is attached by hand, read-only: that is raised, and lowered again.
    stage.cluster.attach("many-a", 1, "ro");
    let report = foreseen(stage, "many", "starts");
    assert_eq!(report["volumes"][0]["attached"], "ro");
    let _ = stage.host.virsh(&["destroy", "many"]).ok();
    stage.only_attached(&["many-a ro"]);
    stage.cluster.detach("many-a", 1);
}

fn explain_conflicts(stage: &mut Stage) {
    stage.domain("idle-f", Guest::Idle);
    give_to_other(stage, "idle-f", "rw");
    let report = foreseen(stage, "idle-f", "depends");
    let text = report.to_string();
    assert!(text.contains("client 7 does not have it open"), "{text}");
    assert!(
        text.contains("attach volume \\\"idle-f\\\" rw to client 1 and detach it from client 7"),
        "by the name the domain uses: {text}"
    );
    ends(stage, "idle-f");

    stage.domain("dead-f", Guest::Idle);
    give_to_other(stage, "dead-f", "rw");
    stage.cluster.client_up(OTHER, false);
    let report = foreseen(stage, "dead-f", "depends");
    let text = report.to_string();
    assert!(text.contains("client 7 is still down"), "{text}");
    assert!(text.contains("even if it is open there"), "{text}");
    assert_eq!(report["volumes"][0]["others"][0]["state"], "which is down");
    stage.cluster.client_up(OTHER, true);
    ends(stage, "dead-f");

    // Whether it is open there only the attempt tells: the condition does not hold.
    let other = second_host(stage);
    stage.domain("open-f", Guest::Idle);
    stage.cluster.attach("open-f", 2, "rw");
    let holder = opener(stage, &other, "open-f");
    let said = stage.spvirt(&["explain", "open-f"]).ok().stdout;
    assert!(
        said.contains("(only if client 2 does not have it open; else refused)"),
        "{said}"
    );
    assert!(said.contains("It would start if the conditions hold"), "{said}");
    assert!(
        stage
            .refused("open-f")
            .contains("is open on client 2, which is up")
    );
    // With the domain's own policy it is taken in any case.
    let set = "<domain takeover='always'/>";
    let uri = "urn:spvirt:domain:1";
    let arguments = [
        "metadata", "open-f", "--uri", uri, "--config", "--key", "spvirt", "--set", set,
    ];
    let _ = stage.host.virsh(&arguments).ok();
    holder.signal(Signal::SIGKILL);
    let _ = holder.wait(SOON);
    let _ = foreseen(stage, "open-f", "starts");
    ends(stage, "open-f");
}

fn explain_earlier_run(stage: &mut Stage) {
    stage.domain("again", Guest::Idle);
    stage.start("again");
    stage.host.libvirtd_stop();
    stage.host.qemu_kill("again");
    stage.install_hook("/bin/true");
    stage.host.libvirtd_start();
    stage.is_off("again");
    stage.install_own_hook();
    stage.only_attached(&["again rw"]);
    assert_eq!(stage.phase(), "live", "nobody has released it");
    let report = foreseen(stage, "again", "starts");
    assert_eq!(planned(&report).len(), 2, "given back, and attached: {report}");
    ends(stage, "again");
}

fn explain_refusals(stage: &mut Stage) {
    stage.domain("never-f", Guest::Idle);
    give_to_other(stage, "never-f", "rw");
    stage.settings("SPVIRT_TAKEOVER=never\n");
    stage.cluster.client_up(OTHER, false);
    let report = foreseen(stage, "never-f", "refused");
    let why = report["refusal"].as_str().unwrap();
    for part in [
        "volume \"never-f\"",
        "client 7, which is down",
        "see \"spvirt explain never-f\"",
        "when the host of client 7 is dead: \"spvirt fence 7\"",
        "to take it all the same: \"spvirt takeover never-f\"",
    ] {
        assert!(why.contains(part), "{part} is not in {why}");
    }
    assert!(why.len() < 800, "{why}");
    stage.cluster.client_up(OTHER, true);
    stage.settings("");
    stage.cluster.detach("never-f", OTHER);
    stage.nothing_is_left();

    stage
        .host
        .define(&Domain::new("missing-f").disk("/dev/storpool/nothing-f"));
    let _ = foreseen(stage, "missing-f", "refused");
    stage
        .host
        .define(&Domain::new("gone-f").disk("/dev/storpool-byid/z.z.z9"));
    let _ = foreseen(stage, "gone-f", "refused");
    stage.cluster.snapshot("never-f", "snap-f");
    stage
        .host
        .define(&Domain::new("writes-f").disk("/dev/storpool/snap-f"));
    let _ = foreseen(stage, "writes-f", "refused");

    stage.start("never-f");
    stage
        .host
        .define(&Domain::new("second-f").disk("/dev/storpool/never-f"));
    let report = foreseen(stage, "second-f", "refused");
    let why = report["refusal"].as_str().unwrap();
    assert!(why.contains("in use by domain never-f on this host"), "{why}");
    ends(stage, "never-f");

    stage.cluster.client_up(1, false);
    let said = stage.spvirt(&["explain", "never-f"]).failed().stdout;
    assert!(
        said.contains("It would be refused: StorPool says that client 1, this host, is down"),
        "{said}"
    );
    stage.cluster.client_up(1, true);
    stage.host.api_reachable(false);
    let said = stage.spvirt(&["explain", "never-f"]).failed().stdout;
    assert!(said.contains("cannot be reached"), "{said}");
    stage.host.api_reachable(true);
    stage.configuration_is_broken(true);
    let said = stage.spvirt(&["explain", "never-f"]).failed().stderr;
    assert!(said.contains("SPVIRT_TAKEOVER"), "{said}");
    stage.configuration_is_broken(false);
    assert!(
        stage
            .spvirt(&["explain", "no-such"])
            .failed()
            .stderr
            .contains("libvirt knows no domain \"no-such\"")
    );
    assert_eq!(stage.spvirt(&["explain"]).code, 2);
}

fn explain_running(stage: &mut Stage) {
    stage.domain("runs-f", Guest::Idle);
    stage.start("runs-f");
    stage.forget();
    let (code, report) = stage.spvirt_json(&["explain", "runs-f"]);
    assert_eq!((code, &report["state"]), (0, &json!("running")), "{report}");
    assert_eq!(report["volumes"][0]["attached"], "rw");
    assert_eq!(report["troubles"], json!([]));
    let planned = planned(&report);
    stage.destroy("runs-f");
    assert_eq!(planned, reassigns(stage), "a stop does what was foreseen");
    stage.start("runs-f");
    give_to_other(stage, "runs-f", "rw");
    let said = stage.spvirt(&["explain", "runs-f"]).failed().stdout;
    assert!(
        said.contains("volume \"runs-f\" is attached rw on client 7 too"),
        "{said}"
    );
    stage.cluster.detach("runs-f", OTHER);
    ends(stage, "runs-f");
}

fn explain_file(stage: &mut Stage) {
    stage.cluster.volume("file-f", 1, Guest::None);
    let domain = Domain::new("file-f").disk("/dev/storpool/file-f");
    stage.host.write("/run/rig/file-f.xml", domain.xml());
    stage.host.libvirtd_stop();
    let (code, report) = stage.spvirt_json(&["explain", "/run/rig/file-f.xml"]);
    assert_eq!((code, &report["verdict"]), (0, &json!("starts")), "{report}");
    assert_eq!(planned(&report), [[json!({"volume": "file-f", "rw": [1]})]]);
    let broken = domain.xml().replace("</domain>", "");
    stage.host.write("/run/rig/file-f.xml", broken);
    let said = stage.spvirt(&["explain", "/run/rig/file-f.xml"]).failed().stderr;
    assert!(said.contains("is not understood: line "), "{said}");
    assert!(
        stage
            .spvirt(&["explain", "./none.xml"])
            .failed()
            .stderr
            .contains("no such file")
    );
    assert!(
        stage
            .spvirt(&["explain", "file-f"])
            .failed()
            .stderr
            .contains("libvirt")
    );
    stage.host.libvirtd_start();
    stage.host.define(&Domain::new("plain-f"));
    let said = stage.spvirt(&["explain", "plain-f"]).ok().stdout;
    assert!(said.contains("no StorPool volume"), "{said}");
    stage.nothing_is_left();
}

fn explain_hostile(stage: &mut Stage) {
    let name = "-rf \"$(x)\"\tof {0}";
    stage.cluster.volume("hostile-f", 1, Guest::Idle);
    stage
        .host
        .define(&Domain::new(name).disk("/dev/storpool/hostile-f"));
    give_to_other(stage, "hostile-f", "rw");
    stage.settings("SPVIRT_TAKEOVER=never\n");
    let said = stage.spvirt(&["explain", "--", name]).failed().stdout;
    assert!(said.starts_with("-rf \\\"$(x)\\\"\\tof {0} ("), "{said}");
    let uuid = said.split(['(', ')']).nth(3).unwrap();
    assert!(
        said.contains(&format!("spvirt takeover {uuid}\"")),
        "by UUID: {said}"
    );
    let again = stage.spvirt(&["explain", uuid]).failed().stdout;
    assert_eq!(again, said);
    stage.settings("");
    stage.cluster.detach("hostile-f", OTHER);
    let _ = stage.host.virsh(&["undefine", "--domain", uuid]).ok();
    stage.nothing_is_left();
}

fn list(stage: &mut Stage) {
    stage.domain("listed", Guest::Idle);
    stage.volumes(&["hand"]);
    stage.cluster.attach("hand", 1, "ro");
    stage.start("listed");
    stage.forget();
    let (code, rows) = stage.spvirt_json(&["list"]);
    assert_eq!(stage.calls(), [LIST], "one list for everything");
    assert_eq!(code, 0);
    let brief = |row: &Value| {
        let field = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        [
            field("domain"),
            field("volume"),
            field("phase"),
            field("attached"),
            field("before"),
        ]
        .join(" ")
    };
    let lines: Vec<_> = rows.as_array().unwrap().iter().map(brief).collect();
    assert_eq!(
        lines,
        [
            "listed listed live rw no".to_owned(),
            format!("- {} by hand ro -", listed(stage, "hand"))
        ]
    );
    // Its QEMU is gone, and somebody else has the device open.
    let host = &stage.host;
    let hold = "exec 3<>/dev/storpool/listed; exec tail -f /dev/null";
    let holder = host.spawn(&["sh", "-c", hold]);
    host.wait_for("the holder", SOON, || stage.cluster.openers().len() > 1);
    stage.destroy("listed");
    let said = stage.spvirt(&["list"]).ok().stdout;
    assert!(said.contains("releasing") && said.contains(", tail"), "{said}");
    holder.signal(Signal::SIGKILL);
    let _ = holder.wait(SOON);
    stage.reconcile();
    stage.only_attached(&["hand ro"]);
    stage.cluster.detach("hand", 1);
    stage.nothing_is_left();
}
