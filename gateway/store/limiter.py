"""Rate limits that all processes share, in Redis; and in this process's memory while Redis is away or slow.

Requests that come while a question is on its way are asked about together, by one script in one round trip, as in
`gateway.store.batcher`: at most one question is on its way, so its cost is shared just when there is much to do; and
requests that want the same, as those of one key from one address, are one line of it. Nobody waits longer than
`PATIENCE_S`: a payment never fails, nor hangs, because of Redis.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from gateway.rates import Bucket, LocalBuckets, Taken
from gateway.settings import Settings
from gateway.store.wakeups import AWAY, client

PATIENCE_S: Final = 0.1
RETRY_S: Final = 1.0
MOST_AT_ONCE: Final = 256
SCRIPT: Final = files("gateway.store").joinpath("limits.lua").read_text()

log = structlog.get_logger(__name__)


class Limiter:
    """Takes tokens. Made before the loop runs; `close` it when done."""

    def __init__(self, settings: Settings) -> None:
        self._client = client(settings, patience_s=PATIENCE_S)
        self._script = None if self._client is None else self._client.register_script(SCRIPT)
        # In braces, so that a Redis Cluster keeps all of them in one place.
        self._prefix = f"{{mypay:{settings.kafka_prefix}limits}}:"
        self._local = LocalBuckets(settings.api_processes)
        self._waiting: list[tuple[Sequence[Bucket], asyncio.Future[Taken]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None

    @property
    def is_shared(self) -> bool:
        """Whether the limits are those of all processes together."""
        return self._client is not None and self._returning is None

    async def take(self, asked: Sequence[Bucket]) -> Taken:
        """One token of each bucket, or none of any."""
        if not self.is_shared:
            return self._local.take(asked)
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all(), name="limits")
        return await future

    async def close(self) -> None:
        """Forget Redis."""
        tasks = [task for task in (self._asking, self._returning) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _ask_all(self) -> None:
        """Until nobody waits; whatever goes wrong, everybody is answered."""
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            asked = [buckets for buckets, _ in batch]
            answers: list[Taken] | None = None
            try:
                answers = await self._ask(asked)
            finally:
                for index, (buckets, future) in enumerate(batch):
                    if not future.done():
                        future.set_result(self._local.take(buckets) if answers is None else answers[index])

    async def _ask(self, asked: Sequence[Sequence[Bucket]]) -> list[Taken] | None:
        """What Redis says; None, from now on for everybody, when it does not answer in time."""
        if not self.is_shared:
            return None
        assert self._script is not None
        groups = Counter(map(tuple, asked))
        names = {bucket.name: None for group in groups for bucket in group}
        keys = {name: index for index, name in enumerate(names, 1)}
        numbers: list[int] = []
        for group, wanted in groups.items():
            numbers += (wanted, len(group))
            for bucket in group:
                numbers += (keys[bucket.name], bucket.quota, bucket.window_s * 1_000_000)
        question = asyncio.ensure_future(self._script(keys=[self._prefix + name for name in keys], args=numbers))
        # Not canceled when it is late: an interrupted connection would have to be thrown away.
        await asyncio.wait({question}, timeout=PATIENCE_S)
        if not question.done():
            question.add_done_callback(_look_away)
            self._leave("slow")
            return None
        try:
            answers = question.result()
        except AWAY as error:
            self._leave(type(error).__name__)
            return None
        shares = {group: _shares(group, answer) for group, answer in zip(groups, answers, strict=True)}
        return [next(shares[tuple(buckets)]) for buckets in asked]

    def _leave(self, reason: str) -> None:
        """Go on alone, until Redis answers again."""
        log.warning("limits.redis_away", reason=reason)
        if self._returning is None:
            self._returning = asyncio.create_task(self._return(), name="limits return")

    async def _return(self) -> None:
        assert self._client is not None
        while True:
            await asyncio.sleep(RETRY_S)
            if await _answers(self._client):
                break
        log.info("limits.redis_back")
        self._returning = None


async def _answers(redis: "Redis") -> bool:
    ping = asyncio.ensure_future(redis.ping())
    await asyncio.wait({ping}, timeout=PATIENCE_S)
    if not ping.done():
        ping.add_done_callback(_look_away)
        return False
    return ping.exception() is None


def _look_away(late: "asyncio.Future[Any]") -> None:
    """Ask for the result that came too late, so that asyncio does not report it as forgotten."""
    if not late.cancelled():
        late.exception()


def _shares(buckets: Sequence[Bucket], answer: Sequence[int]) -> Iterator[Taken]:
    """What each request of a group is told, those that may pass first."""
    passing, tokens, lacks_us, emptiest, full_in_us, retry_in_us = answer
    first, least = buckets[0], buckets[emptiest - 1]
    each_us = first.window_s * 1e6 / first.quota
    for number in range(1, passing + 1):
        full_in_s = (lacks_us + number * each_us) / 1e6
        yield Taken(bucket=first, allowed=True, left=tokens - number, full_in_s=full_in_s)
    refused = Taken(bucket=least, allowed=False, left=0, full_in_s=full_in_us / 1e6, retry_in_s=retry_in_us / 1e6)
    yield from itertools.repeat(refused)
