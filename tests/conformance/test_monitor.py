# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The watch inside the simulator: one volume open for writing at two clients."""

import contextlib
import json
import os

import pytest

from devices import opened
from waiting import wait_until

WRITE = os.O_RDWR


@pytest.fixture(autouse=True)
def volume(sim):
    """A volume attached for writing at both clients: not an offence as such."""
    global_id = sim.volume("vol")
    sim.reassign({"volume": "vol", "rw": [1, 2]})
    return global_id


def clock_ticks(sim):
    return [v for v in sim.violations() if v["volume"] == "clock"]


def test_two_writers_are_recorded(sim, volume, host, other):
    with opened(host.by_name("vol"), WRITE), opened(other.by_id(volume), os.O_WRONLY):
        (seen,) = wait_until(sim.violations, "the monitor sees two writers")
    assert (seen["volume"], seen["globalId"]) == ("vol", volume)
    assert seen["clients"] == {"1": [os.getpid()], "2": [os.getpid()]}
    assert seen["fromMs"] <= seen["untilMs"]
    assert seen["cutOff"] == []
    # It stays on record when the devices are closed, until it is reset.
    assert len(sim.violations()) == 1
    sim.control("monitor", "--reset")
    assert sim.violations() == []


INNOCENT = {
    "nobody": [],
    "one writer": [("host", WRITE)],
    "one writer, twice": [("host", WRITE), ("host", WRITE)],
    "one writer and a reader": [("host", WRITE), ("other", os.O_RDONLY)],
    "two readers": [("host", os.O_RDONLY), ("other", os.O_RDONLY)],
    "one writer and a name": [("host", WRITE), ("other", os.O_PATH)],
}


@pytest.mark.parametrize("openers", INNOCENT.values(), ids=INNOCENT)
def test_innocent_openers_are_not_recorded(sim, host, other, openers):
    """The monitor proves by another volume that it has looked while these were open."""
    sim.volume("clock")
    sim.reassign({"volume": "clock", "rw": [1, 2]})
    hosts = {"host": host, "other": other}
    with contextlib.ExitStack() as stack:
        for who, flags in openers:
            stack.enter_context(opened(hosts[who].by_name("vol"), flags))
        stack.enter_context(opened(host.by_name("clock"), WRITE))
        stack.enter_context(opened(other.by_name("clock"), WRITE))
        wait_until(lambda: clock_ticks(sim), "the monitor has looked")
    assert {v["volume"] for v in sim.violations()} == {"clock"}


def test_readers_of_a_volume_attached_read_only(sim, host, other):
    sim.reassign({"volume": "vol", "ro": [1, 2]})
    test_innocent_openers_are_not_recorded(sim, host, other, INNOCENT["two readers"])


def test_writer_that_was_cut_off_is_marked(sim, host, other):
    """A forced takeover: the old writer still has its device, the record says that it was cut off."""
    sim.reassign({"volume": "vol", "detach": [2]})
    with opened(host.by_name("vol"), WRITE):
        sim.reassign({"volume": "vol", "rw": [2], "detach": "all", "force": True})
        with opened(other.by_name("vol"), WRITE):
            (seen,) = wait_until(sim.violations, "the monitor sees the old and the new writer")
    assert set(seen["clients"]) == {"1", "2"}
    assert seen["cutOff"] == [1]


def test_who_has_it_open_now(sim, host):
    with opened(host.by_name("vol"), WRITE):
        (row,) = json.loads(sim.control("openers"))
        assert (row["volume"], row["client"], row["pid"], row["writes"]) == ("vol", 1, os.getpid(), True)
    assert json.loads(sim.control("openers")) == []
