# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""AttachDB of storpool.spopenstack 3.2.0, as old Cinder and Nova use it, on this machine as client 1."""

import json
import logging
import os
import time

import pytest
from storpool import spapi
from storpool.spopenstack import AttachDB

import devices
from devices import opened
from simulator import elapsed

LOG = logging.getLogger(__name__)


@pytest.fixture
def db(sim, this_host, tmp_path):
    """With a file that is there: it does not make one."""
    file = tmp_path / "openstack-attach.json"
    file.write_text("{}")
    database = AttachDB(LOG, fname=str(file))
    database.config()
    return database


def stored(db):
    with open(db._fname, encoding="utf-8") as file:
        return json.load(file)


def request(volume, request_id, rights=2, snapshot=False):
    return {"volume": volume, "type": "cinder", "id": request_id, "rights": rights, "volsnap": snapshot}


@pytest.fixture
def volume(sim, db):
    name = db.volumeName("4711")
    sim.volume(name)
    return name


@pytest.mark.parametrize(("rights", "seen"), [(2, "rw"), (1, "ro")])
def test_add_sync_and_detach(sim, db, volume, rights, seen):
    db.add("req1", request(volume, "req1", rights))
    db.sync("req1", None)
    assert sim.attachments() == [(volume, 1, seen)]
    assert devices.is_read_only(sim.host(1).by_name(volume)) == (rights == 1)
    assert os.path.exists(f"/dev/storpool/{volume}")
    db.sync("req1", volume)
    db.remove("req1")
    assert (sim.attachments(), stored(db)) == ([], {})
    assert not os.path.exists(f"/dev/storpool/{volume}")


def test_calls_of_one_sync(sim, db, volume):
    """Three lists of the whole cluster, and a reassign without Wait per volume."""
    db.add("req1", request(volume, "req1"))
    since = sim.requests()[-1]["seq"]
    db.sync("req1", None)
    calls = [r["target"].removeprefix("/ctrl/1.0/") for r in sim.requests(since)]
    assert calls == ["AttachmentsList", "VolumesList", "SnapshotsList", "VolumesReassign"]
    # Nothing to do: the lists only.
    since = sim.requests()[-1]["seq"]
    db.sync("req1", None)
    assert len(sim.requests(since)) == 3


def test_two_requests_share_a_volume(sim, db, volume):
    """Counted by request, the strongest rights win; the last one detaches."""
    db.add("req1", request(volume, "req1", rights=1))
    db.sync("req1", None)
    db.add("req2", request(volume, "req2", rights=2))
    db.sync("req2", None)
    assert sim.attachments() == [(volume, 1, "rw")]
    db.remove("req1")
    db.sync("req2", None)
    assert sim.attachments() == [(volume, 1, "rw")]
    db.sync("req2", volume)
    assert sim.attachments() == []


def test_snapshot(sim, db, volume):
    snapshot = db.snapshotName("snap", "4711")
    sim.snapshot(volume, snapshot)
    db.add("req1", request(snapshot, "req1", rights=1, snapshot=True))
    db.sync("req1", None)
    assert sim.attachments() == [(snapshot, 1, "ro")]
    assert devices.is_read_only(sim.host(1).by_name(snapshot))
    db.sync("req1", snapshot)
    assert sim.attachments() == []


def test_snapshot_is_never_attached_for_writing(sim, db, volume):
    snapshot = db.snapshotName("snap", "4711")
    sim.snapshot(volume, snapshot)
    db.add("req1", request(snapshot, "req1", rights=2, snapshot=True))
    # (It means to raise an ApiError, and fails in that.)
    with pytest.raises((TypeError, spapi.ApiError)):
        db.sync("req1", None)
    assert sim.attachments() == []


def test_foreign_attachments_are_left_alone(sim, db, volume):
    sim.volume("foreign")
    sim.reassign({"volume": "foreign", "rw": [1]}, {"volume": volume, "ro": [2]})
    db.add("req1", request(volume, "req1"))
    db.sync("req1", None)
    db.sync("req1", volume)
    assert sim.attachments() == [("foreign", 1, "rw"), (volume, 2, "ro")]


def test_stale_requests_are_dropped(sim, db, volume):
    db.add("gone", request(db.volumeName("gone"), "gone"))
    db.add("req1", request(volume, "req1"))
    db.sync("req1", None)
    assert set(stored(db)) == {"req1"}


def test_open_device_is_torn_away_after_two_seconds(sim, db, volume):
    db.add("req1", request(volume, "req1"))
    db.sync("req1", None)
    since = sim.requests()[-1]["seq"]
    started = time.monotonic()
    with opened(sim.host(1).by_name(volume)):
        db.sync("req1", volume)
        assert sim.attachments() == []
    assert elapsed(started) > 1.9
    bodies = [r["body"] for r in sim.requests(since) if r["call"] == "VolumesReassign"]
    assert ['"force":true' in body for body in bodies] == [False] * 10 + [True]


def test_device_that_comes_late_is_waited_for(sim, db, volume):
    sim.client(1, "lag", 500)
    db.add("req1", request(volume, "req1"))
    started = time.monotonic()
    db.sync("req1", None)
    assert elapsed(started) > 0.5
    assert os.path.exists(f"/dev/storpool/{volume}")


def test_snapshot_with_at_breaks_every_sync(sim, db, volume):
    """The trap of the facts: one such attachment, anywhere in the cluster."""
    auto = sim.wire.post(f"VolumeSnapshot/{volume}", {}).data["autoName"]
    sim.reassign({"snapshot": auto, "ro": [2]})
    db.add("req1", request(volume, "req1"))
    with pytest.raises(AttributeError, match="startswith"):
        db.sync("req1", None)
