"""Merchants, API keys and provider accounts: what operators configure, through advanced-alchemy repositories.

Every method is one explicit transaction. The hot path reads the same tables by `gateway.store.directory`.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from advanced_alchemy.exceptions import IntegrityError
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from gateway import ids, keys
from gateway.sealing import Sealer
from gateway.store.credentials import open_settings, seal_settings
from gateway.store.tables import Account, AccountSettings, ApiKey, Merchant
from providers.registry import PROVIDERS

FOREIGN_KEY_VIOLATION: Final = "23503"
CALLBACK_TOKEN_BYTES: Final = 24  # 192 random bits: a callback address cannot be guessed


class ConfigurationError(Exception):
    """What was asked for cannot be configured; the message is one sentence for whoever asked."""


class Merchants(SQLAlchemyAsyncRepository[Merchant]):
    """Tenants."""

    model_type = Merchant


class ApiKeys(SQLAlchemyAsyncRepository[ApiKey]):
    """Merchants' keys."""

    model_type = ApiKey


class Accounts(SQLAlchemyAsyncRepository[Account]):
    """Accounts at providers."""

    model_type = Account


class SettingsVersions(SQLAlchemyAsyncRepository[AccountSettings]):
    """Accounts' credentials, by version."""

    model_type = AccountSettings


def market_of(provider: str, settings: Struct) -> tuple[list[str] | None, list[str] | None]:
    """The countries and currencies of the account with these settings; None: all of its provider's."""
    market = PROVIDERS[provider].market
    if market is None:
        return None, None
    its = market(settings)
    return [its.country], [its.currency]


class Configuration:
    """Everything that is configured in the database. The caller owns the engine, and disposes of it."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer) -> None:
        self._transaction = async_sessionmaker(engine, expire_on_commit=False).begin
        self._sealer = sealer

    async def create_merchant(self, name: str) -> Merchant:
        """A new tenant, without keys or accounts."""
        async with self._transaction() as session:
            return await Merchants(session=session).add(Merchant(id=ids.new(), name=name))

    async def find_merchant(self, name: str) -> Merchant | None:
        """The oldest merchant of this name."""
        async with self._transaction() as session:
            found = await Merchants(session=session).get_many(name=name, order_by=(Merchant.id, False))
            return next(iter(found), None)

    async def create_api_key(self, merchant_id: UUID, livemode: bool, name: str) -> tuple[ApiKey, str]:
        """A new key and, this once, its text. Raises `ConfigurationError` when there is no such merchant."""
        text = keys.make(livemode)
        row = ApiKey(
            id=ids.new(),
            merchant_id=merchant_id,
            livemode=livemode,
            name=name,
            prefix=keys.prefix(text),
            key_hash=keys.digest(text),
        )
        with _explained(FOREIGN_KEY_VIOLATION, _no_merchant(merchant_id)):
            async with self._transaction() as session:
                return await ApiKeys(session=session).add(row), text

    async def create_account(
        self,
        merchant_id: UUID,
        provider: str,
        livemode: bool,
        settings: Struct,
        label: str = "",
        priority: int = 100,
    ) -> Account:
        """A new account, with `settings` sealed as its version 1.

        Raises `ConfigurationError` when there is no such provider or merchant, or the settings are another provider's.
        """
        _check_settings(provider, settings)
        countries, currencies = market_of(provider, settings)
        account = Account(
            id=ids.new(),
            merchant_id=merchant_id,
            provider=provider,
            livemode=livemode,
            label=label,
            priority=priority,
            callback_token=secrets.token_urlsafe(CALLBACK_TOKEN_BYTES),
            settings_version=1,
            countries=countries,
            currencies=currencies,
        )
        with _explained(FOREIGN_KEY_VIOLATION, _no_merchant(merchant_id)):
            async with self._transaction() as session:
                await Accounts(session=session).add(account)
                await SettingsVersions(session=session).add(self._sealed(account, settings))
        return account

    async def account_settings(self, account_id: UUID, version: int) -> Struct:
        """An account's credentials of one version, as its provider's Struct.

        Raises advanced-alchemy's `NotFoundError`, and what `open_settings` raises.
        """
        async with self._transaction() as session:
            account = await Accounts(session=session).get(account_id)
            stored = await SettingsVersions(session=session).get_one(account_id=account_id, version=version)
        return open_settings(
            self._sealer,
            stored.sealed,
            provider=account.provider,
            account_id=account_id,
            version=version,
            merchant_id=account.merchant_id,
        )

    def _sealed(self, account: Account, settings: Struct) -> AccountSettings:
        version = account.settings_version
        sealed = seal_settings(
            self._sealer, settings, account_id=account.id, version=version, merchant_id=account.merchant_id
        )
        return AccountSettings(account_id=account.id, version=version, sealed=sealed)


def _check_settings(provider: str, settings: Struct) -> None:
    spec = PROVIDERS.get(provider)
    if spec is None:
        raise ConfigurationError(f"There is no provider {provider!r}: choose one of {', '.join(PROVIDERS)}.")
    if type(settings) is not spec.settings:
        raise ConfigurationError(
            f"An account at {provider} has settings of type {spec.settings.__name__}, not {type(settings).__name__}."
        )


def _no_merchant(merchant_id: UUID) -> str:
    return f"There is no merchant {ids.show(ids.MERCHANT, merchant_id)}."


@contextmanager
def _explained(sqlstate: str, sentence: str) -> Iterator[None]:
    """Turn one kind of violation into a `ConfigurationError`.

    By SQLSTATE, which PostgreSQL promises; advanced-alchemy goes by the words of the message, and misses asyncpg's.
    """
    try:
        yield
    except IntegrityError as error:
        if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) == sqlstate:
            raise ConfigurationError(sentence) from None
        raise
