# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Requests written by hand, for what no official client would ever send."""

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any

API = "/ctrl/1.0"


@dataclass
class Reply:
    """What came back: status line, headers (names in lower case), body."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """The payload of a success."""
        assert self.status == 200 and "error" not in self.json, self
        return self.json["data"]

    @property
    def error(self) -> dict[str, Any]:
        """The error member of a refusal."""
        assert "error" in self.json and "data" not in self.json, self
        return self.json["error"]


@dataclass
class Wire:
    """A way to one server with one token."""

    host: str
    port: int
    token: str

    def request(self, method, target, body=None, *, headers=None, auth=True) -> Reply:
        """One HTTP/1.1 request; a body that is not bytes is sent as JSON, null members and all."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = {"Authorization": f"Storpool v1:{self.token}"} if auth else {}
        sent.update(headers or {})
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, target, body, sent)
            with connection.getresponse() as reply:
                names = {name.lower(): value for name, value in reply.getheaders()}
                return Reply(f"1.{reply.version - 10}", reply.status, names, reply.read())

    def get(self, call, **more) -> Reply:
        return self.request("GET", f"{API}/{call}", **more)

    def post(self, call, body=None, **more) -> Reply:
        return self.request("POST", f"{API}/{call}", body, **more)

    def raw(self, data: bytes) -> bytes:
        """Sends bytes on a fresh connection; returns all that comes until the server closes it."""
        with socket.create_connection((self.host, self.port), timeout=10) as connection:
            connection.sendall(data)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)
