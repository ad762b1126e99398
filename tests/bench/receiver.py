"""A merchant's server for the bench: `python -m tests.bench.receiver PORT`.

It answers 200, hangs on /hang, and tells on GET /seen when each event (or the payment that it is about) has arrived
since it was asked last.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

HANG_S = 30.0


class _Server(asyncio.Protocol):
    """Counts what it is sent; one request at a time on each connection."""

    seen: dict[str, float] = {}  # noqa: RUF012 - one for all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._buffer = b""
        if head.startswith(b"GET"):
            content = json.dumps(_Server.seen).encode()
            _Server.seen = {}
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
        elif head.startswith(b"POST /hang"):
            asyncio.get_running_loop().call_later(HANG_S, self._answer)
        else:
            _Server.seen.setdefault(_name(head, body), time.time())
            self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return int(next((line[15:] for line in lines if line.startswith(b"content-length:")), b"0"))


def _name(head: bytes, body: bytes) -> str:
    """The payment that an event is about, or the event."""
    about = json.loads(body).get("data")
    if about is not None:
        return str(about["object"]["id"])
    lines = head.decode().split("\r\n")
    return next(line[11:].strip() for line in lines if line.lower().startswith("webhook-id:"))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
