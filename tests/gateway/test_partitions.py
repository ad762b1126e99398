"""Day partitions are there before they are needed, and a late one takes its rows back from the default."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from gateway import ids
from gateway.store import partitions

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def with_database(database: str, test: Callable[[Connection], Awaitable[None]]) -> None:
    """Run `test` on a migrated database."""

    async def run() -> None:
        connection = await asyncpg.connect(database)
        try:
            await test(connection)
        finally:
            await connection.close()

    asyncio.run(run())


async def insert_event(connection: Connection, at: datetime) -> UUID:
    event_id = ids.new(at_ms=int(at.timestamp() * 1000))
    await connection.execute(
        """insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, created_at)
           values ($1, $1, false, $1, $1, 'ping', 1, 'body', $2)""",
        event_id,
        at,
    )
    return event_id


async def home_of(connection: Connection, event_id: UUID) -> str:
    found = await connection.fetchval("select tableoid::regclass::text from events where id = $1", event_id)
    assert isinstance(found, str)
    return found


def days(first: datetime, count: int) -> list[str]:
    return [f"{(first + timedelta(days=offset)):%Y%m%d}" for offset in range(count)]


def test_the_list_holds_every_table_that_is_partitioned_by_day(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        rows = await connection.fetch(
            "select partrelid::regclass::text from pg_partitioned_table where partstrat = 'r'"
        )
        assert {row[0] for row in rows} == set(partitions.DAY_PARTITIONED)

    with_database(database_uri, test)


def test_migrating_makes_a_fortnight(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        now = datetime.now(UTC)
        for offset in (-1, 0, 1, 14):
            day = now + timedelta(days=offset)
            assert await home_of(connection, await insert_event(connection, day)) == f"events_{day:%Y%m%d}"

    with_database(database_uri, test)


def test_again_makes_nothing_and_tomorrow_one_day(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        await partitions.ensure(connection, NOON)
        assert await partitions.ensure(connection, NOON) == []
        one_more = f"{NOON + timedelta(days=15):%Y%m%d}"
        tomorrow = NOON + timedelta(days=1)
        assert await partitions.ensure(connection, tomorrow) == [
            f"{table}_{one_more}" for table in partitions.DAY_PARTITIONED
        ]

    with_database(database_uri, test)


def test_forty_days_on(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        await partitions.ensure(connection, NOON)
        later = NOON + timedelta(days=40)
        wanted = days(later - timedelta(days=1), 16)
        assert await partitions.ensure(connection, later) == [
            f"{table}_{day}" for table in partitions.DAY_PARTITIONED for day in wanted
        ]
        assert await home_of(connection, await insert_event(connection, later)) == f"events_{later:%Y%m%d}"

    with_database(database_uri, test)


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_days_are_utc_days(database_uri: str, hour: int) -> None:
    async def test(connection: Connection) -> None:
        later = (NOON + timedelta(days=40)).replace(hour=hour, minute=30)
        maseru = later.astimezone(ZoneInfo("Africa/Maseru"))
        assert await partitions.ensure(connection, maseru, 0) == [
            f"{table}_{day}" for table in partitions.DAY_PARTITIONED for day in days(later - timedelta(days=1), 2)
        ]

    with_database(database_uri, test)


def test_bounds_are_midnights(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        midnight = (NOON + timedelta(days=3)).replace(hour=0)
        homes = [
            await home_of(connection, await insert_event(connection, at))
            for at in (midnight - timedelta(milliseconds=1), midnight)
        ]
        assert homes == [f"events_{day}" for day in days(midnight - timedelta(days=1), 2)]

    with_database(database_uri, test)


def test_rows_in_the_default_come_home(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        later = NOON + timedelta(days=40)
        lost = [await insert_event(connection, later + timedelta(days=offset)) for offset in (-2, -1, 0, 5, 16)]
        columns = "select id, seq, body, position, created_at from events order by seq"
        before = await connection.fetch(columns)
        assert {await home_of(connection, one) for one in lost} == {"events_default"}
        await partitions.ensure(connection, later)
        assert await connection.fetch(columns) == before
        homes = [await home_of(connection, one) for one in lost]
        expected = [f"events_{later + timedelta(days=offset):%Y%m%d}" for offset in (-1, 0, 5)]
        # Too old and too new for the days that were asked for: they stay where they are.
        assert homes == ["events_default", *expected, "events_default"]
        newest = await connection.fetchval("select max(seq) from events")
        await insert_event(connection, later)
        assert await connection.fetchval("select max(seq) from events") > newest

    with_database(database_uri, test)


def test_a_late_partition_has_the_indexes_of_the_others(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        later = NOON + timedelta(days=40)
        await insert_event(connection, later)
        await partitions.ensure(connection, later)
        definition = """select regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', '') shape, indisvalid
                        from pg_index where indrelid = $1::text::regclass order by 1"""
        default, late = [await connection.fetch(definition, f"events_{one}") for one in ("default", f"{later:%Y%m%d}")]
        assert late == default
        assert len(late) == 5

    with_database(database_uri, test)


def test_several_at_once_while_rows_come_in(database_uri: str) -> None:
    async def test(connection: Connection) -> None:
        later = NOON + timedelta(days=40)
        done = asyncio.Event()
        inserted: list[UUID] = []

        async def insert() -> None:
            own = await asyncpg.connect(database_uri)
            while not done.is_set():
                inserted.append(await insert_event(own, later))
            await own.close()

        async def ensure() -> list[str]:
            own = await asyncpg.connect(database_uri)
            try:
                return await partitions.ensure(own, later)
            finally:
                await own.close()

        inserting = [asyncio.create_task(insert()) for _ in range(2)]
        while len(inserted) < 20:
            await asyncio.sleep(0.01)
        made = await asyncio.gather(*(ensure() for _ in range(4)))
        done.set()
        await asyncio.gather(*inserting)
        # Each is made once, by whoever came first to its table.
        assert (
            sum(map(len, made)) == len({name for each in made for name in each}) == 16 * len(partitions.DAY_PARTITIONED)
        )
        assert await connection.fetchval("select count(*) from events") == len(inserted)
        homes = await connection.fetch("select distinct tableoid::regclass::text from events")
        assert [row[0] for row in homes] == [f"events_{later:%Y%m%d}"]

    with_database(database_uri, test)


def test_a_table_in_use_is_left_alone_and_nothing_is_half_done(
    database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "100ms")

    async def test(connection: Connection) -> None:
        later = NOON + timedelta(days=40)
        lost = await insert_event(connection, later)
        reader = await asyncpg.connect(database_uri)
        async with reader.transaction():
            await reader.fetch("select count(*) from events_default")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await partitions.ensure(connection, later)
        await reader.close()
        assert await home_of(connection, lost) == "events_default"
        await partitions.ensure(connection, later)
        assert await home_of(connection, lost) == f"events_{later:%Y%m%d}"

    with_database(database_uri, test)
