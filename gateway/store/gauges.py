"""What the database alone knows about how things stand: the gauges of /metrics.

Asking must stay cheap, and must not be what breaks a busy database: every statement reads an index, has `PATIENCE_S`,
and is asked again after `AGE_S` at the earliest, however many scrapers come. A number that was not told in time is NaN.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import asyncpg
import structlog
from prometheus_client import Gauge

from gateway.metrics import METRICS
from gateway.store.database import CONNECTION_LOST, Connection, Pool

AGE_S: Final = 5.0
PATIENCE_S: Final = 1.0  # for one statement
TOGETHER_S: Final = 4.0

Refresh: TypeAlias = Callable[[], Awaitable[bool]]  # reads them; whether the database answered

# How long the oldest command and the oldest event have waited, in seconds; what waits for people.
PREPARED_OLDEST_S: Final = """
select greatest(coalesce(extract(epoch from now() - min(o.created_at)), 0), 0)::float8
  from accounts a cross join lateral (
       select created_at from operations where account_id = a.id and state = 'prepared' order by id limit 1) o
"""
UNPUBLISHED_OLDEST_S: Final = """
select greatest(coalesce(extract(epoch from now() - min(created_at)), 0), 0)::float8 from (
    (select created_at from events where position is null order by seq limit 1)
    union all
    (select created_at from events
      where position > (select published_position from relay) and position is not null
      order by position limit 1)) e
"""
REVIEWS: Final = "select count(*) from payments where review is not null"
DEAD_LETTERS: Final = "select count(*) from dead_letters where replayed_at is null"
LED: Final = "select lease_until > now() from relay where id = 1"
# Each statement answers one row, and each of its columns is a gauge.
READINGS: Final[Mapping[str, tuple[Gauge, ...]]] = {
    """
    select count(*), greatest(coalesce(extract(epoch from now() - min(sent_at)), 0), 0)::float8
      from operations where state = 'unknown' and next_query_at is not null
    """: (METRICS.operations_unknown, METRICS.operations_unknown_oldest_seconds),
    PREPARED_OLDEST_S: (METRICS.operations_prepared_oldest_seconds,),
    UNPUBLISHED_OLDEST_S: (METRICS.events_unpublished_oldest_seconds,),
    """
    select greatest(coalesce(extract(epoch from now() - min(received_at)), 0), 0)::float8
      from callbacks where state = 'received'
    """: (METRICS.callbacks_waiting_oldest_seconds,),
    REVIEWS: (METRICS.reviews_open,),
    DEAD_LETTERS: (METRICS.dead_letters_open,),
    """
    select count(*), greatest(coalesce(extract(epoch from now() - min(next_attempt_at)), 0), 0)::float8
      from webhook_deliveries where next_attempt_at is not null
    """: (METRICS.deliveries_waiting, METRICS.deliveries_due_oldest_seconds),
    "select count(*) from webhook_endpoints where backlog_cursor is not null": (METRICS.webhook_endpoints_behind,),
    LED: (METRICS.relay_led,),
    """
    select min(last)::date - (now() at time zone 'UTC')::date from (
        select max(right(child.relname, 8)) as last
          from pg_inherits i join pg_class child on child.oid = i.inhrelid
          join pg_class parent on parent.oid = i.inhparent
         where parent.relkind = 'p' and child.relname ~ '_[0-9]{8}$' group by parent.oid) t
    """: (METRICS.partitions_ahead_days,),
}

log = structlog.get_logger(__name__)


class DatabaseGauges:
    """Sets the gauges; one reading serves everybody who asks within `AGE_S`.

    `overdue_days` tells for how long the oldest data has been due to be dropped.
    """

    def __init__(self, pool: Callable[[], Pool], overdue_days: Callable[[Connection], Awaitable[float]]) -> None:
        self._pool, self._overdue_days, self._one_at_a_time = pool, overdue_days, asyncio.Lock()
        self._read_at = -math.inf

    async def refresh(self) -> bool:
        """Have the gauges say what the database says now, or did just before; whether it answered."""
        async with self._one_at_a_time:
            if time.monotonic() - self._read_at < AGE_S:
                return True
            try:
                async with asyncio.timeout(TOGETHER_S), self._pool().acquire() as connection:
                    for sql, gauges in READINGS.items():
                        await _read(connection, sql, gauges)
                    METRICS.retention_overdue_days.set(await self._overdue_days(connection))
            except CONNECTION_LOST as error:  # the counters of this process are wanted most while the database is away
                log.warning("metrics.without_database", error=repr(error))
                METRICS.readings_failed.inc()
                return False
            self._read_at = time.monotonic()
            return True


async def _read(connection: Connection, sql: str, gauges: tuple[Gauge, ...]) -> None:
    try:
        row = await connection.fetchrow(sql, timeout=PATIENCE_S)
    except (TimeoutError, asyncpg.QueryCanceledError):
        log.warning("metrics.slow", gauges=[each.name for gauge in gauges for each in gauge.describe()])
        METRICS.readings_failed.inc()
        row = None
    for place, gauge in enumerate(gauges):
        value = None if row is None else row[place]
        gauge.set(math.nan if value is None else value)


async def relay_is_led(connection: Connection) -> bool:
    """Whether some worker leads the relay now."""
    led: bool = await connection.fetchval(LED)
    return led
