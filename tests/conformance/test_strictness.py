# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a strict server refuses, sent by hand: official clients never send it, a faulty one would."""

import pytest

VOL = {"volume": "vol"}
SNAP = {"snapshot": "snap"}


@pytest.fixture(autouse=True)
def objects(sim):
    sim.volume("vol")
    sim.snapshot("vol", "snap")


def refused(reply, name="invalidParam"):
    assert reply.status == 500
    assert reply.error["name"] == name, reply
    assert reply.error["descr"] and reply.error["transient"] is False
    return True


BAD_ITEMS = {
    "empty": {},
    "unknown member": {**VOL, "rw": [1], "pos": 3},
    "misspelt member": {**VOL, "RW": [1]},
    "null list": {**VOL, "rw": None},
    "null force": {**VOL, "rw": [1], "force": None},
    "null in a list": {**VOL, "rw": [None]},
    "list is an int": {**VOL, "rw": 1},
    "list is a string": {**VOL, "rw": "1"},
    "id zero": {**VOL, "rw": [0]},
    "id too large": {**VOL, "rw": [4096]},
    "id negative": {**VOL, "rw": [-1]},
    "id a fraction": {**VOL, "rw": [1.5]},
    "id a bool": {**VOL, "rw": [True]},
    "id a word": {**VOL, "rw": ["one"]},
    "id empty": {**VOL, "rw": [""]},
    "force a string": {**VOL, "detach": [1], "force": "true"},
    "force an int": {**VOL, "detach": [1], "force": 1},
    "attach all": {**VOL, "rw": "all"},
    "detach a word": {**VOL, "detach": "ALL"},
    "volume an int": {"volume": 5, "rw": [1]},
    "volume null": {"volume": None, "rw": [1]},
    "volume and snapshot": {**VOL, **SNAP, "ro": [1]},
    "rw on a snapshot": {**SNAP, "rw": [1]},
    "empty rw on a snapshot": {**SNAP, "rw": []},
    "allowRemoteExported on a snapshot": {**SNAP, "ro": [1], "allowRemoteExported": True},
    "item is a string": "vol",
    "item is a list": [VOL],
    "item is null": None,
}


@pytest.mark.parametrize("call", ["VolumesReassign", "VolumesReassignWait", "VolumesReassignWait object"])
@pytest.mark.parametrize("item", BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_bad_item(sim, wire, call, item):
    call, _, as_object = call.partition(" ")
    good = {"volume": "vol", "ro": [2]}
    items = [good, item]
    assert refused(wire.post(call, {"reassign": items} if as_object else items))
    assert sim.attachments() == []


BAD_BODIES = {
    "no reassign": {},
    "only a timeout": {"attachTimeout": 1},
    "unknown member": {"reassign": [], "timeout": 1},
    "null timeout": {"reassign": [], "attachTimeout": None},
    "timeout a string": {"reassign": [], "attachTimeout": "20"},
    "timeout negative": {"reassign": [], "attachTimeout": -1},
    "timeout a fraction": {"reassign": [], "attachTimeout": 0.5},
    "reassign an object": {"reassign": VOL},
    "body a string": "vol",
    "body a number": 7,
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_reassign_wait(wire, body):
    assert refused(wire.post("VolumesReassignWait", body))


@pytest.mark.parametrize("body", [{"reassign": []}, {}, "vol", 7])
def test_reassign_takes_an_array_only(wire, body):
    assert refused(wire.post("VolumesReassign", body))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"reassign":[}',
        b"nonsense",
        b'[{"volume":"vol","rw":[1]}',
        b"\xff\xfe",
        b"{}{}",
        b"{'reassign':[]}",
    ],
)
def test_not_json(sim, wire, body):
    assert refused(wire.post("VolumesReassignWait", body), "jsonError")
    assert sim.attachments() == []


def test_a_body_encoded_twice_is_refused(sim, wire):
    """B1: what os-brick sends when it tries a POST again: a JSON string with JSON in it."""
    reply = wire.post(
        "VolumesReassignWait", b'"{\\"reassign\\": [{\\"volume\\": \\"vol\\", \\"rw\\": [1]}]}"'
    )
    assert reply.error["name"] in ("invalidParam", "jsonError")
    assert sim.attachments() == []


BAD_CREATES = {
    "no size": {"name": "new"},
    "size zero": {"name": "new", "size": 0},
    "size odd": {"name": "new", "size": 513},
    "size negative": {"name": "new", "size": -512},
    "size a fraction": {"name": "new", "size": 512.5},
    "size null": {"name": "new", "size": None},
    "unknown member": {"name": "new", "size": 512, "colour": "red"},
    "reserved name": {"name": "list", "size": 512},
    "reserved name 2": {"name": "status", "size": 512},
    "slash": {"name": "a/b", "size": 512},
    "at": {"name": "a@b", "size": 512},
    "tilde": {"name": "~a.b.c", "size": 512},
    "newline": {"name": "a\n", "size": 512},
    "blank": {"name": "a b", "size": 512},
    "long": {"name": "a" * 200, "size": 512},
    "replication": {"name": "new", "size": 512, "replication": 4},
    "tags": {"name": "new", "size": 512, "tags": {"a b": "c"}},
    "tag value": {"name": "new", "size": 512, "tags": {"a": "c/d"}},
}


@pytest.mark.parametrize("body", BAD_CREATES.values(), ids=BAD_CREATES)
def test_bad_create(wire, body):
    assert refused(wire.post("VolumeCreate", body))
    assert [v["name"] for v in wire.get("VolumesList").data] == ["vol"]


@pytest.mark.parametrize(
    "body",
    [
        {"size": 512},
        {"size": 1024, "sizeAdd": 512},
        {"rename": "a@b"},
        {"rename": None},
        {"name": "x"},
        {"shrinkOk": "yes"},
        [],
    ],
)
def test_bad_update(wire, body):
    assert refused(wire.post("VolumeUpdate/vol", body))


@pytest.mark.parametrize("name", ["vol", "snap"])
def test_taken_names(wire, name):
    wire.post("VolumeCreate", {"name": "x", "size": 512})
    for reply in (
        wire.post("VolumeCreate", {"name": name, "size": 512}),
        wire.post("VolumeUpdate/x", {"rename": name}),
        wire.post("VolumeSnapshot/x", {"name": name}),
    ):
        assert refused(reply, "objectExists")


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("VolumeDelete/vol", {"onAttached": "maybe"}),
        ("VolumeDelete/vol", {"force": True}),
        ("VolumeSnapshot/vol", {"name": "a@b"}),
        ("VolumeSnapshot/vol", {"bind": "yes"}),
        ("VolumeRevert/vol", {}),
        ("VolumeRevert/vol", {"toSnapshot": None}),
        ("VolumesGroupSnapshot", {"volumes": [{"name": "s"}]}),
        ("VolumesGroupSnapshot", {}),
        ("SnapshotDelete/snap", {"now": True}),
        ("SnapshotUpdate/snap", {"size": 512}),
    ],
)
def test_bad_other_calls(wire, call, body):
    assert refused(wire.post(call, body))


@pytest.mark.parametrize("prefix", ["", "MultiCluster/"])
@pytest.mark.parametrize(
    ("member", "value"),
    [("onRemoteAttached", "export"), ("onRemoteAttached", "fail"), ("mcMode", "move"), ("mcMode", "export")],
)
def test_members_for_multicluster_calls(sim, wire, prefix, member, value):
    reply = sim.reassign({"volume": "vol", "rw": [1], member: value}, call=f"{prefix}VolumesReassignWait")
    assert reply.data["ok"] if prefix else refused(reply)
