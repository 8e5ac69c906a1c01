// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A configuration that cannot be used, and XML that cannot be read: refused with file and line, and only
//! where StorPool volumes are concerned.

use spvirt_rig::{Domain, Guest, Output, Suite};

use crate::stage::Stage;

const MAIN: &str = "/etc/storpool.conf";
const EXTRA: &str = "/etc/storpool.conf.d/zz-case.conf";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("the configuration is missing or wrong", wrong)
        .shared("a domain without volumes starts whatever is broken", unconcerned)
        .shared(
            "XML that cannot be read is refused if it speaks of storpool",
            odd_xml,
        )
}

fn wrong(stage: &mut Stage) {
    stage.domain("conf", Guest::Idle);
    let main = stage.host.read(MAIN).unwrap();
    let without = |key: &str| -> String {
        let lines = main.lines().filter(|line| !line.starts_with(key));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let known = "SPVIRT_TAKEOVER SPVIRT_TICKET SPVIRT_DEADLINE SPVIRT_ATTACH_TIMEOUT SPVIRT_DOMAINS SPVIRT_FOLLOW SPVIRT_FILTER SPVIRT_MULTICLUSTER";
    let unknown_key = format!("{EXTRA}:2: unknown key SPVIRT_TAKEOVR: the keys of spvirt are {known}");
    for (main, extra, expected) in [
        (
            main.clone(),
            "SP_X=1\nno assignment\n",
            "/etc/storpool.conf.d/zz-case.conf:2: no \"=\" in this line: write KEY=VALUE",
        ),
        (
            main.clone(),
            "# a typo\nSPVIRT_TAKEOVR=never\n",
            unknown_key.as_str(),
        ),
        (
            main.clone(),
            "SPVIRT_DEADLINE=4",
            "/etc/storpool.conf.d/zz-case.conf:1: SPVIRT_DEADLINE must be a number of seconds from 5 to 300",
        ),
        (
            without("SP_OURID"),
            "",
            "/etc/storpool.conf: SP_OURID is not set for this host: add it in a section [hosta], its name by uname -n",
        ),
        (
            without("SP_AUTH_TOKEN"),
            "",
            "/etc/storpool.conf: SP_AUTH_TOKEN is not set: copy it from a StorPool host of the same cluster",
        ),
    ] {
        stage.host.write(MAIN, main);
        stage.host.write(EXTRA, extra);
        assert_eq!(stage.refused("conf"), format!("hosta: conf: {expected}"));
        assert_eq!(stage.calls(), [""; 0]);
        stage.nothing_is_left();
    }
    std::fs::remove_file(stage.host.path(EXTRA)).unwrap();
    std::fs::remove_file(stage.host.path(MAIN)).unwrap();
    assert_eq!(
        stage.refused("conf"),
        "hosta: conf: /etc/storpool.conf: no such file: is the StorPool client installed on this host?"
    );
    stage.host.write(MAIN, main);
    stage.nothing_is_left();
}

fn unconcerned(stage: &mut Stage) {
    let main = stage.host.read(MAIN).unwrap();
    stage.host.write(MAIN, "not a configuration\n");
    let _ = stage.host.exec(&["rm", "-rf", "/var/lib/spvirt/claims"]).ok();
    stage
        .host
        .write("/var/lib/spvirt/claims", "a file, not a folder\n");
    stage.host.api_reachable(false);
    stage.host.write("/var/lib/libvirt/images/plain.img", [0; 4096]);
    let disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/plain.img'/><target dev='vda' bus='virtio'/></disk>";
    stage.host.define(&Domain::new("plain").device(disk));
    assert_eq!(stage.start("plain"), [""; 0]);
    let _ = stage.host.virsh(&["destroy", "plain"]).ok();
    assert_eq!(stage.calls(), [""; 0]);
    stage.host.api_reachable(true);
    stage.host.write(MAIN, main);
    std::fs::remove_file(stage.host.path("/var/lib/spvirt/claims")).unwrap();
    stage.nothing_is_left();
}

/// libvirt itself only ever sends well-formed XML, so here the hook is called as libvirt calls it.
fn odd_xml(stage: &mut Stage) {
    let call = |bytes: &str, operation: &str| -> Output {
        stage.host.write("/run/rig/odd.xml", bytes);
        let hook = format!("/usr/sbin/spvirt-hook odd {operation} - < /run/rig/odd.xml");
        stage.host.exec(&["sh", "-c", &hook])
    };
    let disk =
        |path: &str| format!("<domain><name>odd</name><devices><disk type='block'><source dev='{path}'/>");
    let huge = |path: &str| format!("{}{}", disk(path), " ".repeat(17 << 20));
    for (ours, other, expected) in [
        (
            disk("/dev/storpool/x"),
            disk("/dev/sda"),
            "line 1, column 84: the document is cut off",
        ),
        (
            huge("/dev/storpool/x"),
            huge("/dev/sda"),
            "it is longer than 16 MiB",
        ),
    ] {
        let refused = call(&ours, "prepare begin");
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (1, ""),
            "{}",
            refused.stderr
        );
        let start =
            format!("spvirt: hosta: odd: its XML is not understood and speaks of storpool: {expected}");
        assert!(refused.stderr.starts_with(&start), "{}", refused.stderr);
        assert_eq!(refused.stderr.trim_end().lines().count(), 1);
        for (bytes, operation) in [
            (&ours, "release end"),
            (&ours, "reconnect begin"),
            (&other, "prepare begin"),
        ] {
            let passed = call(bytes, operation);
            assert_eq!(
                (passed.code, passed.stdout.as_str(), passed.stderr.as_str()),
                (0, "", ""),
                "{operation}"
            );
        }
    }
    stage.nothing_is_left();
}
