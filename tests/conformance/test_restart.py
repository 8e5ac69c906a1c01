# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The process: state that outlives it, devices that do not, signals."""

import http.client
import json
import os
import signal
import subprocess

import pytest

import devices
from calls import checked
from devices import opened
from simulator import MIB, PROGRAM, Simulator
from waiting import wait_until


@pytest.fixture
def attached(sim):
    """A volume with content, attached at both clients, and an unnamed one."""
    sim.volume("vol")
    sim.snapshot("vol", "snap")
    sim.reassign({"volume": "vol", "rw": [1], "ro": [2]}, {"snapshot": "snap", "ro": [1]})
    with opened(sim.host(1).by_name("vol"), os.O_RDWR | os.O_SYNC) as descriptor:
        os.pwrite(descriptor, b"content" + bytes(505), 0)
    return sim


def picture(sim):
    """All that an API client can see."""
    calls = ("VolumesList", "SnapshotsList", "AttachmentsList", "VolumeTemplatesList")
    return [sim.wire.get(call).data for call in calls]


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_state_outlives_the_process(attached, with_signal):
    sim, host, other = attached, attached.host(1), attached.host(2)
    before = picture(sim)
    generation = sim.wire.get("VolumesList").json["generation"]
    assert len(sim.loop_devices()) == 3
    assert sim.stop(with_signal) == 0
    assert sim.loop_devices() == []
    assert host.names() == host.ids() == host.nodes() == other.names() == other.nodes() == set()
    sim.start()
    assert picture(sim) == before
    assert sim.wire.get("VolumesList").json["generation"] >= generation
    assert (host.names(), other.names()) == ({"vol", "snap"}, {"vol"})
    assert [devices.is_read_only(h.by_name("vol")) for h in (host, other)] == [False, True]
    with opened(other.by_name("vol")) as descriptor:
        assert os.pread(descriptor, 7, 0) == b"content"


def test_global_ids_are_not_used_twice(sim):
    first = sim.volume("one")
    sim.wire.post("VolumeDelete/one")
    sim.stop()
    sim.start()
    assert sim.volume("two") != first


def test_switches_and_clients_outlive_the_process(sim):
    sim.switch("busy-name", "invalidParam")
    sim.client(2, "down")
    sim.stop()
    sim.start()
    assert sim.switches()["busy-name"] == "invalidParam"
    status = {n: c.status for n, c in checked(sim.bindings(), "servicesList").clients.items()}
    assert status == {1: "running", 2: "down"}


def test_sigterm_frees_devices_that_are_open(attached):
    """The kernel frees an open loop device when it is closed; nothing is left then."""
    sim = attached
    with opened(sim.host(1).by_name("vol")):
        assert sim.stop() == 0
        assert sim.host(1).nodes() == set()
    wait_until(lambda: sim.loop_devices() == [], "the device goes when it is closed")


def test_after_sigkill_the_next_start_cleans_up(attached):
    sim = attached
    before = picture(sim)
    assert sim.stop(signal.SIGKILL) == -signal.SIGKILL
    assert len(sim.loop_devices()) == 3
    sim.start()
    assert len(sim.loop_devices()) == 3
    assert picture(sim) == before
    assert devices.size(sim.host(1).by_name("vol")) == 16 * MIB


def test_ends_while_a_call_waits(sim):
    sim.volume("vol")
    sim.client(1, "down")
    waiting = sim.background(lambda: sim.reassign({"volume": "vol", "rw": [1]}))
    wait_until(sim.attachments, "the call waits")
    assert sim.stop() == 0
    with pytest.raises((OSError, http.client.HTTPException)):
        waiting.result(5)


def test_one_state_folder_one_process(sim):
    done = subprocess.run(
        [PROGRAM, "serve", "--state", sim.state, "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode != 0 and "in use" in done.stderr and not done.stdout


def test_options_of_serve(tmp_path):
    """Clients, cluster id and name, a request log in a file."""
    sim, log = Simulator(tmp_path / "cluster"), tmp_path / "requests"
    root = sim.host(7).root
    root.mkdir()
    options = [
        f"--client=7={root}",
        "--client=8",
        "--cluster-id=loc.clu",
        "--cluster-name=Lab",
        f"--request-log={log}",
    ]
    with sim.running(*options):
        assert sim.volume("vol").startswith("loc.clu.")
        assert set(sim.wire.get("ServicesList").data["clients"]) == {"7", "8"}
        assert sim.wire.get("MultiCluster/VolumesList").data[0]["clusterName"] == "Lab"
        assert sim.reassign({"volume": "vol", "rw": [7, 8]}).data["ok"]
        assert sim.host(7).names() == {"vol"}
        in_memory = sim.requests()
        assert [json.loads(line) for line in log.read_text().splitlines()] == in_memory


def test_command_line_for_administrators(sim, host):
    """What the README of the simulator promises to people who use it for their own tests."""
    global_id = sim.control("volume", "create", "vol", "--size", "16M").strip()
    assert sim.wire.get("Volume/vol").data[0]["globalId"] == global_id
    sim.control("attach", "vol", "--rw", 1)
    assert sim.control("attachments").split() == ["1", "0", "rw", global_id, "vol"]
    sim.control("volume", "resize", "vol", "32M")
    sim.wire.get("ClientConfigWait/1")
    assert devices.size(host.by_name("vol")) == 32 * MIB
    sim.control("volume", "rename", "vol", "new")
    sim.control("detach", "new", "--client", 1)
    assert sim.attachments() == []
    sim.control("snapshot", "create", "new", "snap@1")
    assert "snap@1" in sim.control("snapshot", "list")
    assert sim.requests() and all(r["target"].startswith("/ctrl/") for r in sim.requests())
    sim.control("volume", "delete", "new")
    assert sim.control("volume", "list") == ""
