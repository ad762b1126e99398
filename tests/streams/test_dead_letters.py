"""A buried record keeps its bytes, in the row and on the topic; what is shown of it is masked."""

import msgspec
import pytest

from gateway.settings import Settings
from gateway.store.database import Pool
from streams import topics
from streams.broker import Record
from streams.dead_letters import ERROR_BYTES, bury
from streams.publisher import Publisher
from tests.streams.support import read_topic

pytestmark = pytest.mark.anyio

TOPIC = topics.commands("sandbox")
RECORD = Record(
    topic=TOPIC,
    partition=1,
    offset=41,
    timestamp_ms=0,
    key=b"\x00\xff",
    value=b"\xff\x00 not json",
    headers=(
        ("traceparent", b"00-1-2-00"),
        ("nul", b"a\x00b"),
        ("latin", b"caf\xe9"),
        ("null", None),
        ("Authorization", b"Bearer abc"),
        ("x-session-token", b"\xff"),
        ("twice", b"1"),
        ("twice", b"2"),
    ),
)


async def test_row_and_copy(pool: Pool, publisher: Publisher, settings: Settings) -> None:
    await bury(pool, publisher, RECORD, "executor", ValueError("token=abc123 of card 4111 1111 1111 1111\x00"))
    [row] = await pool.fetch("select * from dead_letters")
    assert (row["topic"], row["partition"], row["offset"], row["consumer_group"]) == (TOPIC, 1, 41, "executor")
    assert (row["key"], row["value"]) == (RECORD.key, RECORD.value)
    assert msgspec.json.decode(row["headers"]) == [
        ["traceparent", "00-1-2-00"],
        ["nul", r"a\x00b"],
        ["latin", r"caf\xe9"],
        ["null", None],
        ["Authorization", "***"],
        ["x-session-token", "***"],
        ["twice", "1"],
        ["twice", "2"],
    ]
    assert (row["error_class"], row["error"]) == ("ValueError", r"token=*** of card ***1111\x00")

    [copy] = await read_topic(settings, topics.dead(TOPIC))
    assert (copy.partition, copy.key, copy.value) == (1, RECORD.key, RECORD.value)
    assert copy.headers[: len(RECORD.headers)] == RECORD.headers
    added = {name: value.decode() for name, value in copy.headers[len(RECORD.headers) :]}
    assert added.pop("dlq_host")
    assert added == {
        "dlq_topic": TOPIC,
        "dlq_partition": "1",
        "dlq_offset": "41",
        "dlq_timestamp": "0",
        "dlq_group": "executor",
        "dlq_error_class": "ValueError",
        "dlq_error": row["error"],
    }


async def test_a_record_buried_twice_is_one_row(pool: Pool, publisher: Publisher) -> None:
    for group in ("executor", "executor", "callbacks"):
        await bury(pool, publisher, RECORD, group, ValueError("no"))
    assert await pool.fetchval("select count(*) from dead_letters") == 2


async def test_a_long_reason_is_cut_between_characters(pool: Pool, publisher: Publisher) -> None:
    await bury(pool, publisher, RECORD, "executor", ValueError("é" * 1000 + "\ud800"))
    error = await pool.fetchval("select error from dead_letters")
    assert error == "é" * (ERROR_BYTES // 2)


async def test_the_row_suffices_when_kafka_refuses_the_copy(pool: Pool, publisher: Publisher) -> None:
    large = msgspec.structs.replace(RECORD, value=b"x" * 1_100_000)
    await bury(pool, publisher, large, "executor", ValueError("too large"))
    assert publisher.counts["refused"] == 1
    assert await pool.fetchval("select length(value) from dead_letters") == 1_100_000
