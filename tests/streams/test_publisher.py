"""Sending: everything arrives, in order per partition; what is refused stands in nobody's way."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]
from aiokafka.errors import OutOfOrderSequenceNumber  # type: ignore[import-untyped]

from gateway.settings import Settings
from streams import topics
from streams.access import access
from streams.publisher import QUEUE_MAX, Message, Publisher
from tests.streams.support import read_topic, until

pytestmark = pytest.mark.anyio

TOPIC = topics.commands("sandbox")
PROBE = 1_000_000


def message(number: int, *, lp: int | None = None, topic: str = TOPIC, size: int = 0) -> Message:
    value = b"%d" % number + b" " * size
    return Message(topic=topic, lp=number % 256 if lp is None else lp, key=b"k%d" % number, value=value)


async def test_offered_messages_arrive_on_the_partition_of_their_lp(publisher: Publisher, settings: Settings) -> None:
    assert all(publisher.offer(message(number)) for number in range(1000))
    await until(lambda: publisher.queued == 0)
    records = await read_topic(settings, TOPIC)
    assert sorted(int(record.value) for record in records) == list(range(1000))
    assert all(record.partition == int(record.value) % 256 % settings.kafka_partitions for record in records)
    for partition in range(settings.kafka_partitions):
        numbers = [int(record.value) for record in records if record.partition == partition]
        assert numbers == sorted(numbers)


async def test_the_queue_is_bounded(settings: Settings) -> None:
    publisher = Publisher(settings)  # not started: nothing leaves
    taken = [publisher.offer(message(number)) for number in range(QUEUE_MAX + 10)]
    assert taken == [True] * QUEUE_MAX + [False] * 10
    assert publisher.counts["overflowed"] == 10
    await publisher.stop(limit_s=0.1)
    assert not publisher.offer(message(1))


async def test_all_that_is_acknowledged_in_order_is_counted(publisher: Publisher, settings: Settings) -> None:
    some = [message(number, topic=topics.events(number % 3 == 0)) for number in range(600)]
    assert await publisher.publish_in_order(some) == 600
    both = [*await read_topic(settings, topics.EVENTS_LIVE), *await read_topic(settings, topics.EVENTS_TEST)]
    assert len(both) == 600


async def test_an_oversized_message_is_refused_and_a_thousand_pass(publisher: Publisher, settings: Settings) -> None:
    before, after = message(0, lp=0), [message(number, lp=0) for number in range(1, 1001)]
    large = message(-1, lp=0, size=2_000_000)
    assert await publisher.publish_in_order([before, large, *after]) == 1002
    assert publisher.counts["refused"] == 1
    assert publisher.offer(large)
    assert all(publisher.offer(message(number, lp=0)) for number in range(1001, 2001))
    await until(lambda: publisher.queued == 0)
    assert publisher.counts == {"sent": 2001, "refused": 2}
    assert [int(record.value) for record in await read_topic(settings, TOPIC)] == list(range(2001))


async def test_a_batch_over_the_limit_of_the_topic_is_split(publisher: Publisher, settings: Settings) -> None:
    await topics.create_topics(settings, [TOPIC])
    await set_limit(settings, TOPIC, 20_000)
    await until(lambda: refuses(publisher, message(PROBE, size=21_000)))  # the broker applies it in its own time
    publisher.counts.clear()
    some = [message(number, lp=0, size=19_000 if number % 10 else 21_000) for number in range(100)]
    assert await publisher.publish_in_order(some) == 100
    assert publisher.counts == {"sent": 90, "refused": 10}
    numbers = [int(record.value) for record in await read_topic(settings, TOPIC)]
    assert [each for each in numbers if each != PROBE] == [number for number in range(100) if number % 10]


async def test_a_deadline_returns_what_is_done(settings: Settings) -> None:
    publisher = Publisher(settings)  # never connected
    assert await publisher.publish_in_order([message(1)], limit_s=0.1) == 0
    await publisher.stop(limit_s=0.1)


async def test_a_wedged_producer_is_replaced(publisher: Publisher, settings: Settings) -> None:
    """The client is broken from outside as aiokafka breaks itself: its sending task dies."""
    assert await publisher.publish_in_order([message(1)]) == 1
    broken = publisher._producer._client
    assert broken is not None
    broken._sender.sender_task.cancel()
    await asyncio.gather(broken._sender.sender_task, return_exceptions=True)
    broken._message_accumulator.fail_all(OutOfOrderSequenceNumber())
    started = asyncio.get_running_loop().time()
    assert await publisher.publish_in_order([message(2)]) == 0
    assert await publisher.publish_in_order([message(3)]) == 1
    assert asyncio.get_running_loop().time() - started < 5
    assert publisher._producer.connections == 2


async def test_stop_sends_what_is_queued(settings: Settings) -> None:
    publisher = Publisher(settings)
    await publisher.start()
    await until(lambda: publisher.connected)
    assert all(publisher.offer(message(number)) for number in range(500))
    await publisher.stop()
    assert len(await read_topic(settings, TOPIC)) == 500


async def refuses(publisher: Publisher, probe: Message) -> bool:
    await publisher.publish_in_order([probe])
    return publisher.counts["refused"] > 0


async def set_limit(settings: Settings, topic: str, limit_bytes: int) -> None:
    admin = AIOKafkaAdminClient(**access(settings))
    await admin.start()
    name = topics.physical(settings, topic)
    configs = {"max.message.bytes": str(limit_bytes)}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)])
    await admin.close()
