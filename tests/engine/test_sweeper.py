"""The sweeper: each repair, on a real database, by sweepers that run."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway import ids
from gateway.clock import Clock
from gateway.payments.model import State, Status
from gateway.settings import Settings
from gateway.store import audit, partitions
from gateway.store.audit import AuditRow
from gateway.store.database import Pool, create_pool
from gateway.usecases import audit_trail
from gateway.usecases.record_outcome import Recorder
from providers.contract import ActionRequired, Authorized, Otp, Pending, Secret, Unknown
from streams import topics
from streams.announcements import Announcements
from streams.codec import Command, decode
from streams.publisher import Publisher
from streams.sweeper import PARTITIONS_EVERY_S, Sweeper
from tests.engine.conftest import Announced, Begin, Later
from tests.engine.teller import Teller
from tests.streams.support import read_topic, until
from tests.support.proxy import proxy

TIMEOUT = Unknown(detail="timeout")
A_FEW_ROUNDS_S = 0.4  # a round is 50 ms at this pace

Make = Callable[..., Sweeper]


@pytest.fixture(autouse=True)
async def nothing_to_do(pool: Pool) -> None:
    """What other tests have left would be swept as well."""
    await pool.execute("truncate payments, operations, events, callbacks, provider_references, idempotency_keys")


@pytest.fixture
def make(settings: Settings, pool: Pool, clock: Clock, recorder: Recorder, announced: Announced) -> Make:
    """A sweeper that announces to the list, unless it is told otherwise."""

    def make(announcements: Announcements | Announced = announced, **how: object) -> Sweeper:
        parts = {"settings": settings, "pool": pool, "clock": clock, "recorder": recorder, **how}
        return Sweeper(announcements=announcements, **parts)  # type: ignore[arg-type]

    return make


@asynccontextmanager
async def sweeping(*sweepers: Sweeper) -> AsyncIterator[None]:
    """Let them run. None may have ended by itself."""
    tasks = [asyncio.create_task(sweeper.run()) for sweeper in sweepers]
    try:
        yield
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def make_due(tell: Teller, appointment: str) -> None:
    await tell.story.pool.execute(
        f"update operations set {appointment} = now() - interval '1 second' where id = $1", tell.operation_id
    )


async def wait_s(tell: Teller, appointment: str) -> float:
    """Seconds from now to an appointment, by the database's clock."""
    seconds: float = await tell.story.pool.fetchval(
        f"select extract(epoch from {appointment} - now())::float8 from operations where id = $1", tell.operation_id
    )
    return seconds


# --- Publishing again -------------------------------------------------------------------------------------------------


async def test_what_was_not_published_is_published_with_growing_pauses(
    begin: Begin, make: Make, announced: Announced
) -> None:
    tell = await begin()
    pauses = []
    async with sweeping(make()):
        for published in range(1, 6):
            await make_due(tell, "next_publish_at")
            await until(lambda n=published: len(announced.operations) == n)
            pauses.append(round(await wait_s(tell, "next_publish_at")))
        await asyncio.sleep(A_FEW_ROUNDS_S)
    assert pauses == [10, 30, 120, 600, 600]
    assert [each.id for each in announced.operations] == [tell.operation_id] * 5


async def test_what_is_not_due_is_left_alone(begin: Begin, make: Make, announced: Announced) -> None:
    """A fresh one has 10 seconds; what was sent is nobody's to publish; nor what a provider that is behind has."""
    fresh, sent, cpay = await begin(), await begin(), await begin(provider="cpay")
    await sent.claim()
    await make_due(sent, "next_publish_at")
    await make_due(cpay, "next_publish_at")
    async with sweeping(make(behind=lambda: frozenset({"cpay"}))):
        await asyncio.sleep(A_FEW_ROUNDS_S)
    assert announced.operations == []
    assert 0 < await wait_s(fresh, "next_publish_at") <= 10


async def test_two_sweepers_publish_nothing_twice(begin: Begin, make: Make, pool: Pool) -> None:
    for _ in range(300):
        await begin()
    lists = [Announced(), Announced()]
    async with sweeping(*(make(each) for each in lists)):
        for due in range(1, 4):
            await pool.execute("update operations set next_publish_at = now()")
            await until(lambda n=due: sum(len(each.operations) for each in lists) >= 300 * n)
            await asyncio.sleep(A_FEW_ROUNDS_S)
    published = Counter(each.id for listed in lists for each in listed.operations)
    assert (len(published), set(published.values())) == (300, {3})


async def test_a_full_publisher_is_no_reason_to_hurry(begin: Begin, make: Make, announced: Announced) -> None:
    tell = await begin()
    await make_due(tell, "next_publish_at")
    announced.takes = False
    async with sweeping(make()):
        await until(lambda: bool(announced.operations))
        await asyncio.sleep(A_FEW_ROUNDS_S)
    assert len(announced.operations) == 1
    assert await wait_s(tell, "next_publish_at") > 5


async def test_it_reaches_kafka(begin: Begin, make: Make, settings: Settings) -> None:
    tell = await begin()
    await make_due(tell, "next_publish_at")
    publisher = Publisher(settings)
    await publisher.start()
    try:
        async with sweeping(make(Announcements(publisher))):
            await until(lambda: publisher.counts["sent"] == 1)
    finally:
        await publisher.stop()
    (record,) = await read_topic(settings, topics.commands("sandbox"))
    command = decode(Command, record.value)
    assert isinstance(command, Command)
    assert command.operation == ids.show(ids.OPERATION, tell.operation_id)
    assert record.partition == ids.lp_of(tell.payment_id) % settings.kafka_partitions


# --- Leases, questions, expiries --------------------------------------------------------------------------------------


async def test_ended_leases_are_found(begin: Begin, make: Make, announced: Announced) -> None:
    dead, alive = await begin(), await begin()
    await dead.claim(lease_s=0.1)
    await alive.claim(lease_s=60)
    async with sweeping(make(), make()):
        await until(lambda: is_in(dead, State.UNKNOWN))
        await asyncio.sleep(A_FEW_ROUNDS_S)
    assert await alive.state() is State.SENT
    assert await dead.story.events() == ["created", "processing"]


async def is_in(tell: Teller, state: State) -> bool:
    return await tell.state() is state


async def test_due_questions_are_put(begin: Begin, make: Make, announced: Announced) -> None:
    due, early = await begin(), await begin()
    for tell in (due, early):
        await tell.performed(TIMEOUT)
    await make_due(due, "next_query_at")
    await early.story.force(next_query_at=Clock().now() + timedelta(minutes=1))
    async with sweeping(make(), make()):
        await until(lambda: bool(announced.operations))
        await asyncio.sleep(A_FEW_ROUNDS_S)
    assert [(each.verb, each.target_id) for each in announced.operations] == [("query", due.operation_id)]
    assert (await due.queries(), await early.queries()) == (1, 0)


async def test_one_that_cannot_be_asked_does_not_stop_the_others(
    begin: Begin, make: Make, pool: Pool, announced: Announced
) -> None:
    """Its appointment moves on; the others are kept; and the sweeper lives."""
    broken, sound = await begin(), await begin()
    for tell in (broken, sound):
        await tell.performed(TIMEOUT)
        await make_due(tell, "next_query_at")
    await pool.execute('update payments set review = \'{"reason":"no such reason"}\' where id = $1', broken.payment_id)
    with capture_logs() as logs:
        async with sweeping(make()):
            await until(lambda: bool(announced.operations))
            await asyncio.sleep(A_FEW_ROUNDS_S)
    assert [each.target_id for each in announced.operations] == [sound.operation_id]
    assert await wait_s(broken, "next_query_at") > 30
    assert any(entry["log_level"] in ("error", "warning") for entry in logs)


async def test_payments_expire(begin: Begin, make: Make, later: Later) -> None:
    unsent, waiting, acting, unknown, authorized, early = [await begin() for _ in range(6)]
    await waiting.performed(Pending())
    await acting.performed(ActionRequired(action=Otp("code")))
    await unknown.performed(TIMEOUT)
    await authorized.performed(Authorized())
    for tell in (unsent, waiting, acting, unknown, authorized):
        await tell.story.force(next_query_at=None)
        await tell.end_its_time()
    sweeper = make()
    async with sweeping(sweeper, make()):
        await until(lambda: has(unsent, Status.EXPIRED))
        await until(lambda: was_asked(waiting))
        await until(lambda: was_asked(acting))
        await asyncio.sleep(A_FEW_ROUNDS_S)
        assert sweeper.swept["expiries"] == 0, "what is being asked about needs nothing more"
    assert [await tell.status() for tell in (waiting, acting, unknown, authorized, early)] == [
        "processing", "requires_action", "processing", "authorized", "pending"
    ]  # fmt: skip
    assert [await tell.queries() for tell in (waiting, acting, unknown)] == [1, 1, 0]


async def has(tell: Teller, status: Status) -> bool:
    return await tell.status() == status


async def was_asked(tell: Teller) -> bool:
    return await tell.queries() == 1


async def test_a_question_from_before_the_end_is_waited_for(begin: Begin, make: Make) -> None:
    """As long as it is live nothing can be done: such rows must not keep a sweeper busy, nor others from their turn."""
    tell = await begin()
    await tell.performed(Pending())
    await tell.ask()
    await asyncio.sleep(0.05)
    await tell.end_its_time()
    sweeper = make()
    async with sweeping(sweeper):
        await asyncio.sleep(A_FEW_ROUNDS_S)
        assert sweeper.swept["expiries"] == 0
    await tell.queried(Pending())
    async with sweeping(sweeper):
        await until(lambda: asked_again(tell))


async def asked_again(tell: Teller) -> bool:
    return await tell.queries() == 2


# --- Partitions, and a database that is away --------------------------------------------------------------------------


async def test_partitions_are_made_ahead_every_hour(make: Make, pool: Pool, later: Later) -> None:
    last = partitions.name_of("events", Clock().now() + timedelta(days=partitions.DAYS_AHEAD))

    async def exists() -> bool:
        found: bool = await pool.fetchval("select to_regclass($1) is not null", last)
        return found

    await pool.execute(f"drop table if exists {last}")
    async with sweeping(make()):
        await until(exists)
        await pool.execute(f"drop table {last}")
        await asyncio.sleep(A_FEW_ROUNDS_S)
        assert not await exists(), "once an hour is enough"
        later(PARTITIONS_EVERY_S + 1)
        await until(exists)


async def test_a_database_that_is_away_is_waited_for(
    begin: Begin, make: Make, settings: Settings, announced: Announced
) -> None:
    tell = await begin()
    async with proxy(settings.database_uri) as between:
        through = msgspec.structs.replace(settings, database_uri=Secret(between.before(settings.database_uri)))
        async with await create_pool(through, size=2) as own_pool:
            with capture_logs() as logs:
                async with sweeping(make(pool=own_pool)):
                    between.lose = lambda sent: True
                    await until(lambda: failures(logs) >= CHORES)
                    assert announced.operations == []
                    between.lose = lambda sent: False
                    await make_due(tell, "next_publish_at")
                    await until(lambda: bool(announced.operations))


CHORES = {"operations", "callbacks", "leases", "queries", "expiries"}


def failures(logs: list[MutableMapping[str, Any]]) -> set[str]:
    return {entry["chore"] for entry in logs if entry["event"] == "sweeper.failed"}


async def test_the_audit_trail_is_sealed(make: Make, pool: Pool, settings: Settings, clock: Clock) -> None:
    merchant = ids.new()
    row = AuditRow(merchant_id=merchant, actor="key_x", action="a", object_id="o")
    async with pool.acquire() as connection:
        await audit.insert(connection, row, clock.now(), livemode=True)
    chain = audit_trail.chain_of(settings, merchant, livemode=True)

    async def is_sealed() -> bool:
        return (await audit_trail.verify(pool.acquire, chain)).checked == 1

    async with sweeping(make(), make()):
        await until(is_sealed)
    assert (await audit_trail.verify(pool.acquire, chain)).bad is None
