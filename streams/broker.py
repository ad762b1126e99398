"""Consuming: what a batch of records goes through between Kafka and a handler, and back to a committed offset.

Offsets are committed after the handler returned, inside a lock that a planned rebalance waits for, so that no record
is in two hands. Records come at least once: a handler finds in Postgres whether there is anything to do.

| the handler | then |
|---|---|
| returns | the offsets are committed |
| raises `Poison` | its records are buried, the offsets are committed |
| raises because Postgres or Kafka is away | nothing is committed, the batch comes again after a pause |
| raises anything else | each record is handled alone; one that fails alone is buried |

Retries live in Postgres, not here: a pause stalls the partition, so only what would fail for every record pauses.
"""

import asyncio
import dataclasses
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.middlewares import AckPolicy
from msgspec import Struct

from gateway.crash_points import crash_point
from gateway.settings import Settings
from gateway.store.database import CONNECTION_LOST, DATA_ERRORS
from streams import topics
from streams.access import security, servers
from streams.watchdog import end_process

MAX_RECORDS: Final = 200
POLL_MS: Final = 1_000
PAUSE_MIN_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
DEAD_WINDOW: Final = 1_000  # records
DEAD_MOST: Final = 500  # of them
COMMIT_LIMIT_S: Final = 10.0  # aiokafka would try for ever
GRACE_S: Final = 20.0  # for the batch in hand, at the end

# What fails for every record alike, and passes. (SQLSTATE classes in DATA_ERRORS are about one record's content.)
INFRASTRUCTURE: Final = (asyncpg.PostgresError, KafkaError, *CONNECTION_LOST)

log = structlog.get_logger(__name__)


class Record(Struct, frozen=True, kw_only=True):
    """A record as it lies in Kafka: plain topic name, untouched bytes. A header's value may be null."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Poison(Exception):
    """Raised by a handler: these records can never be handled, for these reasons; all others of the batch were."""

    def __init__(self, records: Sequence[tuple[Record, str]]) -> None:
        super().__init__(f"{len(records)} records cannot be handled")
        self.records = records


class Unreadable(Exception):
    """The cause of a record's burial that a handler gave as a reason in `Poison`."""


class TooManyDead(KafkaError):  # type: ignore[misc]
    """More records would be buried than any input explains: the fault is ours, and the records are kept."""


Handle: TypeAlias = Callable[[list[Record]], Awaitable[None]]
Bury: TypeAlias = Callable[[Record, str, Exception], Awaitable[None]]  # record, plain group name, cause


def is_infrastructure(error: BaseException) -> bool:
    """Whether an error says that a part is away, not that a record is bad."""
    about_content = isinstance(error, ValueError) or str(getattr(error, "sqlstate", "")).startswith(DATA_ERRORS)
    return isinstance(error, INFRASTRUCTURE) and not about_content


def create_broker(settings: Settings) -> KafkaBroker:
    """A broker that only consumes (`Publisher` sends), and hands every record over whatever its bytes are."""
    return KafkaBroker(
        servers(settings),
        security=security(settings),
        client_id="mypay",
        consumer_only=True,
        parser=_parse,
        decoder=_as_it_is,
        apply_types=False,
        request_timeout_ms=20_000,  # Kafka answers a join only when the whole group has joined: rebalance_timeout_ms
        retry_backoff_ms=100,
        metadata_max_age_ms=5_000,  # so long a consumer does not see that a topic was made anew, or got partitions
        allow_auto_create_topics=False,
        graceful_timeout=GRACE_S,
        logger=logging.getLogger("streams.faststream"),  # its own name has its own handlers
        log_level=logging.DEBUG,  # two lines for every batch otherwise
    )


async def start(broker: KafkaBroker, settings: Settings) -> None:
    """Create the topics and start consuming; waits for as long as Kafka is away."""
    pause_s = PAUSE_MIN_S
    while True:
        try:
            await topics.create_topics(settings)
            await broker.start()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("consumers.kafka_away", error=type(error).__name__)
            # In a task of its own: aiokafka's fetcher, stopped between two tries, raises a CancelledError at whoever
            # stops it, and that would end us without a word.
            await asyncio.wait([asyncio.create_task(broker.stop())])
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        else:
            return


def subscribe(
    broker: KafkaBroker,
    settings: Settings,
    names: Sequence[str],
    group: str,
    handle: Handle,
    *,
    bury: Bury,
    die: Callable[[str], None] = end_process,
) -> "Subscription":
    """Register a consumer of several topics (plain names) in one group; call it before `start`.

    `bury(record, group, cause)` keeps a dead letter, and returns when it is safe to forget the record. `die` ends the
    process when too many are buried: more than DEAD_MOST of the last DEAD_WINDOW records.
    """
    subscription = Subscription(settings, names, group, handle, bury, die)
    subscriber = broker.subscriber(
        *(topics.physical(settings, name) for name in names),
        group_id=topics.physical(settings, group),
        batch=True,
        max_records=MAX_RECORDS,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",  # `latest` would lose what was sent before a group's first commit
        session_timeout_ms=10_000,  # so long a killed worker keeps its partitions
        heartbeat_interval_ms=2_000,
        rebalance_timeout_ms=15_000,
        max_poll_interval_ms=300_000,
        listener=subscription.drain,
    )
    # FastStream's own polls briefly and then sleeps as long: ten times the idle load, and it says nothing to us.
    subscriber.get_msg = subscription.poll  # type: ignore[method-assign]
    subscriber(subscription.consume)
    return subscription


class Drain(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets a planned rebalance wait for the batch in hand and its commit."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Wait until no batch is in hand."""
        async with self.lock:
            pass

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Nothing to prepare: positions are the committed ones."""


class Subscription:
    """One consumer of this process, as handlers, health checks and the watchdog see it.

    `polls` grows with every successful poll, at least once a second; `last_poll` is its `time.monotonic()`.
    """

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        group: str,
        handle: Handle,
        bury: Bury,
        die: Callable[[str], None],
    ) -> None:
        self.name, self.topics = group, tuple(names)
        self.polls: int | None = None
        self.last_poll = time.monotonic()
        self.drain = Drain()
        self._settings, self._handle, self._bury, self._die = settings, handle, bury, die
        self._recent: deque[bool] = deque(maxlen=DEAD_WINDOW)  # was it buried?
        self._pause_s = PAUSE_MIN_S

    @property
    def silent_s(self) -> float | None:
        """Seconds since the consumer last polled; None before its first poll."""
        return None if self.polls is None else time.monotonic() - self.last_poll

    async def poll(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord, ...]:
        """The next records, from any partition; none after a second without."""
        try:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        except UnicodeDecodeError as error:  # FastStream waits after a KafkaError, and spins after any other
            raise KafkaError("a header's name is not UTF-8: aiokafka cannot read its partition any further") from error
        self.polls = (self.polls or 0) + 1
        self.last_poll = time.monotonic()
        missing = () if found else [name for name in self.topics if self._is_missing(consumer, name)]
        if missing:  # somebody wiped the broker
            await topics.create_topics(self._settings, missing)
        return tuple(chain.from_iterable(found.values()))

    async def consume(self, message: KafkaMessage) -> None:
        """Have the batch handled, then commit its offsets; or give it back and pause."""
        records = [self._record(raw) for raw in message.raw_message]
        async with self.drain.lock:
            try:
                await self._settle(records)
                crash_point("consumer_before_ack")
                async with asyncio.timeout(COMMIT_LIMIT_S):
                    await message.ack()
            except Exception as error:  # noqa: BLE001 -- FastStream would go on, and the next commit skip the batch
                log.warning("consumer.gave_back", group=self.name, records=len(records), error=repr(error))
                await self._give_back(message)
            else:
                self._pause_s = PAUSE_MIN_S
                return
        # Outside the lock: a rebalance need not wait for the pause.
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)

    async def _settle(self, records: list[Record]) -> None:
        """Have the records handled and bury those that cannot be; raises only what is_infrastructure."""
        try:
            await self._handle(records)
        except Poison as poison:
            self._recent.extend([False] * (len(records) - len(poison.records)))
            for record, reason in poison.records:
                await self._to_dead_letters(record, Unreadable(reason))
        except Exception as error:
            if is_infrastructure(error):
                raise
            if len(records) == 1:
                await self._to_dead_letters(records[0], error)
                return
            log.exception("consumer.one_by_one", group=self.name, records=len(records))
            for record in records:
                await self._settle([record])
        else:
            self._recent.extend([False] * len(records))

    async def _to_dead_letters(self, record: Record, cause: Exception) -> None:
        self._recent.append(True)
        if sum(self._recent) > DEAD_MOST:
            self._die(f"{self.name} buried {DEAD_MOST} of {len(self._recent)} records; last: {cause!r}")
            raise TooManyDead(self.name)
        await self._bury(record, self.name, cause)

    async def _give_back(self, message: KafkaMessage) -> None:
        try:
            await message.nack()
        except KafkaError as error:
            # A rebalance took the partition: whoever has it now begins at the committed offset.
            log.info("consumer.partition_gone", group=self.name, error=type(error).__name__)

    def _is_missing(self, consumer: AIOKafkaConsumer, name: str) -> bool:
        return consumer.partitions_for_topic(topics.physical(self._settings, name)) is None

    def _record(self, raw: ConsumerRecord) -> Record:
        return Record(
            topic=topics.logical(self._settings, raw.topic),
            partition=raw.partition,
            offset=raw.offset,
            timestamp_ms=raw.timestamp,
            key=raw.key,
            value=raw.value,
            headers=tuple(raw.headers),
        )


async def _parse(batch: Any, original: Callable[[Any], Awaitable[KafkaMessage]]) -> KafkaMessage:
    """FastStream decodes headers strictly: one that is null or not UTF-8 would fail the whole batch. Show it none."""
    message = await original(tuple(dataclasses.replace(record, headers=()) for record in batch))
    message.raw_message = batch
    return message


async def _as_it_is(message: KafkaMessage) -> KafkaMessage:
    """Bodies are decoded by handlers, which never raises: the handler gets the message itself."""
    return message
