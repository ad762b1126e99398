"""One relay: positions, order, the bookmark, and who may not give positions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from gateway import ids
from gateway.settings import Settings
from gateway.store.database import Connection, Pool
from streams import topics
from streams.publisher import Publisher
from streams.relay import ASSIGN, PLAN, RENEW, TAKE, Relay, republish
from tests.streams.support import check_relayed, read_topic, until, write_event, writers

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=60)


@asynccontextmanager
async def relaying(pool: Pool, publisher: Publisher, owner: str = "a") -> AsyncIterator[Relay]:
    relay = Relay(pool, publisher, owner=owner)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def all_published(pool: Pool) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        query = """
            select count(*) = 0 and (select published_position = next_position - 1 from relay)
              from events where position is null
        """
        return bool(await pool.fetchval(query))

    return holds


async def take(connection: Connection, owner: str) -> int | None:
    fence: int | None = await connection.fetchval(TAKE, owner, LEASE)
    return fence


async def test_an_event_is_a_cloud_event_with_the_same_bytes(
    pool: Pool, publisher: Publisher, settings: Settings
) -> None:
    root = ids.new(7)
    async with relaying(pool, publisher) as relay:
        async with pool.acquire() as connection:
            await write_event(connection, root, 1)
        relay.wake()
        await until(all_published(pool))
    [record] = await read_topic(settings, topics.EVENTS_LIVE)
    row = await pool.fetchrow("select * from events")
    assert row is not None
    assert (record.key, record.value) == (ids.show(ids.PAYMENT, root).encode(), row["body"])
    assert record.partition == 7 % settings.kafka_partitions
    assert {name: value.decode() for name, value in record.headers} == {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": ids.show(ids.EVENT, row["id"]),
        "ce_source": "/mypay",
        "ce_type": "payment.processing",
        "ce_subject": ids.show(ids.PAYMENT, root),
        "ce_time": row["created_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ce_sequence": "1",
    }


async def test_commits_out_of_order_leave_no_gap(pool: Pool, publisher: Publisher, settings: Settings) -> None:
    async with relaying(pool, publisher):
        async with writers(pool, at_once=6) as written:
            await until(lambda: written[0] > 500)
        await until(all_published(pool))
    assert await check_relayed(pool, settings) == 0 or publisher.counts["failed"]


async def test_more_events_than_memory_takes(pool: Pool, publisher: Publisher, settings: Settings) -> None:
    async with pool.acquire() as connection, connection.transaction():
        roots = [ids.new(number) for number in range(50)]
        for sequence in range(1, 51):
            for root in roots:
                await write_event(connection, root, sequence)
    async with relaying(pool, publisher):
        await until(all_published(pool))
    assert await check_relayed(pool, settings) == 0 or publisher.counts["failed"]


async def test_the_next_leader_goes_on_at_once(pool: Pool, publisher: Publisher, settings: Settings) -> None:
    async with writers(pool):
        for owner in ("a", "b"):
            async with relaying(pool, publisher, owner):
                await asyncio.sleep(0.5)
    async with relaying(pool, publisher, "c"):
        await until(all_published(pool), within_s=3)
    await check_relayed(pool, settings)  # what was in flight at a handover may come twice
    assert await pool.fetchval("select fence from relay") == 3


async def test_a_leader_that_loses_its_connection_takes_the_lead_again(
    pool: Pool, publisher: Publisher, settings: Settings
) -> None:
    cut = """
        select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and query like '%with waiting%' and pid <> pg_backend_pid()
    """
    async with relaying(pool, publisher):
        async with writers(pool):
            for _ in range(3):
                await until(lambda: cuts(pool, cut))
        await until(all_published(pool))
    await check_relayed(pool, settings)


async def cuts(pool: Pool, statement: str) -> bool:
    await asyncio.sleep(0.3)
    return bool(await pool.fetchval(statement))


async def test_an_event_of_an_unknown_type_stops_nothing(pool: Pool, publisher: Publisher, settings: Settings) -> None:
    async with pool.acquire() as connection:
        await write_event(connection, ids.new(1), 1)
        await connection.execute("update events set type = 'invoice.made'")
        await write_event(connection, ids.new(1), 1)
    async with relaying(pool, publisher):
        await until(all_published(pool))
    assert len(await read_topic(settings, topics.EVENTS_LIVE)) == 2


async def test_republish_fills_a_topic_again(pool: Pool, publisher: Publisher, settings: Settings) -> None:
    async with pool.acquire() as connection:
        for sequence in range(1, 11):
            await write_event(connection, (root := ids.new(3)) if sequence == 1 else root, sequence)
    async with relaying(pool, publisher):
        await until(all_published(pool))
        assert await republish(pool, 4) == 7
        await until(lambda: has_records(settings, 17))
        await until(all_published(pool))
    sequences = [int(dict(record.headers)["ce_sequence"]) for record in await read_topic(settings, topics.EVENTS_LIVE)]
    assert sequences == [*range(1, 11), *range(4, 11)]


async def has_records(settings: Settings, count: int) -> bool:
    return len(await read_topic(settings, topics.EVENTS_LIVE)) == count


# --- Who may give positions: two sessions, statement by statement ------------------------------------------------


async def test_only_the_fence_and_a_running_lease_give_positions(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await write_event(connection, ids.new(), 1)
        assert await take(connection, "a") == 1
        assert await take(connection, "b") is None
        assert await connection.fetch(ASSIGN, 0, LEASE, 0) == []
        await connection.execute("update relay set lease_until = now() - interval '1 s'")
        assert await connection.fetch(ASSIGN, 1, LEASE, 0) == []
        assert await connection.fetchval(RENEW, 1, LEASE, 0) is None
        assert await take(connection, "b") == 2
        assert [row["position"] for row in await connection.fetch(ASSIGN, 2, LEASE, 0)] == [1]
        assert await connection.fetch(ASSIGN, 2, LEASE, 0) == []
        assert await connection.fetchval("select next_position from relay") == 2


async def test_a_blocked_statement_of_a_former_leader_gives_nothing(pool: Pool) -> None:
    """It began under its lease, with events in its snapshot; the lead changed before it got the row's lock."""
    async with pool.acquire() as former, pool.acquire() as successor:
        for _ in range(3):
            await write_event(former, ids.new(), 1)
        assert await take(former, "a") == 1
        await former.execute(PLAN)
        async with successor.transaction():
            await successor.execute("update relay set leader = 'b', fence = 2, lease_until = now() + interval '1 min'")
            blocked = asyncio.create_task(former.fetch(ASSIGN, 1, LEASE, 0))
            await asyncio.sleep(0.3)
            assert not blocked.done()
            given = await successor.fetch(ASSIGN, 2, LEASE, 0)
            assert sorted(row["position"] for row in given) == [1, 2, 3]
        assert await blocked == []
        assert await former.fetchval("select next_position from relay") == 4
        rows = await former.fetch("select position from events order by 1")
        assert [row["position"] for row in rows] == [1, 2, 3]


async def test_a_lost_answer_of_the_leader_itself_gives_nothing_twice(pool: Pool) -> None:
    """Its first statement still runs when it comes back: taking the lead again waits for that statement's end."""
    async with pool.acquire() as first, pool.acquire() as second:
        for _ in range(3):
            await write_event(first, ids.new(), 1)
        assert await take(first, "a") == 1
        async with first.transaction():
            assert len(await first.fetch(ASSIGN, 1, LEASE, 0)) == 3
            again = asyncio.create_task(take(second, "a"))
            await asyncio.sleep(0.2)
            assert not again.done()
        assert await again == 2
        await write_event(second, ids.new(), 1)
        assert [row["position"] for row in await second.fetch(ASSIGN, 2, LEASE, 0)] == [4]


async def test_giving_positions_reads_only_what_it_must(pool: Pool) -> None:
    """With 100 000 events: left alone, the planner reads them all for each batch."""
    insert = """
        insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, created_at, position)
        select (lpad(to_hex($1::bigint + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
               $2, true, $2, $2, 'payment.created', 1, decode(repeat('41', 900), 'hex'), now(),
               case when n <= 90000 then n end
          from generate_series(1, 100000) n
    """
    async with pool.acquire() as connection:
        now_ms = await connection.fetchval("select (extract(epoch from now()) * 1000)::bigint - 1000000")
        await connection.execute("set statement_timeout = 0")
        await connection.execute(insert, now_ms, ids.new())
        await connection.execute("analyze events")
        await take(connection, "a")
        await connection.execute("update relay set next_position = 90001")
        await connection.execute(PLAN)
        statement = await connection.prepare(ASSIGN)
        for _ in range(7):  # the sixth run may take a generic plan
            assert len(await statement.fetch(1, LEASE, 0)) == 1000
        plan = await statement.explain(1, LEASE, 0, analyze=True)
        assert "Seq Scan" not in str(plan)
        assert "Hash Join" not in str(plan)
