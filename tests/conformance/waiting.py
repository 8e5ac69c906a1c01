# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The one way in which these tests wait: for a condition, with a deadline."""

import threading
import time

_NEVER = threading.Event()


def wait_until(condition, what: str, seconds: float = 5.0):
    """Returns the first true value of `condition()`; fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        _NEVER.wait(0.02)
