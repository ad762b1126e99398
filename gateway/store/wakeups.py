"""Wake-ups between processes through Redis: fire and forget, because they are only hints."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import redis.asyncio
import redis.exceptions
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.settings import Settings

QUEUE_MAX: Final = 10_000
RETRY_S: Final = 1.0
AWAY: Final = (redis.exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


def client(settings: Settings, *, patience_s: float | None = None) -> "redis.asyncio.Redis | None":
    """A client with short time-outs, or None where no Redis is configured.

    With `patience_s` it tries once, and no step of it takes longer.
    """
    if settings.redis_host is None:
        return None
    once: dict[str, Any] = {} if patience_s is None else {"retry": Retry(NoBackoff(), 0)}
    return redis.asyncio.Redis(
        **access(settings), **once, socket_timeout=patience_s or 1.0, socket_connect_timeout=patience_s or 0.5
    )


def access(settings: Settings) -> dict[str, Any]:
    """Where Redis is, its login, and TLS that checks its certificate and name."""
    return {
        "host": settings.redis_host,
        "port": settings.redis_port,
        "username": settings.redis_username,
        "password": settings.redis_password,
        "ssl": settings.redis_tls,
        **({"ssl_ca_certs": settings.redis_ca_file, "ssl_check_hostname": True} if settings.redis_tls else {}),
    }


def channel(process: str) -> str:
    """The channel on which one API process is woken."""
    return f"mypay:wake:{process}"


class RedisWakeups:
    """Sends wake-ups from a bounded queue; over its bound, or while Redis is away, they are dropped."""

    def __init__(self, settings: Settings) -> None:
        self._client = client(settings)
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(QUEUE_MAX)
        self._task = asyncio.create_task(self._send(), name="wakeups")

    def wake(self, payment_id: UUID, waiter: str) -> None:
        """Tell the API process `waiter` to look at the payment."""
        if self._client is not None and not self._queue.full():
            self._queue.put_nowait((channel(waiter), payment_id.bytes))

    async def close(self) -> None:
        """Drop what is queued."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _send(self) -> None:
        while True:
            destination, payload = await self._queue.get()
            assert self._client is not None
            try:
                await self._client.publish(destination, payload)
            except AWAY as error:
                log.warning("wakeups.redis_away", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)


async def listen(settings: Settings, process: str, heard: Callable[[], None]) -> None:
    """Call `heard()` for each wake-up meant for this process, for ever."""
    connection = client(settings)
    if connection is None:
        return
    while True:
        try:
            async with connection.pubsub() as subscription:
                await subscription.subscribe(channel(process))
                while True:
                    message = await subscription.get_message(ignore_subscribe_messages=True, timeout=30)
                    if message is not None:
                        heard()
        except AWAY as error:
            log.warning("wakeups.redis_away", error=type(error).__name__)
            await asyncio.sleep(RETRY_S)
