"""All checks side by side, each with a deadline: whatever is away, or breaks in a check, becomes a line."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from gateway.settings import Settings, place
from gateway.store.database import Connection, Pool, close_pool, create_pool
from streams.doctor.findings import Finding, Report, report

DEADLINE_S: Final = 4.0  # of each check, and so of all: they run side by side
CONNECTIONS: Final = 4


class DatabaseAway(Exception):
    """There is no database to ask. The check `database` says why; all others only that they looked at nothing."""


class Examination:
    """What the checks share: the settings, and connections to the database, opened once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pool: asyncio.Task[Pool] | None = None

    async def pool(self) -> Pool:
        """Connections. Raises what opening them raised."""
        if self._pool is None:
            self._pool = asyncio.create_task(create_pool(self.settings, size=CONNECTIONS))
        return await asyncio.shield(self._pool)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Connection]:
        """A connection. Raises `DatabaseAway`."""
        pool = await self.opened()
        async with pool.acquire() as connection:
            yield connection

    async def opened(self) -> Pool:
        """Connections, for a check that is not about the database itself. Raises `DatabaseAway`."""
        [pool] = await asyncio.gather(self.pool(), return_exceptions=True)
        if isinstance(pool, BaseException):
            raise DatabaseAway from pool
        return pool

    async def close(self) -> None:
        """Close what was opened."""
        if self._pool is None:
            return
        [pool] = await asyncio.gather(self._pool, return_exceptions=True)
        if not isinstance(pool, BaseException):
            await close_pool(pool)


Check: TypeAlias = Callable[[Examination], Awaitable[list[Finding]]]


async def examine(settings: Settings, checks: Mapping[str, Check], deadline_s: float = DEADLINE_S) -> Report:
    """Run the checks at once; what they found, in the table's order."""
    began, examination = time.monotonic(), Examination(settings)
    try:
        tasks = {area: asyncio.ensure_future(check(examination)) for area, check in checks.items()}
        _, late = await asyncio.wait(tasks.values(), timeout=deadline_s)
        for task in late:
            task.cancel()
        await asyncio.wait(tasks.values(), timeout=0.2)  # they end; one that does not is not waited for
        found = [finding for area, task in tasks.items() for finding in _said(area, task, settings, deadline_s)]
        return report(found, time.monotonic() - began)
    finally:
        await examination.close()


def _said(area: str, task: "asyncio.Future[list[Finding]]", settings: Settings, deadline_s: float) -> list[Finding]:
    if not task.done() or task.cancelled():
        return [Finding(area, "fail", f"No answer within {deadline_s:g} s.", "Look at its load, and at the network.")]
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, DatabaseAway):
        return [Finding(area, "warn", "Not looked at: the database does not answer.")]
    return [Finding(area, "fail", f"{reason(error)} (asked of {place(settings.database_uri)})", _REPORT)]


_REPORT: Final = "If the other lines do not explain this, it is a fault of ours: please report it."


def reason(error: BaseException) -> str:
    """The first line of what an error says, or its name."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first if first.endswith(".") else first + "."
