"""A Kafka that is not there yet, that is killed and comes back, and that comes back empty."""

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest

from gateway.settings import Settings
from gateway.store.database import Pool
from streams import broker as consumers
from streams import topics
from streams.broker import Record, create_broker, subscribe
from streams.publisher import Message, Publisher
from streams.relay import republish
from tests.streams.conftest import OwnKafka
from tests.streams.support import WAIT_S, check_relayed, read_topic, until, writers
from tests.streams.test_relay import all_published, relaying

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("own-kafka")]

TOPIC = topics.commands("sandbox")


@pytest.fixture
def settings(settings: Settings, own_kafka: OwnKafka) -> Settings:
    return msgspec.structs.replace(settings, kafka_bootstrap_servers=own_kafka.address)


def message(number: int) -> Message:
    return Message(topic=TOPIC, lp=number % 256, key=b"k", value=b"%d" % number)


async def next_position(pool: Pool) -> int:
    position: int = await pool.fetchval("select next_position from relay")
    return position


async def test_events_and_commands_wait_for_kafka(
    pool: Pool, publisher: Publisher, settings: Settings, own_kafka: OwnKafka
) -> None:
    """It starts after us, and is killed in the middle."""
    assert all(publisher.offer(message(number)) for number in range(1000))
    async with relaying(pool, publisher):
        async with writers(pool, at_once=6):
            await asyncio.sleep(1.5)
            assert not publisher.connected
            own_kafka.start()
            await until(lambda: publisher.queued == 0)
            own_kafka.kill()
            before = await next_position(pool)
            await asyncio.sleep(1)
            assert await next_position(pool) > before + 50  # readers of feed and stream do not wait for Kafka
            own_kafka.start()
        await until(all_published(pool))
    await check_relayed(pool, settings)
    assert {int(record.value) for record in await read_topic(settings, TOPIC)} == set(range(1000))


async def test_a_wiped_kafka_is_filled_again(
    pool: Pool, publisher: Publisher, settings: Settings, own_kafka: OwnKafka
) -> None:
    """Topics are made by whoever misses them; consumers go on; the events are published again."""
    handled: set[int] = set()

    async def handle(records: list[Record]) -> None:
        handled.update(int(record.value or b"-1") for record in records)

    async def bury(record: Record, group: str, cause: Exception) -> None:
        raise AssertionError("nothing was to be buried")

    async def handles(number: int) -> bool:
        publisher.offer(message(number))  # as the sweeper would: again and again
        await asyncio.sleep(0.2)
        return number in handled

    own_kafka.start()
    broker = create_broker(settings)
    subscribe(broker, settings, [TOPIC], "executor", handle, bury=bury)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(broker.stop)
        async with asyncio.timeout(WAIT_S):
            await consumers.start(broker, settings)
        await stack.enter_async_context(relaying(pool, publisher))
        async with writers(pool, at_once=6):
            await until(lambda: handles(1))
        await until(all_published(pool))
        own_kafka.kill()
        await asyncio.to_thread(own_kafka.wipe)
        own_kafka.start()
        await until(lambda: handles(2))
        assert await republish(pool, 1) > 0
        await until(all_published(pool))
    await check_relayed(pool, settings)
