"""Merchants of one test alone, in both modes, as HTTP clients."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import httpx

from gateway.sealing import Sealer
from gateway.store import engine
from gateway.store.accounts import Configuration
from gateway.store.database import Connection, prepare
from providers.sandbox.spec import SandboxAccount
from tests.support.installation import Installation

T = TypeVar("T")


class Tenant:
    """One merchant: `test` and `live` are clients with a full key of each mode."""

    def __init__(self, mypay: Installation) -> None:
        self.mypay = mypay
        self.merchant_id, test_key, live_key = asyncio.run(_make(mypay))
        self.test, self.live = self.client(test_key), self.client(live_key)

    def client(self, key: str) -> httpx.Client:
        """A client with this key."""
        return httpx.Client(base_url=self.mypay.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=10)

    def account(self, *, livemode: bool = False) -> str:
        """A sandbox account, by the API."""
        made = (self.live if livemode else self.test).post("/v1/accounts", json={"provider": "sandbox", "settings": {}})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def payment(self, *, livemode: bool = False, **members: Any) -> dict[str, Any]:
        """A payment of LSL 150.00 that nobody sends, since no worker runs. Needs an account."""
        body = {"amount": 15000, "currency": "LSL", "method": {"type": "mobile_money", "phone": "+26658123000"}}
        client = self.live if livemode else self.test
        made = client.post("/v1/payments", json={**body, **members}, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert made.status_code == 201, made.text
        return dict(made.json())


async def _make(mypay: Installation) -> tuple[UUID, str, str]:
    own = engine.create(mypay.settings.database_uri)
    try:
        configuration = Configuration(own, Sealer(mypay.settings.key("seal")))
        merchant = await configuration.create_merchant(f"test {uuid.uuid4().hex[:8]}")
        _, test_key = await configuration.create_api_key(merchant.id, livemode=False, name="test")
        _, live_key = await configuration.create_api_key(merchant.id, livemode=True, name="live")
        for livemode in (False, True):
            await configuration.create_account(merchant.id, "sandbox", livemode, SandboxAccount(), label="first")
        return merchant.id, test_key, live_key
    finally:
        await own.dispose()


def on_database(mypay: Installation, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run `work` with a connection to the installation's database."""

    async def run() -> T:
        connection = await asyncpg.connect(mypay.settings.database_uri)
        try:
            await prepare(connection)
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def code(answer: httpx.Response, status: int) -> str:
    """The code of a problem that was answered with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["code"])


def pointers(answer: httpx.Response) -> list[str]:
    """What a 400 points at."""
    assert code(answer, 400) == "invalid_request"
    return [each["pointer"] for each in answer.json()["errors"]]
