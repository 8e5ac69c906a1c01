// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `spvirt rewrite`, `undo` and `xml` on real domains.

use spvirt_rig::{Guest, Output, Suite};

use crate::acts::on;
use crate::stage::Stage;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared(
            "a definition is rewritten, undone and redone",
            rewritten_and_undone,
        )
        .shared("a running domain is rewritten for its next start", running)
        .shared(
            "what the guest would see is refused while it runs",
            guest_would_see,
        )
        .shared(
            "the disks of a running domain change as far as libvirt can",
            updated,
        )
        .shared("a disk and metadata from templates", templates)
        .shared(
            "the definition changed meanwhile, or libvirt refuses it",
            in_the_way,
        )
        .shared("a saved image is pointed at a renamed volume", saved_image)
}

impl Stage {
    /// Runs `spvirt`.
    #[track_caller]
    pub fn spvirt_rewrites(&self, arguments: &[&str]) -> Output {
        let whole: Vec<&str> = ["spvirt"].iter().chain(arguments).copied().collect();
        self.host.exec(&whole)
    }

    /// The definition of a domain, with passwords.
    #[track_caller]
    pub fn definition(&self, domain: &str) -> String {
        let dumped = self
            .host
            .virsh(&["dumpxml", "--inactive", "--security-info", domain]);
        dumped.ok().stdout
    }

    /// The link of a volume by its global id.
    pub fn by_id(&self, volume: &str) -> String {
        format!("/dev/storpool-byid/{}", self.cluster.global_id(volume))
    }
}

fn by_name(volume: &str) -> String {
    format!("/dev/storpool/{volume}")
}

/// The backups of a domain: mode and file.
fn backups(stage: &Stage, domain: &str) -> Vec<String> {
    let folder = format!("/var/lib/spvirt/backup/{}", stage.uuid(domain));
    let found = stage
        .host
        .exec(&["find", &folder, "-printf", "%y %m\n"])
        .ok()
        .stdout;
    let mut lines: Vec<_> = found.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Takes a domain and what was kept of it away.
pub fn forget(stage: &Stage, domain: &str) {
    let folder = format!("/var/lib/spvirt/backup/{}", stage.uuid(domain));
    let _ = stage.host.virsh(&["undefine", domain]).ok();
    let _ = stage
        .host
        .exec(&["rm", "-rf", "/var/lib/spvirt/backup", &folder])
        .ok();
}

fn rewritten_and_undone(stage: &mut Stage) {
    stage.volumes(&["rw-root", "rw-data"]);
    let domain =
        on("rw", &["rw-root", "rw-data"]).device("<graphics type='vnc' port='5999' passwd='geheim'/>");
    stage.host.define(&domain);
    let before = stage.definition("rw");
    assert!(before.contains("passwd='geheim'"), "{before}");
    stage.forget();

    let shown = stage
        .spvirt_rewrites(&["rewrite", "--to", "by-id", "--print-diff", "rw"])
        .ok()
        .stdout;
    assert!(
        shown.contains(&format!("-      <source dev='{}'/>", by_name("rw-root"))),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("+      <source dev='{}'/>", stage.by_id("rw-root"))),
        "{shown}"
    );
    assert!(!shown.contains("geheim"), "{shown}");
    assert_eq!(stage.definition("rw"), before, "only shown");
    let printed = stage
        .spvirt_rewrites(&["rewrite", "--to", "by-id", "--print-xml", "rw"])
        .ok()
        .stdout;
    assert!(
        printed.contains(&stage.by_id("rw-data")) && !printed.contains("geheim"),
        "{printed}"
    );

    stage.forget();
    let said = stage
        .spvirt_rewrites(&["rewrite", "--to", "by-id", "rw"])
        .ok()
        .stdout;
    assert_eq!(said, "Domain 'rw' defined successfully.\n");
    assert_eq!(stage.calls(), ["VolumesList"], "one request for all volumes");
    let after = stage.definition("rw");
    let mut expected = before.clone();
    for volume in ["rw-root", "rw-data"] {
        expected = expected.replace(&by_name(volume), &stage.by_id(volume));
    }
    assert_eq!(after, expected, "nothing else changed, the password is there");
    assert_eq!(backups(stage, "rw"), ["d 700", "f 600"]);

    stage.forget();
    let again = stage
        .spvirt_rewrites(&["rewrite", "--to", "by-id", "rw"])
        .ok()
        .stdout;
    assert_eq!(again, "No XML change is needed.\n");
    assert_eq!(stage.calls(), [""; 0], "nothing to ask");
    assert_eq!(stage.start("rw").len(), 2);
    stage.only_attached(&["rw-data rw", "rw-root rw"]);
    stage.destroy("rw");

    let listed = stage.spvirt_rewrites(&["undo", "--list", "rw"]).ok().stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let undone = stage.spvirt_rewrites(&["undo", "rw"]).ok().stdout;
    assert!(
        undone.contains("+      <source dev='/dev/storpool/rw-root'/>"),
        "{undone}"
    );
    assert!(!undone.contains("geheim"), "{undone}");
    assert_eq!(stage.definition("rw"), before);
    let _ = stage.spvirt_rewrites(&["undo", "rw"]).ok();
    assert_eq!(stage.definition("rw"), after, "an undo of an undo");

    let uuid = stage.uuid("rw");
    let _ = stage.host.virsh(&["undefine", "rw"]).ok();
    let _ = stage.spvirt_rewrites(&["undo", "rw"]).failed();
    let _ = stage.spvirt_rewrites(&["undo", &uuid]).ok();
    assert_eq!(
        stage.definition("rw"),
        before,
        "what was undefined comes back as it was last kept"
    );
    forget(stage, "rw");
    stage.nothing_is_left();
}

fn running(stage: &mut Stage) {
    stage.domain("live", Guest::Idle);
    stage.start("live");
    stage.survives("live", || {
        let said = stage.spvirt_rewrites(&["rewrite", "--to", "by-id", "--tune=detect-zeroes,iothread", "live"]).ok().stdout;
        assert_eq!(
            said,
            "Domain 'live' defined successfully.\nChanges will take effect after the domain is fully powered off.\n"
        );
    });
    let live = stage.host.virsh(&["dumpxml", "live"]).ok().stdout;
    assert!(live.contains(&by_name("live")), "{live}");
    stage.destroy("live");
    stage.start("live");
    let live = stage.host.virsh(&["dumpxml", "live"]).ok().stdout;
    assert!(live.contains(&stage.by_id("live")), "{live}");
    assert!(
        live.contains("detect_zeroes='unmap'") && live.contains("iothread='1'"),
        "{live}"
    );
    stage.destroy("live");
    forget(stage, "live");
    stage.nothing_is_left();
}

fn guest_would_see(stage: &mut Stage) {
    stage.domain("seen", Guest::Idle);
    stage.start("seen");
    let before = stage.definition("seen");
    for recipe in [
        &["--serial", "global-id"][..],
        &["--tune=queues"],
        &["--tune=virtio-scsi"],
    ] {
        let arguments = [&["rewrite"], recipe, &["seen"]].concat();
        let refused = stage.spvirt_rewrites(&arguments).failed().stderr;
        assert!(refused.contains("changes what the guest sees"), "{refused}");
        assert!(refused.contains("shut the domain down"), "{refused}");
    }
    assert_eq!(stage.definition("seen"), before);
    stage.destroy("seen");
    let _ = stage
        .spvirt_rewrites(&["rewrite", "--serial", "global-id", "--tune=queues", "seen"])
        .ok();
    let after = stage.definition("seen");
    let id = stage.cluster.global_id("seen");
    assert!(after.contains(&format!("<serial>{id}</serial>")), "{after}");
    assert!(after.contains("queues='1'"), "{after}");
    stage.start("seen");
    stage.destroy("seen");
    forget(stage, "seen");
    stage.nothing_is_left();
}

fn updated(stage: &mut Stage) {
    stage.cluster.volume("upd", 1, Guest::Idle);
    stage.volumes(&["upd-cd1", "upd-cd2"]);
    stage.host.define(&on("upd", &["upd"]).cdrom(&by_name("upd-cd1")));
    stage.start("upd");
    // A medium that the hook has not seen is attached by hand.
    stage.cluster.attach("upd-cd2", stage.host.client(), "ro");
    stage.survives("upd", || {
        let said = stage
            .spvirt_rewrites(&["rewrite", "--replace", "hdc=upd-cd2", "--update", "upd"])
            .ok()
            .stdout;
        assert!(said.contains("Domain 'upd' changed while it runs."), "{said}");
    });
    let live = stage.host.virsh(&["dumpxml", "upd"]).ok().stdout;
    assert!(
        live.contains(&by_name("upd-cd2")) && !live.contains(&by_name("upd-cd1")),
        "{live}"
    );
    assert!(stage.definition("upd").contains(&by_name("upd-cd2")));
    // A hard disk's cache mode is fixed while it runs: the definition changes, and the rest is said.
    let failed = stage
        .spvirt_rewrites(&["rewrite", "--tune", "--update", "upd"])
        .failed();
    assert!(
        failed.stdout.contains("Domain 'upd' defined successfully."),
        "{failed}"
    );
    assert!(
        failed
            .stderr
            .contains("not changed while it runs: vda: libvirt: "),
        "{failed}"
    );
    assert!(stage.definition("upd").contains("discard='unmap'"));
    stage.destroy("upd");
    stage.cluster.detach("upd-cd2", stage.host.client());
    forget(stage, "upd");
    stage.nothing_is_left();
}

fn templates(stage: &mut Stage) {
    stage.domain("made", Guest::Idle);
    stage.volumes(&["made-data"]);
    let whole = "spvirt xml disk made-data --target vdb > /run/rig/vdb.xml && \
        virsh -q attach-device made /run/rig/vdb.xml --config && \
        virsh -q metadata made urn:spvirt:domain:1 --key spvirt --config \
        --set \"$(spvirt xml metadata --takeover never)\"";
    let _ = stage.host.exec(&["sh", "-c", whole]).ok();
    let made = stage.definition("made");
    assert!(made.contains(&by_name("made-data")), "{made}");
    assert!(made.contains("takeover=\"never\""), "{made}");
    stage.start("made");
    stage.only_attached(&["made rw", "made-data rw"]);
    stage.destroy("made");

    let site = "/etc/spvirt/templates/disk.xml";
    stage.host.write(
        site,
        "<disk type='block'>\n <source dev='@SOURCE@'/>\n <target dev='@TARGET@'/>\n</disk>\n",
    );
    let own = stage.spvirt_rewrites(&["xml", "disk", "x"]).ok().stdout;
    assert_eq!(
        own,
        "<disk type='block'>\n <source dev='/dev/storpool/x'/>\n <target dev='vda'/>\n</disk>\n"
    );
    stage
        .host
        .write(site, "<disk>\n<source dev='@SOURCE@'>\n</disk>\n");
    let wrong = stage.spvirt_rewrites(&["xml", "disk", "x"]).failed().stderr;
    assert_eq!(
        wrong,
        "error: /etc/spvirt/templates/disk.xml: line 3, column 1: an end tag that does not match\n"
    );
    let _ = stage.host.exec(&["rm", "-r", "/etc/spvirt"]).ok();
    forget(stage, "made");
    stage.nothing_is_left();
}

fn in_the_way(stage: &mut Stage) {
    stage.domain("way", Guest::Idle);
    let before = stage.definition("way");
    // libvirt refuses a serial number on a disk that says `lun`, say: here, a target that is there twice.
    stage.volumes(&["way-2"]);
    let refused = stage
        .spvirt_rewrites(&["rewrite", "--replace", "vdz=way-2", "way"])
        .failed();
    assert!(
        refused
            .stderr
            .contains("vdz: the domain has no disk with this target"),
        "{refused}"
    );
    assert_eq!(stage.definition("way"), before);
    // Without StorPool nothing that needs it is done, and what does not need it is.
    stage.host.api_reachable(false);
    let failed = stage
        .spvirt_rewrites(&["rewrite", "--to", "by-id", "way"])
        .failed();
    assert!(failed.stderr.contains("the StorPool API at"), "{failed}");
    assert_eq!(stage.definition("way"), before);
    let _ = stage.spvirt_rewrites(&["rewrite", "--tune", "way"]).ok();
    stage.host.api_reachable(true);
    assert!(stage.definition("way").contains("discard='unmap'"));
    // Where the state cannot be written there is no backup, and so no change.
    forget(stage, "way");
    stage.host.define(&on("way", &["way"]));
    stage.host.write("/var/lib/spvirt/backup", "a file");
    let failed = stage.spvirt_rewrites(&["rewrite", "--tune", "way"]).failed();
    assert!(failed.stderr.contains("/var/lib/spvirt/backup"), "{failed}");
    assert!(!stage.definition("way").contains("discard='unmap'"));
    forget(stage, "way");
    stage.nothing_is_left();
}

fn saved_image(stage: &mut Stage) {
    stage.domain("image", Guest::Idle);
    stage.start("image");
    let _ = stage.host.virsh(&["save", "image", "/var/tmp/image"]).ok();
    stage.is_off("image");
    stage.cluster.rename("image", "renamed");
    let _ = stage.host.virsh(&["restore", "/var/tmp/image"]).failed();
    let whole = "virsh save-image-dumpxml --security-info /var/tmp/image > /run/rig/old.xml && \
        spvirt rewrite --map image=renamed /run/rig/old.xml > /run/rig/new.xml && \
        virsh save-image-define /var/tmp/image /run/rig/new.xml";
    let _ = stage.host.exec(&["sh", "-c", whole]).ok();
    let _ = stage.host.virsh(&["restore", "/var/tmp/image"]).ok();
    stage.only_attached(&["renamed rw"]);
    stage.destroy("image");
    let _ = stage.host.virsh(&["undefine", "image"]).ok();
    stage.nothing_is_left();
}
