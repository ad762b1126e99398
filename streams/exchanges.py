"""Keeping what was sent to providers and answered, for people who look at a payment's timeline.

Best effort, and off the path of money: the executor only queues here. Masking and writing happen in a task of their
own, in batches; what does not fit the queue, or cannot be written, is dropped and counted in the log.
"""

import asyncio
import time
from collections import deque
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import structlog
from msgspec import Struct

from gateway import ids
from gateway.clock import Clock
from gateway.payments.model import Operation
from gateway.store import exchanges as store
from gateway.store.database import DATABASE_FAILED, Pool
from gateway.store.exchanges import StoredExchange
from providers.redaction import EXCERPT_WINDOW, mask_exchange, masks
from providers.transport import Exchange

QUEUE_MAX: Final = 1_000  # with bodies cut to EXCERPT_WINDOW, 16 MiB at most
BATCH: Final = 256
PAUSE_S: Final = 0.05  # between batches, so that they are few

log = structlog.get_logger(__name__)


class Private(Struct, frozen=True):
    """What must not be kept of an operation's exchanges: secrets, and the payer's phone."""

    secrets: tuple[str, ...]
    phone: str | None = None


class _Noted(Struct, frozen=True, kw_only=True):
    """An exchange whose bodies are cut and not masked yet."""

    merchant_id: UUID
    operation_id: UUID
    method: str
    path: str
    request: bytes
    status: int | None
    response: bytes | None
    failure: str | None
    duration_ms: int
    sent_at: datetime
    private: Private


class ExchangeLog:
    """The queue, and the task that empties it (`run`)."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool, self._clock = pool, clock
        self._queue: deque[_Noted] = deque()
        self._filled = asyncio.Event()
        self.dropped = 0

    def note(self, operation: Operation, exchange: Exchange, private: Private) -> None:
        """Queue an exchange of an operation. Never waits and never raises."""
        if len(self._queue) >= QUEUE_MAX:
            self.dropped += 1
            return
        request, response = exchange.request, exchange.response
        sent_at = self._clock.now() - timedelta(seconds=time.monotonic() - exchange.began)
        self._queue.append(
            _Noted(
                merchant_id=operation.merchant_id,
                operation_id=operation.id,
                method=request.method,
                path=request.path + (f"?{urlencode(request.query)}" if request.query else ""),
                request=request.content[:EXCERPT_WINDOW],
                status=None if response is None else response.status,
                response=None if response is None else response.content[:EXCERPT_WINDOW],
                failure=exchange.failure,
                duration_ms=round(exchange.seconds * 1e3),
                sent_at=sent_at.replace(microsecond=sent_at.microsecond // 1000 * 1000),
                private=private,
            )
        )
        self._filled.set()

    async def run(self) -> None:
        """For ever: write what is queued."""
        while True:
            await self._filled.wait()
            try:
                await self.flush()
            except Exception:  # a defect in showing things must not end a worker that moves money
                log.exception("exchanges.failed")
            await asyncio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write all that is queued now."""
        self._filled.clear()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            await self._write([_masked(each) for each in batch])
        if self.dropped:
            log.warning("exchanges.dropped", exchanges=self.dropped)
            self.dropped = 0

    async def _write(self, batch: list[StoredExchange]) -> None:
        try:
            async with self._pool.acquire() as connection:
                await store.insert(connection, batch)
        except DATABASE_FAILED as error:
            self.dropped += len(batch)
            log.warning("exchanges.not_written", error=type(error).__name__)


def _masked(noted: _Noted) -> StoredExchange:
    hidden = masks(noted.private.secrets, noted.private.phone)
    return StoredExchange(
        id=ids.new_at(noted.sent_at, ids.lp_of(noted.operation_id)),
        merchant_id=noted.merchant_id,
        operation_id=noted.operation_id,
        method=noted.method,
        path=mask_exchange(noted.path.encode(), hidden),
        request=mask_exchange(noted.request, hidden),
        status=noted.status,
        response=None if noted.response is None else mask_exchange(noted.response, hidden),
        failure=noted.failure,
        duration_ms=noted.duration_ms,
        sent_at=noted.sent_at,
    )
