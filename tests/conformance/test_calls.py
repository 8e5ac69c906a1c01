# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Every call of the official bindings that the simulator serves, each through the bindings themselves."""

import time

import pytest

import calls
from calls import checked
from simulator import MIB
from waiting import wait_until

COVERED = {}


def covers(*names):
    """Marks a test as the one of these calls of the bindings."""

    def mark(test):
        COVERED.update(dict.fromkeys(names, test.__name__))
        return test

    return mark


@pytest.fixture(params=[False, True], ids=["plain", "multicluster"])
def api(request, sim):
    """The bindings, with and without the MultiCluster/ prefix."""
    return sim.bindings(multiCluster=request.param)


@pytest.fixture
def volume(sim):
    return sim.volume("vol")


@pytest.fixture
def snapshot(sim, volume):
    return sim.snapshot("vol", "snap")


def is_unknown(reply):
    return reply.status == 404


def test_every_served_call_is_covered(wire):
    """What the simulator answers, what we say it serves, and what is tested here are one set."""
    documented = calls.documented()
    assert set(documented) >= calls.SERVED
    # A volume, snapshot, template that is not there is not an unknown call.
    served = {name for name in documented if not is_unknown(wire.request(*calls.at(name)))}
    assert served == calls.SERVED
    assert set(COVERED) == calls.SERVED


def test_every_multicluster_form_is_served(wire):
    """Exactly the calls that the bindings send with MultiCluster/ are served in that form, too."""
    served = {
        name for name in calls.SERVED if not is_unknown(wire.request(*calls.at(name, multicluster=True)))
    }
    assert served == {name for name in calls.SERVED if calls.has_multicluster(name)}


@covers("volumeCreate", "volumeList")
def test_volume_create(api):
    done = checked(
        api, "volumeCreate", {"name": "vol", "size": 16 * MIB, "replication": 2, "tags": {"virt": "kvm"}}
    )
    assert done.ok and done.generation > 0
    (volume,) = checked(api, "volumeList", "vol")
    assert (volume.name, volume.size, volume.replication) == ("vol", 16 * MIB, 2)
    assert volume.globalId == done.globalId
    assert volume.tags == {"virt": "kvm"}
    assert (volume.parentName, volume.templateName) == ("", "")
    assert abs(volume.creationTimestamp - time.time()) < 60


def test_volume_without_name_goes_by_its_id(api):
    done = checked(api, "volumeCreate", {"size": 512})
    (volume,) = checked(api, "volumeList", f"~{done.globalId}")
    assert volume.name == f"~{done.globalId}"


def test_volume_as_clone_and_from_snapshot(api, snapshot):
    clone = checked(api, "volumeCreate", {"name": "clone", "baseOn": "vol"})
    assert clone.autoName is not None
    checked(api, "volumeCreate", {"name": "child", "parent": "snap"})
    checked(api, "volumeCreate", {"name": "child2", "parent": f"~{snapshot}"})
    by_name = {v.name: v for v in checked(api, "volumesList")}
    assert {by_name[n].size for n in ("clone", "child", "child2")} == {16 * MIB}
    assert by_name["child"].parentName == by_name["child2"].parentName == "snap"
    transient = {s.name: s for s in checked(api, "snapshotsList")}[clone.autoName]
    assert transient.transient
    assert by_name["clone"].parentName == transient.name


@covers("volumesList", "volumeDescribe", "volumeInfo")
def test_volume_records_agree(api, volume):
    (listed,) = checked(api, "volumesList")
    described = checked(api, "volumeDescribe", "vol")
    informed = checked(api, "volumeInfo", f"~{volume}")
    for name in ("name", "globalId", "size", "id", "visibleVolumeId", "creationTimestamp", "objectsCount"):
        assert getattr(listed, name) == getattr(described, name) == getattr(informed, name), name
    assert listed.globalId == volume
    assert informed.disksCount == len(informed.objectsPerDisk)
    assert len(described.objects) == listed.objectsCount
    where = (listed.clusterId, listed.clusterName)
    assert all(where) if api._multiCluster else where == (None, None)


@covers("volumesStatus", "volumesQuickStatus")
def test_status_covers_volumes_and_snapshots(api, snapshot):
    status = checked(api, "volumesStatus")
    quick = checked(api, "volumesQuickStatus")
    assert set(status) == set(quick) == {"vol", "snap"}
    assert {name: row.snapshot for name, row in status.items()} == {"vol": False, "snap": True}
    assert {row.status for row in [*status.values(), *quick.values()]} == {"up"}
    assert status["vol"].storedSize is not None


@covers("volumesSpace", "snapshotsSpace", "volumeListSnapshots")
def test_space_and_ancestors(api, snapshot):
    (volume_space,) = checked(api, "volumesSpace")
    (snapshot_space,) = checked(api, "snapshotsSpace")
    assert (volume_space.name, snapshot_space.name) == ("vol", "snap")
    assert volume_space.storedSize >= 0 and snapshot_space.spaceUsed >= 0
    assert [s.name for s in checked(api, "volumeListSnapshots", "vol")] == ["snap"]


@covers("volumeUpdate")
@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({}, {"name": "vol", "size": 16 * MIB}),
        ({"rename": "new"}, {"name": "new"}),
        ({"size": 32 * MIB}, {"size": 32 * MIB}),
        ({"sizeAdd": 512}, {"size": 16 * MIB + 512}),
        ({"size": 8 * MIB, "shrinkOk": True}, {"size": 8 * MIB}),
        ({"bw": 7, "iops": 8, "replication": 1}, {"bw": 7, "iops": 8, "replication": 1}),
        ({"bw": "-"}, {"bw": "-"}),
        ({"tags": {"a": "1", "b": ""}}, {"tags": {"a": "1"}}),
    ],
)
def test_volume_update(api, volume, change, seen):
    assert checked(api, "volumeUpdate", "vol", change).ok
    (record,) = checked(api, "volumeList", f"~{volume}")
    assert {name: getattr(record, name) for name in seen} == seen


@covers("volumeDelete")
def test_volume_delete(api, volume):
    assert checked(api, "volumeDelete", f"~{volume}").ok
    assert checked(api, "volumesList") == []


@covers("volumeRevert")
@pytest.mark.parametrize("revert_size", [False, True])
def test_volume_revert(sim, snapshot, revert_size):
    api = sim.bindings()
    checked(api, "volumeUpdate", "vol", {"size": 32 * MIB})
    body = {"toSnapshot": "snap"} | ({"revertSize": True} if revert_size else {})
    # The 7.3.0 bindings do not know revertSize and drop it: the second form goes past them.
    done = (
        sim.wire.post("VolumeRevert/vol", body).data
        if revert_size
        else checked(api, "volumeRevert", "vol", body).to_json()
    )
    assert done["ok"]
    (record,) = checked(api, "volumeList", "vol")
    assert (record.parentName, record.size) == ("snap", 16 * MIB if revert_size else 32 * MIB)


@covers("snapshotCreate", "snapshotsList", "snapshotList", "snapshotDescribe", "snapshotInfo")
def test_snapshot(api, volume):
    done = checked(api, "snapshotCreate", "vol", {"name": "snap", "tags": {"k": "v"}})
    assert done.ok
    (listed,) = checked(api, "snapshotsList")
    (single,) = checked(api, "snapshotList", f"~{done.snapshotGlobalId}")
    described = checked(api, "snapshotDescribe", "snap")
    informed = checked(api, "snapshotInfo", "snap")
    assert {r.globalId for r in (listed, single, described, informed)} == {done.snapshotGlobalId}
    assert (listed.name, listed.onVolume, listed.tags, listed.size) == ("snap", "vol", {"k": "v"}, 16 * MIB)
    flags = (listed.autoName, listed.bound, listed.deleted, listed.transient)
    assert flags == (False, False, False, False)
    (parent,) = checked(api, "volumeList", "vol")
    assert parent.parentName == "snap"


def test_snapshot_that_the_server_names(api, volume):
    done = checked(api, "snapshotCreate", "vol", {})
    assert done.autoName.startswith("@")
    (listed,) = checked(api, "snapshotList", done.autoName)
    assert (listed.name, listed.autoName) == (done.autoName, True)


@covers("snapshotCreateGroup")
def test_group_snapshot(api, sim, volume):
    second = sim.volume("vol2")
    done = checked(
        api, "snapshotCreateGroup", {"volumes": [{"volume": "vol", "name": "s1"}, {"volume": f"~{second}"}]}
    )
    assert [s.volumeGlobalId for s in done.snapshots] == [volume, second]
    names = {s.globalId: s.name for s in checked(api, "snapshotsList")}
    assert names[done.snapshots[0].snapshotGlobalId] == "s1"
    assert names[done.snapshots[1].snapshotGlobalId].startswith("@")


@covers("snapshotUpdate")
@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"rename": "new"}, {"name": "new"}),
        ({"tags": {"a": "b"}}, {"tags": {"a": "b"}}),
        ({"replication": 1}, {"replication": 1}),
    ],
)
def test_snapshot_update(api, snapshot, change, seen):
    assert checked(api, "snapshotUpdate", "snap", change).ok
    (record,) = checked(api, "snapshotList", f"~{snapshot}")
    assert {name: getattr(record, name) for name in seen} == seen


@covers("snapshotDelete", "snapshotDeleteById")
@pytest.mark.parametrize("by_id", [False, True])
def test_snapshot_is_deleted_after_a_while(api, snapshot, by_id):
    done = checked(api, "snapshotDeleteById", snapshot) if by_id else checked(api, "snapshotDelete", "snap")
    assert done.ok
    (listed,) = checked(api, "snapshotsList")
    assert (listed.name, listed.deleted) == ("*snap", True)
    wait_until(lambda: checked(api, "snapshotsList") == [], "the snapshot goes away")


def test_bound_snapshot_goes_with_its_last_child(api, volume):
    checked(api, "snapshotCreate", "vol", {"name": "bound", "bind": True})
    assert [s.bound for s in checked(api, "snapshotsList")] == [True]
    checked(api, "volumeDelete", "vol")
    wait_until(lambda: checked(api, "snapshotsList") == [], "the bound snapshot goes away")


@covers(
    "volumeTemplatesList",
    "volumeTemplateDescribe",
    "volumeTemplateCreate",
    "volumeTemplateUpdate",
    "volumeTemplateDelete",
)
def test_templates(api):
    assert checked(api, "volumeTemplateCreate", {"name": "tmpl", "size": 8 * MIB, "replication": 2}).ok
    (template,) = checked(api, "volumeTemplatesList")
    assert (template.name, template.size, template.replication) == ("tmpl", 8 * MIB, 2)
    checked(api, "volumeCreate", {"name": "vol", "template": "tmpl"})
    (record,) = checked(api, "volumeList", "vol")
    assert (record.templateName, record.size, record.replication) == ("tmpl", 8 * MIB, 2)
    assert checked(api, "volumeTemplateUpdate", "tmpl", {"rename": "other"}).ok
    assert checked(api, "volumeTemplateDescribe", "other").name == "other"
    assert checked(api, "volumeList", "vol")[0].templateName == "other"
    checked(api, "volumeDelete", "vol")
    assert checked(api, "volumeTemplateDelete", "other").ok
    assert checked(api, "volumeTemplatesList") == []


@covers("attachmentsList", "volumesReassign", "volumesReassignWait")
@pytest.mark.parametrize("call", ["volumesReassign", "volumesReassignWait"])
def test_attach_and_detach(api, sim, snapshot, volume, call):
    def reassign(items):
        return checked(
            api, call, items if call == "volumesReassign" else {"reassign": items, "attachTimeout": 5}
        )

    before = checked(api, "clientsConfigDump")[0].generation
    done = reassign([{"volume": "vol", "rw": [1]}, {"snapshot": "snap", "ro": [1, 2]}])
    assert done.ok and done.generation == before + 1
    rows = checked(api, "attachmentsList")
    seen = {(r.volume, r.snapshot, r.client, r.rights, r.globalId) for r in rows}
    assert seen == {
        ("vol", False, 1, "rw", volume),
        ("snap", True, 1, "ro", snapshot),
        ("snap", True, 2, "ro", snapshot),
    }
    assert sorted(r.pos for r in rows) == [0, 0, 1]
    assert all(bool(r.clusterId) == api._multiCluster for r in rows)
    assert reassign([{"volume": "vol", "detach": [1]}, {"snapshot": "snap", "detach": "all"}]).ok
    assert checked(api, "attachmentsList") == []


@covers("servicesList")
def test_services(sim, api):
    sim.client(2, "down")
    services = checked(api, "servicesList")
    assert services.clusterStatus == "running"
    assert {n: c.status for n, c in services.clients.items()} == {1: "running", 2: "down"}
    assert services.clients[1].startTime is not None and services.clients[2].startTime is None
    assert services.mgmt and services.servers


@covers("clientsConfigDump", "clientConfigWait")
def test_client_configuration(sim, api):
    sim.volume("vol")
    dump = checked(api, "clientsConfigDump")
    assert [row.id for row in dump] == [1, 2]
    assert {row.delay for row in dump} == {0}
    (waited,) = checked(api, "clientConfigWait", 2)
    assert (waited.id, waited.configStatus) == (2, "ok")
    assert waited.clientGeneration == waited.generation


def test_retries_repeat_the_same_bytes(sim):
    """B7: a POST is sent again as freely as a GET."""
    sim.fault("VolumeCreate", "transient", count=2)
    api = sim.bindings()
    checked(api, "volumeCreate", {"size": 512})
    bodies = [r["body"] for r in sim.requests() if r["target"].endswith("VolumeCreate")]
    assert bodies == ['{"size":512}'] * 3
