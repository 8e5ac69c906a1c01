# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What no source tells about the real server: each switch, each of its answers, seen from outside."""

import re
import subprocess
import time

import pytest

import devices
from devices import opened
from simulator import PROGRAM, elapsed
from waiting import wait_until

ANSWERS = {}
RW = {"volume": "vol", "rw": [1]}
DETACH = {"volume": "vol", "detach": [1]}


def answer(*pairs):
    """The check of these settings, NAME=VALUE."""

    def mark(check):
        ANSWERS.update(dict.fromkeys(pairs, check))
        return check

    return mark


def settings_of_help():
    """Every setting that `storpool-sim serve --help` knows."""
    text = subprocess.run([PROGRAM, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ +([a-z-]+)=([^ ]+)$", text, re.MULTILINE)
    return {f"{name}={value}" for name, values in found for value in values.split("|")}


def test_every_setting_is_covered(sim):
    listed = set(sim.switches())
    assert {pair.partition("=")[0] for pair in ANSWERS} == listed
    assert set(ANSWERS) == settings_of_help()


def test_unknown_settings_are_refused(sim):
    for pair in ("nosuch=yes", "batch=maybe", "batch"):
        done = subprocess.run(
            [PROGRAM, "switch", "set", pair, "--server", f"127.0.0.1:{sim.port}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0 and done.stderr


@answer("detach-absent=ok")
def detach_absent_is_fine(sim):
    assert sim.reassign(DETACH).data["ok"]


@answer("detach-absent=error")
def detach_absent_is_an_error(sim):
    assert sim.reassign(DETACH).error["name"] == "invalidParam"
    # "all" is everyone who has it, be it nobody.
    assert sim.reassign({"volume": "vol", "detach": "all"}).data["ok"]


@answer("batch=all-or-nothing")
def batch_is_atomic(sim):
    assert sim.reassign(RW, {"volume": "nosuch", "rw": [1]}).error["name"] == "objectDoesNotExist"
    assert sim.attachments() == []


@answer("batch=prefix")
def batch_applies_what_comes_before(sim):
    sim.volume("last")
    reply = sim.reassign(RW, {"volume": "nosuch", "rw": [1]}, {"volume": "last", "rw": [1]})
    assert reply.error["name"] == "objectDoesNotExist"
    assert sim.attachments() == [("vol", 1, "rw")]


@answer("attach-timeout-reply=ok")
def attach_timeout_is_success(sim):
    sim.client(1, "down")
    assert sim.reassign(RW, timeout=1).data["ok"]


@answer("attach-timeout-reply=error")
def attach_timeout_is_an_error(sim):
    sim.client(1, "down")
    started = time.monotonic()
    assert sim.reassign(RW, timeout=1).error["name"]
    assert elapsed(started) > 0.9
    # The state is what it would have been.
    assert sim.attachments() == [("vol", 1, "rw")]


@answer("down-client-recorded=yes")
def down_client_is_listed(sim):
    sim.client(1, "down")
    sim.reassign(RW, timeout=0)
    assert sim.attachments() == [("vol", 1, "rw")]


@answer("down-client-recorded=no")
def down_client_is_listed_when_it_is_back(sim):
    sim.client(1, "down")
    sim.reassign(RW, timeout=0)
    assert sim.attachments() == []
    sim.client(1, "up")
    wait_until(lambda: sim.attachments() == [("vol", 1, "rw")], "the attachment is listed")


@answer("down-detach=ok", "down-detach=busy")
def detach_at_a_client_that_is_down(sim):
    sim.reassign(RW)
    sim.client(1, "down")
    reply = sim.reassign(DETACH, timeout=0)
    if sim.switches()["down-detach"] == "ok":
        assert reply.data["ok"]
    else:
        assert "is open at client 1" in reply.error["descr"]
        assert sim.reassign({**DETACH, "force": True}, timeout=0).data["ok"]
    assert sim.attachments() == []


@answer("error-status=500", "error-status=200")
def status_of_errors(sim):
    reply = sim.wire.get("Volume/nosuch")
    assert (str(reply.status), reply.error["name"]) == (sim.switches()["error-status"], "objectDoesNotExist")


@answer("busy-name=busy", "busy-name=invalidParam")
def name_of_busy(sim):
    sim.reassign(RW)
    with opened(sim.host(1).by_name("vol")):
        error = sim.reassign(DETACH).error
    assert (error["name"], error["descr"]) == (sim.switches()["busy-name"], "'vol' is open at client 1")


@answer("global-ids=yes", "global-ids=no")
def global_ids_in_the_list(sim):
    sim.reassign(RW)
    (row,) = sim.wire.get("AttachmentsList").data
    assert ("globalId" in row) == (sim.switches()["global-ids"] == "yes")


@answer("unauthorized=403", "unauthorized=401", "unauthorized=500", "unauthorized=200")
def status_of_a_wrong_token(sim):
    reply = sim.wire.get("VolumesList", auth=False)
    assert str(reply.status) == sim.switches()["unauthorized"]
    assert reply.error["transient"] is False


@answer("forced-open=node-gone")
def forced_detach_takes_the_node(sim):
    sim.reassign(RW)
    host = sim.host(1)
    with opened(host.by_name("vol")):
        sim.reassign({**DETACH, "force": True})
        assert host.names() == host.nodes() == set()
    wait_until(lambda: not sim.loop_devices(), "the device goes when it is closed")


@answer("forced-open=node-stays")
def forced_detach_leaves_the_node(sim):
    sim.reassign(RW)
    host = sim.host(1)
    with opened(host.by_name("vol")):
        sim.reassign({**DETACH, "force": True})
        assert sim.attachments() == []
        assert devices.is_block(host.root / "sp-0")
    wait_until(
        lambda: host.nodes() == set() and not sim.loop_devices(), "node and device go when it is closed"
    )


@answer("pos-on-change=same", "pos-on-change=new")
def position_when_rights_change(sim):
    sim.reassign({"volume": "vol", "ro": [1]})
    sim.reassign(RW)
    (row,) = sim.wire.get("AttachmentsList").data
    assert (row["pos"] == 0) == (sim.switches()["pos-on-change"] == "same")
    assert sim.host(1).nodes() == {f"sp-{row['pos']}"}
    assert devices.is_block(sim.host(1).by_name("vol"))


@answer("revert-attached=busy", "revert-attached=ok")
def revert_of_an_attached_volume(sim):
    sim.snapshot("vol", "snap")
    sim.reassign(RW)
    reply = sim.wire.post("VolumeRevert/vol", {"toSnapshot": "snap"})
    if sim.switches()["revert-attached"] == "ok":
        assert reply.data["ok"]
    else:
        assert reply.error["name"] == "busy"


@answer("multicluster=yes", "multicluster=no")
def multicluster_calls(sim):
    reply = sim.wire.get("MultiCluster/VolumesList")
    if sim.switches()["multicluster"] == "yes":
        assert reply.data
    else:
        assert reply.error["name"] == "multiCluster"
    assert sim.wire.get("VolumesList").data


@answer("attachment-names=name", "attachment-names=gid")
def names_in_the_list(sim):
    global_id = sim.volume("other")
    sim.reassign({"volume": "other", "rw": [1]})
    seen = "other" if sim.switches()["attachment-names"] == "name" else f"~{global_id}"
    assert sim.attachments() == [(seen, 1, "rw")]


@answer("client-ids=both", "client-ids=int")
def client_ids_as_strings(sim):
    reply = sim.reassign({"volume": "vol", "rw": ["1"]})
    if sim.switches()["client-ids"] == "both":
        assert reply.data["ok"]
    else:
        assert reply.error["name"] == "invalidParam"
    assert sim.reassign(RW).data["ok"]


@answer("snapshot-delete=lingers", "snapshot-delete=at-once")
def deleted_snapshots(sim):
    sim.snapshot("vol", "snap")
    sim.wire.post("SnapshotDelete/snap")
    names = [s["name"] for s in sim.wire.get("SnapshotsList").data]
    assert names == (["*snap"] if sim.switches()["snapshot-delete"] == "lingers" else [])


@pytest.mark.parametrize("pair", sorted(ANSWERS))
def test_setting(sim, pair):
    sim.volume("vol")
    name, _, value = pair.partition("=")
    sim.switch(name, value)
    assert sim.switches()[name] == value
    ANSWERS[pair](sim)


def test_settings_on_the_command_line(sim):
    sim.stop()
    sim.start("--switch", "busy-name=invalidParam", "--switch", "batch=prefix")
    assert (sim.switches()["busy-name"], sim.switches()["batch"]) == ("invalidParam", "prefix")
