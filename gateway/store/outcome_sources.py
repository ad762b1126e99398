"""By what the outcomes of each account were learned, counted by the hour: every process adds what it saw."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct

from gateway.clock import Clock
from gateway.payments.outcome_sources import Counts, Learned, Word, judge
from gateway.store.database import DATABASE_FAILED, Connection, Pool

EVERY_S: Final = 10.0
KEPT: Final = timedelta(days=35)
EARLIER: Final = timedelta(days=14)  # what recent outcomes are compared with
RECENT: Final = (timedelta(hours=2), timedelta(hours=24))  # the longer is for those with few payments

ADD: Final = """
insert into outcome_sources as s (account_id, hour, merchant_id, answers, callbacks, queries, callback_lag_ms)
select account_id, date_trunc('hour', $1::timestamptz, 'UTC'), merchant_id, answers, callbacks, queries, lag_ms
  from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
       as r(account_id, merchant_id, answers, callbacks, queries, lag_ms)
 order by account_id
on conflict (account_id, hour) do update
   set answers = s.answers + excluded.answers, callbacks = s.callbacks + excluded.callbacks,
       queries = s.queries + excluded.queries, callback_lag_ms = s.callback_lag_ms + excluded.callback_lag_ms
"""
# Hours are whole: a window of two reaches into the third.
SINCE: Final = """
select a.id as account_id, a.provider, a.livemode,
       sum(s.answers) filter (where s.hour > $2)::bigint as answers,
       sum(s.callback_lag_ms) filter (where s.hour > $2)::bigint as lag_ms,
       coalesce(sum(s.callbacks) filter (where s.hour > $2), 0)::bigint as callbacks,
       coalesce(sum(s.queries) filter (where s.hour > $2), 0)::bigint as queries,
       coalesce(sum(s.callbacks) filter (where s.hour <= $2), 0)::bigint as earlier_callbacks,
       coalesce(sum(s.queries) filter (where s.hour <= $2), 0)::bigint as earlier_queries
  from outcome_sources s join accounts a on a.id = s.account_id
 where s.hour > $1
 group by a.id having bool_or(s.hour > $2)
 order by a.id
"""
FORGET: Final = "delete from outcome_sources where hour < $1"

log = structlog.get_logger(__name__)


class Tally:
    """What this process has learned and not written yet."""

    def __init__(self) -> None:
        self._counts: dict[tuple[UUID, UUID], Counter[str]] = {}

    def add(self, learned: Iterable[Learned]) -> None:
        """Count them."""
        for one in learned:
            counts = self._counts.setdefault((one.account_id, one.merchant_id), Counter())
            counts[one.source] += 1
            counts["lag_ms"] += round((one.lag_s or 0.0) * 1e3)

    async def flush(self, pool: Pool, clock: Clock) -> None:
        """Write what is counted; what cannot be written is kept for the next time."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        accounts, merchants = zip(*counts, strict=True)
        columns = [[each[name] for each in counts.values()] for name in ("answer", "callback", "query", "lag_ms")]
        try:
            await pool.execute(ADD, clock.now(), accounts, merchants, *columns)
        except DATABASE_FAILED as error:
            log.warning("outcome_sources.not_written", error=type(error).__name__)
            for key, each in counts.items():
                self._counts.setdefault(key, Counter()).update(each)

    async def keep(self, pool: Pool, clock: Clock) -> None:
        """For ever: write now and then. What a crash takes with it is at most `EVERY_S` of counting."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush(pool, clock)


class AccountSources(Struct, frozen=True, kw_only=True):
    """How the outcomes of an account were learned in the recent window, and whether its callbacks still come."""

    account_id: UUID
    provider: str
    livemode: bool
    answers: int
    callbacks: int
    queries: int
    callback_lag_s: float | None
    word: Word


async def of_accounts(connection: Connection, now: datetime, recent: timedelta = RECENT[0]) -> list[AccountSources]:
    """Every account with outcomes in the window before `now`."""
    since = now - recent
    return [_sources(row) for row in await connection.fetch(SINCE, since - EARLIER, since)]


async def silent(connection: Connection, now: datetime) -> dict[UUID, str]:
    """The accounts whose callbacks have stopped, in any of the windows, with their provider."""
    found: dict[UUID, str] = {}
    for recent in RECENT:
        every = await of_accounts(connection, now, recent)
        found |= {each.account_id: each.provider for each in every if each.word == "silent"}
    return found


async def forget(connection: Connection, now: datetime) -> None:
    """Delete what is older than anybody looks at."""
    await connection.execute(FORGET, now - KEPT)


def _sources(row: asyncpg.Record) -> AccountSources:
    recent = Counts(row["callbacks"], row["queries"])
    return AccountSources(
        account_id=row["account_id"],
        provider=row["provider"],
        livemode=row["livemode"],
        answers=row["answers"],
        callbacks=recent.callbacks,
        queries=recent.queries,
        callback_lag_s=row["lag_ms"] / 1e3 / recent.callbacks if recent.callbacks else None,
        word=judge(Counts(row["earlier_callbacks"], row["earlier_queries"]), recent),
    )
