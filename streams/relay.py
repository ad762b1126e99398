"""The relay: events get a position after they were committed, and go to Kafka in that order.

One relay of all processes leads: the row of table `relay` is its lease, its fence and its bookmarks. The leader gives
positions in ONE statement that updates that row where the fence is its own, so that giving positions is serialised by
the row's lock, and a former leader gives none, however late it wakes. Readers' cursors can therefore skip nothing:
whoever sees a position can see all lower ones.

Publishing follows at its own pace: positions are given although Kafka is away. Whoever takes over publishes from
`published_position` again. Every relay sends a partition's events in order, each after the acknowledgement of those
before it, so the first delivery of an event precedes that of its successor, whichever relay made it.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from gateway import ids, telemetry
from gateway.crash_points import crash_point
from gateway.store.database import DATABASE_FAILED, Connection, Pool
from gateway.store.webhook_deliveries import INTO, MATCHES, ROW
from streams.backlog import Backlog
from streams.events import Event, message_of
from streams.publisher import Publisher
from streams.pulse import Pulse

LEASE_S: Final = 6.0
RENEW_S: Final = 2.0
SAVE_S: Final = 0.25  # an unsaved bookmark costs only repetitions after a crash
STANDBY_S: Final = 1.0  # how often the others try to take over
BUSY_S: Final = 0.010
IDLE_S: Final = 0.050
BUSY_FOR_S: Final = 1.0  # after the last event
ASSIGN_MAX: Final = 1_000  # events that get a position in one statement
PUBLISH_MAX: Final = 500  # events that are sent at once
HANDOVER_MAX: Final = 2_000  # events kept in memory for publishing; beyond, they are read again
PAUSE_MAX_S: Final = 1.0

TAKE: Final = """
update relay set leader = $1, fence = fence + 1, lease_until = now() + $2
 where id = 1 and (lease_until < now() or leader = $1)
returning fence, next_position, published_position
"""
RENEW: Final = """
update relay set lease_until = now() + $2, published_position = greatest(published_position, $3)
 where id = 1 and fence = $1 and lease_until > now()
returning fence
"""
LEAVE: Final = """
update relay set lease_until = '-infinity', published_position = greatest(published_position, $2)
 where id = 1 and fence = $1
"""
REWIND: Final = """
update relay set published_position = least(published_position, $1 - 1), fence = fence + 1, lease_until = '-infinity'
 where id = 1
returning next_position
"""
# In order of seq, never SKIP LOCKED: nobody passes an event over. A leader whose statement lost its answer comes back
# with a new fence, and only after that statement's end, so a batch is never chosen twice.
# Deliveries are made in the same statement, one for each endpoint that asks for the event (streams.backlog: or none).
ASSIGN: Final = f"""
with waiting as materialized (
    select id, row_number() over (order by seq) - 1 as place
      from (select id, seq from events where position is null order by seq limit {ASSIGN_MAX}) as oldest
), led as (
    update relay set next_position = next_position + (select count(*) from waiting), lease_until = now() + $2,
                     published_position = greatest(published_position, $3)
     where id = 1 and fence = $1 and lease_until > now() and exists (select from waiting)
    returning next_position - (select count(*) from waiting) as first
), placed as (
    update events as e set position = led.first + waiting.place
      from waiting, led
     where e.id = waiting.id and e.position is null
    returning waiting.place, e.position, e.id, e.merchant_id, e.livemode, e.root_id, e.object_id, e.type, e.sequence,
              e.body, e.created_at, e.traceparent
), made as (
    insert into {INTO}
    select {ROW} from placed e
      join webhook_endpoints w on w.merchant_id = e.merchant_id and w.livemode = e.livemode
     where w.status = 'enabled' and w.backlog_cursor is null and {MATCHES}
    on conflict do nothing
    returning endpoint_id
)
select position, id, livemode, root_id, object_id, type, sequence, body, created_at, traceparent,
       case when place = 0 then array(select distinct endpoint_id from made) end as endpoints
  from placed
"""
READ: Final = f"""
select position, id, livemode, root_id, object_id, type, sequence, body, created_at, traceparent
  from events where position > $1 order by position limit {PUBLISH_MAX}
"""
# The planner does not foresee that each row prunes all partitions but one, and would read every event there is.
PLAN: Final = "set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off"
log = structlog.get_logger(__name__)


class _Term:
    """One leadership: its fence, how far it has given and published positions, and what is in between."""

    def __init__(self, fence: int, given: int, published: int) -> None:
        self.fence, self.given, self.published = fence, given, published
        self.saved = published
        self.handover: deque[Event] = deque()
        self.more = asyncio.Event()

    def hand_over(self, events: list[Event]) -> None:
        if len(self.handover) + len(events) > HANDOVER_MAX:
            self.handover.clear()
        self.handover.extend(events)
        self.given = events[-1].position
        self.more.set()

    def next_events(self) -> list[Event]:
        """What follows the last published event, as far as it is in memory."""
        while self.handover and self.handover[0].position <= self.published:
            self.handover.popleft()
        if not self.handover or self.handover[0].position != self.published + 1:
            return []
        return [self.handover[place] for place in range(min(len(self.handover), PUBLISH_MAX))]


class Relay:
    """Stands by and leads. `leading` tells whether it does now; `owner` names the process in the table.

    `notify` is told the endpoints for which deliveries were made, after their commit.
    """

    def __init__(
        self,
        pool: Pool,
        publisher: Publisher,
        *,
        owner: str,
        lease_s: float = LEASE_S,
        notify: Callable[[Collection[UUID]], None] | None = None,
    ) -> None:
        self._pool, self._publisher, self._owner, self._notify = pool, publisher, owner, notify
        self._backlog = Backlog(pool)
        self._lease = timedelta(seconds=lease_s)
        self._wake = asyncio.Event()
        self.leading = False
        self.pulse = Pulse("relay")

    def wake(self) -> None:
        """An event was committed in this process: do not wait for the next look."""
        self._wake.set()

    async def run(self) -> None:
        """Lead whenever nobody else does. Ends by cancellation, and lets the next take over at once."""
        while True:
            self.pulse.beat()
            try:
                async with self._pool.acquire() as connection:
                    taken = await connection.fetchrow(TAKE, self._owner, self._lease)
                    if taken is not None:
                        term = _Term(taken["fence"], taken["next_position"] - 1, taken["published_position"])
                        await self._lead(connection, term)
            except DATABASE_FAILED as error:
                log.warning("relay.database_away", error=repr(error))
            await asyncio.sleep(STANDBY_S)

    async def _lead(self, connection: Connection, term: _Term) -> None:
        log.info("relay.leads", fence=term.fence, unpublished=term.given - term.published)
        self.leading = True
        beside = [asyncio.create_task(self._publish(term)), asyncio.create_task(self._backlog.watch())]
        try:
            await connection.execute(PLAN)
            await self._assign(connection, term, beside)
        finally:
            self.leading = False
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            with contextlib.suppress(*DATABASE_FAILED):  # then the lease ends by itself
                await connection.execute(LEAVE, term.fence, term.published, timeout=2)
            log.info("relay.left", fence=term.fence)

    # --- Giving positions -------------------------------------------------------------------------------------------

    async def _assign(self, connection: Connection, term: _Term, beside: "list[asyncio.Task[None]]") -> None:
        """Give positions until the lease is lost, or what runs beside it fails."""
        statement = await connection.prepare(ASSIGN)
        written = time.monotonic()
        last_event = 0.0
        while True:
            for task in beside:
                if task.done():
                    task.result()
            self._wake.clear()
            self.pulse.beat()
            await self._backlog.settle(connection, term.fence)
            unsaved = term.published
            rows = await statement.fetch(term.fence, self._lease, unsaved)
            now = time.monotonic()
            if rows:
                term.hand_over(sorted(map(_event, rows), key=_position))
                self._tell(rows)
                term.saved, written, last_event = unsaved, now, now
            elif now - written >= (RENEW_S if term.saved == unsaved else SAVE_S):
                if await connection.fetchval(RENEW, term.fence, self._lease, unsaved) is None:
                    return
                term.saved, written = unsaved, now
            if len(rows) < ASSIGN_MAX:
                await self._pause(BUSY_S if now - last_event < BUSY_FOR_S else IDLE_S)

    def _tell(self, rows: "list[asyncpg.Record]") -> None:
        made = next((row["endpoints"] for row in rows if row["endpoints"]), None)
        if made and self._notify is not None:
            self._notify(made)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    # --- Publishing -------------------------------------------------------------------------------------------------

    async def _publish(self, term: _Term) -> None:
        """Send what has a position, in order, for ever."""
        pause_s = BUSY_S
        while True:
            term.more.clear()
            events = term.next_events() or await self._read(term)
            if not events:
                await term.more.wait()
                continue
            began = time.monotonic()
            done = await self._publisher.publish_in_order([message_of(event) for event in events])
            if done:
                _trace(events[:done], began)
                crash_point("event_after_publish")
                term.published = events[done - 1].position
            if done == len(events):
                pause_s = BUSY_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _read(self, term: _Term) -> list[Event]:
        """The next events from Postgres: after a takeover, and after Kafka was away."""
        while term.published < (given := term.given):
            try:
                rows = await self._pool.fetch(READ, term.published)
            except DATABASE_FAILED as error:
                log.warning("relay.database_away", error=repr(error))
                await asyncio.sleep(PAUSE_MAX_S)
                continue
            if rows:
                return [Event(**row) for row in rows]
            term.published = given  # nothing is left of what was given
        return []


async def republish(pool: Pool, from_position: int) -> int:
    """Have the events from a position on published again, in order, by whoever leads; how many these are.

    It takes the lead from the leader, who publishes from here when it leads again, seconds later. (A second publisher
    beside it would break the order on a topic that is empty.)
    """
    end = await pool.fetchval(REWIND, max(from_position, 1))
    count: int = await pool.fetchval(
        "select count(*) from events where position >= $1 and position < $2", from_position, end
    )
    return count


def _trace(events: list[Event], began: float) -> None:
    """That they were published, each in its own trace."""
    if not telemetry.is_on():
        return
    for event in events:
        if event.traceparent is not None:
            about = {
                "messaging.system": "kafka",
                "mypay.event": ids.show(ids.EVENT, event.id),
                "mypay.type": event.type,
            }
            telemetry.ended(
                f"publish {event.type}", "producer", began=began, parent=event.traceparent, attributes=about
            )


def _event(row: asyncpg.Record) -> Event:
    return Event(**{name: row[name] for name in Event.__struct_fields__})


def _position(event: Event) -> int:
    return event.position
