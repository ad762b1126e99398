"""Rate limits: exact over several processes, the same in Redis and in memory, and in nobody's way when Redis is."""

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway import rates
from gateway.processes import free_port
from gateway.rates import Bucket, LocalBuckets, Taken
from gateway.settings import Settings
from gateway.store import limiter as limiter_module
from gateway.store.limiter import Limiter
from providers.contract import Secret
from tests.support.parts import CHECKOUT, Parts
from tests.support.proxy import proxy

HOUR = 3600  # a bucket whose refilling nobody sees


def configured(host: str | None, port: int, **more: object) -> Settings:
    """Settings whose limits are nobody else's."""
    return Settings(
        secret_key=Secret("s"),
        jwt_secret_key=Secret("j"),
        database_uri=Secret("d"),
        redis_host=host,
        redis_port=port,
        kafka_prefix=f"test-{uuid.uuid4().hex}.",
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an answer takes its time."""
    monkeypatch.setattr(limiter_module, "PATIENCE_S", 10)


@asynccontextmanager
async def limiting(settings: Settings) -> AsyncIterator[Limiter]:
    made = Limiter(settings)
    try:
        yield made
    finally:
        await made.close()


# --- In memory --------------------------------------------------------------------------------------------------------


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills_evenly() -> None:
    clock = Time()
    buckets = LocalBuckets(1, clock)
    bucket = Bucket("a", 10, 1)
    taken = [buckets.take([bucket]) for _ in range(11)]
    assert [each.left for each in taken] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert [each.allowed for each in taken] == [True] * 10 + [False]
    assert taken[-1].retry_in_s == pytest.approx(0.1)
    assert taken[-1].full_in_s == pytest.approx(1.0)
    clock.now += 0.1001
    assert [buckets.take([bucket]).allowed for _ in range(2)] == [True, False]
    clock.now += 5
    assert buckets.take([bucket]).left == 9


def test_a_refused_request_takes_nothing_from_any_bucket() -> None:
    buckets = LocalBuckets(1, Time())
    small, large = Bucket("small", 1), Bucket("large", 100)
    assert buckets.take([large, small]).left == 99
    refused = buckets.take([large, small])
    assert (refused.allowed, refused.bucket) == (False, small)
    assert buckets.take([large]).left == 98


def test_each_process_has_its_share_and_at_least_one() -> None:
    for processes, most in ((4, 25), (200, 1)):
        buckets = LocalBuckets(processes, Time())
        assert sum(buckets.take([Bucket("a", 100)]).allowed for _ in range(200)) == most


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUCKETS", 100)
    clock = Time()
    buckets = LocalBuckets(1, clock)
    for number in range(1000):
        buckets.take([Bucket(str(number), 10)])
        clock.now += 0.001
    assert len(buckets._full_at) <= 100
    for number in range(1000):
        buckets.take([Bucket(str(number), 10)])
    assert len(buckets._full_at) <= 100


# --- In Redis ---------------------------------------------------------------------------------------------------------


async def test_redis_says_what_memory_says(parts: Parts) -> None:
    local = LocalBuckets(1)
    a, b = Bucket("a", 5, HOUR), Bucket("b", 3, HOUR)
    asked = [[a], [a, b], [b, a], [b], [b], [a], [a], [a, b], [a]]
    async with limiting(configured(parts.redis_host, parts.redis_port)) as shared:
        for buckets in asked:
            ours, theirs = local.take(buckets), await shared.take(buckets)
            assert (theirs.allowed, theirs.bucket, theirs.left) == (ours.allowed, ours.bucket, ours.left)
            assert theirs.full_in_s == pytest.approx(ours.full_in_s, abs=30)
            assert theirs.retry_in_s == pytest.approx(ours.retry_in_s, abs=30)


async def test_those_who_ask_together_are_told_apart(parts: Parts) -> None:
    async with limiting(configured(parts.redis_host, parts.redis_port)) as shared:
        asked = [[Bucket(str(number % 7), number % 7 + 1, HOUR)] for number in range(700)]
        taken = await asyncio.gather(*(shared.take(buckets) for buckets in asked))
        assert [each.bucket for each in taken] == [buckets[0] for buckets in asked]
        for quota in range(1, 8):
            assert sum(each.allowed for each in taken if each.bucket.quota == quota) == quota


PROCESS = """
import asyncio, sys
from gateway.rates import Bucket
from gateway.settings import Settings
from gateway.store import limiter

async def main():
    limiter.PATIENCE_S = 10
    where = dict(redis_host=sys.argv[1], redis_port=int(sys.argv[2]), kafka_prefix=sys.argv[3])
    shared = limiter.Limiter(Settings(secret_key="s", jwt_secret_key="j", database_uri="d", **where))
    taken = await asyncio.gather(*(shared.take([Bucket("a", 100, 3600)]) for _ in range(200)))
    print(sum(each.allowed for each in taken), shared.is_shared)
    await shared.close()

asyncio.run(main())
"""


def test_several_processes_together_keep_one_limit(parts: Parts) -> None:
    prefix = f"test-{uuid.uuid4().hex}."
    argv = [sys.executable, "-c", PROCESS, parts.redis_host, str(parts.redis_port), prefix]
    running = [subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].split() for process in running]
    assert [shared for _, shared in said] == ["True"] * 2
    assert sum(int(allowed) for allowed, _ in said) == 100


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_without_redis_each_process_keeps_its_share() -> None:
    nowhere = configured("127.0.0.1", free_port(), api_processes=2)
    for settings in (configured(None, 6379, api_processes=2), nowhere):
        async with limiting(settings) as alone:
            taken = [await alone.take([Bucket("a", 10, HOUR)]) for _ in range(10)]
            assert sum(each.allowed for each in taken) == 5
            assert not alone.is_shared


async def test_a_frozen_redis_holds_nobody_up_for_long(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "RETRY_S", 0.05)
    bucket = Bucket("a", 10, HOUR)
    async with (
        proxy(f"redis://{parts.redis_host}:{parts.redis_port}") as between,
        limiting(configured("127.0.0.1", between.port)) as shared,
    ):
        assert [(await shared.take([bucket])).left for _ in range(4)] == [9, 8, 7, 6]
        monkeypatch.setattr(limiter_module, "PATIENCE_S", 0.1)
        between.freeze()
        began = time.monotonic()
        late = await asyncio.gather(*(shared.take([bucket]) for _ in range(20)))
        assert time.monotonic() - began < 19 * 0.1  # one wait for all; each for himself would be twenty
        assert sum(each.allowed for each in late) == 10  # this process's own bucket is full
        assert not shared.is_shared
        began = time.monotonic()
        for _ in range(50):
            await shared.take([bucket])
        assert time.monotonic() - began < 49 * 0.1  # and nobody waits any more
        between.thaw()
        await until(lambda: shared.is_shared)
        assert (await shared.take([bucket])).left <= 5


@pytest.mark.parametrize(
    "reply", [b"-READONLY no\r\n", b"-LOADING wait\r\n", b"-OOM full\r\n", b"$-1\r\n", b"HTTP/1.1 "]
)
async def test_a_redis_that_answers_nonsense_is_away(reply: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "PATIENCE_S", 0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(reply)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with limiting(configured("127.0.0.1", port)) as alone:
        taken = [await alone.take([Bucket("a", 3, HOUR)]) for _ in range(5)]
    server.close()
    assert [each.allowed for each in taken] == [True] * 3 + [False] * 2


async def test_who_leaves_while_waiting_disturbs_nobody(parts: Parts) -> None:
    async with limiting(configured(parts.redis_host, parts.redis_port)) as shared:
        waiting = [asyncio.create_task(shared.take([Bucket(str(n), 10, HOUR)])) for n in range(50)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        stayed = [each for each in found[1::2] if isinstance(each, Taken)]
        assert [each.bucket.name for each in stayed] == [str(n) for n in range(1, 50, 2)]
