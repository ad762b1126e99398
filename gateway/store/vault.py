"""Accounts' credentials, opened once per version and kept in memory: a version never changes."""

from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import credentials, directory
from gateway.store.cache import Cache
from gateway.store.configured_accounts import StoredAccount
from gateway.store.database import Pool
from gateway.store.directory import AccountRow
from providers.addresses import PublicNetwork

ACCOUNT_AGE_S = 2.0
FOR_EVER_S = float("inf")


class AccountUnknown(Exception):
    """There is no such account, or no such version of its settings."""


AnyAccount: TypeAlias = AccountRow | StoredAccount


def network_for(settings: Settings, account: AnyAccount, base_url: str) -> PublicNetwork | None:
    """A merchant chose the address: it must be on the public internet, unless the installation itself says more."""
    ours = base_url == settings.simulators.get(account.provider)
    anywhere = settings.private_targets and not account.livemode
    return None if ours or anywhere else PublicNetwork()


class Vault:
    """Opens what `account_settings` holds, and knows the accounts of workers, which act for every merchant."""

    def __init__(self, pool: Pool, sealer: Sealer, settings: Settings) -> None:
        self._pool, self._sealer, self._simulators = pool, sealer, settings.simulators
        self._settings: Cache[tuple[UUID, int], Struct] = Cache(self._open, age_s=FOR_EVER_S)
        self._accounts: Cache[UUID, AccountRow] = Cache(self._read, age_s=ACCOUNT_AGE_S)
        self._by_token: Cache[tuple[str, str], AccountRow | None] = Cache(self._find, age_s=ACCOUNT_AGE_S)

    async def account(self, account_id: UUID) -> AccountRow:
        """The account. Raises `AccountUnknown`."""
        return await self._accounts.get(account_id)

    async def by_token(self, provider: str, token: str) -> AccountRow | None:
        """The account whose callbacks come to this address; one made a moment ago is found too."""
        known = await self._by_token.get((provider, token))
        return known or await self._by_token.get((provider, token), fresh=True)

    async def settings(self, account_id: UUID, version: int) -> Struct:
        """The provider's settings Struct. Raises `AccountUnknown` and `gateway.sealing.SealBroken`."""
        return await self._settings.get((account_id, version))

    async def _read(self, account_id: UUID) -> AccountRow:
        async with self._pool.acquire() as connection:
            row = await directory.account(connection, account_id)
        if row is None:
            raise AccountUnknown(str(account_id))
        return row

    async def _find(self, key: tuple[str, str]) -> AccountRow | None:
        async with self._pool.acquire() as connection:
            return await directory.account_by_token(connection, *key)

    async def _open(self, key: tuple[UUID, int]) -> Struct:
        account_id, version = key
        row = await self.account(account_id)
        async with self._pool.acquire() as connection:
            sealed = await directory.sealed_settings(connection, account_id, version)
        if sealed is None:
            raise AccountUnknown(f"{account_id} version {version}")
        opened = credentials.open_settings(
            self._sealer,
            sealed,
            provider=row.provider,
            account_id=account_id,
            version=version,
            merchant_id=row.merchant_id,
        )
        return self._at_home(row.provider, opened)

    def _at_home(self, provider: str, settings: Struct) -> Struct:
        """An account that names no address speaks to this installation's own simulator, where there is one."""
        simulator = self._simulators.get(provider)
        if simulator is None or getattr(settings, "base_url", "") is not None:
            return settings
        return msgspec.structs.replace(settings, base_url=simulator)
