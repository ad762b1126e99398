"""503 tells the truth: `unavailable` means that nothing was written, `accept_unknown` that it may have been."""

import asyncio
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from gateway.processes import Program, end, free_port, spawn
from tests.accept.answers import answered, decoded, flood_on_this_loop
from tests.accept.twins import Api, Merchant, Twins
from tests.http.wire import Answer
from tests.support.proxy import Proxy, proxy

pytestmark = pytest.mark.xdist_group("twins")

QUEUE = 2  # ACCEPT_QUEUE of the process below
WAITING = 2 + QUEUE + QUEUE  # what two lanes may have taken, and what may be queued behind them


async def ask(api: Api, *requests: bytes) -> list[Answer]:
    """The answers to requests that are sent at once, each over a connection of its own."""
    return answered(await flood_on_this_loop([(api, each) for each in requests], len(requests)))


@asynccontextmanager
async def api_before(
    twins: Twins, between: Proxy, directory: Path, credential: str
) -> AsyncIterator[tuple[Api, "subprocess.Popen[bytes]"]]:
    """One more API process on the twins' database, which it reaches through the proxy."""
    port = free_port()
    changes = {
        "DATABASE_URI": between.before(twins.settings.database_uri),
        "API_PORT": str(port),
        "ACCEPT_QUEUE": str(QUEUE),
    }
    program = Program(
        name="api-3",
        argv=(sys.executable, "-m", "gateway.cli", "api"),
        owner=directory,
        log=directory / "api-3.log",
        env={**twins.handles[0].program.env, **changes},
    )
    process = spawn(program)
    try:
        api = Api(port, process.pid, credential)
        async with asyncio.timeout(30):
            while not await is_ready(api):
                await asyncio.sleep(0.1)
        yield api, process
    finally:
        between.thaw()
        end(process, program)


async def is_ready(api: Api) -> bool:
    """Whether the process takes work."""
    try:
        return (await ask(api, api.bytes_of("GET", "/health/ready")))[0].status == 200
    except (AssertionError, OSError):
        return False


async def test_a_frozen_database(twins: Twins, tmp_path: Path) -> None:
    merchant = await asyncio.to_thread(twins.new_merchant)
    async with (
        proxy(twins.settings.database_uri) as between,
        api_before(twins, between, tmp_path, merchant.test_key) as (api, process),
    ):
        for _ in range(3):  # both lanes are connected, and key and accounts remembered
            assert {answer.status for answer in await ask(api, api.payment(), api.payment())} == {201}
        before = await rows(twins, merchant)
        between.freeze()
        keys = [uuid.uuid4().hex for _ in range(20)]
        timed = [asyncio.create_task(timed_ask(api, key)) for key in keys]
        reading = asyncio.create_task(ask(api, api.bytes_of("GET", "/v1/payments")))
        async with asyncio.timeout(3):
            health = await ask(api, api.bytes_of("GET", "/health/live"), api.bytes_of("GET", "/health/ready"))
        assert [answer.status for answer in health] == [200, 503]
        told = dict(zip(keys, await asyncio.gather(*timed), strict=True))
        (read,) = await reading
        assert (read.status, read.code, read.headers["retry-after"]) == (503, "unavailable", "1")
        check_refusals(list(told.values()))
        between.thaw()
        await check_repetitions(api, told)
        await asyncio.sleep(0.1)
        assert await rows(twins, merchant) == before + len(keys)
        between.freeze()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert "Traceback" not in (tmp_path / "api-3.log").read_text()


async def timed_ask(api: Api, key: str) -> tuple[Answer, float]:
    """The answer to a payment under the key, and how many seconds it took."""
    sent = time.perf_counter()
    (answer,) = await ask(api, api.payment(key))
    return answer, time.perf_counter() - sent


def check_refusals(told: list[tuple[Answer, float]]) -> None:
    """What does not fit into the queue is refused at once, the rest when patience ends."""
    assert {answer.status for answer, _ in told} == {503}
    at_once = [answer for answer, seconds in told if seconds < 2]
    assert len(at_once) >= len(told) - WAITING
    assert {answer.code for answer in at_once} == {"unavailable"}
    assert "accept_unknown" in [answer.code for answer, seconds in told if seconds >= 2]
    for answer, seconds in told:
        assert answer.headers["retry-after"] == {"unavailable": "1", "accept_unknown": "2"}[answer.code]
        assert seconds < 15


async def check_repetitions(api: Api, told: dict[str, tuple[Answer, float]]) -> None:
    """Every key works now; one that was refused as `unavailable` is new."""
    for key, (refused, _) in told.items():
        async with asyncio.timeout(5):
            while (answer := (await ask(api, api.payment(key)))[0]).status == 503:
                await asyncio.sleep(0.05)
        decoded(answer)
        if refused.code == "unavailable":
            assert "idempotency-replayed" not in answer.headers


async def rows(twins: Twins, merchant: Merchant) -> int:
    """How many payments the merchant has, each with one key, one operation and one event."""
    connection = await asyncpg.connect(twins.settings.database_uri)
    counts = [
        await connection.fetchval(f"select count(*) from {table} where merchant_id = $1", merchant.id)
        for table in ("payments", "idempotency_keys", "operations", "events")
    ]
    await connection.close()
    assert len(set(counts)) == 1
    return int(counts[0])
