"""The connection to Kafka that sends: made in the background, and made anew when it no longer works.

aiokafka's idempotent producer is wedged for ever by one refused record (its #1017), and its metadata never asks the
bootstrap servers again. So ours is not idempotent, and one that acknowledges nothing for a while is replaced.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.errors import (  # type: ignore[import-untyped]
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer.message_accumulator import BatchBuilder  # type: ignore[import-untyped]

from gateway.settings import Settings
from streams import topics
from streams.access import access

BATCH_BYTES: Final = 256 * 1024
REQUEST_TIMEOUT_MS: Final = 10_000
METADATA_MAX_AGE_MS: Final = 30_000
STALLED_S: Final = 15.0  # nothing is acknowledged for so long: the producer is replaced
RECONNECT_MIN_S: Final = 0.1
RECONNECT_MAX_S: Final = 2.0
_METADATA_PATIENCE_S: Final = 0.3

WEDGED: Final = (OutOfOrderSequenceNumber, UnknownProducerId, ProducerFenced, ProducerClosed)
# aiokafka asserts that a partition exists; it may not when a topic was made anew with fewer of them.
FAILED: Final = (KafkaError, OSError, TimeoutError, AssertionError)

log = structlog.get_logger(__name__)


class Producer:
    """Sends batches, connecting and reconnecting by itself. Takes and returns plain topic names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AIOKafkaProducer | None = None
        self._connected = asyncio.Event()
        self._in_flight = 0  # batches
        self._silent_since = 0.0  # the last acknowledgement, or when the first batch in flight left
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    @property
    def connected(self) -> bool:
        """Whether the cluster was reached, and nothing has shown since that it is not."""
        return self._client is not None

    def connect(self) -> None:
        """Begin to connect, in the background, until it succeeds."""
        self._spawn(self._connect())

    async def ready(self) -> None:
        """Wait until there is a connection, however long that takes."""
        while self._client is None:
            await self._connected.wait()

    async def probe(self) -> None:
        """Have a broker answer now. Raises one of FAILED."""
        await self._current.client.fetch_all_metadata()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; a topic that does not exist is created. Raises one of FAILED."""
        name = topics.physical(self._settings, topic)
        try:
            async with asyncio.timeout(_METADATA_PATIENCE_S):
                return len(await self._current.partitions_for(name))
        except (UnknownTopicOrPartitionError, TimeoutError):
            await topics.create_topics(self._settings, [topic])
            return len(await self._current.partitions_for(name))

    def new_batch(self) -> BatchBuilder:
        """An empty batch, for up to BATCH_BYTES, or one record however large. Raises one of FAILED."""
        return self._current.create_batch()

    async def send(self, batch: BatchBuilder, topic: str, partition: int) -> None:
        """Send a batch and wait until all in-sync replicas have it. Raises one of FAILED: then they may have it."""
        client = self._current
        if not self._in_flight:
            self._silent_since = time.monotonic()
        self._in_flight += 1
        try:
            async with asyncio.timeout(STALLED_S):
                await (await client.send_batch(batch, topics.physical(self._settings, topic), partition=partition))
            self._silent_since = time.monotonic()
        except FAILED as error:
            # The bare class is what aiokafka gives when its sending task has died.
            self.check(client, wedged=isinstance(error, WEDGED) or type(error) is KafkaError)
            raise
        finally:
            self._in_flight -= 1

    def check(self, client: AIOKafkaProducer | None = None, *, wedged: bool = False) -> None:
        """Replace the connection (or only `client`, if that is it) when it is wedged or nothing was acknowledged."""
        broken = self._client
        if broken is None or client not in (None, broken):
            return
        if wedged or time.monotonic() - self._silent_since >= STALLED_S:
            log.warning("producer.replaced", wedged=wedged)
            self._client = None
            self._connected.clear()
            self._spawn(broken.stop())  # what it still holds expires
            self.connect()

    async def close(self, limit_s: float) -> None:
        """Disconnect, or give up after `limit_s`."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await asyncio.wait([asyncio.create_task(client.stop())], timeout=limit_s)

    @property
    def _current(self) -> AIOKafkaProducer:
        if self._client is None:
            raise ConnectionError("not connected to Kafka")
        return self._client

    async def _connect(self) -> None:
        pause_s = RECONNECT_MIN_S
        while self._client is None:
            client = self._new_client()
            try:
                await client.start()
                self._client, self._silent_since = client, time.monotonic()
                self._connected.set()
                self.connections += 1
            except FAILED as error:
                log.warning("producer.kafka_away", error=type(error).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_MAX_S)
            finally:
                if self._client is not client:
                    await client.stop()

    def _new_client(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **access(self._settings),
            client_id="mypay",
            acks="all",
            enable_idempotence=False,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
