"""Against card testing: an account with many declined cards takes no more of them for a while.

Whoever tries stolen cards shows as declines. Who the payer is, the API does not know: it is called by the merchant's
server, and a card is a token. So what is counted is the account, over a window, with a limit well above an honest
shop's; until the oldest of those declines has left the window, further card payments are answered 429.
"""

import math
from datetime import timedelta
from typing import Final, TypeAlias
from uuid import UUID

from gateway.clock import Clock
from gateway.settings import Settings
from gateway.store.cache import Cache
from gateway.store.card_declines import nth_newest
from gateway.store.database import Pool
from gateway.store.directory import AccountRow

AGE_S: Final = 1.0
CHECKOUT_S: Final = 1.0

Key: TypeAlias = tuple[UUID, bool, UUID]


class CardTesting:
    """The accounts' declines, at most `AGE_S` old: one query a second for each that takes cards."""

    def __init__(self, pool: Pool, clock: Clock, settings: Settings) -> None:
        self._pool, self._clock, self._most = pool, clock, settings.card_declines_most
        self._window = timedelta(seconds=settings.card_declines_window_s)
        self._unlimited_tests = settings.mypay_env == "development"
        self._until: Cache[Key, float] = Cache(self._read, age_s=AGE_S)

    async def wait_s(self, account: AccountRow) -> int:
        """0: the account takes cards; else seconds until it does again. In development test mode is unlimited."""
        if not self._most or (self._unlimited_tests and not account.livemode):
            return 0
        until = await self._until.get((account.merchant_id, account.livemode, account.id))
        return max(0, math.ceil(until - self._clock.now().timestamp()))

    async def _read(self, key: Key) -> float:
        """Until when the account takes none: epoch seconds, 0 where it takes them."""
        async with self._pool.acquire(timeout=CHECKOUT_S) as connection:
            since = self._clock.now() - self._window
            oldest = await nth_newest(connection, *key, since, self._most)
        return 0.0 if oldest is None else (oldest + self._window).timestamp()
