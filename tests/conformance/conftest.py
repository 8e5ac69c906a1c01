# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The simulated cluster, a client's /dev and /etc, and the official clients on top."""

import os
import signal
from pathlib import Path

import pytest

# pytest explains the asserts of these, too.
pytest.register_assert_rewrite("waiting", "wire", "simulator")

from simulator import Simulator  # noqa: E402 (they must be registered before they are imported)

# A polite end, wherever a test stands: fixtures are torn down, the simulator frees its devices.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def namespace():
    """All tests run in a mount namespace that is theirs: they write to /dev and /etc."""
    if "SPVIRT_CONFORMANCE_NAMESPACE" not in os.environ:
        pytest.exit("start these tests with tests/conformance/run", returncode=4)


@pytest.fixture
def sim(tmp_path):
    """A fresh cluster with clients 1 and 2, each with a /dev of its own."""
    simulator = Simulator(tmp_path / "cluster")
    with simulator.running():
        simulator.add_client(1)
        simulator.add_client(2)
        yield simulator


@pytest.fixture
def wire(sim):
    return sim.wire


@pytest.fixture
def api(sim):
    """The official bindings, which do not dawdle between retries."""
    return sim.bindings()


@pytest.fixture
def host(sim):
    """Client 1."""
    return sim.host(1)


@pytest.fixture
def other(sim):
    """Client 2."""
    return sim.host(2)


@pytest.fixture
def this_host(sim, host):
    """Makes this machine client 1: /dev/storpool*, /etc/storpool.conf."""
    links = {
        Path("/dev/storpool"): host.root / "storpool",
        Path("/dev/storpool-byid"): host.root / "storpool-byid",
    }
    conf = Path("/etc/storpool.conf")
    for link, target in links.items():
        link.symlink_to(target)
    conf.write_text(
        f"SP_AUTH_TOKEN={sim.token}\nSP_API_HTTP_HOST={sim.host_name}\nSP_API_HTTP_PORT={sim.port}\n"
        f"[{os.uname().nodename}]\nSP_OURID=1\n"
    )
    yield host
    conf.unlink()
    for link in links:
        link.unlink()
