# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Attachments as a host sees them: nodes, links, sizes, read-only flags, open devices."""

import contextlib
import os

import pytest

import devices
from devices import opened
from simulator import MIB
from waiting import wait_until

RW = {"volume": "vol", "rw": [1]}
RO = {"volume": "vol", "ro": [1]}
DETACH = {"volume": "vol", "detach": [1]}


@pytest.fixture
def volume(sim):
    return sim.volume("vol")


def test_device_is_there_when_the_reply_comes(sim, volume, host, other):
    assert sim.reassign(RW).data["ok"] is True
    by_name, by_id = host.by_name("vol"), host.by_id(volume)
    assert os.readlink(by_name) == os.readlink(by_id) == "../sp-0"
    assert devices.is_block(by_name)
    assert devices.number(by_name) == devices.number(by_id)
    assert devices.size(by_name) == 16 * MIB
    assert not devices.is_read_only(by_name)
    assert other.names() == other.ids() == other.nodes() == set()


def test_detach_takes_the_device_away(sim, volume, host):
    sim.reassign(RW)
    assert len(sim.loop_devices()) == 1
    assert sim.reassign(DETACH).data["ok"] is True
    assert host.names() == host.ids() == host.nodes() == set()
    assert sim.loop_devices() == []


def test_unnamed_volume_has_no_name_link(sim, wire, host):
    global_id = wire.post("VolumeCreate", {"size": MIB}).data["globalId"]
    sim.reassign({"volume": f"~{global_id}", "rw": [1]})
    assert (host.names(), host.ids()) == (set(), {global_id})
    assert sim.attachments() == [(f"~{global_id}", 1, "rw")]


def test_two_hosts_see_the_same_bytes(sim, volume, host, other):
    sim.reassign({"volume": "vol", "rw": [1, 2]})
    block = os.urandom(4096)
    with opened(host.by_name("vol"), os.O_WRONLY | os.O_SYNC) as descriptor:
        os.pwrite(descriptor, block, 8192)
        os.fsync(descriptor)
    with opened(other.by_name("vol")) as descriptor:
        assert os.pread(descriptor, 4096, 8192) == block


@pytest.mark.parametrize(
    ("first", "then", "read_only"), [(RO, RW, False), (RW, RO, True), (RO, RO, True), (RW, RW, False)]
)
def test_rights_are_raised_and_lowered(sim, volume, host, first, then, read_only):
    sim.reassign(first)
    before = devices.number(host.by_name("vol"))
    (at_first,) = sim.wire.get("AttachmentsList").data
    sim.reassign(then)
    (now,) = sim.wire.get("AttachmentsList").data
    assert (now["rights"], now["pos"]) == ("ro" if read_only else "rw", at_first["pos"])
    assert devices.is_read_only(host.by_name("vol")) is read_only
    assert devices.number(host.by_name("vol")) == before
    flags = os.O_WRONLY
    if read_only:
        with pytest.raises(OSError), opened(host.by_name("vol"), flags) as descriptor:
            os.pwrite(descriptor, b"x" * 512, 0)
            os.fsync(descriptor)
    else:
        with opened(host.by_name("vol"), flags) as descriptor:
            assert os.pwrite(descriptor, b"x" * 512, 0) == 512


def test_lowered_rights_do_not_stick_to_the_next_device(sim, volume, host):
    """A loop device keeps a read-only flag that was set on it; whoever gets it next may write all the same."""
    sim.reassign(RW)
    sim.reassign(RO)
    sim.reassign(DETACH)
    sim.volume("next")
    sim.reassign({"volume": "next", "rw": [1]})
    with opened(host.by_name("next"), os.O_WRONLY) as descriptor:
        assert os.pwrite(descriptor, b"x" * 512, 0) == 512


def test_rights_are_raised_under_an_open_device(sim, volume, host):
    sim.reassign(RO)
    with opened(host.by_name("vol")):
        assert sim.reassign(RW).data["ok"]
        assert not devices.is_read_only(host.by_name("vol"))


def test_snapshot_is_read_only(sim, volume, host):
    with_data = b"before" + bytes(506)
    sim.reassign(RW)
    with opened(host.by_name("vol"), os.O_RDWR | os.O_SYNC) as descriptor:
        os.pwrite(descriptor, with_data, 0)
    global_id = sim.snapshot("vol", "snap")
    with opened(host.by_name("vol"), os.O_RDWR | os.O_SYNC) as descriptor:
        os.pwrite(descriptor, b"after!" + bytes(506), 0)
    sim.reassign({"snapshot": "snap", "ro": [1]})
    assert devices.number(host.by_name("snap")) == devices.number(host.by_id(global_id))
    assert devices.is_read_only(host.by_name("snap"))
    with opened(host.by_name("snap")) as descriptor:
        assert os.pread(descriptor, 512, 0) == with_data


def test_open_device_is_not_detached(sim, volume, host, api):
    sim.reassign(RW)
    with opened(host.by_name("vol")):
        error = sim.reassign(DETACH).error
        assert (error["name"], error["descr"]) == ("busy", "'vol' is open at client 1")
        assert error["transient"] is False
        assert sim.attachments() == [("vol", 1, "rw")]
        assert devices.size(host.by_name("vol")) == devices.size(host.by_id(volume)) == 16 * MIB
    assert sim.reassign(DETACH).data["ok"] is True


def test_a_device_that_is_only_named_is_not_open(sim, volume, host):
    sim.reassign(RW)
    with opened(host.by_name("vol"), os.O_PATH):
        assert sim.reassign(DETACH).data["ok"] is True


def test_open_at_one_host_does_not_hold_another(sim, volume, host, other):
    sim.reassign({"volume": "vol", "rw": [1, 2]})
    with opened(host.by_name("vol")):
        assert sim.reassign({"volume": "vol", "detach": [2]}).data["ok"]
        assert sim.attachments() == [("vol", 1, "rw")]


def test_one_open_device_stops_a_whole_batch(sim, volume, host):
    sim.volume("free")
    sim.reassign(RW, {"volume": "free", "rw": [1]})
    with opened(host.by_name("vol")):
        error = sim.reassign({"volume": "free", "detach": [1]}, DETACH).error
        assert "is open at client 1" in error["descr"]
        assert sim.attachments() == [("free", 1, "rw"), ("vol", 1, "rw")]
        assert host.names() == {"free", "vol"}


def test_force_detaches_an_open_device(sim, volume, host):
    sim.reassign(RW)
    with opened(host.by_name("vol")):
        assert sim.reassign({**DETACH, "force": True}).data["ok"] is True
        assert sim.attachments() == []
        assert host.names() == host.ids() == set()
    wait_until(lambda: not sim.loop_devices(), "the device goes when it is closed")


def test_rw_with_detach_all_takes_over(sim, volume, host, other):
    """The fencing primitive: attach here, detach everywhere else, in one item."""
    sim.reassign({"volume": "vol", "rw": [2]})
    assert sim.reassign({**RW, "detach": "all"}).data["ok"]
    assert sim.attachments() == [("vol", 1, "rw")]
    assert (host.names(), other.names()) == ({"vol"}, set())
    # Once more changes nothing: the one who attaches is not detached.
    with opened(host.by_name("vol")):
        assert sim.reassign({**RW, "detach": "all"}).data["ok"]
    assert sim.attachments() == [("vol", 1, "rw")]


def test_rw_with_detach_all_is_refused_while_open_elsewhere(sim, volume, host, other):
    sim.reassign({"volume": "vol", "rw": [2]})
    with opened(other.by_name("vol")):
        assert sim.reassign({**RW, "detach": "all"}).error["descr"] == "'vol' is open at client 2"
        assert sim.attachments() == [("vol", 2, "rw")]
        assert host.names() == set()
        assert sim.reassign({**RW, "detach": "all", "force": True}).data["ok"]
        assert sim.attachments() == [("vol", 1, "rw")]


def test_resize_reaches_open_devices_of_all_hosts(sim, volume, host, other, wire):
    sim.reassign({"volume": "vol", "rw": [1, 2]})
    with opened(host.by_name("vol")):
        assert wire.post("VolumeUpdate/vol", {"size": 24 * MIB}).data["ok"]
        for client in (1, 2):
            assert wire.get(f"ClientConfigWait/{client}").data
        assert devices.size(host.by_name("vol")) == devices.size(other.by_id(volume)) == 24 * MIB


def test_rename_moves_the_name_link(sim, volume, host, wire):
    sim.reassign(RW)
    with opened(host.by_name("vol")):
        assert wire.post("VolumeUpdate/vol", {"rename": "new"}).data["ok"]
        wire.get("ClientConfigWait/1")
        assert (host.names(), host.ids()) == ({"new"}, {volume})
        assert sim.reassign({"volume": "new", "detach": [1]}).error["descr"] == "'new' is open at client 1"
    assert sim.attachments() == [("new", 1, "rw")]
    assert wire.get("Volume/vol").error["name"] == "objectDoesNotExist"


@pytest.mark.parametrize("how", ["fail", "detach", "detachForce"])
@pytest.mark.parametrize("is_open", [False, True])
def test_delete_of_an_attached_volume(sim, volume, host, wire, how, is_open):
    sim.reassign(RW)
    refused = how == "fail" or (how == "detach" and is_open)
    with opened(host.by_name("vol")) if is_open else contextlib.nullcontext():
        reply = wire.post("VolumeDelete/vol", {"onAttached": how})
        if refused:
            assert reply.error["name"] == "busy"
            assert (sim.attachments(), host.names()) == ([("vol", 1, "rw")], {"vol"})
        else:
            assert reply.data["ok"]
            assert (wire.get("VolumesList").data, host.names()) == ([], set())


def test_delete_without_a_body_is_refused_while_attached(sim, volume, wire):
    sim.reassign(RW)
    assert wire.post("VolumeDelete/vol").error["name"] == "busy"


def test_bindings_see_device_links_come_and_go(sim, volume, api, this_host):
    """volumeDevLinkWait of the bindings, with their built-in /dev/storpool."""
    sim.reassign(RW)
    assert api.volumeDevLinkWait("vol", True, maxTime=2)
    sim.reassign(DETACH)
    assert api.volumeDevLinkWait("vol", False, maxTime=2)
