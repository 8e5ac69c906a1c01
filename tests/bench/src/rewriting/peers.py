# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same two changes by the tools that people use for them: xml.etree and lxml.

Reads a line "TOOL TASK FILE TIMES" and answers with the seconds that this took, until its input ends. With a line as
its arguments it writes the changed document to standard output: a whole process, as a script would be.
"""

import sys
import time
import xml.etree.ElementTree

NAMED = "/dev/storpool/vol-"
IDS = {}


def by_id(disks):
    for disk in disks:
        source = disk.find("source")
        path = source.get("dev") if source is not None else None
        if path is not None and path.startswith(NAMED):
            source.set("dev", "/dev/storpool-byid/" + IDS[path])


def tune(disks):
    for disk in disks:
        source = disk.find("source")
        path = source.get("dev") if source is not None else None
        if path is not None and path.startswith(NAMED):
            driver = disk.find("driver")
            driver.set("cache", "none")
            driver.set("io", "native")
            driver.set("discard", "unmap")


TASKS = {"by-id": by_id, "tune": tune}


def etree(task, text):
    root = xml.etree.ElementTree.fromstring(text)
    TASKS[task](root.iterfind("devices/disk"))
    return xml.etree.ElementTree.tostring(root, encoding="utf-8")


def with_lxml(task, text):
    from lxml import etree as lxml

    root = lxml.fromstring(text, lxml.XMLParser(huge_tree=True))
    TASKS[task](root.iterfind("devices/disk"))
    return lxml.tostring(root, encoding="utf-8")


TOOLS = {"etree": etree, "lxml": with_lxml}


def run(tool, task, path, times):
    with open(path, "rb") as file:
        text = file.read()
    if task == "by-id" and len(IDS) < text.count(b"<disk "):
        IDS.update((NAMED + str(n), "d.n." + str(n)) for n in range(text.count(b"<disk ")))
    began = time.perf_counter()
    for _ in range(int(times)):
        changed = TOOLS[tool](task, text)
    return time.perf_counter() - began, changed


if len(sys.argv) > 1:
    sys.stdout.buffer.write(run(*sys.argv[1:])[1])
else:
    for line in sys.stdin:
        # The last word is a file for what came out, to compare it, or "-".
        *request, result = line.split()
        seconds, changed = run(*request)
        if result != "-":
            with open(result, "wb") as file:
                file.write(changed)
        print(seconds, flush=True)
