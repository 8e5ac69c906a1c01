# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a host sees of its attachments: links, sizes, the read-only flag, open devices."""

import contextlib
import fcntl
import os
import stat
import struct
from pathlib import Path

BLKROGET = 0x125E
BLKGETSIZE64 = 0x80081272


class Host:
    """The /dev of one simulated client."""

    def __init__(self, client: int, root: Path):
        self.client = client
        self.root = root

    def by_name(self, name: str) -> Path:
        return self.root / "storpool" / name

    def by_id(self, global_id: str) -> Path:
        return self.root / "storpool-byid" / global_id

    def names(self) -> set[str]:
        return _entries(self.root / "storpool")

    def ids(self) -> set[str]:
        return _entries(self.root / "storpool-byid")

    def nodes(self) -> set[str]:
        return {entry for entry in _entries(self.root) if entry.startswith("sp-")}


def _entries(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()


@contextlib.contextmanager
def opened(path: Path, flags: int = os.O_RDONLY):
    """The device, open."""
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_block(path: Path) -> bool:
    """Whether the path leads to a block device."""
    return path.exists() and stat.S_ISBLK(path.stat().st_mode)


def number(path: Path) -> int:
    """Device number behind the path."""
    return path.stat().st_rdev


def size(path: Path) -> int:
    """Size of the device in bytes."""
    with opened(path) as descriptor:
        return struct.unpack("Q", fcntl.ioctl(descriptor, BLKGETSIZE64, bytes(8)))[0]


def is_read_only(path: Path) -> bool:
    """The device's read-only flag."""
    with opened(path) as descriptor:
        return struct.unpack("i", fcntl.ioctl(descriptor, BLKROGET, bytes(4)))[0] != 0
