"""Keys are remembered for two seconds, unknown ones never, and everybody shares one query."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import asyncpg
import pytest

from gateway import ids, keys
from gateway.http.auth import MOST_STRANGERS, KeyCache
from gateway.payments.errors import MyPayError
from gateway.store.directory import ApiKeyRow

KEY = keys.make(livemode=True)
AGE_S = 0.05
T = TypeVar("T")


class Directory:
    """The keys of a database, and how often it was asked."""

    def __init__(self, *known: str) -> None:
        self.rows = {keys.digest(key): row(key) for key in known}
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.error: Exception | None = None

    async def find(self, digest: bytes) -> ApiKeyRow | None:
        self.asked += 1
        await self.answering.wait()
        if self.error is not None:
            raise self.error
        return self.rows.get(digest)


def row(key: str, *, revoked: bool = False, key_hash: bytes | None = None) -> ApiKeyRow:
    """A key as it is stored."""
    return ApiKeyRow(
        id=ids.new(),
        merchant_id=ids.new(),
        livemode=key.startswith("sk_live"),
        revoked_at=datetime.now(UTC) if revoked else None,
        key_hash=key_hash or keys.digest(key),
    )


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    """Run an asynchronous test."""

    async def main() -> T:
        return await scenario()

    return asyncio.run(main())


async def refused(cache: KeyCache, key: str = KEY) -> str:
    """The code with which a key is refused."""
    with pytest.raises(MyPayError) as caught:
        await cache.principal(key)
    return caught.value.code


def test_a_hot_key_costs_one_query_per_age() -> None:
    async def scenario() -> None:
        directory = Directory(KEY)
        cache = KeyCache(directory.find, age_s=AGE_S)
        found = [await cache.principal(KEY) for _ in range(100)]
        assert (directory.asked, len(set(found)), found[0].livemode) == (1, 1, True)
        await asyncio.sleep(AGE_S * 1.2)
        await cache.principal(KEY)
        assert directory.asked == 2

    run(scenario)


def test_many_at_once_share_one_query_and_one_may_leave() -> None:
    async def scenario() -> None:
        directory = Directory(KEY)
        directory.answering.clear()
        cache = KeyCache(directory.find)
        waiting = [asyncio.create_task(cache.principal(KEY)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        directory.answering.set()
        assert len(set(await asyncio.gather(*waiting[1:]))) == 1
        assert directory.asked == 1

    run(scenario)


def test_a_revoked_key_stops_working_when_its_age_is_over() -> None:
    async def scenario() -> None:
        directory = Directory(KEY)
        cache = KeyCache(directory.find, age_s=AGE_S)
        await cache.principal(KEY)
        directory.rows[keys.digest(KEY)] = row(KEY, revoked=True)
        await cache.principal(KEY)
        await asyncio.sleep(AGE_S * 1.2)
        assert await refused(cache) == "unauthorized"
        assert await refused(cache) == "unauthorized"

    run(scenario)


def test_a_key_works_as_soon_as_it_is_made() -> None:
    async def scenario() -> None:
        directory = Directory()
        cache = KeyCache(directory.find)
        assert await refused(cache) == "unauthorized"
        directory.rows[keys.digest(KEY)] = row(KEY)
        assert (await cache.principal(KEY)).livemode

    run(scenario)


def test_a_row_of_another_hash_is_no_key() -> None:
    async def scenario() -> None:
        directory = Directory()
        directory.rows[keys.digest(KEY)] = row(KEY, key_hash=b"\0" * 32)
        assert await refused(KeyCache(directory.find)) == "unauthorized"

    run(scenario)


def test_what_is_no_key_is_not_looked_up() -> None:
    async def scenario() -> None:
        directory = Directory(KEY)
        cache = KeyCache(directory.find)
        for text in ("", "sk_live_", KEY[:-1], KEY + "x", KEY.lower(), "sk_live_" + "a" * 38, "é", "x" * 100_000):
            assert await refused(cache, text) == "unauthorized"
        assert directory.asked == 0

    run(scenario)


def test_a_flood_of_made_up_keys_is_bounded_and_spares_known_ones() -> None:
    async def scenario() -> None:
        directory = Directory(KEY)
        cache = KeyCache(directory.find, age_s=0)
        await cache.principal(KEY)
        directory.answering.clear()
        flood = [asyncio.create_task(refused(cache, keys.make(livemode=False))) for _ in range(MOST_STRANGERS + 100)]
        await asyncio.sleep(0.01)
        known = asyncio.create_task(cache.principal(KEY))
        await asyncio.sleep(0.01)
        assert directory.asked == 1 + MOST_STRANGERS + 1
        directory.answering.set()
        codes = await asyncio.gather(*flood)
        assert (codes.count("unauthorized"), codes.count("unavailable")) == (MOST_STRANGERS, 100)
        assert (await known).livemode
        assert await refused(cache, keys.make(livemode=False)) == "unauthorized"

    run(scenario)


def test_a_database_that_is_away_refuses_nobodys_key() -> None:
    async def scenario() -> None:
        directory = Directory(KEY)
        directory.error = asyncpg.ConnectionDoesNotExistError("gone")
        cache = KeyCache(directory.find)
        assert await refused(cache) == "unavailable"
        directory.error = None
        assert (await cache.principal(KEY)).livemode

    run(scenario)
