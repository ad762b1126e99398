"""The lag of the executors' group, on a real broker; and that the sweeper leaves a provider alone that is behind."""

import asyncio

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from gateway.clock import Clock
from gateway.settings import Settings
from gateway.store.database import create_pool
from gateway.usecases.record_outcome import Recorder
from streams import topics
from streams.announcements import Announcements
from streams.lag import GROUP, Lag
from streams.publisher import Message, Publisher
from streams.sweeper import Sweeper
from tests.support.payments import Story


async def _until(condition, limit_s: float = 15.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.05)


async def test_who_is_behind(settings: Settings) -> None:
    await topics.create_topics(settings)
    publisher, lag = Publisher(settings), Lag(settings, lag_max=50, every_s=0.1)
    await publisher.start()
    watch = asyncio.create_task(lag.run())
    topic = topics.commands("sandbox")
    messages = [Message(topic=topic, lp=n, key=b"k", value=b"{}") for n in range(100)]
    async with asyncio.timeout(60):  # the topics were made a moment ago: not every partition has a leader yet
        while messages:
            messages = messages[await publisher.publish_in_order(messages) :]
    await _until(lambda: bool(lag.behind))
    assert lag.behind == {"sandbox"}
    consumer = AIOKafkaConsumer(
        topics.physical(settings, topic),
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=topics.physical(settings, GROUP),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    seen = 0
    while seen < 100:
        seen += sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
    await consumer.commit()
    await consumer.stop()
    await _until(lambda: not lag.behind)
    assert not watch.done()
    watch.cancel()
    await publisher.stop()


async def test_a_consumer_that_cancels_whoever_stops_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """So aiokafka does when Kafka goes away in the wrong moment; watching goes on."""
    stops = 0

    async def stop(consumer: AIOKafkaConsumer) -> None:
        nonlocal stops
        stops += 1
        raise asyncio.CancelledError

    monkeypatch.setattr(AIOKafkaConsumer, "stop", stop)
    away = msgspec.structs.replace(settings, kafka_bootstrap_servers="127.0.0.1:9")  # nobody listens
    watch = asyncio.create_task(Lag(away, every_s=0.01).run())
    await _until(lambda: stops > 1 or watch.done())
    assert not watch.done()
    watch.cancel()


@pytest.mark.parametrize("held", ["behind", "away"])
async def test_nothing_again_while_a_provider_is_behind_or_kafka_away(settings: Settings, held: str) -> None:
    """Or each round would put the next one off, and what was accepted meanwhile would wait on when Kafka is back."""
    async with await create_pool(settings, size=4) as pool:
        await Story.begin(pool, "late")
        await pool.execute("update operations set next_publish_at = now() - interval '1 minute'")
        publisher = Publisher(settings)  # never started: what is offered stays queued
        announcements = Announcements(publisher)
        recorder = Recorder(settings, Clock(), announcements, _nobody())
        holds = {held}
        sweeper = Sweeper(
            settings=settings,
            pool=pool,
            clock=Clock(),
            recorder=recorder,
            announcements=announcements,
            behind=lambda: frozenset({"sandbox"} if "behind" in holds else ()),
            reachable=lambda: "away" not in holds,
        )
        rounds = asyncio.create_task(sweeper.run())
        await _until(lambda: "partitions" in sweeper.swept)
        assert publisher.queued == 0
        assert await pool.fetchval("select publishes from operations") == 0
        holds.clear()
        await _until(lambda: publisher.queued == 1)
        rounds.cancel()
        await recorder.close()
        await publisher.stop(limit_s=0.1)


def _nobody():
    class Nobody:
        def wake(self, payment_id, waiter):
            raise AssertionError("nobody waits here")

    return Nobody()
