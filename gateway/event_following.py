"""A merchant's events as they happen: over the stream, or, where an installation has none, by asking the feed.

What is followed is a place in one log, so that a lost connection loses no event: the stream goes on behind the id of
the last event that came (`Last-Event-ID`), the feed behind its cursor. The bytes of an event are the same on both.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from gateway.cli_remote import TIMEOUT_S, Refused, Remote, refusal, unreachable

if TYPE_CHECKING:
    import httpx

POLL_S: Final = 1.0
PAGE: Final = 100
SILENCE_S: Final = 45.0  # three heartbeats of the stream
AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)  # before each try to connect again, the last one repeated
NO_STREAM: Final = (404, 405, 406)
FINAL: Final = frozenset({400, 401, 403, 410})  # asking again changes nothing

Say = Callable[[str], None]


class Told(Struct, frozen=True):
    """An event: what one looks at, and its bytes as every subscriber gets them."""

    id: str
    type: str
    sequence: int
    timestamp: str
    about: str
    body: bytes


class _About(Struct):
    id: str


class _Data(Struct):
    object: _About


class _Event(Struct):
    id: str
    type: str
    sequence: int
    timestamp: str
    data: _Data


class _Page(Struct):
    data: list[msgspec.Raw]
    has_more: bool
    next: str


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events: types or families such as `payment.*` (empty: all), and about which object (None: any)."""

    types: tuple[str, ...] = ()
    object_id: str | None = None

    def takes(self, told: Told) -> bool:
        """Whether it is one of these."""
        if self.object_id is not None and told.about != self.object_id:
            return False
        return not self.types or any(_matches(each, told.type) for each in self.types)

    @property
    def parameters(self) -> dict[str, str]:
        """What an installation narrows them to; `takes` does the rest."""
        narrowed = {} if self.object_id is None else {"object_id": self.object_id}
        return narrowed | ({"type": self.types[0]} if len(self.types) == 1 and self.types != ("*",) else {})


def _matches(pattern: str, kind: str) -> bool:
    return pattern in ("*", kind) or (pattern.endswith(".*") and kind.startswith(pattern[:-1]))


class ServerSent(Struct):
    """One block of a `text/event-stream`."""

    id: str | None = None
    event: str = "message"
    data: str = ""


class _NoStream(Exception):
    """This installation has none."""


class _Lost(Exception):
    """The connection is gone, for the reason in the message; it may come back."""


async def read_stream(lines: AsyncIterator[str]) -> AsyncGenerator[ServerSent, None]:
    """The blocks of an event stream, comments left out (WHATWG HTML, "server-sent events")."""
    block, said = ServerSent(), False
    async for line in lines:
        if not line:
            if said:
                yield block
            block, said = ServerSent(), False
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            block.id, said = value, True
        elif name == "event":
            block.event, said = value, True
        elif name == "data":
            block.data, said = f"{block.data}\n{value}" if block.data else value, True


class Follower:
    """Use `events`. `say` is told what a person should know; `cursor`: where in the feed it begins, None: from now."""

    def __init__(self, remote: Remote, wanted: Wanted, say: Say, *, cursor: str | None = None) -> None:
        self._remote, self._wanted, self._say = remote, wanted, say
        self._cursor, self._last_id = cursor, ""
        self._connected, self._failures = False, 0

    async def events(self) -> AsyncGenerator[Told, None]:
        """For ever. Raises `Refused` where the installation refuses, or cannot be reached at first."""
        follow = self._feed_then_stream if self._cursor == "" else self._stream
        while True:
            try:
                async for told in follow():
                    if self._wanted.takes(told):
                        yield told
            except _NoStream:
                follow = self._poll
            except _Lost as lost:
                await self._wait(str(lost))

    async def _wait(self, why: str) -> None:
        wait_s = AGAIN_S[min(self._failures, len(AGAIN_S) - 1)]
        self._failures += 1
        kept = "" if self._last_id or self._cursor else " What happens until then is not shown."
        self._say(f"{why} Trying again in {wait_s:g} s.{kept}")
        await asyncio.sleep(wait_s)

    def _lost(self, error: Refused) -> Exception:
        """What ends it, or is only waited for: once it has worked, all but a refusal of this very request."""
        return error if not self._connected or error.status in FINAL else _Lost(f"{error}")

    # --- The stream ---------------------------------------------------------------------------------------------------

    async def _feed_then_stream(self) -> AsyncGenerator[Told, None]:
        async for told in self._rest_of_feed():
            yield told
        async for told in self._stream():
            yield told

    async def _stream(self) -> AsyncGenerator[Told, None]:
        import httpx

        headers, place = {"Accept": "text/event-stream"}, {}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        elif self._cursor:
            place["after"] = self._cursor
        request = self._remote.client.stream(
            "GET",
            "/v1/events/stream",
            params={**place, **self._wanted.parameters},
            headers=headers,
            timeout=httpx.Timeout(TIMEOUT_S, read=SILENCE_S),
        )
        try:
            async with request as answer:
                await self._accept(answer)
                async for block in read_stream(answer.aiter_lines()):
                    if (told := self._take(block)) is not None:
                        yield told
        except httpx.HTTPError as error:
            raise self._lost(unreachable(self._remote.target, error)) from None
        raise _Lost("The stream ended.")

    async def _accept(self, answer: "httpx.Response") -> None:
        if answer.status_code in NO_STREAM:
            raise _NoStream
        if not answer.is_success:
            raise self._lost(refusal(answer.status_code, await answer.aread()))
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise _NoStream
        self._say("Connected again." if self._connected else "Connected: waiting for events.")
        self._connected, self._failures = True, 0

    def _take(self, block: ServerSent) -> Told | None:
        if block.event == "gap":
            self._last_id, self._cursor = "", None
            self._say("Events are missing: those behind the last one are no longer kept. Going on from now.")
            return None
        if block.id is not None:
            self._last_id = block.id
        return read_event(block.data.encode()) if block.data else None

    # --- The feed -----------------------------------------------------------------------------------------------------

    async def _poll(self) -> AsyncGenerator[Told, None]:
        if self._cursor is None:
            async for told in self._behind(self._last_id):
                yield told
        self._say(f"This installation has no event stream: waiting for events by asking every {POLL_S:g} s.")
        while True:
            async for told in self._rest_of_feed():
                yield told
            await asyncio.sleep(POLL_S)

    async def _behind(self, place: str) -> AsyncGenerator[Told, None]:
        """The feed behind the last event that the stream brought; nothing of it, where that brought none."""
        passed = False
        async for told in self._rest_of_feed(narrowed=not place):
            if passed:
                yield told
            passed = passed or told.id == place

    async def _rest_of_feed(self, *, narrowed: bool = True) -> AsyncGenerator[Told, None]:
        """Everything behind the cursor, up to now."""
        more = True
        while more:
            page = await self._page(self._wanted.parameters if narrowed else {})
            self._connected, self._failures = True, 0
            for each in page.data:
                told = read_event(bytes(each))
                self._last_id = told.id
                yield told
            self._cursor, more = page.next, page.has_more

    async def _page(self, narrowed: Mapping[str, str]) -> _Page:
        try:
            content = await self._remote.get_bytes("/v1/events", limit=PAGE, after=self._cursor or None, **narrowed)
        except Refused as error:
            raise self._lost(error) from None
        return msgspec.json.decode(content, type=_Page)


def read_event(body: bytes) -> Told:
    """An event from its bytes."""
    event = msgspec.json.decode(body, type=_Event)
    return Told(event.id, event.type, event.sequence, event.timestamp, event.data.object.id, body)
