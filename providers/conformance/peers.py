"""Servers that misbehave: each answers the requests it was told answers for, and then does something wrong."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from providers.connections import BODY_LIMIT
from providers.contract import HttpResponse

Misbehaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """How many requests came, in the order in which they did, over all connections."""

    def __init__(self, answers: Sequence[HttpResponse], then: Misbehaviour) -> None:
        self.requests = 0
        self._answers, self._then = answers, then

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while await _read_request(reader):
                self.requests += 1
                if self.requests > len(self._answers):
                    await self._then(reader, writer)
                    return
                writer.write(written(self._answers[self.requests - 1]))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left first, as it may
        finally:
            writer.close()


@asynccontextmanager
async def serving(answers: Sequence[HttpResponse], then: Misbehaviour) -> AsyncIterator[tuple[str, Peer]]:
    """A peer on a free port, and its address."""
    peer = Peer(answers, then)
    server = await asyncio.start_server(peer.connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", peer
    finally:
        server.close()


def written(response: HttpResponse) -> bytes:
    """An answer as it stands on the wire."""
    known = {status.value: status.phrase for status in HTTPStatus}
    lines = [f"HTTP/1.1 {response.status} {known.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return "\r\n".join([*lines, f"content-length: {len(response.content)}", "", ""]).encode() + response.content


def writing(data: bytes) -> Misbehaviour:
    """Write something, and close."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await reader.read()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# What becomes of a request that was received, without an answer that could be read.
FAULTS: Final[dict[str, Misbehaviour]] = {
    "the connection is closed": writing(b""),
    "the connection is reset": resets,
    "half of a head": writing(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "no HTTP": writing(b"\x16\x03\x01 nonsense\r\n\r\n"),
    "less than was promised": writing(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"status":'),
    "3 MB": writing(written(HttpResponse(status=200, content=b" " * (3 * BODY_LIMIT)))),
    "compressed": writing(written(HttpResponse(status=200, headers={"content-encoding": "gzip"}, content=b"\x1f\x8b"))),
}


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """One request with its body, or nothing when the connection ends."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)
