"""How far the executors are behind: a provider whose commands pile up in Kafka gets none published again.

Republishing repairs what was lost, not what is slow; into a backlog it would only write the same commands once more.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from aiokafka.structs import OffsetAndMetadata  # type: ignore[import-untyped]

from gateway.settings import Settings
from providers.registry import PROVIDERS
from streams import topics

GROUP: Final = "executor"
LAG_MAX: Final = 2_000  # commands of one provider
EVERY_S: Final = 5.0
REQUEST_MS: Final = 5_000

log = structlog.get_logger(__name__)


class Lag:
    """Watches the executors' group. `behind` holds the providers whose lag is over the limit."""

    def __init__(self, settings: Settings, *, lag_max: int = LAG_MAX, every_s: float = EVERY_S) -> None:
        self._settings, self._lag_max, self._every_s = settings, lag_max, every_s
        self.behind: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Measure again and again. While Kafka is away nobody is called behind: nothing can be published anyway."""
        while True:
            try:
                await self._watch()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("lag.kafka_away", error=type(error).__name__)
                self.behind = frozenset()
                await asyncio.sleep(self._every_s)

    async def _watch(self) -> None:
        servers = topics.servers(self._settings)
        admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=REQUEST_MS)
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, request_timeout_ms=REQUEST_MS)
        try:
            await admin.start()
            await consumer.start()
            while True:
                lags = {name: await self._lag(admin, consumer, name) for name in PROVIDERS}
                self.behind = frozenset(name for name, lag in lags.items() if lag > self._lag_max)
                await asyncio.sleep(self._every_s)
        finally:
            # In a task of its own: aiokafka's fetcher, stopped between two tries, raises a CancelledError at whoever
            # stops it, and that would end the whole worker while Kafka is away.
            await asyncio.wait([asyncio.create_task(consumer.stop())])
            await admin.close()

    async def _lag(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, provider: str) -> int:
        """Records of a provider's command topic that the group has not committed."""
        topic = topics.physical(self._settings, topics.commands(provider))
        [described] = await admin.describe_topics([topic])
        partitions = [TopicPartition(topic, each["partition"]) for each in described["partitions"]]
        if not partitions:  # nobody has made the topic yet
            return 0
        consumer.assign(partitions)  # so that it learns who leads them
        group = topics.physical(self._settings, GROUP)
        committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        return sum(ends[each] - max(_offset(committed, each), begins[each]) for each in partitions)


def _offset(committed: Mapping[TopicPartition, OffsetAndMetadata], partition: TopicPartition) -> int:
    """What the group has committed; a group that is only forming has committed nothing, and answers nothing."""
    found = committed.get(partition)
    return -1 if found is None else int(found.offset)
