"""Holding an answer: woken by Redis, by looking without it, for so long and no longer, and without a connection."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
import pytest

from gateway.clock import Clock
from gateway.settings import Settings
from gateway.store import wakeups
from gateway.store.database import Pool, create_pool
from gateway.store.wakeups import RedisWakeups
from gateway.usecases import waiters as waiters_module
from gateway.usecases.record_outcome import Recorder
from gateway.usecases.waiters import Waiters, wait_for
from providers.contract import Declined, Succeeded, Unknown
from providers.declines import DeclineCode
from tests.engine.conftest import Announced
from tests.engine.teller import Teller
from tests.streams.support import until
from tests.support.payments import Story

PROCESS = "api-1"
NEVER_S = 60.0


@asynccontextmanager
async def api_process(settings: Settings, pool: Pool) -> AsyncIterator[Waiters]:
    """What waits in an API process, listening to Redis where there is one."""
    waiting = Waiters(pool)
    listening = asyncio.create_task(wakeups.listen(settings, PROCESS, waiting.hint))
    client = wakeups.client(settings)
    if client is not None:
        await until(lambda: is_heard(client))
    try:
        yield waiting
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await waiting.close()
        if client is not None:
            await client.aclose()


async def is_heard(client: Any) -> bool:
    ((_, listeners),) = await client.pubsub_numsub(wakeups.channel(PROCESS))
    return int(listeners) == 1


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Recorder]:
    """A recorder that wakes through Redis where there is one."""
    hints = RedisWakeups(settings)
    recorder = Recorder(settings, Clock(), Announced(), hints)
    try:
        yield recorder
    finally:
        await recorder.close()
        await hints.close()


async def processing(pool: Pool, recorder: Recorder, key: str) -> Teller:
    tell = Teller(recorder, await Story.begin(pool, key))
    await tell.claim()
    return tell


async def woken_after_s(waiting: Waiters, payment_id: UUID, outcome: Coroutine[Any, Any, object]) -> float:
    """Record the outcome; seconds from its commit until the waiter knows."""
    with waiting.expect(payment_id) as moved:
        await asyncio.sleep(0.1)  # the first look, which the registration causes, is over
        await outcome
        committed = time.monotonic()
        await wait_for(moved, 5)
        assert moved.is_set()
        return time.monotonic() - committed


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Change how often a process looks by itself."""
    return lambda seconds: monkeypatch.setattr(waiters_module, "LOOK_EVERY_S", seconds)


async def test_redis_wakes(settings: Settings, pool: Pool, looking: Callable[[float], None]) -> None:
    looking(NEVER_S)
    async with api_process(settings, pool) as waiting, worker(settings) as recorder:
        for attempt in range(3):
            tell = await processing(pool, recorder, f"woken-{attempt}")
            told = recorder.record(tell.answered(Succeeded()), waiter=PROCESS)
            assert await woken_after_s(waiting, tell.payment_id, told) < 1


async def test_redis_wakes_the_process_that_is_meant(
    settings: Settings, pool: Pool, looking: Callable[[float], None]
) -> None:
    looking(NEVER_S)
    async with api_process(settings, pool) as waiting, worker(settings) as recorder:
        tell = await processing(pool, recorder, "another process")
        with waiting.expect(tell.payment_id) as moved:
            await asyncio.sleep(0.1)
            await recorder.record(tell.answered(Succeeded()), waiter="api-2")
            await wait_for(moved, 0.5)
            assert not moved.is_set()
            waiting.hint()
            await wait_for(moved, 5)
            assert moved.is_set()


async def test_a_wake_is_no_proof(settings: Settings, pool: Pool) -> None:
    """What is still under way is waited for, whoever says that something happened."""
    async with api_process(settings, pool) as waiting, worker(settings) as recorder:
        tell = await processing(pool, recorder, "no proof")
        with waiting.expect(tell.payment_id) as moved:
            await recorder.record(tell.answered(Unknown(detail="timeout")), waiter=PROCESS)
            for _ in range(5):
                waiting.hint()
                await wait_for(moved, 0.05)
            assert not moved.is_set()
            await tell.proof(Declined(code=DeclineCode.DECLINED))
            await wait_for(moved, 5)
            assert moved.is_set()


@pytest.mark.parametrize("redis_port", [None, 1])
async def test_without_redis_it_is_seen_soon(settings: Settings, pool: Pool, redis_port: int | None) -> None:
    """None configured, or one that is away."""
    without = msgspec.structs.replace(settings, redis_host=redis_port and "127.0.0.1", redis_port=redis_port or 6379)
    delays = []
    async with worker(without) as recorder:
        waiting = Waiters(pool)
        listening = asyncio.create_task(wakeups.listen(without, PROCESS, waiting.hint))
        for attempt in range(9):
            tell = await processing(pool, recorder, f"without-{redis_port}-{attempt}")
            told = recorder.record(tell.answered(Succeeded()), waiter=PROCESS)
            delays.append(await woken_after_s(waiting, tell.payment_id, told))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await waiting.close()
    assert statistics.median(delays) < 0.15, delays


async def test_several_wait_for_the_same(settings: Settings, pool: Pool) -> None:
    async with api_process(settings, pool) as waiting, worker(settings) as recorder:
        tell = await processing(pool, recorder, "the same")
        with waiting.expect(tell.payment_id) as first, waiting.expect(tell.payment_id) as second:
            with waiting.expect(tell.payment_id) as impatient:
                await wait_for(impatient, 0.1)
            assert not impatient.is_set()
            await tell.answer(Succeeded())
            await wait_for(first, 5)
            await wait_for(second, 5)
            assert first.is_set()
            assert second.is_set()


async def test_a_confirm_is_waited_for_by_its_operation(settings: Settings, pool: Pool) -> None:
    async with api_process(settings, pool) as waiting, worker(settings) as recorder:
        tell = await processing(pool, recorder, "operation")
        with waiting.expect(tell.operation_id) as over:
            await wait_for(over, 0.2)
            assert not over.is_set()
            await tell.answer(Succeeded())
            await wait_for(over, 5)
            assert over.is_set()


async def test_waiting_survives_a_lost_connection(settings: Settings, pool: Pool) -> None:
    async with await create_pool(settings, size=1) as own, worker(settings) as recorder:
        waiting = Waiters(own)
        tell = await processing(pool, recorder, "lost")
        with waiting.expect(tell.payment_id) as moved:
            await asyncio.sleep(0.1)
            pid = await own.fetchval("select pg_backend_pid()")
            await pool.execute("select pg_terminate_backend($1)", pid)
            await tell.answer(Succeeded())
            await wait_for(moved, 5)
            assert moved.is_set()
        await waiting.close()
