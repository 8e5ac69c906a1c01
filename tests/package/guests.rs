// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The first installation, and the core of what the hook does, on the installed package.

use spvirt_rig::Suite;

use crate::stage::{LINK, Stage, query, reloads, shell};

/// What the package brings, but for documents.
const CONTENTS: &str = "\
/etc/storpool.conf.d/spvirt.conf
/usr/bin/spvirt
/usr/lib/systemd/system/spvirt-boot.service
/usr/lib/systemd/system/spvirt-reconcile.service
/usr/lib/systemd/system/spvirt-reconcile.timer
/usr/lib/tmpfiles.d/spvirt.conf
/usr/sbin/spvirt-hook
/usr/share/bash-completion/completions/spvirt
/usr/share/fish/vendor_completions.d/spvirt.fish
/usr/share/lintian/overrides/spvirt
/usr/share/man/man1/spvirt.1.gz
/usr/share/man/man5/spvirt.conf.5.gz
/usr/share/man/man8/spvirt-hook.8.gz
/usr/share/spvirt/templates/cdrom.xml
/usr/share/spvirt/templates/disk.xml
/usr/share/spvirt/templates/metadata.xml
/usr/share/spvirt/templates/pool.xml
/usr/share/zsh/vendor-completions/_spvirt
";

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("install: libvirtd reloads, once, and is not restarted", install)
        .shared("install: everything is where it belongs", files)
        .shared("AppArmor: the hook may run, the guest gets its device", apparmor)
        .shared("a domain starts and stops", start_and_stop)
        .shared("a domain outlives libvirtd", outlives)
        .shared("a domain migrates there and back", migrates)
}

fn install(stage: &mut Stage) {
    let host = &stage.a;
    stage.domain("first");
    // Without the hook there is no device; and libvirtd has looked for hooks by now, and found none.
    let refused = host.virsh(&["start", "first"]).failed();
    assert!(refused.stderr.contains("/dev/storpool/first"), "{refused}");
    let (daemon, before) = (host.libvirtd_pid(), reloads(host));
    assert!(daemon.is_some());
    let said = Stage::install(host, "older");
    assert!(said.stdout.contains("Telling libvirtd"), "{said}");
    assert_eq!(host.libvirtd_pid(), daemon, "the same libvirtd");
    assert_eq!(reloads(host), before + 1, "reloads");
    stage.start("first");
    stage.stop(host, "first");
    assert_eq!(host.libvirtd_pid(), daemon, "the same libvirtd");
    // Over itself: nothing new.
    let said = Stage::install(host, "older");
    assert!(!said.stdout.contains("Telling"), "{said}");
    assert_eq!(reloads(host), before + 1, "reloads");
    let _ = Stage::install(&stage.b, "older");
}

fn files(stage: &mut Stage) {
    stage.installed();
    let host = &stage.a;
    assert_eq!(
        shell(host, &format!("readlink {LINK}")),
        "/usr/sbin/spvirt-hook\n"
    );
    assert_eq!(
        shell(host, "find /etc/libvirt/hooks -mindepth 1 ! -type d"),
        format!("{LINK}\n")
    );
    let conffiles = query(host, "${Conffiles}");
    let names: Vec<&str> = conffiles
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .collect();
    assert_eq!(names, ["/etc/storpool.conf.d/spvirt.conf"]);
    let list = "dpkg --listfiles spvirt | grep -v ^/usr/share/doc/ | while read f; do [ -d $f ] || echo $f; done | LC_ALL=C sort";
    assert_eq!(shell(host, list), CONTENTS);
    assert_eq!(
        shell(host, "stat --format '%a %U:%G %n' /var/lib/spvirt /run/spvirt"),
        "700 root:root /var/lib/spvirt\n700 root:root /run/spvirt\n"
    );
    assert_eq!(shell(host, "dpkg --audit; dpkg --verify spvirt"), "");
    let help = shell(host, "spvirt --help");
    assert!(help.contains("reconcile"), "{help}");
    assert_eq!(shell(host, "spvirt reconcile"), "No claims on this host.\n");
}

/// AppArmor does not run here: what the profiles say is all that can be seen.
fn apparmor(stage: &mut Stage) {
    let profile = stage
        .a
        .read("/etc/apparmor.d/usr.sbin.libvirtd")
        .expect("libvirtd's profile");
    for line in ["/usr/sbin/* PUx,", "/etc/libvirt/hooks/** rmix,"] {
        assert!(
            profile.lines().any(|l| l.trim() == line),
            "libvirtd's profile has no {line}"
        );
    }
    // The profile of a guest names the device that the link leads to, which is there by then.
    stage.running("confined");
    let device = shell(&stage.a, "readlink -f /dev/storpool/confined");
    let helper = "virsh dumpxml confined | \
        /usr/lib/libvirt/virt-aa-helper --dryrun -c -u libvirt-$(virsh domuuid confined) 2>&1";
    let rules = shell(&stage.a, helper);
    let rule = format!("\"{}\" rwk,", device.trim());
    assert!(rules.contains(&rule), "no {rule} in {rules}");
    stage.stop(&stage.a, "confined");
}

fn start_and_stop(stage: &mut Stage) {
    stage.running("plain");
    let log = shell(
        &stage.a,
        "journalctl --sync; journalctl --quiet -t spvirt-hook SPVIRT_DOMAIN=plain",
    );
    assert!(log.contains("prepare begin: done"), "{log}");
    stage.stop(&stage.a, "plain");
    // Debian 13's libvirt names the reason of the stop where older ones have a dash; neither may matter.
    let log = shell(
        &stage.a,
        "journalctl --sync; journalctl --quiet -t spvirt-hook SPVIRT_DOMAIN=plain",
    );
    assert!(log.contains("release end: done"), "{log}");
}

fn outlives(stage: &mut Stage) {
    stage.running("stays");
    let qemu = stage.a.qemu_pid("stays");
    stage.a.libvirtd_stop();
    stage.a.libvirtd_start();
    assert_eq!(stage.a.qemu_pid("stays"), qemu, "the same QEMU");
    assert_eq!(stage.attached(&stage.a), ["stays"]);
    stage.stop(&stage.a, "stays");
}

fn migrates(stage: &mut Stage) {
    stage.running("moves");
    for (from, to) in [(&stage.a, &stage.b), (&stage.b, &stage.a)] {
        let target = format!("qemu+tcp://{}/system", to.name());
        let _ = from.virsh(&["migrate", "--live", "moves", &target]).ok();
        assert_eq!(to.state("moves").as_deref(), Some("running"));
        assert_eq!(stage.attached(to), ["moves"]);
        assert_eq!(
            stage.attached(from),
            [] as [&str; 0],
            "{} has let go",
            from.name()
        );
        assert!(from.claims().is_empty(), "{:?}", from.claims());
    }
    stage.stop(&stage.a, "moves");
}
