"""Endpoints for which too much waits: instead of a row for each event, the endpoint keeps a cursor into the events.

Past `WAITING_MAX` rows that wait for an endpoint, the leading relay makes no more rows for it and notes the position
that its rows reach to. While rows are delivered, more are made from there, a thousand at a time; and when the cursor
is near the end, the leader makes the last ones and its own statement goes on making them. Only the leader begins and
ends this, between two of its statements that give positions: so no event falls in between.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct

from gateway import ids
from gateway.store.database import DATABASE_FAILED, Connection, Pool
from gateway.store.webhook_deliveries import INTO, MATCHES, ROW

WAITING_MAX: Final = 10_000
REFILL_BELOW: Final = 5_000
FOLLOW_MAX: Final = 1_000  # events looked at in one statement
LOOK_S: Final = 1.0

COUNT: Final = """
select w.id, w.backlog_cursor as cursor, coalesce(d.waiting, 0) as waiting,
       (select next_position - 1 from relay) - w.backlog_cursor as behind
  from webhook_endpoints w
  left join (select endpoint_id, count(*) as waiting from webhook_deliveries
              where next_attempt_at is not null group by endpoint_id) d on d.endpoint_id = w.id
 where w.status = 'enabled' and (w.backlog_cursor is not null or d.waiting >= $1)
"""
# Locked, so that a former leader whose statement waited ends or begins nothing.
_LED: Final = """
led as materialized (
    select next_position - 1 as last from relay where id = 1 and fence = $1 and lease_until > now() for update)
"""
BEGIN: Final = f"""
with {_LED}
update webhook_endpoints w set backlog_cursor = led.last from led
 where w.id = any($2) and w.status = 'enabled' and w.backlog_cursor is null
returning w.id
"""
# How far one statement comes: over the endpoint's next events, or, where there are no more, to the last position.
FOLLOW: Final = f"""
with w as materialized (
    select * from webhook_endpoints where id = $1 and status = 'enabled' and backlog_cursor is not null for update
), next as materialized (
    select e.id, e.type, e.position from w, events e
     where e.merchant_id = w.merchant_id and e.livemode = w.livemode and e.position > w.backlog_cursor
     order by e.position limit $2
), made as (
    insert into {INTO} select {ROW} from next e, w where {MATCHES} on conflict do nothing)
update webhook_endpoints u
   set backlog_cursor = case when (select count(*) from next) = $2 then (select max(position) from next)
                             else (select next_position - 1 from relay) end
  from w where u.id = w.id
"""
END: Final = f"""
with {_LED}, w as materialized (
    select w.* from webhook_endpoints w, led where w.id = $2 and w.status = 'enabled' and w.backlog_cursor is not null
       for update of w
), made as (
    insert into {INTO} select {ROW} from w, events e
     where e.merchant_id = w.merchant_id and e.livemode = w.livemode and e.position > w.backlog_cursor and {MATCHES}
    on conflict do nothing)
update webhook_endpoints u set backlog_cursor = null from w where u.id = w.id
returning u.id
"""
log = structlog.get_logger(__name__)


class Waiting(Struct, frozen=True):
    """How things stand with an endpoint: rows that wait, and how many positions its cursor is behind, if it has one."""

    id: UUID
    waiting: int
    behind: int | None


class Backlog:
    """Runs beside the leader: `watch` counts and follows cursors on the pool; `settle` is called by the leader."""

    def __init__(
        self,
        pool: Pool,
        *,
        waiting_max: int = WAITING_MAX,
        refill_below: int = REFILL_BELOW,
        follow_max: int = FOLLOW_MAX,
    ) -> None:
        self._pool, self._waiting_max, self._refill_below = pool, waiting_max, refill_below
        self._follow_max = follow_max
        self._begin: list[UUID] = []
        self._end: list[UUID] = []

    async def watch(self) -> None:
        """For ever."""
        while True:
            try:
                await self._look()
            except DATABASE_FAILED as error:
                log.warning("backlog.database_away", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(COUNT, self._waiting_max)
            found = [Waiting(row["id"], row["waiting"], row["behind"]) for row in rows]
            for each in found:
                if each.behind is not None and each.behind > self._follow_max:
                    for _ in range(each.waiting, self._refill_below, self._follow_max):
                        await connection.execute(FOLLOW, each.id, self._follow_max)
        self._begin = [each.id for each in found if each.behind is None]
        self._end = [
            each.id
            for each in found
            if each.behind is not None and each.behind <= self._follow_max and each.waiting < self._refill_below
        ]

    async def settle(self, connection: Connection, fence: int) -> None:
        """Begin and end what was found; only on the leader's connection, between its other statements."""
        begin, self._begin = self._begin, []
        end, self._end = self._end, []
        if begin:
            _say("backlog.begins", await connection.fetch(BEGIN, fence, begin))
        for endpoint_id in end:
            _say("backlog.ends", await connection.fetch(END, fence, endpoint_id))


def _say(event: str, rows: Sequence[asyncpg.Record]) -> None:
    for row in rows:
        log.info(event, endpoint=ids.show(ids.WEBHOOK_ENDPOINT, row["id"]))
