# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Errors and broken connections as the official bindings experience them, and each scripted fault."""

import ast
import http.client
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
import simplejson
from storpool import spapi

import devices
from calls import checked
from simulator import PROGRAM, elapsed
from waiting import wait_until


@pytest.fixture(autouse=True)
def volume(sim):
    return sim.volume("vol")


def test_every_kind_of_fault_is_seen_here():
    """What `storpool-sim fault set --help` lists, the tests of this file set."""
    text = subprocess.run(
        [PROGRAM, "fault", "set", "--help"], capture_output=True, text=True, check=True
    ).stdout
    listed = set(re.findall(r"^  ([a-z-]+)(?: .*)?  +[^ ]", text.partition("Kinds")[2], re.MULTILINE))
    source = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    constants = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant)}
    assert len(listed) > 15
    assert listed <= constants


def calls_of(sim, name):
    """Requests for this call, with the HTTP status each was answered with."""
    return [r["status"] for r in sim.requests() if r["call"] == name]


@pytest.mark.parametrize("status", [500, 200])
def test_shape_of_an_error(sim, api, wire, status):
    """An error member is an error, whatever the HTTP status says."""
    sim.switch("error-status", str(status))
    with pytest.raises(spapi.ApiError) as caught:
        api.volumeList("nosuch")
    error = caught.value
    assert (error.status, error.name, error.transient) == (status, "objectDoesNotExist", False)
    assert "nosuch" in error.desc
    reply = wire.get("Volume/nosuch")
    assert set(reply.error) >= {"name", "descr", "transient"}
    assert isinstance(reply.json["generation"], int)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("volumeList", ["nosuch"]),
        ("volumeDescribe", ["nosuch"]),
        ("volumeInfo", ["~z.z.z"]),
        ("snapshotList", ["vol"]),
        ("volumeTemplateDescribe", ["nosuch"]),
        ("volumeUpdate", ["nosuch", {}]),
        ("volumeDelete", ["nosuch"]),
        ("volumeRevert", ["vol", {"toSnapshot": "nosuch"}]),
        ("snapshotDelete", ["nosuch"]),
        ("snapshotCreate", ["nosuch", {}]),
        ("volumeCreate", [{"name": "x", "parent": "nosuch"}]),
        ("volumeCreate", [{"name": "x", "size": 512, "template": "nosuch"}]),
        ("volumesReassignWait", [{"reassign": [{"volume": "nosuch", "rw": [1]}]}]),
        ("volumesReassignWait", [{"reassign": [{"snapshot": "vol", "ro": [1]}]}]),
    ],
)
def test_what_does_not_exist(api, call, arguments):
    with pytest.raises(spapi.ApiError) as caught:
        getattr(api, call)(*arguments)
    assert caught.value.name == "objectDoesNotExist"


@pytest.mark.parametrize("kind", ["transient", "reset-before"])
def test_bindings_try_again(sim, api, kind):
    """5 retries at most; what is struck is not applied."""
    sim.fault("VolumesReassignWait", kind, count=5)
    assert checked(api, "volumesReassignWait", {"reassign": [{"volume": "vol", "rw": [1]}]}).ok
    assert calls_of(sim, "VolumesReassignWait") == [500 if kind == "transient" else 0] * 5 + [200]


def test_bindings_give_up_after_six(sim, api):
    sim.fault("VolumesReassignWait", "transient", count=9)
    with pytest.raises(spapi.ApiError) as caught:
        api.volumesReassignWait({"reassign": [{"volume": "vol", "rw": [1]}]})
    assert caught.value.transient is True
    assert len(calls_of(sim, "VolumesReassignWait")) == 6
    assert sim.attachments() == []


def test_bindings_do_not_retry_what_is_final(sim, api):
    sim.fault("VolumesList", "error", "name=insufficientResources", "descr=no space", "status=507")
    with pytest.raises(spapi.ApiError) as caught:
        api.volumesList()
    assert (caught.value.status, caught.value.name, caught.value.desc) == (
        507,
        "insufficientResources",
        "no space",
    )
    assert len(calls_of(sim, "VolumesList")) == 1


def test_ok_error(sim, api):
    sim.fault("VolumesList", "ok-error", "name=busy")
    with pytest.raises(spapi.ApiError) as caught:
        api.volumesList()
    assert (caught.value.status, caught.value.name) == (200, "busy")


def test_bindings_retry_a_refused_connection(sim, api):
    """The server is away while the bindings try, and comes back on the same port."""
    sim.stop()
    naps = []

    def nap(retry):
        naps.append(retry)
        if retry == 2:
            sim.start()
        return 0

    records = sim.bindings(transientSleep=nap).volumesList()
    assert (naps, [r.name for r in records]) == ([0, 1, 2], ["vol"])


@pytest.mark.parametrize("kind", ["reset-after", "drop-after"])
def test_reply_lost_after_the_change(sim, api, kind):
    """B7: the bindings send a POST again, and a volume without a name is made twice."""
    sim.fault("VolumeCreate", kind)
    done = checked(api, "volumeCreate", {"size": 512})
    names = {v["globalId"] for v in sim.wire.get("VolumesList").data}
    assert len(names) == 3 and done.globalId in names


@pytest.mark.parametrize("kind", ["reset-after", "drop-after"])
def test_reassign_may_be_repeated(sim, api, kind):
    sim.fault("VolumesReassignWait", kind)
    assert checked(api, "volumesReassignWait", {"reassign": [{"volume": "vol", "rw": [1]}]}).ok
    assert sim.attachments() == [("vol", 1, "rw")]


def test_reset_is_a_reset(sim, wire):
    sim.fault("VolumesList", "reset-before")
    with pytest.raises(ConnectionResetError):
        wire.get("VolumesList")


def test_refuse(sim, api):
    sim.fault("VolumesList", "refuse")
    with pytest.raises(spapi.ApiError) as caught:
        api.volumesList()
    assert caught.value.status == 403
    assert api.volumesList()


@pytest.mark.parametrize(("kind", "applied"), [("hang-before", False), ("hang-after", True)])
def test_hang_until_the_client_gives_up(sim, kind, applied):
    sim.fault("VolumesReassignWait", kind)
    with pytest.raises(socket.timeout):
        sim.bindings(timeout=0.5).volumesReassignWait({"reassign": [{"volume": "vol", "rw": [1]}]})
    assert sim.attachments() == ([("vol", 1, "rw")] if applied else [])
    sim.control("fault", "release")
    wait_until(lambda: sim.attachments() == [("vol", 1, "rw")], "it goes on when released")


@pytest.mark.parametrize("parameter", ["before=300", "after=300"])
def test_slow(sim, api, parameter):
    sim.fault("VolumesList", "slow", parameter)
    started = time.monotonic()
    assert api.volumesList()
    assert elapsed(started) > 0.28


@pytest.mark.parametrize(("seed", "slowest"), [(57, 0), (7, 1), (0, 2)])
def test_jitter(sim, wire, seed, slowest):
    """Each call has a pause of its own, and the seed says which: of these three one is half a second longer."""
    for _ in range(2):
        sim.fault("VolumesList", "jitter", "before=600", f"seed={seed}", count=3)
        took = []
        for _ in range(3):
            started = time.monotonic()
            assert wire.get("VolumesList").status == 200
            took.append(elapsed(started))
        assert took.index(max(took)) == slowest
        assert max(took) > 0.55


def test_drip(sim, api):
    sim.fault("VolumesList", "drip", "ms=2")
    started = time.monotonic()
    assert [v.name for v in checked(api, "volumesList")] == ["vol"]
    assert elapsed(started) > 0.02


@pytest.mark.parametrize("parameters", [[], ["text="], ['text={"data":']])
def test_garbage(sim, api, parameters):
    """What is not JSON escapes from the bindings as it is, and is not tried again."""
    sim.fault("VolumesList", "garbage", *parameters)
    with pytest.raises(simplejson.JSONDecodeError):
        api.volumesList()
    assert len(calls_of(sim, "VolumesList")) == 1


@pytest.mark.parametrize("kind", ["truncate", "truncate-chunk"])
def test_truncated_body(sim, wire, api, kind):
    sim.fault("VolumesList", kind)
    with pytest.raises(http.client.IncompleteRead):
        wire.get("VolumesList")
    sim.fault("VolumesList", kind)
    # IncompleteRead is an HTTPException: for the bindings a reason to try again.
    assert [v.name for v in api.volumesList()] == ["vol"]


def test_wrong_type(sim, api):
    """The most dangerous reply: to the bindings, an object where a list belongs is an empty list."""
    sim.reassign({"volume": "vol", "rw": [1]})
    sim.fault("AttachmentsList", "wrong-type")
    assert api.attachmentsList() == []
    assert len(api.attachmentsList()) == 1


def test_huge(sim, wire):
    sim.fault("AttachmentsList", "huge", "mb=2")
    assert len(wire.get("AttachmentsList").body) > 2 << 20
    sim.fault("AttachmentsList", "huge")
    with socket.create_connection((wire.host, wire.port), timeout=10) as connection:
        connection.sendall(
            f"GET /ctrl/1.0/AttachmentsList HTTP/1.0\r\nAuthorization: Storpool v1:{sim.token}\r\n\r\n".encode()
        )
        got = 0
        while got < 8 << 20:
            part = connection.recv(1 << 20)
            assert part, "the endless body has ended"
            got += len(part)
    assert wire.get("AttachmentsList").data == []


def test_redirect(sim, wire, api):
    sim.fault("VolumesList", "redirect", "to=http://127.0.0.1:1/", count=2)
    reply = wire.get("VolumesList")
    assert (reply.status, reply.headers["location"]) == (302, "http://127.0.0.1:1/")
    with pytest.raises(KeyError):
        api.volumesList()


def test_late_device(sim, host, wire):
    sim.fault("VolumesReassignWait", "late-device", "ms=300")
    assert sim.reassign({"volume": "vol", "rw": [1]}).data["ok"]
    assert host.names() == host.nodes() == set()
    wait_until(lambda: devices.is_block(host.by_name("vol")), "the device appears")


def test_client_goes_down_under_a_call(sim, wire, host):
    sim.fault("VolumesReassignWait", "client-down", "client=1")
    assert sim.reassign({"volume": "vol", "rw": [1]}, timeout=0).data["ok"]
    assert wire.get("ServicesList").data["clients"]["1"]["status"] == "down"
    assert host.names() == set()


def test_faults_queue_up_and_can_be_skipped(sim, wire):
    sim.fault("VolumesList", "refuse", skip=1)
    sim.fault("*", "error", "name=second", skip=2)
    assert [wire.get("VolumesList").status for _ in range(2)] == [200, 403]
    assert wire.get("SnapshotsList").status == 200
    errors = [wire.get("SnapshotsList").json.get("error", {}).get("name") for _ in range(3)]
    assert errors.count("second") == 1 and errors[-1] is None


def test_latency(sim, wire):
    sim.control("latency", 200)
    started = time.monotonic()
    wire.get("VolumesList")
    assert elapsed(started) > 0.19


def test_log_tells_of_faults(sim, wire):
    sim.fault("VolumesList", "refuse")
    wire.get("VolumesList")
    entry = sim.requests()[-1]
    assert (entry["fault"], entry["status"], entry["error"]) == ("refuse", 403, "unauthorized")


def test_filled_attachments_list(sim, api, wire):
    """A big cluster: 100,000 attachments of others, after ours."""
    sim.reassign({"volume": "vol", "rw": [1]})
    sim.control("fill-attachments", 100_000)
    rows = wire.get("AttachmentsList").data
    assert len(rows) == 100_001
    assert len({(r["client"], r["pos"]) for r in rows}) == 100_001
    sim.control("fill-attachments", 10)
    assert len(checked(api, "attachmentsList")) == 11
