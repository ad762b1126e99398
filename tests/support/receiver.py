"""A merchant's server on a real socket: keeps what it was sent, and answers as it is told.

async with receiver() as shop:                     answers 200
    …endpoint at shop.url…
    await until(lambda: len(shop.got) == 3)

async with receiver(answering(b"HTTP/1.1 410 Gone\\r\\n…")) as shop: …

How it misbehaves is a function of `tests.providers.peers`, or one of the same form.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from msgspec import Struct

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Received(Struct):
    """One request: its path with query, its headers in lower case, its body, and when it was there (monotonic)."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class Receiver:
    """What a receiver was sent, and where it listens."""

    def __init__(self, behave: Behave | None) -> None:
        self.behave = behave
        self.got: list[Received] = []
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept open as long as the peer likes."""
        self.connections += 1
        with suppress(
            ConnectionError, asyncio.IncompleteReadError, RuntimeError
        ):  # the last: uvloop's, of a closed one
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._answer(head, reader, writer)
                if self.behave is not None:
                    break
        writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.got.append(Received(first.split(" ")[1], headers, body, asyncio.get_running_loop().time()))
        if self.behave is not None:
            await self.behave(reader, writer)
            return
        writer.write(OK)
        await writer.drain()


@asynccontextmanager
async def receiver(behave: Behave | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver while the block runs. `behave` is given each connection once a request was read from it."""
    made = Receiver(behave)
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks?shop=7"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(data: bytes, *, ends: bool = True) -> Behave:
    """Answers these bytes, and closes, or says no more."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if not ends:
            await reader.read()

    return behave


def status(line: str, *, body: bytes = b"", **headers: str) -> Behave:
    """Answers a status such as "410 Gone"."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {line}\r\n{fields}content-length: {len(body)}\r\n\r\n"
    return says(head.encode() + body)


def drips(data: bytes, pause_s: float = 0.05) -> Behave:
    """A byte at a time, and then the same again, for ever."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(pause_s)

    return behave


def floods(head: bytes) -> Behave:
    """An answer without end, as fast as it is taken."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    return behave


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads, and never answers."""
    await reader.read()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes without an answer."""
    writer.transport.abort()
