"""The write path without HTTP: our flusher, and the same statement for one request at a time on a pool of 16."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from gateway.clock import Clock
from gateway.store.accept import NewPayment, accept
from gateway.store.batcher import Batcher
from gateway.store.database import connect, create_pool
from tests.support.parts import Parts, installation_settings
from tests.support.payments import new_payment

AT_ONCE = 64
POOL = 16


async def compare(parts: Parts, database_uri: str, *, seconds: float) -> tuple[float, float]:
    """Payments per second: batched, and one by one."""
    settings = installation_settings(parts, database_uri)
    batcher = Batcher(accept, lambda: connect(settings), name="bench")
    batched = await _rate(batcher.submit, "batched", seconds)
    await batcher.close()
    async with await create_pool(settings, size=POOL) as pool:

        async def alone(new: NewPayment) -> object:
            async with pool.acquire() as connection:
                return await accept(connection, [new])  # type: ignore[arg-type]

        single = await _rate(alone, "single", seconds)
    return batched, single


async def _rate(write: Callable[[NewPayment], Awaitable[object]], name: str, seconds: float) -> float:
    numbers = iter(range(10**9))
    begin = time.perf_counter()
    done = 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < begin + seconds:
            await write(new_payment(f"{name}-{next(numbers)}", now=Clock().now()))
            done += 1

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return done / (time.perf_counter() - begin)
