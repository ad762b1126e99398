"""Holding an answer until a payment has moved (`Prefer: wait`), without holding a connection.

A wake through Redis is a hint that makes us look at once; while somebody waits, one query per process looks every
50 ms anyway, so a lost hint, or no Redis at all, costs milliseconds and never an answer.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import structlog

from gateway.payments.model import State, Status
from gateway.store import payments
from gateway.store.database import CONNECTION_LOST, Pool

LOOK_EVERY_S: Final = 0.05
# Where something is still under way: statuses of payments, and states of operations such as a confirm.
MOVING: Final = frozenset({Status.PENDING, Status.PROCESSING, State.PREPARED, State.SENT, State.UNKNOWN})

log = structlog.get_logger(__name__)


class Waiters:
    """Who waits for which payment or operation in this process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: dict[UUID, list[asyncio.Event]] = {}
        self._look = asyncio.Event()
        self._task = asyncio.create_task(self._watch(), name="waiters")

    @contextmanager
    def expect(self, object_id: UUID) -> Iterator[asyncio.Event]:
        """Register, before a payment is queued; the event is set when nothing of it is under way any more."""
        event = asyncio.Event()
        self._waiting.setdefault(object_id, []).append(event)
        self._look.set()
        try:
            yield event
        finally:
            self._waiting[object_id].remove(event)
            if not self._waiting[object_id]:
                del self._waiting[object_id]

    def hint(self) -> None:
        """Somebody says that something changed: look now."""
        self._look.set()

    async def close(self) -> None:
        """Stop looking."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            if not self._waiting:
                self._look.clear()
                await self._look.wait()
            self._look.clear()
            try:
                await self._settle()
            except CONNECTION_LOST as error:
                log.warning("waiters.database_away", error=type(error).__name__)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _settle(self) -> None:
        async with self._pool.acquire() as connection:
            statuses = await payments.progress(connection, list(self._waiting))
        for object_id, status in statuses.items():
            if status not in MOVING:
                for event in self._waiting.get(object_id, ()):
                    event.set()


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
