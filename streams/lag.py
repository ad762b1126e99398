"""How far the consumers are behind. A provider whose commands pile up in Kafka gets none published again.

Republishing repairs what was lost, not what is slow; into a backlog it would only write the same commands once more.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from aiokafka.structs import OffsetAndMetadata  # type: ignore[import-untyped]

from gateway.metrics import METRICS
from gateway.settings import Settings
from providers.registry import PROVIDERS
from streams import topics
from streams.access import access

GROUP: Final = "executor"
GROUPS: Final[Mapping[str, Callable[[str], str]]] = {GROUP: topics.commands, "callbacks": topics.callbacks}
LAG_MAX: Final = 2_000  # commands of one provider
EVERY_S: Final = 5.0
REQUEST_MS: Final = 5_000

log = structlog.get_logger(__name__)


class Lag:
    """Watches the consumers' groups. `behind` holds the providers whose executors are over the limit."""

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
                await asyncio.sleep(self._every_s)

    async def _watch(self) -> None:
        reached = access(self._settings)
        admin = AIOKafkaAdminClient(**reached, request_timeout_ms=REQUEST_MS)
        consumer = AIOKafkaConsumer(**reached, request_timeout_ms=REQUEST_MS)
        try:
            await admin.start()
            await consumer.start()
            while True:
                lags = await self._measure(admin, consumer)
                for (group, topic), lag in lags.items():
                    METRICS.consumer_lag.labels(group=group, topic=topic).set(lag)
                self.behind = frozenset(
                    name for name in PROVIDERS if lags.get((GROUP, topics.commands(name)), 0) > self._lag_max
                )
                await asyncio.sleep(self._every_s)
        finally:
            METRICS.consumer_lag.clear()
            self.behind = frozenset()
            # In a task of its own: aiokafka's fetcher, stopped between two tries, raises a CancelledError at whoever
            # stops it, and that would end the whole worker while Kafka is away.
            await asyncio.wait([asyncio.create_task(consumer.stop())])
            await admin.close()

    async def _measure(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> dict[tuple[str, str], int]:
        """Records that each group has not committed, by its name and that of the topic."""
        consumed = {name: group for group, topic in GROUPS.items() for name in map(topic, PROVIDERS)}
        described = await admin.describe_topics([topics.physical(self._settings, name) for name in consumed])
        partitions: dict[str, list[TopicPartition]] = {group: [] for group in GROUPS}
        for topic in described:
            found = [TopicPartition(topic["topic"], each["partition"]) for each in topic["partitions"]]
            partitions[consumed[topics.logical(self._settings, topic["topic"])]] += found
        every = [each for some in partitions.values() for each in some]
        if not every:  # nobody has made the topics yet
            return {}
        consumer.assign(every)  # so that it learns who leads them
        begins, ends = await consumer.beginning_offsets(every), await consumer.end_offsets(every)
        lags: Counter[tuple[str, str]] = Counter()
        for group, some in partitions.items():
            named = topics.physical(self._settings, group)
            committed = await admin.list_consumer_group_offsets(named, partitions=some)
            for each in some:
                behind = ends[each] - max(_offset(committed, each), begins[each])
                lags[group, topics.logical(self._settings, each.topic)] += behind
        return dict(lags)


def _offset(committed: Mapping[TopicPartition, OffsetAndMetadata], partition: TopicPartition) -> int:
    """What the group has committed; a group that is only forming has committed nothing, and answers nothing."""
    found = committed.get(partition)
    return -1 if found is None else int(found.offset)
