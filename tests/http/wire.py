"""A client that sends exactly the bytes it is given, and reads what comes back."""

import http.client
import json
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

PATIENCE_S = 5.0


class Answer(NamedTuple):
    """One answer: `body` as it was, header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code; fails when this is no problem of ours."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.headers["cache-control"] == "no-store"
        assert self.json["status"] == self.status
        assert self.json["type"] == f"https://pay.example/errors/{self.json['code']}"
        assert self.json["request_id"] == self.headers["request-id"]
        assert self.status != 500, self
        return str(self.json["code"])

    @property
    def error(self) -> tuple[str, str]:
        """Pointer and code of the only violation."""
        (only,) = self.json["errors"]
        return only["pointer"], only["code"]


class Wire:
    """Requests to one server."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def raw(self, *parts: bytes, end: bool = False) -> Answer:
        """Send the bytes and read one answer; `end` closes our side first."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read(connection, without_body=parts[0].startswith(b"HEAD "))

    def ask(self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str | bytes]] = ()) -> Answer:
        """A well-formed request with these headers, Content-Length added for a body."""
        return self.raw(request(method, path, body, headers))

    def post(self, body: bytes, path: str = "/v1/payments", key: str = "k", media: str = "application/json") -> Answer:
        """POST JSON with an Idempotency-Key."""
        return self.ask("POST", path, body, [("Content-Type", media), ("Idempotency-Key", key)])


def request(method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str | bytes]] = ()) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost"]
    lines += [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in headers
    ]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def read(connection: socket.socket, *, without_body: bool = False) -> Answer:
    """Read one answer; one to HEAD comes without its body."""
    response = http.client.HTTPResponse(connection, method="HEAD" if without_body else None)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())
