"""Consuming: poison is buried and the partition moves on, what passes is waited for, a rebalance waits for us."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError  # type: ignore[import-untyped]
from asyncpg.exceptions._base import DataError as ClientDataError

from gateway.settings import Settings
from gateway.store.database import Pool
from streams import broker as consumers
from streams import topics
from streams.broker import Poison, Record, Subscription, create_broker, is_infrastructure, subscribe
from streams.dead_letters import bury
from streams.publisher import Message, Publisher
from streams.watchdog import Watchdog
from tests.streams.support import WAIT_S, read_topic, send_raw, until

pytestmark = pytest.mark.anyio

TOPIC, OTHER = topics.commands("sandbox"), topics.callbacks("sandbox")


@asynccontextmanager
async def consuming(
    settings: Settings, handle: consumers.Handle, bury: consumers.Bury, *, die: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Subscription]:
    broker = create_broker(settings)
    subscription = subscribe(broker, settings, [TOPIC, OTHER], "executor", handle, bury=bury, die=die)
    try:
        async with asyncio.timeout(WAIT_S):
            await consumers.start(broker, settings)
        yield subscription
    finally:
        await broker.stop()


async def never(record: Record, group: str, cause: Exception) -> None:
    raise AssertionError("nothing was to be buried")


async def send(publisher: Publisher, *values: bytes, topic: str = TOPIC, lp: int = 0) -> None:
    some = [Message(topic=topic, lp=lp, key=b"k", value=value) for value in values]
    assert await publisher.publish_in_order(some) == len(values)


class Handler:
    """Notes what it is given, and fails on records that begin with "bad"."""

    def __init__(self, fail: Callable[[list[Record]], Exception | None] = lambda records: None) -> None:
        self.fail = fail
        self.batches: list[list[bytes]] = []
        self.handled: list[Record] = []

    async def __call__(self, records: list[Record]) -> None:
        self.batches.append([record.value or b"" for record in records])
        error = self.fail(records)
        if error is not None:
            raise error
        self.handled.extend(records)

    @property
    def values(self) -> list[bytes]:
        return [record.value or b"" for record in self.handled]


def bad_is_an_error(records: list[Record]) -> Exception | None:
    return ValueError("bad") if any((one.value or b"").startswith(b"bad") for one in records) else None


async def test_records_are_handed_over_as_they_lie_in_kafka(publisher: Publisher, settings: Settings) -> None:
    handler = Handler()
    headers = (("ce_id", b"1"), ("latin", b"\xff"), ("null", None))
    sent = Message(topic=OTHER, lp=3, key=b"\xff", value=b"\x00", headers=headers)
    async with consuming(settings, handler, never):
        await publisher.publish_in_order([sent])
        await until(lambda: len(handler.handled) == 1)
    [record] = handler.handled
    at = record.timestamp_ms
    assert abs(at / 1000 - time.time()) < 60
    assert record == Record(
        topic=OTHER, partition=3, offset=0, timestamp_ms=at, key=sent.key, value=sent.value, headers=headers
    )


async def test_offsets_are_committed_only_when_handled(publisher: Publisher, settings: Settings) -> None:
    first, second = Handler(), Handler()
    await send(publisher, b"1", b"2")
    async with consuming(settings, first, never):
        await until(lambda: len(first.handled) == 2)
        await send(publisher, b"3")
        await until(lambda: len(first.handled) == 3)
    await send(publisher, b"4")
    async with consuming(settings, second, never):
        await until(lambda: len(second.handled) == 1)
    assert (first.values, second.values) == ([b"1", b"2", b"3"], [b"4"])


# Group 36 of the bad inputs: whatever lies on a topic.
STRANGE: list[dict[str, object]] = [
    {"value": b""},
    {"key": b"k", "value": None},
    {"value": b"x", "headers": [("latin", b"\xff\xfe"), ("content-type", b"application/json")]},
    {"value": b"x", "headers": [("null", None)]},
    {"value": b"{}", "headers": [("ce_id", b"1"), ("ce_specversion", b"0.3")]},
    {"value": b"y" * 1_000_000, "headers": [("ce_id", b"1")]},
    {"value": b"{", "timestamp": 0},
    {"value": b"\xff"},  # (Kafka itself refuses timestamps more than an hour ahead)
]


async def test_strange_records_are_buried_with_bytes_and_headers(
    pool: Pool, publisher: Publisher, settings: Settings
) -> None:
    def refuse_strange(records: list[Record]) -> Exception | None:
        strange = [(record, "strange") for record in records if record.value != b"good"]
        return Poison(strange) if strange else None

    handler = Handler(refuse_strange)
    await topics.create_topics(settings)
    await send_raw(settings, TOPIC, {"value": b"good"}, *STRANGE, {"value": b"good"})
    async with consuming(settings, handler, partial(bury, pool, publisher)):
        await until(lambda: len([value for batch in handler.batches for value in batch]) == len(STRANGE) + 2)
        await send(publisher, b"good")
        await until(lambda: len(handler.handled) >= 1)
    copies = await read_topic(settings, topics.dead(TOPIC))
    kept = [(copy.key, copy.value, copy.headers[: -len("12345678")]) for copy in copies]
    assert kept == [(one.get("key"), one["value"], tuple(one.get("headers", ()))) for one in STRANGE]  # type: ignore[arg-type]
    rows = await pool.fetch('select value, error_class, error from dead_letters order by "offset"')
    assert [tuple(row) for row in rows] == [(one["value"], "Unreadable", "strange") for one in STRANGE]


async def test_one_bad_record_fails_alone(pool: Pool, publisher: Publisher, settings: Settings) -> None:
    handler = Handler(bad_is_an_error)
    await send(publisher, b"good 1", b"bad", b"good 2")
    async with consuming(settings, handler, partial(bury, pool, publisher)):
        await until(lambda: len(handler.handled) == 2)
        await send(publisher, b"good 3")
        await until(lambda: len(handler.handled) == 3)
    assert handler.values == [b"good 1", b"good 2", b"good 3"]
    [row] = await pool.fetch("select value, error_class, error from dead_letters")
    assert tuple(row) == (b"bad", "ValueError", "bad")


async def test_a_part_that_is_away_is_waited_for(publisher: Publisher, settings: Settings) -> None:
    tries: list[float] = []

    def fail_for_a_second(records: list[Record]) -> Exception | None:
        tries.append(time.monotonic())
        return asyncpg.CannotConnectNowError() if tries[-1] < tries[0] + 1 else None

    handler = Handler(fail_for_a_second)
    await send(publisher, b"1", b"2", lp=0)
    await send(publisher, b"3", topic=OTHER, lp=1)
    async with consuming(settings, handler, never):
        await until(lambda: len(handler.handled) >= 3)
        await asyncio.sleep(0.3)
    assert sorted(handler.values) == [b"1", b"2", b"3"]
    assert 3 <= len(tries) <= 7  # the pauses double


async def test_what_is_about_a_record_is_not_waited_for(publisher: Publisher, settings: Settings) -> None:
    buried: list[tuple[bytes | None, str, Exception]] = []

    async def note(record: Record, group: str, cause: Exception) -> None:
        buried.append((record.value, group, cause))

    error = asyncpg.NotNullViolationError()
    handler = Handler(lambda records: error)
    await send(publisher, b"1", b"2")
    async with consuming(settings, handler, note):
        await until(lambda: len(buried) == 2)
    assert buried == [(b"1", "executor", error), (b"2", "executor", error)]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (OSError(), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (KafkaConnectionError(), True),
        (asyncpg.CannotConnectNowError(), True),
        (asyncpg.InterfaceError("the connection is closed"), True),
        (asyncpg.DeadlockDetectedError(), True),
        (asyncpg.UndefinedColumnError(), True),  # this code came before its migration
        (asyncpg.NotNullViolationError(), False),
        (asyncpg.CharacterNotInRepertoireError(), False),
        (ClientDataError("value out of int64 range"), False),
        (KeyError("x"), False),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), False),
    ],
)
def test_what_is_waited_for(error: Exception, away: bool) -> None:
    assert is_infrastructure(error) is away


async def test_a_record_that_cannot_be_buried_is_kept(publisher: Publisher, settings: Settings) -> None:
    tries: list[Record] = []

    async def fail_first(record: Record, group: str, cause: Exception) -> None:
        tries.append(record)
        if len(tries) < 3:
            raise RuntimeError("no grave")

    handler = Handler(bad_is_an_error)
    await send(publisher, b"bad", b"good")
    async with consuming(settings, handler, fail_first):
        await until(lambda: len(handler.handled) == 1)
    assert {record.value for record in tries} == {b"bad"}
    assert len(tries) == 3


async def test_a_consumer_that_buries_everything_stops(
    publisher: Publisher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "DEAD_MOST", 20)
    buried: list[Record] = []
    deaths: list[str] = []

    async def note(record: Record, group: str, cause: Exception) -> None:
        buried.append(record)

    handler = Handler(lambda records: RuntimeError("our fault"))
    await send(publisher, *(b"%d" % number for number in range(100)))
    async with consuming(settings, handler, note, die=deaths.append):
        await until(lambda: bool(deaths))
    assert len(buried) == 20
    assert "our fault" in deaths[0]


async def test_a_planned_rebalance_waits_for_the_batch_in_hand(publisher: Publisher, settings: Settings) -> None:
    """Members come and go while records are handled slowly: no record is handled twice."""
    seen: list[bytes] = []

    async def slowly(records: list[Record]) -> None:
        seen.extend(record.value or b"" for record in records)
        await asyncio.sleep(0.3)

    async def keep_sending() -> None:
        for number in range(60):
            await send(publisher, b"%d" % number, lp=number)
            await asyncio.sleep(0.05)

    async with consuming(settings, slowly, never):
        sending = asyncio.create_task(keep_sending())
        for _ in range(2):
            async with consuming(settings, slowly, never):
                await asyncio.sleep(1)
        await sending
        await until(lambda: len(set(seen)) == 60)
        await asyncio.sleep(0.5)
    assert len(seen) == 60


async def test_polls_prove_life_and_the_watchdog_ends_a_lost_process(publisher: Publisher, settings: Settings) -> None:
    deaths: list[str] = []
    stuck = asyncio.Event()

    async def hang(records: list[Record]) -> None:
        await stuck.wait()

    async with consuming(settings, hang, never) as subscription:
        watchdog = Watchdog([subscription], lost_s=2, die=deaths.append)
        await until(lambda: subscription.polls is not None)
        watchdog.start()
        await asyncio.sleep(3)
        assert deaths == []
        assert subscription.silent_s < 2
        await send(publisher, b"1")
        await until(lambda: bool(deaths))
        assert subscription.silent_s > 2
        watchdog.stop()
        stuck.set()
    assert deaths[0].startswith("executor has not polled for 2 s")
