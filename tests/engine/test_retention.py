"""Retention, on a real database, by a clock that is put forward: what is old goes, and never what is unfinished."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway import ids
from gateway.clock import Clock
from gateway.payments.errors import MyPayError
from gateway.payments.model import State, Status
from gateway.settings import Settings
from gateway.store import audit, audit_chain, partitions, retention
from gateway.store.audit import AuditRow
from gateway.store.database import Connection, Pool
from gateway.usecases import audit_trail
from gateway.usecases.audit_trail import Verdict
from providers.contract import Secret
from streams.retention import Retention
from tests.support.payments import MERCHANT, Story

OTHERS = "payments, operations, refunds, idempotency_keys, dropped_events, audit_anchors, dead_letters"
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=500)  # no day of the fixtures' own database is near


def at(days: float, *, of: datetime = OLD) -> datetime:
    """A time so many days after the old one."""
    return of + timedelta(days=days)


def clock(now: datetime) -> Clock:
    """A clock that shows this time."""
    moved, here = Clock(), time.time()
    moved.adjust(now, sent=here, received=here)
    return moved


async def make_days(pool: Pool, *days: float) -> None:
    """The partitions that there were then, empty, and no others: a test's clock is put forward from there."""
    async with pool.acquire() as connection:
        await connection.execute(f"truncate {', '.join(partitions.DAY_PARTITIONED)}, {OTHERS}")
        for table in partitions.DAY_PARTITIONED:
            for row in await connection.fetch(retention.DAYS, table):
                if not row["name"].endswith("_default"):
                    await connection.execute(f"drop table {row['name']}")
        for day in days:
            await partitions.ensure(connection, at(day), 0)


async def left(pool: Pool, table: str) -> list[str]:
    """The days that a table has."""
    rows = await pool.fetch(retention.DAYS, table)
    return [row["name"].removeprefix(f"{table}_") for row in rows if not row["name"].endswith("_default")]


def stamp(days: float) -> str:
    return f"{at(days):%Y%m%d}"


def new_id(when: datetime) -> UUID:
    return ids.new(at_ms=int(when.timestamp() * 1000))


async def add_event(
    pool: Pool, when: datetime, position: int | None, *, about: UUID = MERCHANT, merchant: UUID = MERCHANT
) -> UUID:
    event_id = new_id(when)
    await pool.execute(
        """insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, position,
                               created_at)
           values ($1, $2, false, $3, $3, 'payment.created', 1, '{}', $4, $5)""",
        event_id,
        merchant,
        about,
        position,
        when,
    )
    await pool.execute("update relay set next_position = 1000, published_position = 999")
    return event_id


async def add_delivery(pool: Pool, event_id: UUID, *, pending: bool) -> None:
    await pool.execute(
        """insert into webhook_deliveries (event_id, endpoint_id, id, merchant_id, livemode, status, next_attempt_at,
                                           created_at, updated_at)
           values ($1, $2, $2, $2, false, $3, $4, now(), now())""",
        event_id,
        ids.new(),
        "pending" if pending else "delivered",
        NOW if pending else None,
    )
    await pool.execute(
        """insert into webhook_attempts (event_id, endpoint_id, attempt, merchant_id, started_at, duration_ms)
           values ($1, $2, 1, $2, now(), 5)""",
        event_id,
        ids.new(),
    )


async def add_callback(pool: Pool, when: datetime, state: str, operation: UUID | None = None) -> None:
    await pool.execute(
        """insert into callbacks (id, merchant_id, account_id, provider, operation_id, method, query, headers, body,
                                  state, next_publish_at, received_at)
           values ($1, $2, $2, 'sandbox', $3, 'POST', '', '{}', '', $4, now(), now())""",
        new_id(when),
        MERCHANT,
        operation,
        state,
    )


async def add_exchange(pool: Pool, when: datetime, operation: UUID) -> None:
    await pool.execute(
        """insert into exchanges (id, merchant_id, operation_id, method, path, request, duration_ms, sent_at)
           values ($1, $2, $3, 'POST', '/', '', 5, now())""",
        new_id(when),
        MERCHANT,
        operation,
    )


async def payment_of(pool: Pool, when: datetime) -> Story:
    """A payment that was made then, whose first event has been published."""
    story = await Story.begin(pool, uuid.uuid4().hex, now=when, payment_id=new_id(when))
    await pool.execute("update events set position = 1 where root_id = $1", story.payment_id)
    return story


async def close(story: Story) -> None:
    await story.force(Status.FAILED, State.DECLINED)


@pytest.fixture
def sweep(settings: Settings, pool: Pool) -> Callable[[float], Awaitable[int]]:
    """Drop what is due so many days after the old time."""

    def sweep(days: float) -> Awaitable[int]:
        return Retention(settings, pool, clock(at(days))).drop_days()

    return sweep


Sweep = Callable[[float], Awaitable[int]]


async def test_a_day_goes_when_it_ended_so_many_days_ago(pool: Pool, sweep: Sweep) -> None:
    await make_days(pool, 0)
    await add_delivery(pool, await add_event(pool, at(0), 1), pending=False)
    midnight = at(0).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = (midnight + timedelta(days=1) - OLD) / timedelta(days=1)
    thirty = ("events", "webhook_deliveries", "webhook_attempts", "exchanges")
    for days, tables in ((30, thirty), (90, ("callbacks",)), (397, ("audit_events",))):
        await sweep(ends + days - 0.001)
        assert [await left(pool, table) for table in tables] == [[stamp(0)]] * len(tables)
        await sweep(ends + days + 0.001)
        assert [await left(pool, table) for table in tables] == [[]] * len(tables)


KEEPS: dict[str, Callable[[Pool], Awaitable[Callable[[], Awaitable[object]]]]] = {}


def keeps(
    prepare: Callable[[Pool], Awaitable[Callable[[], Awaitable[object]]]],
) -> Callable[[Pool], Awaitable[Callable[[], Awaitable[object]]]]:
    """Something unfinished on day 0; the answer finishes it."""
    KEEPS[prepare.__name__] = prepare
    return prepare


@keeps
async def events_without_a_position(pool: Pool) -> Callable[[], Awaitable[object]]:
    event = await add_event(pool, at(0), None)
    return lambda: pool.execute("update events set position = 7 where id = $1", event)


@keeps
async def events_that_are_not_on_the_topic(pool: Pool) -> Callable[[], Awaitable[object]]:
    await add_event(pool, at(0), 7)
    await pool.execute("update relay set published_position = 6")
    return lambda: pool.execute("update relay set published_position = 7")


@keeps
async def events_that_are_not_delivered(pool: Pool) -> Callable[[], Awaitable[object]]:
    event = await add_event(pool, at(0), 7)
    await add_delivery(pool, event, pending=True)
    return lambda: pool.execute(
        "update webhook_deliveries set status = 'failed', next_attempt_at = null where event_id = $1", event
    )


@keeps
async def events_behind_a_cursor(pool: Pool) -> Callable[[], Awaitable[object]]:
    await add_event(pool, at(0), 7)
    await pool.execute("insert into merchants (id, name) values ($1, 'shop') on conflict do nothing", MERCHANT)
    await pool.execute(
        """insert into webhook_endpoints (id, merchant_id, livemode, url, events, status, sealed, backlog_cursor,
                                          created_at, updated_at)
           values ($1, $1, false, 'https://shop.example', '{*}', 'enabled', '', 6, now(), now())""",
        MERCHANT,
    )
    return lambda: pool.execute("delete from webhook_endpoints where id = $1", MERCHANT)


def of_a_payment(status: Status, *, review: bool = False) -> Callable[[Pool], Awaitable[Any]]:
    async def prepare(pool: Pool) -> Callable[[], Awaitable[object]]:
        story = await payment_of(pool, at(0))
        await story.force(status)
        await add_event(pool, at(0), 7, about=story.payment_id)
        await add_callback(pool, at(0), "processed", story.operation_id)
        await add_exchange(pool, at(0), story.operation_id)
        if review:
            reason = b'{"reason":"late_success","since":"2026-01-01T00:00:00.000Z"}'
            await pool.execute("update payments set review = $2 where id = $1", story.payment_id, reason)

        async def finish() -> None:
            await close(story)
            await pool.execute("update payments set review = null where id = $1", story.payment_id)

        return finish

    return prepare


for wanted in (Status.PENDING, Status.PROCESSING, Status.REQUIRES_ACTION, Status.AUTHORIZED):
    KEEPS[f"all_of_a_payment_that_is_{wanted}"] = of_a_payment(wanted)
KEEPS["all_of_a_payment_in_review"] = of_a_payment(Status.SUCCEEDED, review=True)


@keeps
async def all_of_a_refund_that_is_not_final(pool: Pool) -> Callable[[], Awaitable[object]]:
    story = await payment_of(pool, at(0))
    await story.force(Status.SUCCEEDED, State.SUCCEEDED)
    refund = ids.new(ids.lp_of(story.payment_id))
    await pool.execute(
        """insert into refunds (lp, id, payment_id, merchant_id, livemode, account_id, provider, status, amount,
                                currency, metadata, sequence, created_at, updated_at)
           select lp, $2, id, merchant_id, livemode, account_id, provider, 'pending', 1, currency, '{}', 1, now(), now()
             from payments where id = $1""",
        story.payment_id,
        refund,
    )
    await add_event(pool, at(0), 7, about=refund)
    await add_callback(pool, at(0), "processed", story.operation_id)
    await add_exchange(pool, at(0), story.operation_id)
    return lambda: pool.execute("update refunds set status = 'failed' where id = $1", refund)


def unhandled(state: str) -> Callable[[Pool], Awaitable[Any]]:
    async def prepare(pool: Pool) -> Callable[[], Awaitable[object]]:
        await add_callback(pool, at(0), state)
        return lambda: pool.execute("update callbacks set state = 'processed', next_publish_at = null")

    return prepare


KEEPS["callbacks_received"], KEEPS["callbacks_parked"] = unhandled("received"), unhandled("parked")


@pytest.mark.parametrize("name", KEEPS)
async def test_what_is_unfinished_keeps_its_day(pool: Pool, sweep: Sweep, name: str) -> None:
    await make_days(pool, 0, 1)
    finish = await KEEPS[name](pool)
    tables = ("events", "callbacks", "exchanges") if name.startswith("all_") else (name.split("_")[0],)
    await sweep(200)
    assert [await left(pool, table) for table in tables] == [[stamp(0)]] * len(tables)
    await finish()
    await sweep(200)
    assert [await left(pool, table) for table in tables] == [[]] * len(tables)


async def test_it_is_said_what_keeps_a_day(pool: Pool, sweep: Sweep, settings: Settings) -> None:
    await make_days(pool, 0)
    await add_event(pool, at(0), None)
    with capture_logs() as logs:
        await sweep(40)
    kept = {"event": "retention.kept", "table": "events", "day": f"events_{stamp(0)}", "reason": "unpublished"}
    assert kept in [{name: value for name, value in line.items() if name != "log_level"} for line in logs]
    async with pool.acquire() as connection:
        assert await retention.overdue_days(connection, settings, at(40)) in (9, 10)
        await connection.execute("update events set position = 7")
        await sweep(40)
        assert await retention.overdue_days(connection, settings, at(40)) == 0


async def test_strays_in_the_default_go_as_well(pool: Pool, sweep: Sweep) -> None:
    """Nobody made their day: they came in while no sweeper ran."""
    await make_days(pool)
    old, young = await add_event(pool, at(0), 7), await add_event(pool, at(35), 8)
    await sweep(40)
    rows = {row["id"] for row in await pool.fetch("select id from events where created_at < $1", NOW - timedelta(400))}
    assert old not in rows
    assert young in rows


async def test_cursors_before_what_was_dropped_are_known(pool: Pool, sweep: Sweep) -> None:
    await make_days(pool, 0, 5, 20)
    quiet = ids.new()
    for day, position in ((0, 11), (5, 12), (20, 13)):
        await add_event(pool, at(day), position)
    await add_event(pool, at(0), 10, merchant=quiet)
    await sweep(40)
    marks = await pool.fetch("select merchant_id, livemode, position from dropped_events where position < 1000")
    assert {tuple(mark) for mark in marks} >= {(MERCHANT, False, 12), (quiet, False, 10)}


async def test_many_sweepers_and_writers_at_once(pool: Pool, settings: Settings) -> None:
    await make_days(pool, *range(0, 12, 2), 40)
    done = asyncio.Event()

    async def write() -> int:
        count = 0
        while not done.is_set():
            await add_event(pool, at(40), 900)
            count += 1
        return count

    writing = asyncio.create_task(write())
    sweepers = [Retention(settings, pool, clock(at(60))) for _ in range(4)]
    dropped = 0
    tables = ("events", "webhook_deliveries", "webhook_attempts", "exchanges")
    while [await left(pool, table) for table in tables] != [[stamp(39), stamp(40)]] * 4:
        found = await asyncio.gather(*(each.drop_days() for each in sweepers))
        dropped += sum(found)
    done.set()
    assert await writing == await pool.fetchval("select count(*) from events where position = 900")
    assert dropped == 12 * 4  # each day of four tables by one of them


async def test_a_table_in_use_is_left_for_later(pool: Pool, sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOCK_TIMEOUT", "50ms")
    await make_days(pool, 0)
    await add_event(pool, at(0), 21, merchant=(mine := ids.new()))
    async with pool.acquire() as reader, reader.transaction():
        await reader.fetch("select count(*) from events")
        await sweep(40)
        assert await left(pool, "events") == [stamp(-1), stamp(0)]
        assert await left(pool, "exchanges") == []
        assert await pool.fetchval("select count(*) from dropped_events where merchant_id = $1", mine) == 0
    await sweep(40)
    assert await left(pool, "events") == []


# --- Rows -------------------------------------------------------------------------------------------------------------


async def test_idempotency_keys_live_31_days_and_as_long_as_their_payment(pool: Pool, settings: Settings) -> None:
    await pool.execute("truncate idempotency_keys")
    closed, waiting = [await payment_of(pool, at(0)) for _ in range(2)]
    await close(closed)
    for story in (closed, waiting):
        await pool.execute(
            """insert into idempotency_keys select lp, merchant_id, livemode, $1, 'capture', fingerprint, $2, '', $3
                 from idempotency_keys where object_id = $1""",
            story.payment_id,
            story.operation_id,
            at(0),
        )
    await pool.execute("update idempotency_keys set created_at = $1", at(0))

    async def roots() -> set[UUID]:
        rows = await pool.fetch("select object_id, root_id from idempotency_keys")
        return {row["object_id"] if row["root_id"] == ids.NIL else row["root_id"] for row in rows}

    assert await Retention(settings, pool, clock(at(30.9))).forget_rows() == 0
    assert await Retention(settings, pool, clock(at(31.1))).forget_rows() == 2
    assert await roots() == {waiting.payment_id}
    await close(waiting)
    assert await Retention(settings, pool, clock(at(31.1))).forget_rows() == 2
    assert await roots() == set()


async def test_rows_go_in_batches(pool: Pool, settings: Settings) -> None:
    await pool.execute("truncate idempotency_keys")
    await pool.execute(
        """insert into idempotency_keys select 0, $1, false, $1, n::text, '', $1, '', $2
             from generate_series(1, $3) n""",
        MERCHANT,
        at(0),
        retention.BATCH + 1,
    )
    sweepers = [Retention(settings, pool, clock(NOW)) for _ in range(3)]
    counts = await asyncio.gather(*(each.forget_rows() for each in sweepers))
    assert max(counts) <= retention.BATCH
    while await sweepers[0].forget_rows():
        pass
    assert await pool.fetchval("select count(*) from idempotency_keys") == 0


async def test_dead_letters_have_an_end(pool: Pool, settings: Settings) -> None:
    for when in (at(0), at(10)):
        await pool.execute(
            """insert into dead_letters (id, topic, partition, "offset", consumer_group, headers, error_class, error,
                                         created_at)
               values ($1, 'topic', 0, 1, 'group', '{}', 'Error', '', $2)""",
            ids.new(),
            when,
        )
    await Retention(settings, pool, clock(at(95))).forget_rows()
    assert await pool.fetchval("select count(*) from dead_letters") == 1


# --- The audit trail --------------------------------------------------------------------------------------------------


def reading(pool: Pool) -> Callable[[], AbstractAsyncContextManager[Connection]]:
    return lambda: pool.acquire()


async def add_audit(pool: Pool, settings: Settings, merchant: UUID, days: float, *, seal: bool = True) -> None:
    row = AuditRow(merchant_id=merchant, actor="key_x", action="account.update", object_id="acc_x")
    async with pool.acquire() as connection:
        await audit.insert(connection, row, at(days), livemode=False)
        while seal and await audit_trail.seal(settings, connection, at(days)):
            pass


async def verdict(pool: Pool, settings: Settings, merchant: UUID, kept: tuple[int, bytes] | None = None) -> Verdict:
    return await audit_trail.verify(reading(pool), audit_trail.chain_of(settings, merchant, False), kept)


@pytest.fixture
async def merchant(pool: Pool, settings: Settings) -> UUID:
    """Somebody with five audit rows on three old days, and one of now."""
    await make_days(pool, 0, 2, 60)
    merchant = ids.new()
    for days in (0, 0, 0.0001, 2, 60):
        await add_audit(pool, settings, merchant, days)
    return merchant


async def test_a_chain_holds_after_its_beginning_was_dropped(
    pool: Pool, settings: Settings, sweep: Sweep, merchant: UUID
) -> None:
    quiet = ids.new()
    await add_audit(pool, settings, quiet, 0)
    whole = await verdict(pool, settings, merchant)
    assert (whole.bad, whole.checked) == (None, 5)
    heads = dict(await pool.fetch("select position, hash from audit_events where merchant_id = $1", merchant))
    await sweep(400)
    found = await verdict(pool, settings, merchant)
    assert found.floor is not None
    assert (found.bad, found.checked, found.floor.position, found.floor.hash) == (None, 1, 4, heads[4])
    nothing = await verdict(pool, settings, quiet)
    assert (nothing.bad, nothing.checked) == (None, 0)
    for each in (merchant, quiet):  # and goes on
        await add_audit(pool, settings, each, 61)
    assert [(await verdict(pool, settings, each)).checked for each in (merchant, quiet)] == [2, 1]
    assert (await verdict(pool, settings, merchant)).bad is None
    assert (await verdict(pool, settings, quiet)).bad is None
    # What was noted earlier can be compared as long as it is there, or was the last to go.
    for position, reason in ((5, None), (4, None)):
        noted = await verdict(pool, settings, merchant, (position, bytes(heads[position])))
        assert (noted.bad and noted.bad.reason) == reason
    forged = await verdict(pool, settings, merchant, (4, bytes(32)))
    assert forged.bad is not None
    assert forged.bad.reason == "not_as_kept"
    with pytest.raises(MyPayError, match="invalid_request"):
        await verdict(pool, settings, merchant, (3, bytes(heads[3])))
    assert await pool.fetchval("select count(*) from audit_anchors where merchant_id = $1", merchant) == 3


FORGED = {
    "no floor": ("delete from audit_anchors where merchant_id = $1 and is_floor", "missing"),
    "a higher floor": (
        """with gone as (delete from audit_events where merchant_id = $1 and position = 5)
           update audit_anchors set is_floor = position = 5 where merchant_id = $1""",
        "anchor_differs",
    ),
    "another hash": ("update audit_anchors set hash = '\\x00' where merchant_id = $1 and is_floor", "anchor_differs"),
    "a row below": (
        """insert into audit_events (id, merchant_id, livemode, actor, action, object_id, outcome, changes, created_at,
                                     position, prev_hash, hash)
           select gen_random_uuid(), merchant_id, livemode, actor, 'forged', object_id, outcome, changes, created_at, 2,
                  prev_hash, hash from audit_events where merchant_id = $1 limit 1""",
        "inserted",
    ),
    "a row edited": ("update audit_events set action = 'forged' where merchant_id = $1", "edited"),
}


@pytest.mark.parametrize("name", FORGED)
async def test_where_a_chain_begins_cannot_be_forged(
    pool: Pool, settings: Settings, sweep: Sweep, merchant: UUID, name: str
) -> None:
    await sweep(400)
    sql, reason = FORGED[name]
    await pool.execute(sql, merchant)
    found = await verdict(pool, settings, merchant)
    assert found.bad is not None
    assert found.bad.reason == reason


async def test_a_row_that_was_sealed_late_keeps_the_days_together(pool: Pool, settings: Settings, sweep: Sweep) -> None:
    """It lies on day 0, and its place is after a row of day 2: day 0 alone is no beginning of the chain."""
    await make_days(pool, 0, 2)
    merchant = ids.new()
    await add_audit(pool, settings, merchant, 0)
    await add_audit(pool, settings, merchant, 2)
    await add_audit(pool, settings, merchant, 0.0001)
    await sweep(398.99)
    assert stamp(0) in await left(pool, "audit_events")
    assert (await verdict(pool, settings, merchant)).checked == 3
    await sweep(401)
    assert await left(pool, "audit_events") == []
    found = await verdict(pool, settings, merchant)
    assert (found.bad, found.checked) == (None, 0)


async def test_evidence_of_tampering_and_what_is_not_sealed_stay(
    pool: Pool, settings: Settings, sweep: Sweep, merchant: UUID
) -> None:
    await add_audit(pool, settings, merchant, 0, seal=False)
    await sweep(400)
    assert stamp(0) in await left(pool, "audit_events")
    await add_audit(pool, settings, merchant, 0)
    await pool.execute("update audit_events set action = 'forged' where merchant_id = $1 and position = 2", merchant)
    with capture_logs() as logs:
        await sweep(400)
    assert stamp(0) in await left(pool, "audit_events")
    assert [line["merchant"] for line in logs if line["event"] == "retention.audit_chain_broken"] == [
        ids.show(ids.MERCHANT, merchant)
    ]
    found = await verdict(pool, settings, merchant)
    assert found.bad is not None
    assert found.bad.reason == "edited"


async def test_a_new_secret_key_signs_floors_again(
    pool: Pool, settings: Settings, sweep: Sweep, merchant: UUID
) -> None:
    await sweep(400)
    both = msgspec.structs.replace(settings, secret_key=Secret("n" * 43), secret_key_previous=settings.secret_key)
    async with pool.acquire() as connection:
        assert await audit_chain.sign_again(connection, audit_trail.chain_of(both, merchant, False)) == 2
    only_new = msgspec.structs.replace(settings, secret_key=Secret("n" * 43))
    assert (await verdict(pool, only_new, merchant)).bad is None
