// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! A guided tour for someone without StorPool: real libvirt, real QEMU, the shipped programs, a simulated cluster.
//!
//! Every command is run as shown and its output is real. A command that does not do what the text says ends the
//! tour with exit code 1.

#![allow(clippy::print_stdout, clippy::panic)]

mod tour;

use std::panic;
use std::process::ExitCode;

use spvirt_rig::{Binaries, Cluster, Domain, Guest, binary, leftovers};

use tour::{Tour, say};

fn main() -> ExitCode {
    spvirt_rig::enter();
    let toured = panic::catch_unwind(run);
    let left = leftovers();
    if !left.is_empty() {
        println!("\nSomething was left behind: {}", left.join(", "));
    }
    if toured.is_ok() && left.is_empty() {
        println!(
            "\nThe cluster, its hosts and all their devices are gone again. Next: README.md, \"Install\"."
        );
        ExitCode::SUCCESS
    } else {
        println!("\nThe demo FAILED.");
        ExitCode::FAILURE
    }
}

fn run() {
    let binaries = Binaries::new(binary("storpool-sim"), binary("spvirt-hook")).with_ctl(binary("spvirt"));
    let mut cluster = Cluster::start(&binaries);
    let first = cluster.host("hosta", 1);
    let second = cluster.host("hostb", 2);
    let tour = Tour::new(&cluster);
    cluster.volume("web1-root", 16, Guest::Idle);
    cluster.volume("web1-data", 16, Guest::None);
    cluster.volume("media", 16, Guest::None);
    cluster.snapshot("media", "installer-12.9");
    let data = cluster.global_id("web1-data");

    say(
        "Here are two libvirt hosts, hosta and hostb, with a real libvirtd and QEMU each, in namespaces of their \
         own: nothing of this touches the machine. What they have for StorPool is a simulated cluster. The hook \
         is installed as on any host:",
    );
    tour.on(
        &first,
        "ls -l /etc/libvirt/hooks/qemu.d/ | tail -n 1 | cut -d' ' -f9-",
    );
    say("The cluster has volumes. None is attached anywhere, so no host has a device for one:");
    tour.admin(&["volume", "list"]);
    tour.admin(&["attachments"]);
    tour.on(&first, "ls /dev/storpool /dev/storpool-byid || true");

    say(
        "A domain names its volumes by their device paths, and that is all there is to it: one by name, one by \
         its global id, which a rename does not change, and a snapshot as CD-ROM.",
    );
    let web1 = Domain::new("web1")
        .element("<uuid>c0ffee00-0000-4000-8000-000000000001</uuid>")
        .disk("/dev/storpool/web1-root")
        .disk(&format!("/dev/storpool-byid/{data}"))
        .cdrom("/dev/storpool/installer-12.9");
    first.define(&web1);
    second.define(&web1);
    tour.on(&first, "virsh domblklist web1");
    say("Start it. libvirt calls the hook, the hook attaches the volumes, QEMU opens them:");
    tour.on(&first, "virsh start web1");
    say("Who has what, as spvirt sees it on this host, as the cluster sees it, and as devices:");
    tour.on(&first, "spvirt list");
    tour.admin(&["attachments"]);
    tour.on(
        &first,
        "ls -l /dev/storpool /dev/storpool-byid | grep -o '[^ ]* -> .*'",
    );
    assert_eq!(cluster.attachments().len(), 3, "attachments of web1");

    say("A domain whose volume does not exist is refused, with the reason where it is needed:");
    first.define(&Domain::new("web2").disk("/dev/storpool/web2-root"));
    tour.refused(
        &first,
        "virsh start web2",
        "volume \"web2-root\" does not exist in StorPool",
    );

    say(
        "Now somebody starts web1 on hostb as well, where it is defined too. Two QEMUs that write to one file \
         system destroy it; here the second one never runs, because hosta has the volume open:",
    );
    tour.refused(&second, "virsh start web1", "is open on client 1, which is up");
    tour.on(&first, "virsh domstate web1");
    assert_eq!(cluster.attachments().len(), 3, "attachments after the refusal");

    say("Stop it, in whatever way; nothing stays attached:");
    tour.on(&first, "virsh destroy web1");
    tour.on(&first, "spvirt list");
    tour.admin(&["attachments"]);
    assert!(cluster.attachments().is_empty(), "attachments after the stop");
    say("And now hostb may have it:");
    tour.on(&second, "virsh start web1");
    tour.admin(&["attachments"]);
    tour.on(&second, "virsh destroy web1");
    assert!(cluster.attachments().is_empty(), "attachments at the end");
    assert!(
        cluster.monitor().is_empty(),
        "one volume was open for writing on two hosts"
    );
    say(
        "All the while a monitor in the cluster watched for two hosts with one volume open for writing: none.",
    );
}
