// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! `--tune` and `--block`.

use super::*;

#[test]
fn a_driver_is_tuned_or_made() {
    let tune = Recipe::Tune(Tune::default());
    for (before, after) in [
        (
            "<driver name='qemu'/>",
            "<driver name='qemu' cache='none' io='native' discard='unmap'/>",
        ),
        (
            "<driver name=\"qemu\" cache=\"writeback\" />",
            "<driver name=\"qemu\" cache=\"none\" io='native' discard='unmap' />",
        ),
        (
            "<driver cache='none'></driver>",
            "<driver cache='none' io='native' discard='unmap'></driver>",
        ),
        (
            "",
            "<driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>",
        ),
    ] {
        let disk = |driver: &str| {
            format!(
                "<disk type='block'>{driver}<source dev='/dev/storpool/x'/><target dev='vda' bus='virtio'/></disk>"
            )
        };
        devices(&disk(before), &tune, &disk(after), &[]);
    }
    let laid_out = "\n<disk type='block'>\n\t<source dev='/dev/storpool/x'/>\n</disk>";
    let expected = "\n<disk type='block'>\n\t<driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>\n\t<source dev='/dev/storpool/x'/>\n</disk>";
    devices(laid_out, &tune, expected, &[]);
}

#[test]
fn only_hard_disks_of_ours_are_tuned() {
    for disk in [
        "<disk type='block' device='cdrom'><source dev='/dev/storpool/x'/></disk>",
        "<disk type='block' device='lun'><source dev='/dev/storpool/x'/></disk>",
        "<disk type='block' device='cdrom'><target dev='sda'/></disk>",
        "<disk type='block'><source dev='/dev/sda'/></disk>",
        "<disk type='file'><source file='/dev/storpool/x'/></disk>",
        "<disk type='block'><backingStore type='block'><source dev='/dev/storpool/x'/></backingStore></disk>",
        "<x:disk xmlns:x='y' type='block'><source dev='/dev/storpool/x'/></x:disk>",
    ] {
        devices(disk, &Recipe::Tune(Tune::default()), disk, &[]);
    }
}

#[test]
fn an_iothread_is_given_to_virtio_disks_and_made_once() {
    let recipe = Recipe::Tune(Tune {
        iothread: true,
        ..Tune::default()
    });
    let disk = |bus: &str, more: &str| {
        format!(
            "<disk type='block'><driver cache='none' io='native' discard='unmap'{more}/>\
             <source dev='/dev/storpool/x'/><target dev='vda' bus='{bus}'/></disk>"
        )
    };
    let whole = |head: &str, disk: &str| {
        format!("<domain><vcpu>4</vcpu>{head}<os/><devices>{disk}</devices></domain>")
    };
    for (head, more, new_head, new_more) in [
        ("", "", "<iothreads>1</iothreads>", " iothread='1'"),
        (
            "<iothreads>0</iothreads>",
            "",
            "<iothreads>1</iothreads>",
            " iothread='1'",
        ),
        (
            "<iothreads>3</iothreads>",
            "",
            "<iothreads>3</iothreads>",
            " iothread='1'",
        ),
        ("", " iothread='2'", "", " iothread='2'"),
        (
            "<iothreadids><iothread id='7'/></iothreadids>",
            "",
            "<iothreadids><iothread id='7'/></iothreadids>",
            " iothread='7'",
        ),
    ] {
        let (text, notes) = apply(&whole(head, &disk("virtio", more)), std::slice::from_ref(&recipe));
        assert_eq!(text, whole(new_head, &disk("virtio", new_more)));
        assert!(notes.is_empty());
    }
    let sata = whole("", &disk("sata", ""));
    assert_eq!(apply(&sata, std::slice::from_ref(&recipe)).0, sata);
}

#[test]
fn queues_and_the_scsi_model_are_set_where_they_mean_something() {
    let tune = |queues, virtio_scsi| {
        Recipe::Tune(Tune {
            queues,
            virtio_scsi,
            ..Tune::default()
        })
    };
    let driver = "<driver cache='none' io='native' discard='unmap'";
    let scsi = format!(
        "<disk type='block'>{driver}/><source dev='/dev/storpool/x'/><target dev='sda' bus='scsi'/></disk>"
    );
    let controller = "<controller type='usb'/><controller type='scsi' index='0' model='lsilogic'/>";
    devices(
        &format!("{scsi}{controller}"),
        &tune(None, true),
        &format!("{scsi}{}", controller.replace("lsilogic", "virtio-scsi")),
        &[],
    );
    devices(
        &format!("{scsi}{controller}"),
        &tune(Some(Queues::Number(4)), false),
        &format!("{scsi}{controller}"),
        &["SCSI controller 0: only virtio-scsi has queues: add \"virtio-scsi\""],
    );
    devices(
        &format!("{scsi}{controller}"),
        &tune(Some(Queues::Number(4)), true),
        &format!(
            "{scsi}<controller type='usb'/><controller type='scsi' index='0' model='virtio-scsi'><driver queues='4'/></controller>"
        ),
        &[],
    );
    devices(
        &scsi,
        &tune(Some(Queues::PerCpu), true),
        &format!(
            "{scsi}<controller type='scsi' index='0' model='virtio-scsi'><driver queues='1'/></controller>"
        ),
        &[],
    );
    let virtio = |more: &str| {
        format!(
            "<disk type='block'>{driver}{more}/><source dev='/dev/storpool/x'/><target dev='vda' bus='virtio'/></disk>"
        )
    };
    devices(
        &virtio(""),
        &tune(Some(Queues::Number(8)), true),
        &virtio(" queues='8'"),
        &[],
    );
}

#[test]
fn files_and_pool_volumes_become_block_devices() {
    for (before, after, notes) in [
        (
            "<disk type='file'><source file='/dev/storpool/x' startupPolicy='optional'/></disk>",
            "<disk type='block'><source dev='/dev/storpool/x' startupPolicy='optional'/></disk>",
            &[][..],
        ),
        (
            "<disk><source file=\"/dev/storpool/x\"/></disk>",
            "<disk type=\"block\"><source dev=\"/dev/storpool/x\"/></disk>",
            &[],
        ),
        (
            "<disk type='volume' device='disk'><source pool='sp' volume='vol' mode='host'/></disk>",
            "<disk type='block' device='disk'><source dev='/dev/storpool/vol'/></disk>",
            &[],
        ),
        (
            "<disk type='volume'><source volume='d.n.1' pool='ids'/></disk>",
            "<disk type='block'><source dev='/dev/storpool-byid/d.n.1'/></disk>",
            &[],
        ),
        (
            "<disk type='volume'><source pool='who' volume='x'/><target dev='vdb'/></disk>",
            "<disk type='volume'><source pool='who' volume='x'/><target dev='vdb'/></disk>",
            &["vdb: where the storage pool \"who\" lies is not known: say --pool NAME=FOLDER"],
        ),
        (
            "<disk type='block'><source dev='/dev/sda'><dataStore type='file'><source file='/dev/storpool/d'/></dataStore></source>\
             <backingStore type='file'><source file='/dev/storpool/b'/><backingStore type='file'>\
             <source file='/img/c'/></backingStore></backingStore></disk>",
            "<disk type='block'><source dev='/dev/sda'><dataStore type='block'><source dev='/dev/storpool/d'/></dataStore></source>\
             <backingStore type='block'><source dev='/dev/storpool/b'/><backingStore type='file'>\
             <source file='/img/c'/></backingStore></backingStore></disk>",
            &[],
        ),
        (
            "<disk type='volume'><source pool='img' volume='x'/></disk>",
            "<disk type='volume'><source pool='img' volume='x'/></disk>",
            &[],
        ),
    ] {
        devices(before, &Recipe::Block, after, notes);
    }
    let nvram = |kind: &str, attribute: &str| {
        format!(
            "<domain><os><nvram type='{kind}'><source {attribute}='/dev/storpool/n'/></nvram></os></domain>"
        )
    };
    assert_eq!(
        apply(&nvram("file", "file"), &[Recipe::Block]).0,
        nvram("block", "dev")
    );
}
