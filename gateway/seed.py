"""The demo of a development installation: a merchant, its key, an owner, and an account at each simulator it needs."""

import asyncio
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from gateway import ids, keys, passwords
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import directory, engine, users
from gateway.store.accounts import Configuration
from gateway.store.database import Connection, connect
from gateway.store.tables import Merchant
from gateway.usecases.manage_users import made
from providers.contract import Secret
from providers.cpay.spec import CPayAccount
from providers.sandbox.spec import SandboxAccount

MERCHANT: Final = "Demo merchant"
EMAIL: Final = "owner@example.test"


class Demo(Struct, frozen=True, kw_only=True):
    """What a person needs to begin: the key and the password in clear, public ids, accounts by provider."""

    api_key: str
    merchant: str
    email: str
    password: str
    accounts: dict[str, str]

    def __repr__(self) -> str:
        """Without the key and the password."""
        return f"Demo(merchant={self.merchant!r})"


class _Shown(Struct, frozen=True):
    """What an earlier seeding showed; the database holds only hashes of it."""

    api_key: str = ""
    password: str = ""


def seed_demo(settings: Settings, *, existing: Path | None = None) -> Demo:
    """Make what is missing of the demo in a migrated database.

    `existing` is the file in which an earlier `Demo` was kept. What of it still holds is returned again; a key or a
    password that is lost is replaced by a new one.
    """
    return asyncio.run(_seed(settings, _read(existing)))


def create_merchant(settings: Settings, name: str, *, livemode: bool) -> tuple[str, str]:
    """A new merchant (its public id) and, this once, the text of its first API key."""
    return asyncio.run(_create_merchant(settings, name, livemode))


async def _create_merchant(settings: Settings, name: str, livemode: bool) -> tuple[str, str]:
    own = engine.create(settings.database_uri)
    configuration = Configuration(own, Sealer(*settings.keys("seal")))
    try:
        merchant = await configuration.create_merchant(name)
        _, key = await configuration.create_api_key(merchant.id, livemode=livemode, name="first")
    finally:
        await own.dispose()
    return ids.show(ids.MERCHANT, merchant.id), key


def _read(existing: Path | None) -> _Shown:
    if existing is None or not existing.is_file():
        return _Shown()
    try:
        return msgspec.json.decode(existing.read_bytes(), type=_Shown)
    except msgspec.DecodeError:  # cut off by a crash, or edited: as good as lost
        return _Shown()


async def _seed(settings: Settings, shown: _Shown) -> Demo:
    own = engine.create(settings.database_uri)
    connection = await connect(settings)
    configuration = Configuration(own, Sealer(*settings.keys("seal")))
    try:
        merchant = await configuration.find_merchant(MERCHANT) or await configuration.create_merchant(MERCHANT)
        return Demo(
            merchant=ids.show(ids.MERCHANT, merchant.id),
            api_key=await _key(configuration, connection, merchant, shown.api_key),
            email=EMAIL,
            password=await _password(connection, shown.password),
            accounts=await _accounts(configuration, connection, merchant, settings),
        )
    finally:
        await connection.close()
        await own.dispose()


async def _key(configuration: Configuration, connection: Connection, merchant: Merchant, shown: str) -> str:
    known = await directory.find_key(connection, keys.digest(shown))
    if known is not None and known.merchant_id == merchant.id and known.revoked_at is None:
        return shown
    _, key = await configuration.create_api_key(merchant.id, livemode=False, name="demo")
    return key


async def _password(connection: Connection, shown: str) -> str:
    owner = await users.find(connection, EMAIL)
    if owner is not None and shown:
        return shown
    password, now = passwords.generate(), datetime.now(UTC)
    password_hash = passwords.hash(password)
    if owner is None:
        await users.insert(connection, made(EMAIL, "owner", password_hash, now))
    else:
        await users.update(connection, msgspec.structs.replace(owner, password_hash=password_hash, updated_at=now))
    return password


async def _accounts(
    configuration: Configuration, connection: Connection, merchant: Merchant, settings: Settings
) -> dict[str, str]:
    found = await directory.merchant_accounts(connection, merchant.id, livemode=False)
    accounts = {row.provider: row.id for row in reversed(found)}
    for provider, credentials in _wanted(settings):
        if provider not in accounts:
            made = await configuration.create_account(merchant.id, provider, False, credentials, label="demo")
            accounts[provider] = made.id
    return {provider: ids.show(ids.ACCOUNT, account_id) for provider, account_id in sorted(accounts.items())}


def _wanted(settings: Settings) -> Iterator[tuple[str, Struct]]:
    """The demo's accounts, the preferred one first. The simulators take any credentials."""
    yield "sandbox", SandboxAccount()
    if base_url := settings.simulators.get("cpay"):
        yield (
            "cpay",
            CPayAccount(
                base_url=base_url,
                api_key=Secret(secrets.token_urlsafe(24)),
                client_code="DEMO",
                hmac_secret=Secret(secrets.token_urlsafe(24)),
                merchant_code="DEMO",
            ),
        )
