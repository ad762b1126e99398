"""Two relays as processes: one is killed, one is frozen past its lease. Nothing is lost, reordered or given twice."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import pytest

from gateway.settings import Settings
from gateway.store.database import Pool
from tests.streams.support import check_relayed, until, writers
from tests.streams.test_relay import all_published
from tests.support.parts import CHECKOUT

pytestmark = pytest.mark.anyio

LEASE_S = 2.0


@contextmanager
def relay_process(settings: Settings, name: str) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "tests.streams.relay_process", name, str(LEASE_S)]
    process = subprocess.Popen(argv, cwd=CHECKOUT, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(settings, enc_hook=str))
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def leader(pool: Pool) -> str | None:
    name: str | None = await pool.fetchval("select leader from relay where lease_until > now()")
    return name


async def next_position(pool: Pool) -> int:
    position: int = await pool.fetchval("select next_position from relay")
    return position


async def grown(pool: Pool, by: int) -> None:
    """Wait until so many more events have a position."""
    start = await next_position(pool)

    async def holds() -> bool:
        return await next_position(pool) >= start + by

    await until(holds)


async def led_by(pool: Pool, name: str) -> None:
    async def holds() -> bool:
        return await leader(pool) == name

    await until(holds)


async def test_leaders_are_killed_under_load(pool: Pool, settings: Settings) -> None:
    with ExitStack() as stack:
        processes = {name: stack.enter_context(relay_process(settings, name)) for name in ("a", "b")}
        async with writers(pool, at_once=6):
            for number in range(3):
                await grown(pool, 100)
                name = await leader(pool)
                assert name is not None
                processes[name].kill()
                successor = f"{name}{number}"
                processes[successor] = stack.enter_context(relay_process(settings, successor))
            await grown(pool, 100)
        await until(all_published(pool))
    assert await pool.fetchval("select fence from relay") >= 4
    await check_relayed(pool, settings)


@pytest.mark.parametrize("in_flight", [False, True])
async def test_a_leader_is_frozen_past_its_lease(pool: Pool, settings: Settings, in_flight: bool) -> None:
    """`in_flight`: it sleeps while the database works on its statement, and wakes to an answer from another time."""
    with relay_process(settings, "a") as first, ExitStack() as stack:
        await led_by(pool, "a")
        async with writers(pool, at_once=6):
            await grown(pool, 100)
            if in_flight:
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("select from relay for update")
                    await asyncio.sleep(0.1)  # its statement waits for us
                    os.kill(first.pid, signal.SIGSTOP)
            else:
                os.kill(first.pid, signal.SIGSTOP)
            stack.enter_context(relay_process(settings, "b"))
            await led_by(pool, "b")
            await grown(pool, 100)
            os.kill(first.pid, signal.SIGCONT)
            await grown(pool, 200)
            assert await leader(pool) == "b"
        await until(all_published(pool))
    assert await pool.fetchval("select fence from relay") == 2
    await check_relayed(pool, settings)
