"""By what outcomes are learned, and when callbacks count as silent."""

from datetime import timedelta

import asyncpg
import pytest

from gateway import ids
from gateway.clock import Clock
from gateway.payments.outcome_sources import Counts, Learned, Word, judge
from gateway.store import outcome_sources
from gateway.store.database import create_pool
from gateway.store.outcome_sources import Tally
from streams.silence import Silence

CASES: list[tuple[str, Counts, Counts, Word]] = [
    ("as ever", Counts(950, 50), Counts(19, 1), "coming"),
    ("all stopped", Counts(950, 50), Counts(0, 8), "silent"),
    ("four of four are no chance where nearly all came", Counts(99, 1), Counts(0, 4), "silent"),
    ("one alone is", Counts(99, 1), Counts(0, 1), "coming"),
    ("two of two where nearly all came", Counts(99, 1), Counts(0, 2), "coming"),
    ("half came before: five without are luck", Counts(50, 50), Counts(0, 5), "coming"),
    ("half came before: twenty without are not", Counts(50, 50), Counts(0, 20), "silent"),
    ("fewer, but not half", Counts(900, 100), Counts(500, 500), "coming"),
    ("a tenth is left of many", Counts(900, 100), Counts(10, 90), "silent"),
    ("every single one came", Counts(500, 0), Counts(0, 10), "silent"),
    ("nobody ever used them", Counts(0, 1000), Counts(0, 50), "unused"),
    ("a few strays are no use", Counts(10, 990), Counts(0, 500), "unused"),
    ("an account just made", Counts(3, 1), Counts(0, 50), "too_few"),
    ("nothing happens now", Counts(950, 50), Counts(0, 0), "too_few"),
    ("nothing ever happened", Counts(0, 0), Counts(0, 0), "too_few"),
    ("they came back", Counts(600, 300), Counts(30, 2), "coming"),
]


@pytest.mark.parametrize(("name", "earlier", "recent", "word"), CASES, ids=[case[0] for case in CASES])
def test_judge(name: str, earlier: Counts, recent: Counts, word: Word) -> None:
    assert judge(earlier, recent) == word, name


async def _account(connection: "asyncpg.Connection[asyncpg.Record]") -> Learned:
    merchant, account = ids.new(), ids.new()
    await connection.execute("insert into merchants (id, name) values ($1, 'm')", merchant)
    await connection.execute(
        "insert into accounts (id, merchant_id, provider, livemode, callback_token) values ($1, $2, 'cpay', true, $3)",
        account,
        merchant,
        account.hex,
    )
    return Learned(merchant_id=merchant, account_id=account, provider="cpay", source="query")


def _called(learned: Learned, lag_s: float) -> Learned:
    return Learned(
        merchant_id=learned.merchant_id, account_id=learned.account_id, provider="cpay", source="callback", lag_s=lag_s
    )


async def test_an_account_falls_silent_and_recovers(settings) -> None:
    clock, tally = Clock(), Tally()
    async with await create_pool(settings, size=2) as pool:
        async with pool.acquire() as connection:
            asked = await _account(connection)
        tally.add([_called(asked, 2.0)] * 40)
        await tally.flush(pool, clock)
        await pool.execute(
            "update outcome_sources set hour = hour - interval '3 days' where account_id = $1", asked.account_id
        )
        silence = Silence(pool)
        tally.add([asked] * 10)
        await tally.flush(pool, clock)
        assert await silence.look(clock.now()) == 1
        assert silence.accounts == {asked.account_id: "cpay"}
        assert await silence.look(clock.now()) == 0, "not again at once"
        tally.add([_called(asked, 4.0)] * 60)
        await tally.flush(pool, clock)
        assert await silence.look(clock.now() + timedelta(minutes=2)) == 1
        assert silence.accounts == {}
        async with pool.acquire() as connection:
            every = await outcome_sources.of_accounts(connection, clock.now())
        [now] = [each for each in every if each.account_id == asked.account_id]
        assert (now.callbacks, now.queries, now.callback_lag_s, now.word) == (60, 10, 4.0, "coming")


async def test_what_cannot_be_written_is_kept(settings) -> None:
    clock, tally = Clock(), Tally()
    async with await create_pool(settings, size=2) as pool:
        async with pool.acquire() as connection:
            asked = await _account(connection)
        await pool.execute("alter table outcome_sources rename to elsewhere")
        tally.add([asked])
        await tally.flush(pool, clock)
        await pool.execute("alter table elsewhere rename to outcome_sources")
        tally.add([asked])
        await tally.flush(pool, clock)
        assert await pool.fetchval("select queries from outcome_sources where account_id = $1", asked.account_id) == 2


async def test_old_counts_are_forgotten(settings) -> None:
    clock, tally = Clock(), Tally()
    async with await create_pool(settings, size=2) as pool, pool.acquire() as connection:
        tally.add([await _account(connection)])
        await tally.flush(pool, clock)
        await outcome_sources.forget(connection, clock.now())
        assert await connection.fetchval("select count(*) from outcome_sources") > 0
        await outcome_sources.forget(connection, clock.now() + outcome_sources.KEPT + timedelta(hours=2))
        assert await connection.fetchval("select count(*) from outcome_sources") == 0
