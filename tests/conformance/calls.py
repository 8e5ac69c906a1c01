# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The calls of the official bindings, as the bindings describe them."""

from storpool import spapi

# Python names of the calls that the simulator serves.
SERVED = frozenset(
    [
        "volumesList",
        "volumeList",
        "volumeDescribe",
        "volumeInfo",
        "volumesStatus",
        "volumesQuickStatus",
        "volumesSpace",
        "volumeListSnapshots",
        "volumeCreate",
        "volumeUpdate",
        "volumeDelete",
        "volumeRevert",
        "snapshotsList",
        "snapshotList",
        "snapshotDescribe",
        "snapshotInfo",
        "snapshotsSpace",
        "snapshotCreate",
        "snapshotCreateGroup",
        "snapshotUpdate",
        "snapshotDelete",
        "snapshotDeleteById",
        "volumeTemplatesList",
        "volumeTemplateDescribe",
        "volumeTemplateCreate",
        "volumeTemplateUpdate",
        "volumeTemplateDelete",
        "attachmentsList",
        "volumesReassign",
        "volumesReassignWait",
        "servicesList",
        "clientsConfigDump",
        "clientConfigWait",
    ]
)

# A value for each argument that can stand in a path.
ARGUMENTS = {
    "volumeName": "vol", "snapshotName": "snap", "templateName": "tmpl", "clientId": 1, "serverId": 1, "diskId": 1,
    "placementGroupName": "pg", "vagName": 1, "globalVolumeId": "a.b.c", "bucketName": "b", "keyName": "k",
}  # fmt: skip


def documented() -> dict[str, tuple[str, str]]:
    """Every API call of the bindings: its method and its path with names in braces for arguments."""
    found = {}
    for name, call in vars(spapi.Api).items():
        first_line = (getattr(call, "__doc__", None) or "").partition("\n")[0]
        if callable(call) and first_line.startswith("HTTP: "):
            _, method, path = first_line.split()
            found[name] = (method, path)
    return found


def has_multicluster(name: str) -> bool:
    """Whether the bindings know a MultiCluster/ form of the call."""
    return "/MultiCluster/" in documented()[name][1]


def at(name: str, multicluster: bool = False) -> tuple[str, str]:
    """Method and request target of the call, with sample arguments."""
    method, path = documented()[name]
    path = path.replace("/MultiCluster/", "/").format(**ARGUMENTS)
    return method, path.replace("/ctrl/1.0/", "/ctrl/1.0/MultiCluster/") if multicluster else path


def checked(api: spapi.Api, name: str, *arguments, **options):
    """
    Calls the API and reads the reply by the bindings' own types. The bindings hide what does not fit, as
    None; here it is an error.
    """
    method = getattr(api, name)
    reply = method(*arguments, returnRawAPIData=True, **options)
    return method.__globals__["returns"](reply)
