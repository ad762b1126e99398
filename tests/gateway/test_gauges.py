"""The gauges that are read from the database: what they say, by which index, and how little they ask."""

import asyncio
import math

import pytest

from gateway.metrics import METRICS
from gateway.settings import Settings
from gateway.store import gauges
from gateway.store.database import Pool, create_pool
from gateway.store.gauges import READINGS, DatabaseGauges
from tests.support.payments import Story


async def none_overdue(connection: object) -> float:
    return 0.0


def shown(name: str) -> float | None:
    return METRICS.database.get_sample_value(name)


async def account(pool: Pool, account_id, merchant_id) -> None:
    await pool.execute("insert into merchants (id, name) values ($1, 'm') on conflict do nothing", merchant_id)
    await pool.execute(
        """
        insert into accounts (id, merchant_id, provider, livemode, callback_token) values ($1, $2, 'sandbox', false, $3)
        on conflict do nothing
        """,
        account_id,
        merchant_id,
        account_id.hex,
    )


async def test_they_say_what_is_there(settings: Settings) -> None:
    async with await create_pool(settings, size=2) as pool:
        assert await DatabaseGauges(lambda: pool, none_overdue).refresh()
        assert shown("mypay_operations_prepared_oldest_seconds") == 0
        assert shown("mypay_relay_led") == 0
        await Story.begin(pool, "gauges")
        await account(pool, *await pool.fetchrow("select account_id, merchant_id from payments"))
        await pool.execute("update operations set created_at = now() - interval '1 minute'")
        await pool.execute("update events set created_at = now() - interval '2 minutes'")
        await pool.execute("update relay set lease_until = now() + interval '1 minute'")
        assert await DatabaseGauges(lambda: pool, none_overdue).refresh()
        assert shown("mypay_operations_prepared_oldest_seconds") == pytest.approx(60, abs=30)
        assert shown("mypay_events_unpublished_oldest_seconds") == pytest.approx(120, abs=30)
        assert shown("mypay_relay_led") == 1
        await pool.execute(
            "update operations set state = 'unknown', sent_at = now() - interval '1 hour', next_query_at = now()"
        )
        await pool.execute("""update payments set review = '{"reason": "unknown_outcome", "since": ""}'::text::jsonb""")
        assert await DatabaseGauges(lambda: pool, none_overdue).refresh()
        assert shown("mypay_operations_unknown") == 1
        assert shown("mypay_operations_unknown_oldest_seconds") == pytest.approx(3600, abs=30)
        assert shown("mypay_operations_prepared_oldest_seconds") == 0
        assert shown("mypay_reviews_open") == 1


async def test_days_ahead_are_those_of_the_table_that_has_fewest(settings: Settings) -> None:
    async with await create_pool(settings, size=2) as pool:
        await DatabaseGauges(lambda: pool, none_overdue).refresh()
        before = shown("mypay_partitions_ahead_days")
        newest = await pool.fetchval("select max(relname) from pg_class where relname ~ '^exchanges_[0-9]{8}$'")
        await pool.execute(f"drop table {newest}")
        await DatabaseGauges(lambda: pool, none_overdue).refresh()
        assert before is not None
        assert shown("mypay_partitions_ahead_days") == before - 1


async def test_many_who_ask_are_one_reading(settings: Settings) -> None:
    async with await create_pool(settings, size=2) as pool:
        asked = 0

        def counted() -> Pool:
            nonlocal asked
            asked += 1
            return pool

        together = DatabaseGauges(counted, none_overdue)
        assert all(await asyncio.gather(*(together.refresh() for _ in range(20))))
        assert asked == 1


async def test_a_number_that_is_late_is_not_told_and_the_others_are(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "select count(*) from pg_sleep(30)"
    monkeypatch.setattr(gauges, "READINGS", {slow: (METRICS.reviews_open,), "select 7": (METRICS.dead_letters_open,)})
    monkeypatch.setattr(gauges, "PATIENCE_S", 0.2)
    failed = METRICS.process.get_sample_value("mypay_database_readings_failed_total")
    assert failed is not None
    async with await create_pool(settings, size=2) as pool:
        assert await DatabaseGauges(lambda: pool, none_overdue).refresh()
        assert math.isnan(shown("mypay_reviews_open") or 0)
        assert shown("mypay_dead_letters_open") == 7
        assert METRICS.process.get_sample_value("mypay_database_readings_failed_total") == failed + 1
        asked = "select count(*) from pg_stat_activity where query = $1 and state = 'active'"
        async with asyncio.timeout(20):
            while await pool.fetchval(asked, slow):  # the server gives up too
                await asyncio.sleep(0.05)


async def test_without_a_database_there_are_none(settings: Settings) -> None:
    pool = await create_pool(settings, size=1)
    await pool.close()
    assert not await DatabaseGauges(lambda: pool, none_overdue).refresh()


async def test_every_reading_uses_an_index(settings: Settings) -> None:
    """Of the large tables. With sequential scans forbidden none may be left: what has no index would still show one."""
    large = ("payments", "operations", "events", "callbacks", "webhook_deliveries")
    async with await create_pool(settings, size=1) as pool, pool.acquire() as connection:
        await connection.execute("set enable_seqscan = off")
        for sql in READINGS:
            plan = "\n".join(row[0] for row in await connection.fetch(f"explain {sql}"))
            scanned = [line.split(" on ")[1] for line in plan.splitlines() if "Seq Scan" in line]
            assert not any(name.startswith(table) for name in scanned for table in large), plan


def test_ids_are_no_labels() -> None:
    assert not {label for each in METRICS.catalogue for label in each.labels} & {"merchant", "account", "payment", "id"}
