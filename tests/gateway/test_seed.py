"""Seeding the demo twice gives the same demo; what was lost is made anew, what was not stays."""

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg
import msgspec
import pytest

from gateway import ids, keys, passwords, settings
from gateway.sealing import Sealer
from gateway.seed import Demo, seed_demo
from gateway.settings import Settings
from gateway.store import directory, users
from gateway.store.credentials import open_settings
from providers.cpay.spec import CPayAccount
from providers.sandbox.spec import SandboxAccount

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def seeded(database_uri: str, tmp_path: Path) -> Settings:
    environ = {
        "SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
        "JWT_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
        "DATABASE_URI": database_uri,
        "SIMULATOR_URLS": "sandbox=http://127.0.0.1:1,cpay=http://127.0.0.1:2",
    }
    return settings.load(environ, env_file=tmp_path / ".env")


def keep(demo: Demo, path: Path) -> Path:
    path.write_bytes(msgspec.json.encode(demo))
    return path


def on(configured: Settings, work: Callable[[Connection], Awaitable[object]]) -> object:
    """Run `work` with a connection of its own."""

    async def run() -> object:
        connection = await asyncpg.connect(configured.database_uri)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_the_demo_is_complete(seeded: Settings) -> None:
    demo = seed_demo(seeded)
    merchant = ids.read(ids.MERCHANT, demo.merchant)
    assert merchant is not None
    assert keys.is_well_formed(demo.api_key)
    assert demo.api_key not in repr(demo)
    assert demo.password not in repr(demo)

    async def check(connection: Connection) -> None:
        key = await directory.find_key(connection, keys.digest(demo.api_key))
        assert key is not None
        assert (key.merchant_id, key.livemode) == (merchant, False)
        rows = {row.provider: row for row in await directory.merchant_accounts(connection, merchant, False)}
        assert {name: ids.show(ids.ACCOUNT, row.id) for name, row in rows.items()} == demo.accounts
        opened = {}
        for name, row in rows.items():
            sealed = await directory.sealed_settings(connection, row.id, 1)
            assert sealed is not None
            opened[name] = open_settings(
                Sealer(seeded.key("seal")), sealed, provider=name, account_id=row.id, version=1, merchant_id=merchant
            )
        assert opened["sandbox"] == SandboxAccount()
        cpay = opened["cpay"]
        assert isinstance(cpay, CPayAccount)
        assert (cpay.base_url, cpay.flow, cpay.msisdn_format) == ("http://127.0.0.1:2", "async", "local8")
        stored = await connection.fetchrow("select email, password_hash, role from users")
        assert stored is not None
        assert (stored["email"], stored["role"]) == (demo.email, "owner")
        assert passwords.verify(stored["password_hash"], demo.password)

    on(seeded, check)


def test_again_is_the_same(seeded: Settings, tmp_path: Path) -> None:
    first = seed_demo(seeded)
    kept = keep(first, tmp_path / "demo.json")
    assert seed_demo(seeded, existing=kept) == first

    async def count(connection: Connection) -> list[int]:
        tables = ("merchants", "users", "api_keys", "accounts", "account_settings")
        return [await connection.fetchval(f"select count(*) from {table}") for table in tables]

    assert on(seeded, count) == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("content", [None, b"", b'{"api_key": "sk_te', b"[]", b'{"base_url": "http://localhost:5000"}'])
def test_a_lost_file_costs_the_key_and_the_password_only(
    seeded: Settings, tmp_path: Path, content: bytes | None
) -> None:
    first = seed_demo(seeded)
    lost = tmp_path / "demo.json"
    if content is not None:
        lost.write_bytes(content)
    again = seed_demo(seeded, existing=lost)
    assert (again.merchant, again.accounts) == (first.merchant, first.accounts)
    assert again.api_key != first.api_key

    async def check(connection: Connection) -> None:
        assert await directory.find_key(connection, keys.digest(again.api_key)) is not None
        assert passwords.verify(await connection.fetchval("select password_hash from users"), again.password)

    on(seeded, check)


def test_a_revoked_key_is_replaced(seeded: Settings, tmp_path: Path) -> None:
    first = seed_demo(seeded)
    on(seeded, lambda connection: connection.execute("update api_keys set revoked_at = now()"))
    again = seed_demo(seeded, existing=keep(first, tmp_path / "demo.json"))
    assert again.api_key != first.api_key
    assert again.password == first.password


def test_a_file_of_another_database_does_not_count(seeded: Settings, tmp_path: Path) -> None:
    foreign = Demo(api_key=keys.make(False), merchant="mer_x", email="x", password="kept", accounts={"x": "y"})
    demo = seed_demo(seeded, existing=keep(foreign, tmp_path / "demo.json"))
    assert demo.api_key != foreign.api_key
    assert demo.password != "kept"

    async def sign_in(connection: Connection) -> bool:
        user = await users.find(connection, demo.email)
        return user is not None and passwords.verify(user.password_hash, demo.password)

    assert on(seeded, sign_in)


def test_without_a_simulator_there_is_no_account_at_it(seeded: Settings) -> None:
    demo = seed_demo(msgspec.structs.replace(seeded, simulator_urls=""))
    assert set(demo.accounts) == {"sandbox"}
    assert set(seed_demo(seeded).accounts) == {"sandbox", "cpay"}
