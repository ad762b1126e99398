"""The producer: what Postgres already holds goes to Kafka from memory.

A failed send is counted, logged and forgotten here: the row is still there, and the sweeper or the relay sends it
again. So nothing here is retried for long, and nobody waits for Kafka who does not ask to.

Order: per partition one batch is in flight, and the next leaves only after its acknowledgement. That, and not
idempotence, keeps the order; aiokafka's idempotent producer is wedged for ever by one refused record (its #1017).
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.errors import (  # type: ignore[import-untyped]
    CorruptRecordException,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    PolicyViolationError,
    ProducerClosed,
    ProducerFenced,
    RecordListTooLargeError,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer.message_accumulator import BatchBuilder  # type: ignore[import-untyped]
from msgspec import Struct

from gateway.settings import Settings
from streams import topics

QUEUE_MAX: Final = 10_000  # records; over it the rows wait in Postgres
BATCH_BYTES: Final = 256 * 1024
REQUEST_TIMEOUT_MS: Final = 10_000
STALLED_S: Final = 15.0  # no acknowledgement of anything for so long: the producer is replaced
METADATA_MAX_AGE_MS: Final = 30_000
RECONNECT_MAX_S: Final = 2.0
_AT_ONCE: Final = 2_000  # queued records of one topic that are taken in one go
_METADATA_PATIENCE_S: Final = 1.0

REFUSED: Final = (  # by the broker, because of what a record is: sending it again changes nothing
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    CorruptRecordException,
    InvalidTimestampError,
    PolicyViolationError,
)
WEDGED: Final = (OutOfOrderSequenceNumber, UnknownProducerId, ProducerFenced, ProducerClosed)
# aiokafka asserts that a partition exists; it does not when a topic was made anew with fewer of them.
FAILED: Final = (KafkaError, OSError, TimeoutError, AssertionError)

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


class _Lane(NamedTuple):
    """One partition, through one producer."""

    producer: AIOKafkaProducer
    topic: str
    partition: int


class Publisher:
    """Sends messages, connecting and reconnecting by itself.

    `counts` grows: sent, failed, refused (by the broker, never to be sent again), overflowed (not taken by `offer`),
    connected.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._connected = asyncio.Event()
        self._in_flight = 0  # batches
        self._silent_since = 0.0  # the last acknowledgement, or when the first batch in flight left
        self._queues: dict[str, deque[_Pending]] = {}
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._queued = 0
        self._closing = False
        self.counts: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        """Whether there is a producer that has reached the cluster."""
        return self._connected.is_set()

    @property
    def queued(self) -> int:
        """How many offered messages are not settled yet."""
        return self._queued

    async def start(self) -> None:
        """Begin to connect, in the background: Kafka may be away."""
        self._spawn(self._connect())

    def offer(self, message: Message) -> bool:
        """Take a message to be sent soon, without waiting; False when too many wait already (or at the end)."""
        if self._closing or self._queued >= QUEUE_MAX:
            self.counts["overflowed"] += 1
            return False
        self._queues.setdefault(message.topic, deque()).append(_Pending(message))
        self._queued += 1
        if message.topic not in self._draining:
            self._draining[message.topic] = self._spawn(self._drain(message.topic))
        return True

    async def publish_in_order(self, messages: Sequence[Message], *, limit_s: float = STALLED_S) -> int:
        """Send all, in order per partition; after `limit_s` at most, how many of the first are done without a gap.

        Done is acknowledged by all in-sync replicas, or refused by the broker for what it is: that is logged. What
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
            self._replace_if_stalled()
        return next((place for place, one in enumerate(pending) if not one.done), len(pending))

    async def stop(self, *, limit_s: float = 5.0) -> None:
        """Send what is queued, within `limit_s`, and disconnect, within as much again."""
        self._closing = True
        if self._draining and self.connected:
            await asyncio.wait(self._draining.values(), timeout=limit_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._connected.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.wait([asyncio.create_task(producer.stop())], timeout=limit_s)

    # --- Sending ----------------------------------------------------------------------------------------------------

    async def _drain(self, topic: str) -> None:
        """Send a topic's queue in natural batches: while some are in flight, the next gather."""
        queue = self._queues[topic]
        try:
            while queue:
                taken = [queue.popleft() for _ in range(min(len(queue), _AT_ONCE))]
                try:
                    await self._send(topic, taken)
                finally:
                    self._queued -= len(taken)
        finally:
            del self._draining[topic]

    async def _send(self, topic: str, pending: Sequence[_Pending]) -> None:
        """Send messages of one topic, each partition at its own pace; marks those that are done."""
        while (producer := self._producer) is None:
            await self._connected.wait()
        lanes: dict[int, list[_Pending]] = {}
        try:
            partitions = await self._partitions(producer, topic)
        except FAILED as error:
            self._failed(producer, topic, error, len(pending))
            return
        for one in pending:
            lanes.setdefault(one.message.lp % partitions, []).append(one)
        name = topics.physical(self._settings, topic)
        await asyncio.gather(*(self._send_lane(_Lane(producer, name, lane), some) for lane, some in lanes.items()))

    async def _partitions(self, producer: AIOKafkaProducer, topic: str) -> int:
        """How many partitions a topic has; a topic that does not exist is created."""
        name = topics.physical(self._settings, topic)
        try:
            async with asyncio.timeout(_METADATA_PATIENCE_S):
                return len(await producer.partitions_for(name))
        except (UnknownTopicOrPartitionError, TimeoutError):
            await topics.create_topics(self._settings, [topic])
            return len(await producer.partitions_for(name))

    async def _send_lane(self, lane: _Lane, pending: Sequence[_Pending]) -> None:
        """Send to one partition, one batch after the other; stops at the first that fails.

        A refused batch is halved until the record to blame is alone.
        """
        done, limit = 0, len(pending)
        while done < len(pending):
            batch, taken = _filled(lane.producer, pending[done : done + limit])
            try:
                await self._acknowledged(lane, batch)
            except REFUSED as error:
                if taken > 1:
                    limit = taken // 2
                    continue
                self._refused(lane, pending[done].message, error)
            except FAILED as error:
                self._failed(lane.producer, lane.topic, error, len(pending) - done)
                return
            for one in pending[done : done + taken]:
                one.done = True
            done, limit = done + taken, limit * 2

    async def _acknowledged(self, lane: _Lane, batch: BatchBuilder) -> None:
        if not self._in_flight:
            self._silent_since = time.monotonic()
        self._in_flight += 1
        try:
            async with asyncio.timeout(STALLED_S):
                await (await lane.producer.send_batch(batch, lane.topic, partition=lane.partition))
        finally:
            self._in_flight -= 1
        self._silent_since = time.monotonic()
        self.counts["sent"] += batch.record_count()

    def _refused(self, lane: _Lane, message: Message, error: KafkaError) -> None:
        self.counts["refused"] += 1
        log.error(
            "publisher.refused",
            topic=lane.topic,
            key=(message.key or b"").decode(errors="replace"),
            bytes=len(message.value or b""),
            error=type(error).__name__,
        )

    def _failed(self, producer: AIOKafkaProducer, topic: str, error: BaseException, messages: int) -> None:
        self.counts["failed"] += messages
        log.warning("publisher.failed", topic=topic, messages=messages, error=type(error).__name__)
        # The bare class is what aiokafka gives when its sending task has died.
        if isinstance(error, WEDGED) or type(error) is KafkaError:
            self._replace(producer)
        else:
            self._replace_if_stalled()

    # --- Connecting -------------------------------------------------------------------------------------------------

    def _replace_if_stalled(self) -> None:
        if self._producer is not None and time.monotonic() - self._silent_since >= STALLED_S:
            self._replace(self._producer)

    def _replace(self, broken: AIOKafkaProducer) -> None:
        """Drop a producer and connect anew, from the bootstrap servers: the brokers may have moved."""
        if self._producer is not broken or self._closing:
            return
        self._producer = None
        self._connected.clear()
        self._spawn(_discard(broken))
        self._spawn(self._connect())

    async def _connect(self) -> None:
        delay_s = 0.1
        while self._producer is None:
            producer = self._new_producer()
            try:
                await producer.start()
                self._producer, self._silent_since = producer, time.monotonic()
                self._connected.set()
                self.counts["connected"] += 1
            except FAILED as error:
                log.warning("publisher.kafka_away", error=type(error).__name__)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RECONNECT_MAX_S)
            finally:
                if self._producer is not producer:
                    await producer.stop()

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=topics.servers(self._settings),
            client_id="mypay",
            acks="all",
            enable_idempotence=False,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _filled(producer: AIOKafkaProducer, pending: Sequence[_Pending]) -> tuple[BatchBuilder, int]:
    """A batch of as many of the first messages as fit (one always does), and how many these are."""
    batch = producer.create_batch()
    for place, one in enumerate(pending):
        message = one.message
        if batch.append(timestamp=None, key=message.key, value=message.value, headers=list(message.headers)) is None:
            return batch, place
    return batch, len(pending)


async def _discard(producer: AIOKafkaProducer) -> None:
    """Close a producer that is not used any more: what it still holds expires after the request time-out."""
    await producer.stop()
