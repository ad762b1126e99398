"""A TCP proxy that lies: one `Link` stands in front of each server, and has a `Weather`. The words are toxiproxy's.

| weather | what happens to the bytes |
|---|---|
| latency | each piece is held for `latency_s`, and up to `jitter_s` more; order is kept |
| reset | every connection that is open is reset, and `reset_p` of those that follow, in the middle of an exchange |
| drop reply | the server gets the request; in place of `drop_p` of the answers' pieces the connection ends |
| slice | pieces are cut into crumbs of up to `slice_bytes` |
| black hole | connections are taken, and nothing that is sent arrives, either way, ever |
| down | connections are refused |
| stall | connections are neither taken nor refused: who connects waits |
"""

import asyncio
import os
import random
import socket
import struct
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

LINGER_ZERO = struct.pack("ii", 1, 0)
QUEUE_MOST = 4  # connections that fill the queue of a listener whose backlog is 0
PAUSE_BYTES = 1 << 20  # waiting in one direction, at which the sender is paused


@dataclass(frozen=True)
class Weather:
    """What a link does to what it carries; the default is nothing."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    reset_p: float = 0.0
    drop_p: float = 0.0
    slice_bytes: int = 0
    black_hole: bool = False
    down: bool = False
    stall: bool = False


FAIR = Weather()


class _Side(asyncio.Protocol):
    """One end of a proxied connection; what it receives goes to `other`."""

    def __init__(self, link: "Link", other: "_Side | None" = None) -> None:
        self.link, self.other, self.is_client = link, other, other is None
        self.transport: Any = None
        self.early: list[bytes] = []  # what the client sent before the server was reached
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.is_client:
            self.link.sides.add(self)
            self.link.spawn(self._open())
        else:
            assert self.other is not None
            self.other.other = self
            if self.other.transport.is_closing():
                self.transport.abort()
            self.transport.write(b"".join(self.other.early))

    async def _open(self) -> None:
        """Connect to the server behind."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Side(self.link, self), *self.link.upstream())
        except OSError:
            self.reset()

    def data_received(self, data: bytes) -> None:
        weather = self.link.weather
        if weather.black_hole:
            self.link.doomed.add(self)  # bytes are missing: nothing sensible can follow on this connection
            return
        if self in self.link.doomed:
            return
        dice = self.link.dice
        lost = dice.random() < weather.reset_p or (not self.is_client and dice.random() < weather.drop_p)
        if lost:
            self.link.counts["reset" if self.is_client else "drop_reply"] += 1
            self.reset()
            return
        self._carry(data, weather)

    def _carry(self, data: bytes, weather: Weather) -> None:
        if not weather.latency_s and not weather.slice_bytes and not self._waiting:
            self._write(data)
            return
        loop = asyncio.get_running_loop()
        crumb = weather.slice_bytes or len(data)
        for start in range(0, len(data), crumb):
            delay = weather.latency_s + self.link.dice.random() * weather.jitter_s
            self._last = max(self._last, loop.time() + delay)
            self._waiting.append((self._last, data[start : start + crumb]))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > PAUSE_BYTES:
            self.transport.pause_reading()
        self._plan(loop)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._deliver)

    def _deliver(self) -> None:
        """Pass on one piece: crumbs leave in different rounds of the loop, so that they arrive as crumbs."""
        self._timer = None
        if not self._waiting:
            return
        _, piece = self._waiting.popleft()
        self._waiting_bytes -= len(piece)
        self._write(piece)
        if self._waiting_bytes <= PAUSE_BYTES and not self._ended and not self.transport.is_closing():
            self.transport.resume_reading()
        if self._waiting:
            self._plan(asyncio.get_running_loop())
        elif self._ended and self.other is not None:
            self.other.transport.close()

    def _write(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self.link.sides.discard(self)
        self.link.doomed.discard(self)
        if not self._waiting and self.other is not None:
            self.other.transport.close()

    def reset(self) -> None:
        """End both halves with RST, whatever is under way."""
        for side in (self, self.other):
            if side is not None and not side.transport.is_closing():
                # The option is set on a duplicate, since uvloop lends no real socket object.
                with socket.socket(fileno=os.dup(side.transport.get_extra_info("socket").fileno())) as same:
                    same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
                side.transport.abort()


class Link:
    """A port in front of a server, or of several, one of which each connection gets."""

    def __init__(self, name: str, upstreams: list[int], seed: str) -> None:
        self.name, self.port, self._upstreams = name, 0, upstreams
        self.dice = random.Random(f"{seed}/{name}")
        self.weather = FAIR
        self.sides: set[_Side] = set()
        self.doomed: set[_Side] = set()
        self.counts = {"reset": 0, "drop_reply": 0}
        self._server: asyncio.Server | None = None
        self._full: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def upstream(self) -> tuple[str, int]:
        """Where the next connection goes."""
        return "127.0.0.1", self.dice.choice(self._upstreams)

    def spawn(self, work: Any) -> None:
        """Run in the background."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def open(self, port: int = 0) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self), "127.0.0.1", port or self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def turn(self, **changes: Any) -> None:
        """Change the weather."""
        before, self.weather = self.weather, replace(self.weather, **changes)
        closed, was_closed = self.weather.down or self.weather.stall, before.down or before.stall
        if closed and not was_closed:
            await self.close()
            self._full = _full_queue(self.port) if self.weather.stall else []
        if was_closed and not closed:
            for each in self._full:
                each.close()
            await self.open()
        if before.black_hole and not self.weather.black_hole:
            for side in list(self.doomed):
                side.reset()

    async def heal(self) -> None:
        """Fair weather again."""
        await self.turn(**vars(FAIR))

    def reset_all(self) -> int:
        """Reset every open connection; how many there were."""
        found = list(self.sides)
        for side in found:
            side.reset()
        return len(found)

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset_all()


def _full_queue(port: int) -> list[socket.socket]:
    """A listener whose queue is full, with what fills it: the kernel answers no further connection (listen(2))."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    sockets = [listener]
    for _ in range(QUEUE_MOST):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        sockets.append(filler)
    return sockets
