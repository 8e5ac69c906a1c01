# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The StorPool connector of os-brick 7.1.1, as Nova and Cinder use it, on this machine as client 1."""

import os
import time

import os_brick.privileged
import pytest
from os_brick import exception
from os_brick.initiator.connectors.storpool import StorPoolConnector

import devices
from devices import opened
from simulator import MIB, elapsed

VOLUME = "os--volume-4711"


@pytest.fixture(autouse=True)
def privileges():
    """We are root: no helper process through sudo."""
    os_brick.privileged.default.set_client_mode(False)


@pytest.fixture
def volume(sim):
    return sim.volume(VOLUME)


@pytest.fixture
def connector(this_host):
    """Reads /etc/storpool.conf, its host section included."""
    return StorPoolConnector("sudo")


def properties(**more):
    return {"client_id": 1, "volume": "4711", "access_mode": "rw", **more}


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_connect_and_disconnect(sim, volume, connector, mode):
    info = connector.connect_volume(properties(access_mode=mode))
    assert info == {"type": "block", "path": f"/dev/storpool-byid/{volume}"}
    assert sim.attachments() == [(VOLUME, 1, mode)]
    path = sim.host(1).by_id(volume)
    assert os.path.samefile(info["path"], path)
    assert devices.is_read_only(path) == (mode == "ro")
    assert connector.get_volume_paths(properties()) == [f"/dev/storpool/{VOLUME}"]
    assert os.path.samefile(f"/dev/storpool/{VOLUME}", path)
    connector.disconnect_volume(properties(), info)
    assert sim.attachments() == []
    assert not os.path.exists(info["path"])


def test_what_goes_over_the_wire(sim, volume, connector):
    """2 requests to connect, 1 to disconnect; MultiCluster always; client ids as strings; ids as ~id."""
    since = sim.requests()[-1]["seq"]
    info = connector.connect_volume(properties())
    connector.disconnect_volume(properties(), info)
    seen = [
        (r["method"], r["target"].removeprefix("/ctrl/1.0/MultiCluster/"), r["body"])
        for r in sim.requests(since)
    ]
    assert seen == [
        ("POST", "VolumesReassignWait", '{"reassign": [{"volume": "%s", "rw": ["1"]}]}' % VOLUME),
        ("GET", f"VolumeGetInfo/{VOLUME}", ""),
        (
            "POST",
            "VolumesReassignWait",
            '{"reassign": [{"volume": "~%s", "detach": ["1"], "force": false}]}' % volume,
        ),
    ]


def test_available_volumes(sim, volume, connector):
    sim.volume("foreign")
    sim.reassign({"volume": "foreign", "rw": [1]})
    assert connector.get_all_available_volumes() == []
    connector.connect_volume(properties())
    assert connector.get_all_available_volumes() == ["4711"]


def test_extend(sim, volume, connector):
    connector.connect_volume(properties())
    connector._sp_api.volume_update(VOLUME, {"size": 48 * MIB})
    assert connector.extend_volume(properties()) == 48 * MIB
    assert devices.size(sim.host(1).by_name(VOLUME)) == 48 * MIB


def test_extend_with_a_client_that_lags(sim, volume, connector):
    """It polls 10 times 0.1 s: enough for a client that needs 0.4 s."""
    connector.connect_volume(properties())
    sim.client(1, "lag", 400)
    connector._sp_api.volume_update(VOLUME, {"size": 48 * MIB})
    assert connector.extend_volume(properties()) == 48 * MIB


@pytest.mark.parametrize("name", ["busy", "invalidParam"])
def test_open_device_is_torn_away_after_two_seconds(sim, volume, connector, name):
    """B2: ten polite tries 0.2 s apart, then force, whatever the caller said."""
    sim.switch("busy-name", name)
    info = connector.connect_volume(properties())
    since = sim.requests()[-1]["seq"]
    started = time.monotonic()
    with opened(sim.host(1).by_id(volume)):
        connector.disconnect_volume(properties(), info, force=False, ignore_errors=False)
        assert sim.attachments() == []
    assert elapsed(started) > 1.9
    calls = [r for r in sim.requests(since) if r["call"] == "VolumesReassignWait"]
    tries = [('"force": true' in r["body"], r["status"], r["error"]) for r in calls]
    assert tries == [(False, 500, name)] * 10 + [(True, 200, None)]


def test_device_closed_in_time_is_detached_politely(sim, volume, connector):
    """What the retry is for: QEMU or udev lets go a moment later."""
    info = connector.connect_volume(properties())
    since = sim.requests()[-1]["seq"]
    with opened(sim.host(1).by_id(volume)):
        done = sim.background(lambda: connector.disconnect_volume(properties(), info))
        sim.wait_for_requests(since, 3)
    done.result(5)
    tries = [r["error"] for r in sim.requests(since)]
    assert set(tries[:-1]) == {"busy"} and tries[-1] is None and len(tries) < 11
    assert sim.attachments() == []


def test_disconnect_what_is_not_connected(sim, volume, connector):
    connector.disconnect_volume(properties(), {"path": f"/dev/storpool-byid/{volume}"})


def test_paths_of_connect_are_not_those_of_get_volume_paths(volume, connector):
    """B3: the path it returned itself is an internal error to it."""
    info = connector.connect_volume(properties())
    with pytest.raises(exception.BrickException, match="Internal error"):
        connector.get_volume_paths(properties(device_path=info["path"]))


def test_volume_that_does_not_exist(connector):
    with pytest.raises(exception.BrickException, match="objectDoesNotExist"):
        connector.connect_volume(properties())


def test_get_is_tried_again(sim, volume, connector):
    sim.fault("VolumeGetInfo", "transient")
    assert connector.connect_volume(properties())["path"].endswith(volume)


@pytest.mark.parametrize("kind", ["transient", "reset-before"])
def test_post_that_is_tried_again_is_refused(sim, volume, connector, kind):
    """B1: the second try sends the JSON as a JSON string; a strict server cannot take it."""
    sim.fault("VolumesReassignWait", kind)
    with pytest.raises(exception.BrickException, match="invalidParam|jsonError"):
        connector.connect_volume(properties())
    first, second = [r["body"] for r in sim.requests() if r["call"] == "VolumesReassignWait"]
    assert first.startswith("{") and second.startswith('"')
    assert sim.attachments() == []


def test_snapshots_and_templates(sim, volume, connector):
    """The rest of its API, as Cinder uses it."""
    api = connector._sp_api
    api.volume_create({"name": "os--volume-2", "size": MIB})
    api.snapshot_create(VOLUME, {"name": "snap", "tags": {"a": "b"}})
    api.snapshot_update("snap", {"tags": {"a": "c"}})
    api.volume_create({"name": "child", "parent": "snap"})
    assert {v["name"] for v in api.volumes_list()} == {VOLUME, "os--volume-2", "child"}
    api.volume_revert(VOLUME, {"toSnapshot": "snap"})
    api.volumes_reassign([{"volume": "child", "rw": ["1"]}])
    api.volumes_reassign([{"volume": "child", "detach": "all"}])
    api.volume_delete("child")
    api.snapshot_delete("snap")
    assert api.volume_templates_list() == []
    assert api.volume("os--volume-2")[0]["size"] == MIB
