# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that tests/config/cases.json tells the truth about the official readers.

The Rust test proves that spvirt reads every case as its column `us` says. This script gives the same files
to the readers themselves, unmodified, and compares the other columns:

  bindings  storpool.spconfig.SPConfig with its confget
  regex     the same with confget's `ini-regex`, which is how confget before version 5 read
  os_brick  os_brick.initiator.storpool_utils.get_conf

Exit code 0 if every column of every case is right.
"""

import configparser
import contextlib
import json
import locale
import os
import pathlib
import sys
import tempfile
import types
from unittest import mock

import confget
from os_brick import exception as brick_exception
from os_brick.initiator import storpool_utils
from storpool import spconfig

CASES = pathlib.Path(__file__).resolve().parents[2] / "config" / "cases.json"


def lay_out(root: pathlib.Path, files: dict[str, str | None]) -> None:
    """Writes the files of a case; a name that ends in a slash is a folder."""
    (root / "storpool.conf.d").mkdir()
    for name, content in files.items():
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content.encode("latin-1"))


def bindings(root: pathlib.Path) -> dict[str, str] | str:
    """What StorPool's Python bindings read."""

    class Config(spconfig.SPConfig):
        PATH_CONFIG = str(root / "storpool.conf")
        PATH_CONFIG_DIR = str(root / "storpool.conf.d")

    try:
        return without(dict(Config().items()), spconfig.DEFAULTS)
    except spconfig.SPConfigException:
        return "error"


def regex(root: pathlib.Path) -> dict[str, str] | str:
    """What the bindings read with confget's older backend."""
    with mock.patch.dict(confget.BACKENDS, {"ini": confget.BACKENDS["ini-regex"]}):
        return bindings(root)


def os_brick(root: pathlib.Path) -> dict[str, str | None] | str:
    """What OpenStack's connector reads. Its paths are fixed, so only where they lead is replaced."""
    etc = types.SimpleNamespace(Path=lambda path: root / pathlib.Path(path).relative_to("/etc"))
    try:
        with mock.patch.object(storpool_utils, "pathlib", etc):
            return without(storpool_utils.get_conf(), storpool_utils.STORPOOL_CONF_DEFAULTS)
    except (configparser.Error, UnicodeDecodeError, brick_exception.BrickException):
        return "error"


def without(values: dict[str, str], defaults: dict[str, str]) -> dict[str, str]:
    """The values that the files or the environment have set."""
    return {key: value for key, value in values.items() if key not in defaults or defaults[key] != value}


READERS = (bindings, regex, os_brick)


def measure(case: dict) -> dict[str, dict | str]:
    """All columns of one case, as the readers really are."""
    with contextlib.ExitStack() as stack:
        root = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lay_out(root, case["files"])
        stack.enter_context(mock.patch("platform.node", return_value="h"))
        stack.enter_context(mock.patch.dict(os.environ))
        for key in spconfig.ENV_OVERRIDE:
            os.environ.pop(key, None)
        os.environ.update(case.get("env", {}))
        return {reader.__name__: reader(root) for reader in READERS}


def main() -> int:
    """Compares everything and reports every difference."""
    if locale.nl_langinfo(locale.CODESET) != "UTF-8":
        print("run me with LC_ALL=C.UTF-8: the readers decode as the locale says", file=sys.stderr)
        return 1
    cases = json.loads(CASES.read_text(encoding="utf-8"))["cases"]
    wrong = 0
    for case in cases:
        for reader, actual in measure(case).items():
            told = case["us"] if case[reader] == "same" else case[reader]
            if told != actual:
                wrong += 1
                print(f"{case['name']}: {reader}: the table says {told!r}, it reads {actual!r}", file=sys.stderr)
    print(f"{len(cases)} cases, {len(READERS)} official readers each, {wrong} differences")
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
