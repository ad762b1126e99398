"""Every repair in one place: what the fast path did not publish, whose lease ended, what is due.

Each round takes a bounded number of rows with SKIP LOCKED, moves their appointment on in the same statement, and only
then acts: any number of sweepers may run, and one that dies in between costs one more appointment. Whatever changes a
payment goes through the recorder.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import asyncpg
import structlog

from gateway.clock import Clock
from gateway.crash_points import crash_point
from gateway.payments.facts import Ask, Expire, Fact, LeaseEnded
from gateway.settings import Settings
from gateway.store import partitions
from gateway.store.database import DATABASE_FAILED, Pool
from gateway.store.roots import read_operation
from gateway.usecases import audit_trail
from gateway.usecases.record_outcome import Recorder
from streams.announcements import Announcements
from streams.pulse import Pulse
from streams.silence import Silence

ROUND_S: Final = 0.5
BATCH: Final = 500
PARTITIONS_EVERY_S: Final = 3600.0

# Backoff of republishing: a backlog must not feed itself.
_BACKOFF: Final = (
    """(array['10 seconds', '30 seconds', '2 minutes', '10 minutes']::interval[])[least(publishes + 1, 4)]"""
)

UNPUBLISHED: Final = f"""
with due as (
    select lp, id from operations
     where next_publish_at <= now() and state in ('prepared', 'unknown') and provider <> all($1::text[])
     order by next_publish_at limit {BATCH} for update skip locked)
update operations o set publishes = publishes + 1, next_publish_at = now() + {_BACKOFF}
  from due where o.lp = due.lp and o.id = due.id returning o.*
"""
CALLBACKS: Final = f"""
with due as (
    select id from callbacks where state in ('received', 'parked') and next_publish_at <= now()
     order by next_publish_at limit {BATCH} for update skip locked)
update callbacks c set publishes = publishes + 1, next_publish_at = now() + {_BACKOFF}
  from due where c.id = due.id returning c.id, c.provider
"""
LEASES: Final = f"""
select payment_id, id from operations where state = 'sent' and lease_until < now() order by lease_until limit {BATCH}
"""
# The appointment moves on by a minute, so that one that cannot be kept does not keep the others from theirs.
QUERIES: Final = f"""
with due as (
    select lp, id from operations where next_query_at <= now()
     order by next_query_at limit {BATCH} for update skip locked)
update operations o set next_query_at = now() + interval '1 minute'
  from due where o.lp = due.lp and o.id = due.id returning o.payment_id, o.id
"""
EXPIRIES: Final = f"""
select p.id as payment_id from payments p
 where p.expires_at <= now() and p.status in ('pending', 'processing', 'requires_action') and p.review is null
   and exists (select 1 from operations o
                where o.lp = p.lp and o.payment_id = p.id and o.verb in ('charge', 'authorize')
                  and (o.state = 'prepared'
                       or (o.state in ('pending', 'action_required')
                           and (o.asked_at is null or o.asked_at < p.expires_at)
                           and not exists (select 1 from operations q
                                            where q.lp = o.lp and q.target_id = o.id and q.verb = 'query'
                                              and q.state in ('prepared', 'sent')))))
 order by p.expires_at limit {BATCH}
"""

log = structlog.get_logger(__name__)


class Sweeper:
    """Runs its rounds until cancelled. `swept` tells what the last round of each chore found."""

    def __init__(
        self,
        *,
        settings: Settings,
        pool: Pool,
        clock: Clock,
        recorder: Recorder,
        announcements: Announcements,
        behind: Callable[[], frozenset[str]] = frozenset,
        reachable: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._pool, self._clock, self._recorder, self._announcements = pool, clock, recorder, announcements
        self._behind = behind  # the providers whose commands pile up already
        self._reachable = reachable  # whether Kafka is: else every round would only put the next one off
        self._round_s = min(ROUND_S, ROUND_S * settings.pace * 2)
        self._partitions_due = 0.0
        self._silence = Silence(pool)
        self.swept: dict[str, int] = {}
        self.pulse = Pulse("sweeper")
        self._chores: dict[str, Callable[[], Awaitable[int]]] = {
            "operations": self._publish_operations,
            "callbacks": self._publish_callbacks,
            "leases": self._end_leases,
            "queries": self._ask,
            "expiries": self._expire,
            "audit": self._seal_audit,
            "silence": self._look_for_silence,
            "partitions": self._make_partitions,
        }

    async def run(self) -> None:
        """Round after round; a chore that found a full batch is done again at once."""
        while True:
            busy = False
            self.pulse.beat()
            for name, chore in self._chores.items():
                busy = await self._do(name, chore) >= BATCH or busy
            await asyncio.sleep(0 if busy else self._round_s)

    async def _do(self, name: str, chore: Callable[[], Awaitable[int]]) -> int:
        """One chore; a database that is away, or a statement that fails, costs this round only."""
        try:
            self.swept[name] = await chore()
        except DATABASE_FAILED as error:
            log.warning("sweeper.failed", chore=name, error=type(error).__name__)
            self.swept[name] = 0
        if self.swept[name] and name != "partitions":
            log.info("sweeper.swept", chore=name, rows=self.swept[name])
        return self.swept[name]

    async def _fetch(self, sql: str, *parameters: object) -> list[asyncpg.Record]:
        async with self._pool.acquire() as connection:
            found = await connection.fetch(sql, *parameters)
        if found:
            crash_point("sweep_mid")
        return found

    async def _publish_operations(self) -> int:
        if not self._reachable():
            return 0
        operations = [read_operation(row) for row in await self._fetch(UNPUBLISHED, list(self._behind()))]
        taken = [self._announcements.send(operation) for operation in operations]
        return len(operations) if all(taken) else 0

    async def _publish_callbacks(self) -> int:
        if not self._reachable():
            return 0
        rows = await self._fetch(CALLBACKS)
        taken = [self._announcements.callback(row["id"], row["provider"]) for row in rows]
        return len(rows) if all(taken) else 0

    async def _end_leases(self) -> int:
        rows = await self._fetch(LEASES)
        return await self._record([LeaseEnded(payment_id=row["payment_id"], operation_id=row["id"]) for row in rows])

    async def _ask(self) -> int:
        rows = await self._fetch(QUERIES)
        return await self._record([Ask(payment_id=row["payment_id"], operation_id=row["id"]) for row in rows])

    async def _expire(self) -> int:
        return await self._record([Expire(payment_id=row["payment_id"]) for row in await self._fetch(EXPIRIES)])

    async def _record(self, facts: Sequence[Fact]) -> int:
        """Record each; returns how many could be. A defect in one payment must not end the sweeper of all."""
        results = await asyncio.gather(*(self._recorder.record(fact) for fact in facts), return_exceptions=True)
        for fact, result in zip(facts, results, strict=True):
            if isinstance(result, BaseException):
                log.error("sweeper.defect", payment=str(fact.payment_id), fact=type(fact).__name__, exc_info=result)
        return sum(not isinstance(result, BaseException) for result in results)

    async def _seal_audit(self) -> int:
        async with self._pool.acquire() as connection:
            return await audit_trail.seal(self._settings, connection, self._clock.now())

    async def _look_for_silence(self) -> int:
        return await self._silence.look(self._clock.now())

    async def _make_partitions(self) -> int:
        now: datetime = self._clock.now()
        if now.timestamp() < self._partitions_due:
            return 0
        try:
            async with self._pool.acquire() as connection:
                made = await partitions.ensure(connection, now)
        except asyncpg.InsufficientPrivilegeError:  # our role may only write rows: whoever migrates makes them
            log.warning("sweeper.partitions_not_ours", note="run `mypay migrate` at least once a week")
            made = []
        self._partitions_due = now.timestamp() + PARTITIONS_EVERY_S
        return len(made)
