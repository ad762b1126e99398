"""What a process of the API works with: one value that lives as long as the process, made by `gateway.app`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from msgspec import Struct

from gateway.clock import Clock
from gateway.routing.rules import NO_RULES, Rules
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import directory, routing
from gateway.store.accept import Accepted, NewPayment
from gateway.store.batcher import Batcher
from gateway.store.cache import Cache
from gateway.store.database import Connection, Pool
from gateway.store.dead_letters import DeadLetter
from gateway.store.directory import AccountRow
from gateway.store.vault import Vault
from gateway.tokens import AccessTokens
from gateway.usecases.card_testing import CardTesting
from gateway.usecases.follow_events import Tail
from gateway.usecases.record_outcome import Commands, Recorder
from gateway.usecases.waiters import Waiters

ACCOUNTS_AGE_S = 2.0
CHECKOUT_S = 1.0  # for how long a request waits for a connection; then 503


class Accounts:
    """The merchants' accounts and routing rules, at most `ACCOUNTS_AGE_S` old."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._cache: Cache[tuple[UUID, bool], list[AccountRow]] = Cache(self._read, age_s=ACCOUNTS_AGE_S)
        self._rules: Cache[tuple[UUID, bool], Rules] = Cache(self._read_rules, age_s=ACCOUNTS_AGE_S)

    async def of(self, merchant_id: UUID, livemode: bool, *, fresh: bool = False) -> list[AccountRow]:
        """A merchant's accounts in the order he prefers them; `fresh` reads the database now."""
        return await self._cache.get((merchant_id, livemode), fresh=fresh)

    async def rules(self, merchant_id: UUID, livemode: bool, *, fresh: bool = False) -> Rules:
        """Which of them the merchant prefers for which payments."""
        return await self._rules.get((merchant_id, livemode), fresh=fresh)

    async def _read_rules(self, key: tuple[UUID, bool]) -> Rules:
        async with self._pool.acquire(timeout=CHECKOUT_S) as connection:
            stored = await routing.newest(connection, *key)
        return NO_RULES if stored is None else stored.rules

    async def _read(self, key: tuple[UUID, bool]) -> list[AccountRow]:
        async with self._pool.acquire(timeout=CHECKOUT_S) as connection:
            return await directory.merchant_accounts(connection, *key)


class Services(Struct, frozen=True, kw_only=True):
    """Everything a use case may need. `process` names this process to those who wake its waiters."""

    settings: Settings
    clock: Clock
    process: str
    pool: Pool
    sealer: Sealer
    vault: Vault
    accounts: Accounts
    accept: Batcher[NewPayment, Accepted]
    recorder: Recorder
    commands: Commands
    tokens: AccessTokens
    card_testing: CardTesting
    announce_callback: Callable[[UUID, str], object]
    resend: Callable[[Sequence[DeadLetter]], Awaitable[int]]  # to their topics; how many were acknowledged
    waiters: Waiters
    tail: Tail

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection for reading. Raises `TimeoutError` when none becomes free within `CHECKOUT_S`."""
        async with asyncio.timeout(CHECKOUT_S):
            connection = await self.pool.acquire()
        try:
            yield connection
        finally:
            await self.pool.release(connection)
