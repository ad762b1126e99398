"""GET /v1/events/stream: a stream of server-sent events, over plain ASGI.

A client that takes nothing for `WRITE_S` is left: it resumes with Last-Event-ID, and nothing waits for it in memory
meanwhile. Every few seconds the credential is looked at again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import structlog
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from gateway.payments.errors import MyPayError
from gateway.usecases.follow_events import Follower, Tail

HEARTBEAT_S: Final = 15.0
RECHECK_S: Final = 3.0
WRITE_S: Final = 30.0
RETRY_MS: Final = 1000  # what clients that reconnect by themselves wait
HEARTBEAT: Final = b":\n\n"
HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect before it passes on
]
_ENDED: Final = ("unauthorized", "forbidden")

StillAllowed: TypeAlias = Callable[[], Awaitable[None]]

log = structlog.get_logger(__name__)


class EventStream(Response[bytes]):
    """What a follower gets, until the client leaves. It closes the follower."""

    def __init__(self, tail: Tail, follower: Follower, still_allowed: StillAllowed) -> None:
        super().__init__(b"", media_type="text/event-stream")
        self._stream = _Stream(tail, follower, still_allowed)

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> ASGIResponse:
        """The stream itself: nothing of what Litestar would add applies to it."""
        return self._stream


class ClosedStream(Response[bytes]):
    """A stream that says one thing and ends."""

    def __init__(self, content: bytes) -> None:
        headers = {name.decode(): value.decode() for name, value in HEADERS}
        super().__init__(content, media_type="text/event-stream", headers=headers)


class _Stream(ASGIResponse):
    """The ASGI side of it."""

    def __init__(self, tail: Tail, follower: Follower, still_allowed: StillAllowed) -> None:
        super().__init__()
        self._tail, self._follower, self._still_allowed = tail, follower, still_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the client is gone, may listen no more, takes nothing, or this process ends."""
        gone = asyncio.create_task(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            sending = asyncio.create_task(self._send_all(send))
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        finally:
            gone.cancel()
            self._follower.close()

    async def _send_all(self, send: Send) -> None:
        try:
            await self._send_each(send)
        except TimeoutError:
            log.info("stream.takes_nothing")

    async def _send_each(self, send: Send) -> None:
        await _send(send, b"retry: %d\n\n" % RETRY_MS)
        checked = written = time.monotonic()
        while not self._tail.closed.is_set():
            patience_s = min(written + HEARTBEAT_S, checked + RECHECK_S) - time.monotonic()
            content = await self._follower.next(max(0.0, patience_s))
            now = time.monotonic()
            if now >= checked + RECHECK_S:
                if not await self._is_still_allowed():
                    break
                checked = now
            if not content and now >= written + HEARTBEAT_S:
                content = HEARTBEAT
            if content:
                await _send(send, content)
                written = now
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _is_still_allowed(self) -> bool:
        """A database that cannot tell changes nothing: nothing new is read from it either."""
        try:
            await self._still_allowed()
        except MyPayError as error:
            return error.code not in _ENDED
        return True


async def _send(send: Send, content: bytes) -> None:
    """Raises `TimeoutError` when the client does not take it."""
    async with asyncio.timeout(WRITE_S):
        await send({"type": "http.response.body", "body": content, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
