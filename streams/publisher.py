"""What Postgres already holds goes to Kafka from memory.

A failed send is counted, logged and forgotten here: the row is still there, and the sweeper or the relay sends it
again. So nothing is retried for long, and nobody waits for Kafka who does not ask to.

Order: per partition one batch is in flight, and the next leaves only after its acknowledgement.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka.errors import (  # type: ignore[import-untyped]
    CorruptRecordException,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder  # type: ignore[import-untyped]
from msgspec import Struct

from gateway.crash_points import crash_point
from gateway.metrics import METRICS
from gateway.settings import Settings
from streams.producer import FAILED, STALLED_S, Producer

QUEUE_MAX: Final = 10_000  # records; over it the rows wait in Postgres
_AT_ONCE: Final = 2_000  # queued records of one topic that are taken in one go

REFUSED: Final = (  # by the broker, because of what a record is: sending it again changes nothing
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    CorruptRecordException,
    InvalidTimestampError,
    PolicyViolationError,
)

log = structlog.get_logger(__name__)


class Message(Struct, frozen=True, kw_only=True):
    """A record to send. `topic` is the plain name; `lp`, the logical partition (0-255), chooses the partition."""

    topic: str
    lp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class _Pending:
    """A message, and whether it is done with: acknowledged, or refused for good."""

    __slots__ = ("done", "message")

    def __init__(self, message: Message) -> None:
        self.message, self.done = message, False


class Publisher:
    """Sends messages, connecting and reconnecting by itself.

    `counts` grows: sent; failed (the rows are sent again by others); refused (by the broker: never sent again);
    overflowed (not taken by `offer`).
    """

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(settings)
        self._queues: dict[str, deque[_Pending]] = {}
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._queued = 0
        self._closing = False
        self.counts: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        """Whether the cluster was reached, and nothing has shown since that it is not."""
        return self._producer.connected

    @property
    def queued(self) -> int:
        """How many offered messages are not settled yet."""
        return self._queued

    async def probe(self) -> None:
        """Ask Kafka something; raises aiokafka's `KafkaError` or `ConnectionError` when it does not answer."""
        await self._producer.probe()

    async def start(self) -> None:
        """Begin to connect, in the background: Kafka may be away."""
        self._producer.connect()

    def offer(self, message: Message) -> bool:
        """Take a message to be sent soon, without waiting; False when too many wait already (or at the end)."""
        if self._closing or self._queued >= QUEUE_MAX:
            self._count("overflowed")
            return False
        topic = message.topic
        self._queues.setdefault(topic, deque()).append(_Pending(message))
        self._queued += 1
        if topic not in self._draining:
            self._draining[topic] = asyncio.create_task(self._drain(topic), name=f"publish-{topic}")
        return True

    async def publish_in_order(self, messages: Sequence[Message], *, limit_s: float = STALLED_S) -> int:
        """Send all, in order per partition; after `limit_s` at most, how many of the first are done without a gap.

        Done is acknowledged by all in-sync replicas, or refused by the broker for what it is, which is logged. What
        is not done may have been sent all the same.
        """
        pending = [_Pending(message) for message in messages]
        by_topic: dict[str, list[_Pending]] = {}
        for one in pending:
            by_topic.setdefault(one.message.topic, []).append(one)
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.gather(*(self._send(topic, some) for topic, some in by_topic.items()))
        except TimeoutError:
            log.warning("publisher.deadline", messages=len(messages))
            self._producer.check()
        return next((place for place, one in enumerate(pending) if not one.done), len(pending))

    async def stop(self, *, limit_s: float = 5.0) -> None:
        """Send what is queued, within `limit_s`, and disconnect, within as much again."""
        self._closing = True
        if self._draining and self.connected:
            await asyncio.wait(self._draining.values(), timeout=limit_s)
        left = list(self._draining.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._producer.close(limit_s)

    async def _drain(self, topic: str) -> None:
        """Send a topic's queue in natural batches: while some are in flight, the next gather."""
        queue = self._queues[topic]
        try:
            while queue:
                taken = [queue.popleft() for _ in range(min(len(queue), _AT_ONCE))]
                try:
                    await self._send(topic, taken)
                    crash_point("command_after_publish")
                finally:
                    self._queued -= len(taken)
        finally:
            del self._draining[topic]

    async def _send(self, topic: str, pending: Sequence[_Pending]) -> None:
        """Send messages of one topic, each partition at its own pace; marks those that are done."""
        await self._producer.ready()
        lanes: dict[int, list[_Pending]] = {}
        try:
            partitions = await self._producer.partitions(topic)
        except FAILED as error:
            self._failed(topic, error, len(pending))
            return
        for one in pending:
            lanes.setdefault(one.message.lp % partitions, []).append(one)
        await asyncio.gather(*(self._send_lane(topic, partition, lane) for partition, lane in lanes.items()))

    async def _send_lane(self, topic: str, partition: int, pending: Sequence[_Pending]) -> None:
        """Send to one partition, one batch after the other; stops at the first that fails.

        A refused batch is halved until the record to blame is alone.
        """
        done, limit = 0, len(pending)
        while done < len(pending):
            try:
                batch, taken = self._filled(pending[done : done + limit])
                await self._producer.send(batch, topic, partition)
                self._count("sent", taken)
            except REFUSED as error:
                if taken > 1:
                    limit = taken // 2
                    continue
                self._refused(pending[done].message, error)
            except FAILED as error:
                self._failed(topic, error, len(pending) - done)
                return
            for one in pending[done : done + taken]:
                one.done = True
            done, limit = done + taken, limit * 2

    def _filled(self, pending: Sequence[_Pending]) -> tuple[BatchBuilder, int]:
        """A batch of as many of the first messages as fit (one always does), and how many these are."""
        batch = self._producer.new_batch()
        for place, one in enumerate(pending):
            said = one.message
            if batch.append(timestamp=None, key=said.key, value=said.value, headers=list(said.headers)) is None:
                return batch, place
        return batch, len(pending)

    def _count(self, result: str, messages: int = 1) -> None:
        self.counts[result] += messages
        METRICS.published.labels(result=result).inc(messages)

    def _refused(self, message: Message, error: Exception) -> None:
        self._count("refused")
        log.error(
            "publisher.refused",
            topic=message.topic,
            key=(message.key or b"").decode(errors="replace"),
            bytes=len(message.value or b""),
            error=type(error).__name__,
        )

    def _failed(self, topic: str, error: BaseException, messages: int) -> None:
        self._count("failed", messages)
        log.warning("publisher.failed", topic=topic, messages=messages, error=type(error).__name__)
