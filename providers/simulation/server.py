"""A small HTTP/1.1 server whose handlers may also hang or reset the connection.

Why not an ASGI server: ASGI offers a handler no way to reset a connection, nor to know its socket, and the faults that
matter most to a payment gateway are exactly these. h11 (httpx's own parser) reads the requests, asyncio does the rest.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Literal, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import msgspec
from msgspec import Struct

BODY_LIMIT: Final = 1024 * 1024
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST

_T = TypeVar("_T")


class Request(Struct, frozen=True, kw_only=True):
    """A request, whole; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes

    def read(self, kind: type[_T]) -> _T:
        """The body, decoded; what cannot be decoded is answered 400 by the simulator."""
        return msgspec.json.decode(self.content, type=kind)


class Reply(Struct, frozen=True, kw_only=True):
    """What is answered, `delay_s` seconds (paced) after the request was handled; or what happens instead."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = {}
    delay_s: float = 0
    fate: Literal["answer", "hang", "reset"] = "answer"


HANG: Final = Reply(fate="hang")  # the request was handled; nothing is ever answered
RESET: Final = Reply(fate="reset")  # the request was handled; the connection is reset


def json(value: object, status: int = 200, *, delay_s: float = 0) -> Reply:
    """A JSON answer."""
    content = msgspec.json.encode(value)
    return Reply(status=status, content=content, headers={"content-type": "application/json"}, delay_s=delay_s)


def html(page: str, status: int = 200) -> Reply:
    """A page for a browser."""
    return Reply(status=status, content=page.encode(), headers={"content-type": "text/html; charset=utf-8"})


def see_other(url: str) -> Reply:
    """Send a browser on."""
    return Reply(status=303, headers={"location": url})


class Server:
    """Listens on one port and hands each request to `handle`."""

    def __init__(self, handle: Callable[[Request], Awaitable[Reply]]) -> None:
        self._handle = handle
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; answers the port, which matters when `port` is 0."""
        self._server = await asyncio.start_server(self._accept, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connected(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, h11.RemoteProtocolError):
            pass  # the client left, or speaks no HTTP: nothing to answer and nobody to tell
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while (request := await _read(connection, reader)) is not None:
            reply = await self._handle(request)
            if reply.fate == "hang":
                await reader.read()  # until the client gives up
                return
            if reply.fate == "reset":
                _reset(writer)
                return
            writer.write(_written(connection, reply))
            await writer.drain()
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    """The next request, or None when the client closes the connection."""
    head: h11.Request | None = None
    content = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > BODY_LIMIT:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _request(head, bytes(content))
        else:
            return None


def _request(head: h11.Request, content: bytes) -> Request:
    target = urlsplit(head.target.decode("latin-1"))
    return Request(
        method=head.method.decode(),
        path=unquote(target.path),
        query=dict(parse_qsl(target.query, keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
        content=content,
    )


def _written(connection: h11.Connection, reply: Reply) -> bytes:
    headers = [*reply.headers.items(), ("content-length", str(len(reply.content)))]
    head = h11.Response(status_code=reply.status, headers=headers, reason=HTTPStatus(reply.status).phrase)
    parts = [connection.send(event) for event in (head, h11.Data(data=reply.content), h11.EndOfMessage())]
    return b"".join(part for part in parts if part)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST. The option is set on a duplicate, since uvloop lends no real socket object."""
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()
