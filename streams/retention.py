"""Retention: days that are older than the settings say are dropped, and old rows of other tables deleted.

Any number of sweepers may do it: one works at a time per database, each day is a transaction of its own, and a table
that is too busy is left for a minute. What is unfinished keeps its day, and is said in the log.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from gateway import ids
from gateway.clock import Clock
from gateway.settings import Settings
from gateway.store import partitions
from gateway.store import retention as store
from gateway.store.database import DATABASE_FAILED, Connection, Pool
from gateway.store.retention import Day
from gateway.usecases import audit_trail

DAYS_EVERY_S: Final = 3600.0
ROWS_EVERY_S: Final = 60.0
BREATH_S: Final = 0.2  # between two full batches of rows
AUDIT: Final = "audit_events"

log = structlog.get_logger(__name__)


class Retention:
    """Run it beside the sweeper. Times are by `clock`."""

    def __init__(self, settings: Settings, pool: Pool, clock: Clock) -> None:
        self._settings, self._pool, self._clock = settings, pool, clock
        self._busy = False

    async def run(self) -> None:
        """For ever; a database that is away, or a statement that fails, costs a minute."""
        days_at = 0.0
        while True:
            now = self._clock.now()
            try:
                if now.timestamp() >= days_at:
                    await self.drop_days()
                    days_at = now.timestamp() + (ROWS_EVERY_S if self._busy else DAYS_EVERY_S)
                pause_s = BREATH_S if await self.forget_rows() >= store.BATCH else ROWS_EVERY_S
            except DATABASE_FAILED as error:
                log.warning("retention.failed", error=type(error).__name__)
                pause_s = ROWS_EVERY_S
            await asyncio.sleep(pause_s)

    async def forget_rows(self) -> int:
        """Delete a batch of each table whose rows have an end; how many rows of the one that had most."""
        now, settings = self._clock.now(), self._settings
        async with self._pool.acquire() as connection:
            keys = await store.forget_keys(connection, now - timedelta(days=settings.idempotency_days))
            letters = await store.forget_dead_letters(connection, now - timedelta(days=settings.dead_letters_days))
        if keys or letters:
            log.info("retention.forgot", idempotency_keys=keys, dead_letters=letters)
        return max(keys, letters)

    async def drop_days(self) -> int:
        """Drop every day that is due and finished; how many that were."""
        self._busy, dropped = False, 0
        for table in store.TABLES:
            if table != AUDIT:
                for day in await self._due(table):
                    dropped += await self._in_turn(partial(self._drop, day))
        return dropped + await self._drop_audit()

    async def _due(self, table: str) -> list[Day]:
        async with self._pool.acquire() as connection:
            return await store.due(connection, self._settings, table, self._clock.now())

    async def _in_turn(self, work: Callable[[Connection], Awaitable[int]]) -> int:
        """Work in a transaction, alone; 0 where another process is at it, or a table is too busy."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                return await work(connection) if await store.be_alone(connection) else 0
        except asyncpg.LockNotAvailableError:
            log.info("retention.busy")
            self._busy = True
            return 0

    async def _drop(self, day: Day, connection: Connection) -> int:
        if not await partitions.exists(connection, day.name) or await _is_kept(connection, day):
            return 0
        marks = await store.last_positions(connection, day) if day.table == "events" else []
        await store.lock(connection, day.table)
        if await _is_kept(connection, day):  # it became unfinished again just now
            return 0
        await store.note_dropped(connection, marks)
        await _drop(connection, day)
        return 1

    # --- The audit trail: as many days as are the beginning of every chain --------------------------------------------

    async def _drop_audit(self) -> int:
        ends = sorted({day.end for day in await self._due(AUDIT)})
        if not ends:
            return 0
        if (merchant := await audit_trail.broken_before(self._settings, self._reading, ends[-1])) is not None:
            log.error("retention.audit_chain_broken", merchant=merchant)
            return 0
        for end in reversed(ends):
            if dropped := await self._in_turn(partial(self._drop_beginning, end)):
                return dropped
        return 0

    async def _drop_beginning(self, end: UUID, connection: Connection) -> int:
        found = await store.due(connection, self._settings, AUDIT, self._clock.now())
        days = [day for day in found if day.is_partition and day.end <= end]
        days.append(Day(AUDIT, f"{AUDIT}_default", ids.NIL, end))
        for day in days:
            if await _is_kept(connection, day):
                return 0
        await store.lock(connection, AUDIT)
        if not await audit_trail.begin_after(self._settings, connection, end, self._clock.now()):
            return 0
        for day in days:
            await _drop(connection, day)
        return len(days)

    def _reading(self) -> AbstractAsyncContextManager[Connection]:
        return self._pool.acquire()


async def _drop(connection: Connection, day: Day) -> None:
    await store.drop(connection, day)
    log.info("retention.dropped", table=day.table, day=day.name)


async def _is_kept(connection: Connection, day: Day) -> bool:
    reason = await store.kept_for(connection, day)
    if reason is not None:
        log.info("retention.kept", table=day.table, day=day.name, reason=reason)
    return reason is not None
