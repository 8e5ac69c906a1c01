// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Everything a domain's XML can say: where volumes stand in it, whose they are, how a domain is called.

use spvirt_rig::{Domain, Guest, Suite};

use crate::acts::{LIST, REASSIGN, SHORT, START, on};
use crate::stage::Stage;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("a volume that does not exist", missing_volume)
        .shared("an optional cdrom that does not exist", missing_optional_cdrom)
        .shared("firmware variables on a volume", nvram)
        .shared("a qcow2 image on a volume, its base a snapshot", backing_store)
        .shared("a lun", lun)
        .shared("a link below a folder of SPVIRT_FOLLOW", follow)
        .shared("a domain of Nova's is left to Nova", other_manager)
        .shared("a domain of Nova's that says it is ours", managed_by_us)
        .shared("disks taken out of the XML while a claim stands", disks_removed)
        .shared(
            "a domain without StorPool volumes starts on a broken host",
            bystander,
        )
}

/// Those that have nothing to do with what StorPool answers.
pub fn cases_of_names(suite: Suite<Stage>) -> Suite<Stage> {
    suite
        .shared("domains with names in any script", names)
        .shared("libvirt takes no name with a newline", newline)
}

fn missing_volume(stage: &mut Stage) {
    stage.volumes(&["there"]);
    stage.host.define(&on("lacking", &["there", "not-there"]));
    let why = stage.refused("lacking");
    assert_eq!(
        why,
        "hosta: lacking: volume \"not-there\" does not exist in StorPool (disk vdb, /dev/storpool/not-there)"
    );
    stage.nothing_is_left();
}

fn missing_optional_cdrom(stage: &mut Stage) {
    stage.cluster.volume("optional", 1, Guest::Idle);
    let cdrom = "<disk type='block' device='cdrom'><source dev='/dev/storpool/no-iso' startupPolicy='optional'/><target dev='hdc' bus='ide'/><readonly/></disk>";
    stage.host.define(&on("optional", &["optional"]).device(cdrom));
    assert_eq!(stage.start("optional"), ["Snapshot", "Volume", REASSIGN, LIST]);
    stage.only_attached(&["optional rw"]);
    let live = stage.host.virsh(&["dumpxml", "optional"]).ok().stdout;
    assert!(!live.contains("no-iso"), "{live}");
    stage.destroy("optional");
    stage.nothing_is_left();
}

fn nvram(stage: &mut Stage) {
    stage.cluster.volume("nvram-root", 1, Guest::Idle);
    stage.volumes(&["nvram-vars"]);
    // Any firmware will do whose size QEMU takes for a flash chip.
    let firmware = "<loader readonly='yes' type='pflash'>/usr/share/seabios/bios-256k.bin</loader><nvram type='block'><source dev='/dev/storpool/nvram-vars'/></nvram><boot dev='hd'/>";
    let xml = on("nvram", &["nvram-root"]).xml();
    stage.define_xml(&xml.replace("<boot dev='hd'/>", firmware));
    assert_eq!(stage.start("nvram"), START);
    stage.only_attached(&["nvram-root rw", "nvram-vars rw"]);
    assert_eq!(stage.destroy("nvram"), [REASSIGN]);
    stage.nothing_is_left();
}

fn backing_store(stage: &mut Stage) {
    stage.volumes(&["base"]);
    stage.cluster.snapshot("base", "base-snap");
    stage.cluster.volume("top", 4, Guest::None);
    let me = stage.host.client();
    stage.cluster.attach("top", me, "rw");
    let create = [
        "qemu-img",
        "create",
        "-f",
        "qcow2",
        "-u",
        "-F",
        "raw",
        "-b",
        "/dev/storpool/base-snap",
        "/dev/storpool/top",
        "1M",
    ];
    let _ = stage.host.exec(&create).ok();
    stage.cluster.detach("top", me);
    let disk = "<disk type='block' device='disk'><driver name='qemu' type='qcow2'/><source dev='/dev/storpool/top'/><backingStore type='block'><format type='raw'/><source dev='/dev/storpool/base-snap'/><backingStore/></backingStore><target dev='vda' bus='virtio'/></disk>";
    stage.host.define(&Domain::new("chain").device(disk));
    assert_eq!(stage.start("chain"), ["Snapshot", REASSIGN, LIST]);
    stage.only_attached(&["base-snap ro", "top rw"]);
    assert_eq!(stage.destroy("chain"), [REASSIGN]);
    stage.nothing_is_left();
}

fn lun(stage: &mut Stage) {
    stage.volumes(&["lun"]);
    let disk = "<controller type='scsi' model='virtio-scsi'/><disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/storpool/lun'/><target dev='sda' bus='scsi'/></disk>";
    stage.host.define(&Domain::new("lun").device(disk));
    stage.forget();
    // A StorPool device takes no SCSI commands, so QEMU refuses the disk: after it has found the device.
    let refused = stage.host.virsh(&["start", "lun"]).failed();
    assert!(
        !refused.stderr.contains("spvirt") && refused.stderr.contains("scsi"),
        "{refused}"
    );
    assert_eq!(stage.calls(), [REASSIGN, LIST, REASSIGN]);
    stage.nothing_is_left();
}

fn follow(stage: &mut Stage) {
    let (folder, link) = ("/var/lib/links", "/var/lib/links/web");
    stage.cluster.volume("followed", 1, Guest::Idle);
    let _ = stage.host.exec(&["mkdir", "-p", folder]).ok();
    let _ = stage
        .host
        .exec(&["ln", "-sfn", "/dev/storpool/followed", link])
        .ok();
    stage.host.define(&Domain::new("followed").disk(link));
    // Not ours unless the site says so.
    stage.forget();
    let refused = stage.host.virsh(&["start", "followed"]).failed();
    assert!(!refused.stderr.contains("spvirt"), "{refused}");
    assert_eq!(stage.calls(), [] as [&str; 0]);
    stage.settings(&format!("SPVIRT_FOLLOW={folder}\n"));
    assert_eq!(stage.start("followed"), START);
    stage.only_attached(&["followed rw"]);
    stage.survives("followed", || stage.libvirtd_restarts());
    // Where the link leads by now is of no concern to what was attached.
    let _ = stage.host.exec(&["rm", link]).ok();
    assert_eq!(stage.destroy("followed"), [REASSIGN]);
    stage.settings("");
    stage.nothing_is_left();
}

const NOVA: &str = "<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/>";

fn other_manager(stage: &mut Stage) {
    stage.cluster.volume("nova", 1, Guest::Idle);
    let metadata = format!("<metadata>{NOVA}</metadata>");
    stage.host.define(&on("nova", &["nova"]).element(&metadata));
    stage.cluster.attach("nova", stage.host.client(), "rw");
    assert_eq!(stage.start("nova"), [] as [&str; 0]);
    assert_eq!(stage.host.claims().len(), 0);
    stage.survives("nova", || stage.libvirtd_restarts());
    assert_eq!(stage.host.claims().len(), 0);
    assert_eq!(stage.destroy("nova"), [] as [&str; 0]);
    stage.only_attached(&["nova rw"]);
    stage.cluster.detach("nova", stage.host.client());
    stage.nothing_is_left();
}

fn managed_by_us(stage: &mut Stage) {
    stage.cluster.volume("ours", 1, Guest::Idle);
    let metadata =
        format!("<metadata>{NOVA}<sp:domain xmlns:sp='urn:spvirt:domain:1' manage='yes'/></metadata>");
    stage.host.define(&on("ours", &["ours"]).element(&metadata));
    assert_eq!(stage.start("ours"), START);
    stage.only_attached(&["ours rw"]);
    assert_eq!(stage.destroy("ours"), [REASSIGN]);
    stage.nothing_is_left();
    let metadata = "<metadata><sp:domain xmlns:sp='urn:spvirt:domain:1' manage='no'/></metadata>";
    stage.host.define(&on("not-ours", &["ours"]).element(metadata));
    stage.forget();
    let refused = stage.host.virsh(&["start", "not-ours"]).failed();
    assert!(!refused.stderr.contains("spvirt"), "{refused}");
    assert_eq!(stage.calls(), [] as [&str; 0]);
    stage.nothing_is_left();
}

fn disks_removed(stage: &mut Stage) {
    stage.domain("bare", Guest::Idle);
    stage.start("bare");
    stage.settings(SHORT);
    stage.host.api_reachable(false);
    let _ = stage.host.virsh(&["destroy", "bare"]).ok();
    stage.host.api_reachable(true);
    stage.settings("");
    assert_eq!(stage.phase(), "releasing");
    let uuid = format!("<uuid>{}</uuid>", stage.uuid("bare"));
    stage.host.define(&Domain::new("bare").element(&uuid));
    assert_eq!(stage.start("bare"), [REASSIGN], "the old claim is let go");
    stage.nothing_is_left();
    assert_eq!(stage.destroy("bare"), [] as [&str; 0]);
    stage.nothing_is_left();
}

/// StorPool's name everywhere but where a disk would be, in odd XML, on a host where everything of ours is broken.
fn bystander(stage: &mut Stage) {
    let _ = stage
        .host
        .exec(&["truncate", "--size=1M", "/var/lib/libvirt/images/plain.img"])
        .ok();
    let odd = "<!-- /dev/storpool/comment <disk> --><title>&#x2f;dev/storpool/title</title><description><![CDATA[<source dev='/dev/storpool/description'/>]]></description><metadata><m:disk xmlns:m='urn:m'><m:source dev='/dev/storpool/metadata'/></m:disk></metadata><qemu:commandline><qemu:env name='NOTHING' value='/dev/storpool/env'/></qemu:commandline>";
    let disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/plain.img'/><target dev='vda' bus='virtio'/></disk>";
    stage
        .host
        .define(&Domain::new("onlooker").device(disk).element(odd));
    let spoil = "mv /var/lib/spvirt /var/lib/spvirt.good; echo > /var/lib/spvirt; \
                 mv /run/spvirt /run/spvirt.good; echo > /run/spvirt; \
                 mv /etc/storpool.conf /etc/storpool.conf.good; head -c 99 /dev/urandom > /etc/storpool.conf";
    let _ = stage.host.exec(&["sh", "-c", spoil]).ok();
    stage.configuration_is_broken(true);
    stage.host.api_reachable(false);
    assert_eq!(stage.start("onlooker"), [] as [&str; 0]);
    stage.survives("onlooker", || stage.libvirtd_restarts());
    assert_eq!(stage.destroy("onlooker"), [] as [&str; 0]);
    stage.host.api_reachable(true);
    stage.configuration_is_broken(false);
    let mend =
        "for f in /var/lib/spvirt /run/spvirt /etc/storpool.conf; do rm -r $f && mv $f.good $f || exit; done";
    let _ = stage.host.exec(&["sh", "-c", mend]).ok();
    stage.nothing_is_left();
}

fn names(stage: &mut Stage) {
    let names = [
        "уеб сървър",
        "名前 🐧",
        " blank at both ends ",
        "quote\"d 'n' `ticked`",
        "$(touch pwned); * & <b>",
        "...",
        "-rf",
        "tab\there",
        "x\u{202e}desrever",
    ];
    stage.cluster.volume("named-root", 1, Guest::Idle);
    for name in names {
        let id = "<uuid>0badcafe-0000-4000-8000-000000000001</uuid>";
        let uuid = "0badcafe-0000-4000-8000-000000000001";
        stage.host.define(&on(name, &["named-root"]).element(id));
        assert_eq!(stage.start(uuid), START, "{name:?}");
        assert_eq!(stage.phase(), "live");
        assert_eq!(stage.claim(name)["domain"], name);
        stage.only_attached(&["named-root rw"]);
        // libvirt itself loses a domain with a tab in its name: it looks for its files under a blank.
        if !name.contains('\t') {
            stage.libvirtd_restarts();
            assert_eq!(stage.host.state(uuid).as_deref(), Some("running"), "{name:?}");
        }
        assert_eq!(stage.destroy(uuid), [REASSIGN], "{name:?}");
        stage.nothing_is_left();
        let _ = stage.host.virsh(&["undefine", uuid]).ok();
        stage.host.define(&on(name, &["named-nowhere"]).element(id));
        let why = stage.refused(uuid);
        assert!(
            why.contains("\"named-nowhere\" does not exist in StorPool"),
            "{name:?}: {why}"
        );
        let _ = stage.host.virsh(&["undefine", uuid]).ok();
        stage.nothing_is_left();
    }
    // Where hooks and libvirtd run.
    assert_eq!(stage.host.read("/pwned"), None);
}

fn newline(stage: &mut Stage) {
    let xml = stage.host.put(&Domain::new("two\nlines"));
    let refused = stage.host.virsh(&["define", &xml]).failed();
    assert!(refused.stderr.contains("name"), "{refused}");
}
