"""Natural batching: what is queued when a connection becomes free is written in one transaction. No timer.

At one request at a time a batch holds one item; under load it grows by itself, and many requests share one fsync.
A batch is re-run with the same rows until its fate is known, so whatever it writes must be safe to write twice.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import asyncpg
import structlog

from gateway import timings
from gateway.store.database import CONNECTION_LOST, DATA_ERRORS, TRY_AGAIN

T = TypeVar("T")
R = TypeVar("R")

BATCH_MAX: Final = 256
RECONNECT_MAX_S: Final = 1.0
UNIQUE_VIOLATION: Final = "23505"

RawConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Write: TypeAlias = Callable[[RawConnection, Sequence[T]], Awaitable[Sequence[R | Exception]]]

log = structlog.get_logger(__name__)


class QueueFull(Exception):
    """Not taken: the queue is full or closed, or the database did not become free in time. Nothing was written."""


class FateUnknown(Exception):
    """Taken into a batch whose fate could not be settled in time: it may have been written."""


class _Item(Generic[T, R]):
    __slots__ = ("answer", "begun_at", "value")

    def __init__(self, value: T, answer: "asyncio.Future[R]") -> None:
        self.value, self.answer = value, answer
        self.begun_at: float | None = None  # perf_counter of the first attempt to write it

    def give_up(self) -> None:
        """The caller's patience is over."""
        self.settle((QueueFull if self.begun_at is None else FateUnknown)("no answer in time"))

    def settle(self, result: R | Exception) -> None:
        if self.answer.done():
            return
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


class Batcher(Generic[T, R]):
    """A bounded queue and a few lanes, each with a connection of its own.

    `write(connection, values)` does one transaction and returns one result (or exception) per value. On SQLSTATE
    class 22, 23 or 54, or a defect, the batch is split, so that a bad value fails alone; on a lost connection it is
    re-run.
    `patience_s`: how long `submit` waits for an answer; None: until there is one.
    """

    def __init__(
        self,
        write: Write[T, R],
        connect: Callable[[], Awaitable[RawConnection]],
        *,
        name: str,
        lanes: int = 2,
        queue_max: int = 4096,
        patience_s: float | None = None,
    ) -> None:
        self._write, self._connect, self._name = write, connect, name
        self._queue_max, self._patience_s = queue_max, patience_s
        self._queue: deque[_Item[T, R]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closing = False
        self._lanes = [asyncio.create_task(self._lane(), name=f"{name}-{n}") for n in range(lanes)]

    async def submit(self, value: T) -> R:
        """Queue the value and wait for its result. Raises `QueueFull` or `FateUnknown`, or what `write` gave it."""
        if self._closing:
            raise QueueFull(f"{self._name} is closed")
        if len(self._queue) >= self._queue_max:
            raise QueueFull(f"{self._name}: {self._queue_max} are waiting already")
        item: _Item[T, R] = _Item(value, asyncio.get_running_loop().create_future())
        queued_at = time.perf_counter()
        self._queue.append(item)
        self._wake()
        timer = None if self._patience_s is None else item.answer.get_loop().call_later(self._patience_s, item.give_up)
        try:
            return await item.answer
        finally:
            if timer is not None:
                timer.cancel()
            now = time.perf_counter()
            begun_at = item.begun_at or now
            timings.add(queue_s=begun_at - queued_at, db_s=now - begun_at)

    async def close(self) -> None:
        """Take nothing more, finish what was begun and what is queued, then close the connections."""
        self._closing = True
        while self._waiting:
            self._wake()
        await asyncio.gather(*self._lanes)

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _take(self) -> list[_Item[T, R]]:
        """What is queued, as soon as there is anything; nothing once the queue is closed and empty."""
        while self._queue or not self._closing:
            if not self._queue:
                waiter = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                await waiter
                continue
            taken = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            batch = [item for item in taken if not item.answer.done()]  # the impatient have left
            if batch:
                return batch
        return []

    async def _lane(self) -> None:
        connection: RawConnection | None = None
        try:
            while batch := await self._take():
                connection = await self._settle(connection, batch)
        finally:
            if connection is not None:
                connection.terminate()

    async def _settle(self, connection: "RawConnection | None", batch: list[_Item[T, R]]) -> "RawConnection | None":
        """Write the batch, however often it takes; returns the connection that is good now."""
        delay = 0.02
        while True:
            try:
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                # Whose patience ended before the first attempt was told that nothing is written.
                batch = [item for item in batch if item.begun_at or not item.answer.done()]
                await self._attempt(connection, batch)
            except CONNECTION_LOST as error:
                log.warning("batch.connection_lost", batch=self._name, error=type(error).__name__)
                if connection is not None:
                    connection.terminate()
                    connection = None
            except Exception as error:  # the lane must live on: whoever waits gets the error
                if not isinstance(error, asyncpg.PostgresError) or error.sqlstate not in TRY_AGAIN:
                    log.exception("batch.failed", batch=self._name, size=len(batch))
                    for item in batch:
                        item.settle(error)
                    return connection
                log.warning("batch.again", batch=self._name, sqlstate=error.sqlstate)
            else:
                return connection
            if self._closing and all(item.answer.done() for item in batch):
                return connection  # nobody waits for it any more, and all were told that it may have been written
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311  # jitter
            delay = min(delay * 2, RECONNECT_MAX_S)

    async def _attempt(self, connection: RawConnection, batch: list[_Item[T, R]], *, again: bool = False) -> None:
        if not batch:
            return
        now = time.perf_counter()
        for item in batch:
            item.begun_at = item.begun_at or now
        try:
            results = await self._write(connection, [item.value for item in batch])
        except Exception as error:
            if not _is_about_values(error):
                raise
            await self._split(connection, batch, error, again=again)
        else:
            for item, result in zip(batch, results, strict=True):
                item.settle(result)

    async def _split(
        self, connection: RawConnection, batch: list[_Item[T, R]], error: Exception, *, again: bool
    ) -> None:
        """Write each alone. One that was beaten to a unique key is tried once more: now it can see who has it."""
        sqlstate = getattr(error, "sqlstate", None)
        if len(batch) == 1 and (again or sqlstate != UNIQUE_VIOLATION):
            if sqlstate is None:
                log.error("batch.defect", batch=self._name, exc_info=error)
            batch[0].settle(error)
            return
        log.warning("batch.split", batch=self._name, size=len(batch), error=type(error).__name__, sqlstate=sqlstate)
        for item in batch:
            await self._attempt(connection, [item], again=len(batch) == 1)


def _is_about_values(error: Exception) -> bool:
    """Whether one of the values is to blame: Postgres says so, or it is a defect of ours that one has brought out."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in DATA_ERRORS
    return not isinstance(error, CONNECTION_LOST)
