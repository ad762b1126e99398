"""Group 37: Kafka has what it was sent, and its replies are lost, or come long after anybody waits for them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import aiokafka.client  # type: ignore[import-untyped]
import pytest
from aiokafka import ConsumerRecord

from gateway.settings import Settings
from streams import producer, topics
from streams.publisher import Message, Publisher
from tests.streams.support import read_topic, until
from tests.support.proxy import Proxy, proxy

pytestmark = pytest.mark.anyio

TOPIC = topics.commands("sandbox")
MARK = b"number "
REQUEST_TIMEOUT_MS = 250


@pytest.fixture
async def between(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy that every connection to the broker goes through, whatever address the broker says it has."""
    real = aiokafka.client.create_conn
    await topics.create_topics(settings, [TOPIC])
    async with proxy(f"kafka://{settings.kafka_bootstrap_servers}") as made:

        async def through(host: str, port: int, **options: Any) -> Any:
            return await real("127.0.0.1", made.port, **options)

        monkeypatch.setattr(aiokafka.client, "create_conn", through)
        monkeypatch.setattr(producer, "REQUEST_TIMEOUT_MS", REQUEST_TIMEOUT_MS)
        yield made


def messages(first: int, end: int) -> list[Message]:
    return [Message(topic=TOPIC, lp=0, key=b"k", value=MARK + b"%d" % number) for number in range(first, end)]


async def publish(publisher: Publisher, wanted: list[Message]) -> None:
    """As the relay does: what is not done is sent again."""
    while wanted:
        wanted = wanted[await publisher.publish_in_order(wanted, limit_s=5) :]


def first_of_each(records: list[ConsumerRecord]) -> list[int]:
    return list(dict.fromkeys(int(record.value.removeprefix(MARK)) for record in records))


async def test_replies_that_are_lost_lose_nothing(between: Proxy, publisher: Publisher, settings: Settings) -> None:
    pieces = itertools.count(1)
    between.lose = lambda sent: MARK in sent and next(pieces) % 3 == 0
    for start in range(0, 100, 10):
        await publish(publisher, messages(start, start + 10))
    between.lose = lambda sent: False
    assert between.lost >= 3
    records = await read_topic(settings, TOPIC)
    assert first_of_each(records) == list(range(100))
    assert len(records) > 100


async def test_replies_that_come_late_stop_nothing(between: Proxy, publisher: Publisher, settings: Settings) -> None:
    """Late by twelve times what is waited for, as 120 seconds are of ten; then a thousand pass."""
    await publish(publisher, messages(0, 1))
    between.freeze()
    late = asyncio.get_running_loop().time() + 12 * REQUEST_TIMEOUT_MS / 1000
    while (left := late - asyncio.get_running_loop().time()) > 0:
        assert await publisher.publish_in_order(messages(1, 2), limit_s=left) == 0
    between.thaw()
    await publish(publisher, messages(1, 2))
    assert all(publisher.offer(each) for each in messages(2, 1002))
    await until(lambda: publisher.queued == 0)
    assert first_of_each(await read_topic(settings, TOPIC)) == list(range(1002))
