"""Writing events, reading topics, waiting."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition  # type: ignore[import-untyped]

from gateway import ids
from gateway.settings import Settings
from gateway.store.database import Connection, Pool
from streams import topics
from streams.access import access

WAIT_S = 60.0  # generous: the machine may be busy


async def until(holds: Callable[[], Awaitable[bool]] | Callable[[], bool], *, within_s: float = WAIT_S) -> None:
    """Wait until the condition holds; fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


async def read_topic(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """Everything that is on a topic now, each partition in order."""
    name = topics.physical(settings, topic)
    consumer = AIOKafkaConsumer(**access(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        partitions = [TopicPartition(name, one) for one in consumer.partitions_for_topic(name) or ()]
        if not partitions:
            return []
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        while [one for one, end in ends.items() if await consumer.position(one) < end]:
            for found in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(found)
        return records
    finally:
        await consumer.stop()


async def send_raw(settings: Settings, topic: str, *records: dict[str, object], partition: int = 0) -> None:
    """Put records on a topic exactly as they are, one batch each, also such as no producer of ours would make."""
    producer = AIOKafkaProducer(**access(settings), acks="all", max_request_size=2**24)
    await producer.start()
    try:
        for record in records:
            batch = producer.create_batch()
            batch.append(**{"timestamp": None, "key": None, "value": None, "headers": [], **record})
            await (await producer.send_batch(batch, topics.physical(settings, topic), partition=partition))
    finally:
        await producer.stop()


async def write_event(connection: Connection, root: UUID, sequence: int, *, livemode: bool = True) -> None:
    """The event number `sequence` of the payment `root`."""
    event_id = ids.new(ids.lp_of(root))
    await connection.execute(
        """
        insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, created_at)
        values ($1, $2, $3, $2, $2, 'payment.processing', $4, $5, $6)
        """,
        event_id,
        root,
        livemode,
        sequence,
        b'{"id":"%s","sequence":%d}' % (ids.show(ids.EVENT, event_id).encode(), sequence),
        datetime.now(UTC),
    )


@asynccontextmanager
async def writers(pool: Pool, *, at_once: int = 4, pause_s: float = 0.005) -> AsyncIterator[list[int]]:
    """Write events for as long as the block runs: each writer one root, under its lock, committing late at times.

    Yields a list of one number that grows: how many events were committed.
    """
    written, stop = [0], asyncio.Event()

    async def write(seed: int) -> None:
        chance, root, sequence = random.Random(seed), ids.new(seed), 0
        while not stop.is_set():
            sequence += 1
            async with pool.acquire() as connection, connection.transaction():
                await write_event(connection, root, sequence, livemode=seed % 4 != 0)
                await asyncio.sleep(chance.choice((0, 0, 0.03)))  # the seq is drawn; later ones commit first
            written[0] += 1
            if sequence % 25 == 0:
                root, sequence = ids.new(chance.randrange(256)), 0
            await asyncio.sleep(pause_s)

    tasks = [asyncio.create_task(write(seed)) for seed in range(at_once)]
    try:
        yield written
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def check_relayed(pool: Pool, settings: Settings) -> int:
    """What the relay promises: positions without gap or repetition, each root's events in order, all on its topic,
    and there the first delivery of each in order. How many deliveries were repetitions.
    """
    rows = await pool.fetch("select * from events order by position")
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
    expected: dict[str, list[int]] = {}
    for row in rows:
        expected.setdefault(ids.show(ids.PAYMENT, row["root_id"]), []).append(row["sequence"])
    assert all(found == sorted(found) for found in expected.values())
    records = [*await read_topic(settings, topics.EVENTS_LIVE), *await read_topic(settings, topics.EVENTS_TEST)]
    delivered: dict[str, list[int]] = {}
    for record in records:
        order = delivered.setdefault(record.key.decode(), [])
        sequence = int(dict(record.headers)["ce_sequence"])
        if sequence not in order:
            order.append(sequence)
    assert delivered == expected
    return len(records) - len(rows)
