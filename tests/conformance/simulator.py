# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""storpool-sim as a process, steered through its own command line."""

import concurrent.futures
import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from storpool import spapi

from devices import Host
from waiting import wait_until
from wire import Wire

PROGRAM = os.environ.get("SPVIRT_SIMULATOR", "storpool-sim")
START = 10.0
STOP = 10.0
MIB = 1 << 20


class Simulator:
    """One simulated cluster; its state outlives the process."""

    def __init__(self, state: Path, token: str = "1556129910218014736"):
        self.state = state
        self.token = token
        self.process = None
        self.host_name = "127.0.0.1"
        self.port = 0

    def start(self, *options: str):
        """Starts the process; returns when it says that it is ready."""
        # The port stays the same over a restart.
        command = [PROGRAM, "serve", "--state", self.state, "--listen", f"127.0.0.1:{self.port}"]
        # If we are killed, it is told to end, and frees its devices.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command, "--token", self.token, *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(START), "storpool-sim says nothing"
        line = self.process.stdout.readline()
        assert line.startswith("ready http://"), f"storpool-sim said {line!r}"
        address = urlsplit(line.split()[1])
        self.host_name, self.port = address.hostname, address.port

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Ends the process; returns its exit status."""
        self.process.send_signal(with_signal)
        try:
            return self.process.wait(STOP)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.process = None

    @contextlib.contextmanager
    def running(self, *options: str):
        """The process, for a while; it must end well unless the test has ended it."""
        self.start(*options)
        try:
            yield self
        finally:
            if self.process is not None:
                status = self.stop()
                assert status == 0, f"storpool-sim ended with {status}"
            elif self.loop_devices():
                # It was killed on purpose: its successor frees what it left.
                self.start()
                self.stop()
        # The kernel frees a device that somebody (udev) looks at when it is closed.
        wait_until(lambda: not self.loop_devices(), "no loop device is left behind")

    def control(self, *arguments) -> str:
        """Runs a command of storpool-sim against this server; returns what it prints."""
        words = [str(word) for word in arguments]
        command = [PROGRAM, *words, "--server", f"{self.host_name}:{self.port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    # What the tests need of the command line, in one place.

    def add_client(self, client: int):
        root = self.host(client).root
        root.mkdir(parents=True, exist_ok=True)
        self.control("client", "add", client, root)

    def client(self, client: int, verb: str, *more):
        """up, down, lag MS"""
        self.control("client", verb, client, *more)

    def switch(self, name: str, value: str):
        self.control("switch", "set", f"{name}={value}")

    def switches(self) -> dict[str, str]:
        """All switches and what they are set to."""
        return json.loads(self.control("switch", "list"))

    def fault(self, call: str, kind: str, *parameters: str, count: int = 1, skip: int = 0):
        self.control("fault", "set", call, kind, *parameters, "--count", count, "--skip", skip)

    def requests(self, since: int = 0) -> list[dict]:
        """The request log, oldest first."""
        return json.loads(self.control("requests", "--since", since))

    def wait_for_requests(self, since: int, count: int):
        """Until so many requests have been answered."""
        wait_until(lambda: len(self.requests(since)) >= count, f"{count} requests")

    def violations(self) -> list[dict]:
        """What the monitor saw: volumes open for writing at two clients."""
        return json.loads(self.control("monitor"))

    # Ways to talk to it.

    def host(self, client: int) -> Host:
        return Host(client, self.state.parent / f"client{client}")

    @property
    def wire(self) -> Wire:
        return Wire(self.host_name, self.port, self.token)

    def bindings(self, **options) -> spapi.Api:
        options = {"auth": self.token, "transientSleep": lambda retry: 0, "timeout": 30, **options}
        return spapi.Api(host=self.host_name, port=self.port, **options)

    def loop_devices(self) -> list[str]:
        """Loop devices whose file lies in our state folder."""
        listing = subprocess.run(
            ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
            capture_output=True,
            text=True,
            check=True,
        )
        ours = (line.split(None, 1) for line in listing.stdout.splitlines())
        return [name for name, file in ours if file.startswith(f"{self.state}/")]

    @staticmethod
    def background(call) -> concurrent.futures.Future:
        """Runs `call()` in a thread of its own, which does not outlive the test run."""
        future = concurrent.futures.Future()

        def run():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    # Shorthand for the state that most tests begin with.

    def volume(self, name: str, size: int = 16 * MIB) -> str:
        """Makes a volume; returns its global id."""
        return self.wire.post("VolumeCreate", {"name": name, "size": size}).data["globalId"]

    def snapshot(self, volume: str, name: str | None = None) -> str:
        """Takes a snapshot; returns its global id."""
        body = {"name": name} if name else {}
        return self.wire.post(f"VolumeSnapshot/{volume}", body).data["snapshotGlobalId"]

    def reassign(self, *items, timeout: int | None = None, call: str = "VolumesReassignWait"):
        """Attaches and detaches."""
        body = {"reassign": list(items)}
        if timeout is not None:
            body["attachTimeout"] = timeout
        return self.wire.post(call, body)

    def attachments(self) -> list[tuple[str, int, str]]:
        """Who has what: (name, client, rights), sorted."""
        rows = self.wire.get("AttachmentsList").data
        return sorted((row["volume"], row["client"], row["rights"]) for row in rows)


def elapsed(since: float) -> float:
    """Seconds since a reading of the monotonic clock."""
    return time.monotonic() - since
