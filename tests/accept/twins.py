"""Two API processes on one database and no worker, so that what is accepted stays pending; and merchants to use them.

A session's tests share them, each as a merchant of its own.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from msgspec import Struct

from gateway import ids
from gateway.processes import Program, free_port
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import engine
from gateway.store.accounts import Configuration
from providers.contract import Secret
from providers.cpay.spec import CPayAccount
from providers.sandbox.spec import SandboxAccount
from tests.http.wire import Answer, Wire, request
from tests.support.installation import Handle, installation
from tests.support.parts import Parts

BODY: dict[str, Any] = {
    "amount": 15000,
    "currency": "LSL",
    "method": {"type": "mobile_money", "phone": "+26658123456"},
}
FULL: dict[str, Any] = {
    **BODY,
    "country": "LS",
    "capture": "automatic",
    "provider": "sandbox",
    "reference": "order-1001",
    "description": "Order 1001",
    "customer": {"name": "Thabo Mokoena", "email": "thabo@example.com"},
    "metadata": {"zebra": "1", "ant": "2", "é": "\u202e"},
    "return_url": "https://shop.example/back?cart=77",
    "expires_in": 600,
}
TABLES = ("idempotency_keys", "payments", "operations", "events")
START_TIMEOUT_S = 90  # the machine may be busy

T = TypeVar("T")


class Merchant(Struct, kw_only=True):
    """A tenant with a key and accounts in each mode; `accounts` are the test accounts' public ids, by provider."""

    id: UUID
    test_key: str
    live_key: str
    accounts: dict[str, str]
    live_account: str


class Database:
    """The twins' database, for tests that are not async."""

    def __init__(self, uri: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(uri))

    def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a statement."""
        rows: list[asyncpg.Record] = self._loop.run_until_complete(self._connection.fetch(sql, *arguments))
        return rows

    def written(self, merchant: Merchant) -> dict[str, int]:
        """How many rows of each table belong to the merchant."""
        counts = ", ".join(f"(select count(*) from {table} where merchant_id = $1) as {table}" for table in TABLES)
        (row,) = self.fetch(f"select {counts}", merchant.id)
        return dict(row)

    def close(self) -> None:
        """End the connection."""
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


class Api(Wire):
    """One of the processes, asked by a merchant."""

    def __init__(self, port: int, pid: int, credential: str) -> None:
        super().__init__(port, pid)
        self.credential = credential

    def bytes_of(self, method: str, path: str, body: Any = b"", *, key: str | None = None, **more: str) -> bytes:
        """A request; `more` are further headers, their names with `_` for `-`."""
        content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = [("Authorization", f"Bearer {self.credential}")]
        headers += [("Content-Type", "application/json")] if content else []
        headers += [("Idempotency-Key", key)] if key is not None else []
        headers += [(name.replace("_", "-"), value) for name, value in more.items()]
        return request(method, path, content, headers)

    def get(self, path: str, **more: str) -> Answer:
        """GET."""
        return self.raw(self.bytes_of("GET", path, **more))

    def pay(self, key: str | None = None, body: Any = None, **more: str) -> Answer:
        """POST /v1/payments; without a body a good one, without a key a new one."""
        return self.raw(self.payment(key, body, **more))

    def payment(self, key: str | None = None, body: Any = None, **more: str) -> bytes:
        """The bytes of `pay`."""
        content = BODY if body is None else body
        return self.bytes_of("POST", "/v1/payments", content, key=key or uuid.uuid4().hex, **more)


class Twins:
    """The processes. `first(merchant)` and `second(merchant)` are clients of one each."""

    def __init__(self, settings: Settings, handles: Sequence[Handle], ports: Sequence[int], database: Database) -> None:
        self.settings, self.handles, self.ports, self.database = settings, handles, ports, database

    def first(self, merchant: Merchant, *, live: bool = False) -> Api:
        """The merchant at the first process."""
        return self._at(0, merchant, live)

    def second(self, merchant: Merchant, *, live: bool = False) -> Api:
        """The merchant at the second process."""
        return self._at(1, merchant, live)

    def both(self, merchant: Merchant) -> tuple[Api, Api]:
        """The merchant at either process."""
        return self.first(merchant), self.second(merchant)

    def _at(self, number: int, merchant: Merchant, live: bool) -> Api:
        key = merchant.live_key if live else merchant.test_key
        return Api(self.ports[number], self.handles[number].process.pid, key)

    def new_merchant(self) -> Merchant:
        """A merchant with keys and accounts."""
        return self.configure(_new_merchant)

    def new_account(self, merchant: Merchant, *, provider: str = "sandbox", priority: int = 100) -> str:
        """One more test account; its public id."""

        async def make(configuration: Configuration) -> str:
            made = await configuration.create_account(
                merchant.id, provider, False, ACCOUNTS[provider], priority=priority
            )
            return ids.show(ids.ACCOUNT, made.id)

        return self.configure(make)

    def configure(self, work: Callable[[Configuration], Awaitable[T]]) -> T:
        """Run `work(configuration)`: from outside of the processes, as an operator's command would."""

        async def run() -> T:
            own = engine.create(self.settings.database_uri)
            try:
                return await work(Configuration(own, Sealer(self.settings.key("seal"))))
            finally:
                await own.dispose()

        return asyncio.run(run())

    def wait(self, number: int) -> None:
        """Wait until a process answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if Wire(self.ports[number], 0).ask("GET", "/health/ready").status == 200:
                    return
            except OSError:
                assert time.monotonic() < deadline, self.handles[number].log
                time.sleep(0.05)


ACCOUNTS: dict[str, Struct] = {
    "sandbox": SandboxAccount(),
    "cpay": CPayAccount(
        base_url="http://127.0.0.1:1",
        api_key=Secret("key"),
        client_code="CODE",
        hmac_secret=Secret("secret"),
        merchant_code="CODE",
    ),
}


async def _new_merchant(configuration: Configuration) -> Merchant:
    merchant = await configuration.create_merchant("Shop")
    made = {}
    for priority, (provider, credentials) in enumerate(ACCOUNTS.items()):
        account = await configuration.create_account(merchant.id, provider, False, credentials, priority=priority)
        made[provider] = ids.show(ids.ACCOUNT, account.id)
    live = await configuration.create_account(merchant.id, "sandbox", True, ACCOUNTS["sandbox"])
    return Merchant(
        id=merchant.id,
        test_key=(await configuration.create_api_key(merchant.id, False, "test"))[1],
        live_key=(await configuration.create_api_key(merchant.id, True, "live"))[1],
        accounts=made,
        live_account=ids.show(ids.ACCOUNT, live.id),
    )


@contextmanager
def twins(parts: Parts, directory: Path) -> Iterator[Twins]:
    """The running pair."""
    public = {"PUBLIC_URL": "https://pay.example"}  # what `Answer.code` expects
    with installation(parts, directory, workers=0, simulators=False, environment=public) as mypay:
        port = free_port()
        second = Program(
            name="api-2",
            argv=(sys.executable, "-m", "gateway.cli", "api"),
            owner=directory,
            log=directory / "api-2.log",
            env={**mypay.environment, "API_PORT": str(port)},
        )
        mypay.processes["api-2"] = Handle(second)
        handles = (mypay.processes["api"], mypay.processes["api-2"])
        database = Database(mypay.settings.database_uri)
        pair = Twins(mypay.settings, handles, (mypay.settings.api_port, port), database)
        try:
            pair.wait(1)
            yield pair
        finally:
            database.close()
