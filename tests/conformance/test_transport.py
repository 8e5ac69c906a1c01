# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""HTTP as old and new clients speak it, the envelope, the token, names as they stand on the wire."""

import json

import pytest
from storpool import spapi

from calls import checked


def by_hand(wire, version="1.0", headers="", method_and_target="GET /ctrl/1.0/VolumesList", body=b""):
    """One request as bytes; status line, header lines and body of the reply."""
    head = f"{method_and_target} HTTP/{version}\r\nAuthorization: Storpool v1:{wire.token}\r\n{headers}\r\n"
    answer = wire.raw(head.encode() + body)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.0", ""), ("1.1", "Host: x\r\n"), ("1.1", "Host: x\r\nConnection: keep-alive\r\n")],
)
def test_reply_and_close(wire, version, headers):
    """Both versions; the server closes after one reply (or the raw read would not end)."""
    status, names, body = by_hand(wire, version, headers)
    assert status.split()[1:] == ["200", "OK"]
    assert names["content-type"] == "application/json"
    assert names["connection"].lower() == "close"
    assert int(names["content-length"]) == len(body)
    envelope = json.loads(body)
    assert envelope["data"] == [] and isinstance(envelope["generation"], int)


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "application/x-www-form-urlencoded", "text/plain"]
)
def test_content_type_does_not_matter(sim, wire, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    assert wire.post("VolumeCreate", {"name": "vol", "size": 512}, headers=headers).data["ok"]


@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_calls_without_arguments_take_an_empty_body(sim, wire, body):
    sim.volume("vol")
    assert wire.post("VolumeDelete/vol", body).data["ok"]


def test_expect_continue(wire):
    """curl announces large bodies so."""
    body = json.dumps({"name": "vol", "size": 512}).encode()
    headers = f"Host: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n"
    answer = by_hand(wire, "1.1", headers, "POST /ctrl/1.0/VolumeCreate", body)
    assert answer[0].split()[1] in ("100", "200")
    assert [v["name"] for v in wire.get("VolumesList").data] == ["vol"]


AUTH = {
    "none": {},
    "empty": {"Authorization": ""},
    "wrong token": {"Authorization": "Storpool v1:1"},
    "no version": {"Authorization": "Storpool 1556129910218014736"},
    "wrong case": {"Authorization": "StorPool v1:1556129910218014736"},
    "bearer": {"Authorization": "Bearer 1556129910218014736"},
    "longer": {"Authorization": "Storpool v1:15561299102180147360"},
}


@pytest.mark.parametrize("headers", AUTH.values(), ids=AUTH)
def test_token_is_needed(sim, wire, headers):
    reply = wire.post("VolumeCreate", {"size": 512}, auth=False, headers=headers)
    assert reply.status == 403
    assert reply.error["transient"] is False
    assert wire.get("VolumesList").data == []


def test_bindings_with_a_wrong_token(sim):
    with pytest.raises(spapi.ApiError) as caught:
        sim.bindings(auth="1").volumesList()
    assert (caught.value.status, caught.value.transient) == (403, False)


@pytest.mark.parametrize("name", ["plain", "#system", "a.b.c", "os--volume-1:2_3", "-"])
def test_names_go_raw_over_the_wire(sim, wire, api, name):
    """The bindings escape nothing, not even "#"."""
    checked(api, "volumeCreate", {"name": name, "size": 512})
    (record,) = checked(api, "volumeList", name)
    assert record.name == name
    checked(api, "volumeUpdate", name, {"tags": {"a": "b"}})
    targets = {r["target"] for r in sim.requests()}
    assert {f"/ctrl/1.0/Volume/{name}", f"/ctrl/1.0/VolumeUpdate/{name}"} <= targets


def test_a_dotted_name_is_not_an_id(sim, api, wire):
    global_id = sim.volume("a.b.c")
    assert checked(api, "volumeList", "a.b.c")[0].globalId == global_id
    assert wire.get("Volume/~a.b.c").error["name"] == "objectDoesNotExist"
    assert wire.get(f"Volume/{global_id}").error["name"] == "objectDoesNotExist"
    assert checked(api, "volumeList", f"~{global_id}")[0].name == "a.b.c"


def test_escaped_names_are_not_unescaped(sim, wire):
    sim.volume("#x")
    assert wire.get("Volume/#x").data[0]["name"] == "#x"
    assert wire.get("Volume/%23x").error["name"] in ("invalidParam", "objectDoesNotExist")


@pytest.mark.parametrize("name", ["a", "a" * 199])
def test_shortest_and_longest_name(sim, api, name):
    sim.volume(name)
    assert checked(api, "volumeList", name)[0].name == name


def test_snapshot_names(sim, api, wire):
    sim.volume("vol")
    auto = checked(api, "snapshotCreate", "vol", {}).autoName
    assert "@" in auto
    assert checked(api, "snapshotList", auto)[0].name == auto
    checked(api, "snapshotDelete", auto)
    assert wire.get("SnapshotsList").data[0]["name"] == f"*{auto}"
    assert wire.get(f"Snapshot/*{auto}").data[0]["deleted"] is True


def test_attached_snapshot_with_at_is_none_to_the_bindings(sim, api, wire):
    """The trap that breaks AttachDB: the bindings' type of `volume` does not know snapshots' names."""
    sim.volume("vol")
    auto = checked(api, "snapshotCreate", "vol", {}).autoName
    sim.reassign({"snapshot": auto, "ro": [1]})
    assert wire.get("AttachmentsList").data[0]["volume"] == auto
    (row,) = api.attachmentsList()
    assert (row.volume, row.snapshot, row.client) == (None, True, 1)


def test_bindings_strip_nulls(sim, api):
    """What a caller leaves out never stands on the wire as null."""
    api.volumeCreate({"name": "vol", "size": 512, "template": None, "tags": {"a": "b"}, "bw": None})
    api.volumesReassignWait(
        {"reassign": [{"volume": "vol", "rw": [1], "ro": None, "detach": None}], "attachTimeout": None}
    )
    bodies = [json.loads(r["body"]) for r in sim.requests() if r["method"] == "POST"]
    assert bodies == [
        {"name": "vol", "size": 512, "tags": {"a": "b"}},
        {"reassign": [{"volume": "vol", "rw": [1], "force": False}]},
    ]


@pytest.mark.parametrize("query", ["?json=%7B%7D", "?json=%7B%22a%22%3A1%7D", "?"])
def test_query_string_is_not_part_of_the_name(wire, query):
    """Bindings put a GET's arguments there; no call that is served has any."""
    assert wire.get(f"VolumesList{query}").data == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/ctrl/1.0/",
        "/ctrl/1.0/NoSuchCall",
        "/ctrl/2.0/VolumesList",
        "/ctrl/1.0/Volume",
        "/ctrl/1.0/VolumesList/x",
    ],
)
def test_unknown_targets(wire, version, target):
    status, _, body = by_hand(wire, version, "Host: x\r\n", f"GET {target}")
    assert status.split()[1] == "404"
    assert json.loads(body)["error"]["name"]


@pytest.mark.parametrize(
    ("method", "call"),
    [("GET", "VolumeCreate"), ("POST", "VolumesList"), ("DELETE", "Volume/vol"), ("PUT", "VolumeCreate")],
)
def test_wrong_method(wire, method, call):
    reply = wire.request(method, f"/ctrl/1.0/{call}", b"" if method != "GET" else None)
    assert reply.status in (404, 405) and reply.error["name"]


def test_remote_command(sim, api, wire):
    """The bindings' clusterName; a cluster nobody knows is an error."""
    sim.volume("vol")
    (cluster,) = wire.get("MultiCluster/AllClusters/VolumesList").data["clusters"]
    assert [v["name"] for v in cluster["response"]["data"]] == ["vol"]
    for name in (cluster["clusterName"], f"~{cluster['clusterId']}"):
        assert [v.name for v in checked(api, "volumesList", clusterName=name)] == ["vol"]
        assert sim.requests()[-1]["target"] == f"/ctrl/1.0/RemoteCommand/{name}/VolumesList"
    with pytest.raises(spapi.ApiError):
        api.volumesList(clusterName="elsewhere")


def test_request_log_is_verbatim(sim, wire):
    body = b' { "name" : "vol","size":512 } '
    wire.request("POST", "/ctrl/1.0/MultiCluster/VolumeCreate", body, headers={"X-Odd": "  Value "})
    entry = sim.requests()[-1]
    assert (entry["method"], entry["target"], entry["body"]) == (
        "POST",
        "/ctrl/1.0/MultiCluster/VolumeCreate",
        body.decode(),
    )
    assert (entry["call"], entry["status"], entry["error"]) == ("VolumeCreate", 200, None)
    headers = dict(entry["headers"])
    assert headers["X-Odd"].strip() == "Value"
    assert headers["Content-Length"] == str(len(body))
