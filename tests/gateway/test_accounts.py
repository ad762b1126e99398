"""Configuration is written in one transaction and read back typed; credentials are stored sealed."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest
from advanced_alchemy.exceptions import NotFoundError
from msgspec import Struct

from gateway import ids, keys
from gateway.sealing import SealBroken, Sealer
from gateway.store import directory, engine
from gateway.store.accounts import Configuration, ConfigurationError
from gateway.store.credentials import open_settings
from providers.contract import Secret
from providers.sandbox.spec import SandboxAccount

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SEALER = Sealer(os.urandom(32))
SETTINGS = SandboxAccount(api_key=Secret("canary-key"), webhook_secret=Secret("canary-secret"))


class Elsewhere(Struct, frozen=True):
    """Another provider's settings."""


def with_configuration(database: str, test: Callable[[Configuration, Connection], Awaitable[None]]) -> None:
    """Run `test` on a migrated database."""

    async def run() -> None:
        own = engine.create(database)
        connection = await asyncpg.connect(database)
        try:
            await test(Configuration(own, SEALER), connection)
        finally:
            await connection.close()
            await own.dispose()

    asyncio.run(run())


def test_a_merchant_is_found_by_name(database_uri: str) -> None:
    async def test(configuration: Configuration, connection: Connection) -> None:
        assert await configuration.find_merchant("Corner shop") is None
        made = await configuration.create_merchant("Corner shop")
        await configuration.create_merchant("Corner shop")
        assert made.id.version == 7
        assert made.created_at.tzinfo is not None
        found = await configuration.find_merchant("Corner shop")
        assert found is not None
        assert (found.id, found.name) == (made.id, "Corner shop")

    with_configuration(database_uri, test)


@pytest.mark.parametrize("livemode", [True, False])
def test_a_key_is_found_by_its_digest(database_uri: str, livemode: bool) -> None:
    async def test(configuration: Configuration, connection: Connection) -> None:
        merchant = await configuration.create_merchant("Corner shop")
        row, key = await configuration.create_api_key(merchant.id, livemode, "till 1")
        assert keys.is_well_formed(key)
        found = await directory.find_key(connection, keys.digest(key))
        assert found == directory.ApiKeyRow(
            id=row.id, merchant_id=merchant.id, livemode=livemode, revoked_at=None, key_hash=keys.digest(key)
        )
        assert await directory.find_key(connection, keys.digest(keys.make(livemode))) is None
        stored = await connection.fetchval("select api_keys::text from api_keys")
        assert key not in stored
        assert keys.prefix(key) in stored

    with_configuration(database_uri, test)


def test_a_revoked_key_says_so(database_uri: str) -> None:
    async def test(configuration: Configuration, connection: Connection) -> None:
        merchant = await configuration.create_merchant("Corner shop")
        _, key = await configuration.create_api_key(merchant.id, False, "till 1")
        await connection.execute("update api_keys set revoked_at = now()")
        found = await directory.find_key(connection, keys.digest(key))
        assert found is not None
        assert found.revoked_at is not None

    with_configuration(database_uri, test)


def test_an_account_is_read_back_typed(database_uri: str) -> None:
    async def test(configuration: Configuration, connection: Connection) -> None:
        merchant = await configuration.create_merchant("Corner shop")
        made = await configuration.create_account(merchant.id, "sandbox", False, SETTINGS, "till", 50)
        assert await configuration.account_settings(made.id, 1) == SETTINGS
        assert isinstance(await configuration.account_settings(made.id, 1), SandboxAccount)
        row = await directory.account(connection, made.id)
        assert row == directory.AccountRow(
            id=made.id,
            merchant_id=merchant.id,
            provider="sandbox",
            livemode=False,
            label="till",
            enabled=True,
            priority=50,
            callback_token=made.callback_token,
            settings_version=1,
            created_at=made.created_at,
        )
        assert len(made.callback_token) >= 128 / 6
        assert await directory.account_by_token(connection, "sandbox", made.callback_token) == row
        assert await directory.account_by_token(connection, "cpay", made.callback_token) is None
        assert await directory.account_by_token(connection, "sandbox", made.callback_token[:-1]) is None
        assert await directory.account(connection, ids.new()) is None

    with_configuration(database_uri, test)


def test_credentials_are_stored_sealed_for_their_row(database_uri: str) -> None:
    async def test(configuration: Configuration, connection: Connection) -> None:
        merchant = await configuration.create_merchant("Corner shop")
        one, two = [await configuration.create_account(merchant.id, "sandbox", False, SETTINGS) for _ in range(2)]
        sealed = await directory.sealed_settings(connection, one.id, 1)
        assert sealed is not None
        assert b"canary" not in sealed
        row: dict[str, Any] = {"provider": "sandbox", "version": 1, "merchant_id": merchant.id}
        assert open_settings(SEALER, sealed, account_id=one.id, **row) == SETTINGS
        with pytest.raises(SealBroken):
            open_settings(SEALER, sealed, account_id=two.id, **row)
        await connection.execute("update account_settings set sealed = $1 where account_id = $2", sealed, two.id)
        with pytest.raises(SealBroken):
            await configuration.account_settings(two.id, 1)
        with pytest.raises(NotFoundError):
            await configuration.account_settings(one.id, 2)
        assert await directory.sealed_settings(connection, one.id, 2) is None

    with_configuration(database_uri, test)


def test_accounts_come_in_the_routers_order_and_only_the_merchants(database_uri: str) -> None:
    async def test(configuration: Configuration, connection: Connection) -> None:
        async def make(merchant_id: UUID, livemode: bool, label: str, priority: int = 100) -> None:
            await configuration.create_account(merchant_id, "sandbox", livemode, SETTINGS, label, priority)

        mine, other = (await configuration.create_merchant("one")).id, (await configuration.create_merchant("two")).id
        await make(mine, False, "second")
        await make(mine, False, "third")
        await make(mine, False, "first", priority=1)
        await make(mine, False, "off", priority=200)
        await make(mine, True, "live")
        await make(other, False, "theirs")
        await connection.execute("update accounts set enabled = false where label = 'off'")
        found = await directory.merchant_accounts(connection, mine, False)
        assert [(row.label, row.enabled) for row in found] == [
            ("first", True),
            ("second", True),
            ("third", True),
            ("off", False),
        ]
        assert [row.label for row in await directory.merchant_accounts(connection, mine, True)] == ["live"]
        assert await directory.merchant_accounts(connection, ids.new(), False) == []

    with_configuration(database_uri, test)


def test_what_does_not_fit_is_refused_and_leaves_nothing(database_uri: str) -> None:
    async def test(configuration: Configuration, connection: Connection) -> None:
        merchant = await configuration.create_merchant("Corner shop")
        nobody = ids.new()
        with pytest.raises(ConfigurationError, match=r"no provider 'nowhere': choose one of .*sandbox"):
            await configuration.create_account(merchant.id, "nowhere", False, SETTINGS)
        with pytest.raises(ConfigurationError, match="settings of type SandboxAccount, not Elsewhere"):
            await configuration.create_account(merchant.id, "sandbox", False, Elsewhere())
        with pytest.raises(ConfigurationError, match=f"no merchant {ids.show(ids.MERCHANT, nobody)}"):
            await configuration.create_account(nobody, "sandbox", False, SETTINGS)
        with pytest.raises(ConfigurationError, match="no merchant"):
            await configuration.create_api_key(nobody, False, "x")
        for table in ("accounts", "account_settings", "api_keys"):
            assert await connection.fetchval(f"select count(*) from {table}") == 0

    with_configuration(database_uri, test)
