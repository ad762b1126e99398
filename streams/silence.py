"""Accounts whose callbacks stopped coming: looked for by sweepers, said in the log once, and kept as a gauge."""

from collections import Counter
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from gateway import ids
from gateway.metrics import METRICS
from gateway.store import outcome_sources
from gateway.store.database import Pool
from providers.registry import PROVIDERS

EVERY_S: Final = 60.0

log = structlog.get_logger(__name__)


class Silence:
    """What this process knows of silent accounts."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._due = pool, 0.0
        self.accounts: dict[UUID, str] = {}

    async def look(self, now: datetime) -> int:
        """Look, unless it is too early; how many accounts began or ended to be silent."""
        if now.timestamp() < self._due:
            return 0
        self._due = now.timestamp() + EVERY_S
        async with self._pool.acquire() as connection:
            found = await outcome_sources.silent(connection, now)
            await outcome_sources.forget(connection, now)
        return self._note(found)

    def _note(self, found: dict[UUID, str]) -> int:
        counts = Counter(found.values())
        for provider in PROVIDERS:
            METRICS.accounts_silent.labels(provider=provider).set(counts[provider])
        began, over = found.keys() - self.accounts.keys(), self.accounts.keys() - found.keys()
        for account in began:
            log.warning("callbacks.silent", account=ids.show(ids.ACCOUNT, account), provider=found[account])
        for account in over:
            log.info("callbacks.no_longer_silent", account=ids.show(ids.ACCOUNT, account))
        self.accounts = found
        return len(began) + len(over)
