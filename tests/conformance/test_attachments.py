# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the configuration says about attachments: who, how, in which order, and when it waits."""

import time

import pytest

import devices
from simulator import elapsed
from waiting import wait_until


@pytest.fixture(autouse=True)
def volume(sim):
    return sim.volume("vol")


BODIES = {
    "reassign array": ("VolumesReassign", lambda items: items),
    "wait object": ("VolumesReassignWait", lambda items: {"reassign": items}),
    "wait array": ("VolumesReassignWait", lambda items: items),
    "multicluster": (
        "MultiCluster/VolumesReassignWait",
        lambda items: {"reassign": items, "attachTimeout": 20},
    ),
    "multicluster array": ("MultiCluster/VolumesReassign", lambda items: items),
    "remote": ("RemoteCommand/{cluster}/VolumesReassignWait", lambda items: items),
    "remote multicluster": (
        "RemoteCommand/~{id}/MultiCluster/VolumesReassignWait",
        lambda items: {"reassign": items},
    ),
}


@pytest.mark.parametrize(("call", "body"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("client", [1, "1"])
def test_forms_of_reassign(sim, wire, call, body, client):
    (cluster,) = wire.get("MultiCluster/AllClusters/VolumesList").data["clusters"]
    call = call.format(cluster=cluster["clusterName"], id=cluster["clusterId"])
    reply = wire.post(call, body([{"volume": "vol", "rw": [client]}]))
    assert reply.data["ok"] is True and isinstance(reply.data["generation"], int)
    assert sim.attachments() == [("vol", 1, "rw")]
    assert wire.post(call, body([{"volume": "vol", "detach": [client], "force": False}])).data["ok"]
    assert sim.attachments() == []


def test_attach_again_changes_nothing(sim):
    item = {"volume": "vol", "rw": [1], "ro": [2]}
    first = sim.reassign(item).data["generation"]
    assert sim.reassign(item).data["generation"] == first
    assert sim.attachments() == [("vol", 1, "rw"), ("vol", 2, "ro")]


def test_two_writers_are_allowed(sim):
    sim.reassign({"volume": "vol", "rw": [1, 2]})
    assert sim.attachments() == [("vol", 1, "rw"), ("vol", 2, "rw")]


def test_generation_counts_changes_once(sim):
    sim.volume("vol2")
    before = sim.wire.get("ClientsConfigDump").data[0]["generation"]
    after = sim.reassign({"volume": "vol", "rw": [1]}, {"volume": "vol2", "rw": [1, 2]}).data["generation"]
    assert after == before + 1


@pytest.mark.parametrize("who", [[2], "all", ["2"]])
def test_detach_where_nothing_is_attached(sim, who):
    assert sim.reassign({"volume": "vol", "detach": who}).data["ok"] is True


def test_a_bad_item_stops_the_whole_batch(sim):
    error = sim.reassign({"volume": "vol", "rw": [1]}, {"volume": "nosuch", "rw": [1]}).error
    assert (error["name"], sim.attachments()) == ("objectDoesNotExist", [])


@pytest.mark.parametrize("rights", ["rw", "ro"])
def test_client_that_was_never_seen(sim, rights):
    error = sim.reassign({"volume": "vol", rights: [1, 77]}).error
    assert (error["name"], error["descr"]) == ("invalidParam", "No such client registered")
    assert sim.attachments() == []


def test_transient_snapshot_cannot_be_attached(sim, wire):
    transient = wire.post("VolumeCreate", {"name": "clone", "baseOn": "vol"}).data["autoName"]
    assert sim.reassign({"snapshot": transient, "ro": [1]}).error["name"] == "invalidParam"


def test_deleted_snapshot_cannot_be_attached(sim, wire):
    sim.snapshot("vol", "snap")
    assert wire.post("SnapshotDelete/snap").data["ok"]
    assert sim.reassign({"snapshot": "*snap", "ro": [1]}).error["name"] in (
        "invalidParam",
        "objectDoesNotExist",
    )


def test_1024_attachments_and_no_more(sim, wire):
    """The limit is per client; the batch that goes over it changes nothing."""
    sim.control("client", "add", 3)
    names = [f"v{n}" for n in range(1025)]
    for name in names:
        sim.volume(name, 512)
    full = [{"volume": name, "rw": [3]} for name in names[:1024]]
    assert sim.reassign(*full).data["ok"]
    assert sorted(row["pos"] for row in wire.get("AttachmentsList").data) == list(range(1024))
    one_more = {"volume": names[1024], "rw": [3]}
    assert sim.reassign(one_more).error["name"] == "invalidParam"
    assert len(sim.attachments()) == 1024
    # One goes, one comes, in one call: its position is free.
    assert sim.reassign({"volume": "v7", "detach": [3]}, one_more).data["ok"]
    assert {row["volume"]: row["pos"] for row in wire.get("AttachmentsList").data}[names[1024]] == 7


# Clients that are down or slow.


def test_down_client_with_timeout_zero(sim):
    """attachTimeout 0: success, although the client is missing and stays so; the attachment stands."""
    sim.client(2, "down")
    assert sim.reassign({"volume": "vol", "rw": [2]}, timeout=0).data["ok"]
    assert sim.attachments() == [("vol", 2, "rw")]
    assert sim.host(2).names() == set()
    sim.client(2, "up")
    wait_until(lambda: sim.host(2).names() == {"vol"}, "the device comes with the client")


def test_down_client_with_a_timeout(sim):
    sim.client(2, "down")
    started = time.monotonic()
    assert sim.reassign({"volume": "vol", "rw": [2]}, timeout=1).data["ok"]
    assert elapsed(started) > 0.9


def test_down_client_without_a_timeout_is_waited_for(sim, wire):
    sim.client(2, "down")
    waiting = sim.background(lambda: sim.reassign({"volume": "vol", "rw": [2]}))
    # It is recorded while the call waits (the default of a switch).
    wait_until(lambda: sim.attachments() == [("vol", 2, "rw")], "the attachment is recorded")
    assert not waiting.done()
    sim.client(2, "up")
    assert waiting.result(5).data["ok"]
    assert sim.host(2).names() == {"vol"}


def test_reassign_without_wait_does_not_wait(sim):
    sim.client(2, "down")
    assert sim.wire.post("VolumesReassign", [{"volume": "vol", "rw": [2]}]).data["ok"]


def test_slow_client_is_waited_for(sim, wire):
    """A lag between the configuration and the device: Reassign does not wait for it, ReassignWait does."""
    sim.client(1, "lag", 400)
    assert wire.post("VolumesReassign", [{"volume": "vol", "rw": [1]}]).data["ok"]
    assert sim.host(1).names() == set()
    status = {row["id"]: row["configStatus"] for row in wire.get("ClientsConfigDump").data}
    assert status == {1: "updating", 2: "ok"}
    (waited,) = wire.get("ClientConfigWait/1").data
    assert waited["configStatus"] == "ok" and waited["delay"] > 0
    assert sim.host(1).names() == {"vol"}
    started = time.monotonic()
    sim.reassign({"volume": "vol", "detach": [1]})
    assert elapsed(started) > 0.3
    assert sim.host(1).names() == set()


def test_config_wait_blocks_until_the_client_has_the_new_size(sim, wire, api):
    sim.reassign({"volume": "vol", "rw": [1]})
    sim.client(1, "lag", 300)
    wire.post("VolumeUpdate/vol", {"sizeAdd": 1 << 20})
    (waited,) = api.clientConfigWait(1)
    assert waited.clientGeneration == waited.generation
    assert devices.size(sim.host(1).by_name("vol")) == 17 << 20


@pytest.mark.parametrize("client", ["77", "0", "4096", "x"])
def test_config_wait_for_a_client_that_is_not_there(wire, client):
    assert wire.get(f"ClientConfigWait/{client}").error["name"] == "invalidParam"


def test_detach_at_a_client_that_is_down(sim):
    sim.reassign({"volume": "vol", "rw": [2]})
    sim.client(2, "down")
    assert sim.reassign({"volume": "vol", "detach": [2]}, timeout=0).data["ok"]
    assert sim.attachments() == []
    sim.client(2, "up")
    wait_until(lambda: sim.host(2).names() == set(), "the client learns of it")
