// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Pacemaker's agent for domains, `ocf:heartbeat:VirtualDomain`, set up as `docs/ha.md` says and called as Pacemaker
//! calls it.

use spvirt_rig::{Host, Output, Running, Suite};

use crate::pair::{Pair, Traveller, WHOLE, xml};

const AGENT: &str = "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain";

/// What the agent answers when the domain does not run: no error.
const NOT_RUNNING: i32 = 7;

/// The cases of this file.
pub fn cases(suite: Suite<Pair>) -> Suite<Pair> {
    suite.shared("pacemaker: starts, moves and stops a domain", resource)
}

/// Calls the agent for a domain that only Pacemaker defines.
fn calls(host: &Host, domain: &str, action: &str, more: &[&str]) -> Running {
    let instance = format!("OCF_RESOURCE_INSTANCE={domain}");
    let config = format!("OCF_RESKEY_config={}", file(domain));
    let ocf = [
        "env",
        "OCF_ROOT=/usr/lib/ocf",
        "OCF_RESKEY_hypervisor=qemu:///system",
        "OCF_RESKEY_migration_transport=tcp",
        // Nobody is there to keep such attributes.
        "OCF_RESKEY_autoset_utilization_cpu=false",
        "OCF_RESKEY_autoset_utilization_hv_memory=false",
        "OCF_RESKEY_CRM_meta_timeout=120000",
        &instance,
        &config,
    ];
    host.spawn(&[&ocf[..], more, &[AGENT, action]].concat())
}

fn file(domain: &str) -> String {
    format!("/etc/libvirt/qemu/pacemaker-{domain}.xml")
}

#[track_caller]
fn does(host: &Host, domain: &str, action: &str) -> Output {
    calls(host, domain, action, &[]).wait(WHOLE).ok()
}

/// What `monitor` says.
fn monitors(host: &Host, domain: &str) -> i32 {
    calls(host, domain, "monitor", &[]).wait(WHOLE).code
}

#[track_caller]
fn moves(pair: &Pair, traveller: &Traveller, from: &Host) {
    let (name, to) = (&traveller.name, pair.other(from));
    let target = format!("OCF_RESKEY_CRM_meta_migrate_target={}", to.name());
    let source = format!("OCF_RESKEY_CRM_meta_migrate_source={}", from.name());
    let _ = calls(from, name, "migrate_to", &[&target]).wait(WHOLE).ok();
    let _ = calls(to, name, "migrate_from", &[&source]).wait(WHOLE).ok();
    pair.runs_on(traveller, to);
}

fn resource(pair: &mut Pair) {
    let (a, b) = (pair.a(), &pair.b);
    let traveller = pair.volume("flock");
    let definition = xml("flock").element("<uuid>5eed0000-0000-4000-8000-00000000f10c</uuid>");
    for host in [a, b] {
        host.write(&file("flock"), definition.xml());
        assert_eq!(monitors(host, "flock"), NOT_RUNNING);
    }
    let _ = does(a, "flock", "start");
    pair.writes(&traveller, 1);
    pair.runs_on(&traveller, a);
    assert_eq!((monitors(a, "flock"), monitors(b, "flock")), (0, NOT_RUNNING));

    // A cluster that lost its way: the start fails, and says why.
    let refused = calls(b, "flock", "start", &[]).wait(WHOLE).failed();
    assert!(
        refused.stderr.contains("spvirt: hostb: flock: volume"),
        "{refused}"
    );
    pair.runs_on(&traveller, a);

    moves(pair, &traveller, a);
    moves(pair, &traveller, b);
    let _ = calls(a, "flock", "stop", &["OCF_RESKEY_force_stop=1"])
        .wait(WHOLE)
        .ok();
    pair.is_gone(&traveller);
}
