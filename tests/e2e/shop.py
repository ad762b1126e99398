"""A merchant of a running installation: pays, looks, and asks the simulators what they did."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, NamedTuple, TypeVar

import asyncpg
import httpx

from gateway import ids
from gateway.store.database import Pool, create_pool
from tests.support.installation import Installation

FINAL: Final = ("succeeded", "failed", "canceled", "expired")
PATIENCE_S: Final = 60.0
K = TypeVar("K")


class Ending(NamedTuple):
    """How a refund or payout ends; `moved`: how often money went out."""

    status: str
    failure: str | None = None
    moved: int = 1


def ending(shown: dict[str, Any], moved: list[Any]) -> Ending:
    """How it ended, and how often its provider's ledger says that money went out."""
    return Ending(shown["status"], shown["failure"] and shown["failure"]["code"], len(moved))


class Ended(dict[K, Any], Generic[K]):
    """How each of several payments ended, from `gather`; who asks for one that did not end fails, and only he."""

    @classmethod
    async def side_by_side(cls, keys: Iterable[K], live: Callable[[K], Awaitable[dict[str, Any]]]) -> "Ended[K]":
        """`live` one payment for each key, all at once."""
        wanted = list(keys)
        return cls(zip(wanted, await asyncio.gather(*map(live, wanted), return_exceptions=True), strict=True))

    def __getitem__(self, key: K) -> dict[str, Any]:
        found = super().__getitem__(key)
        if isinstance(found, BaseException):
            raise found
        return dict(found)


class Shop:
    """Use `shop`. `pool` looks into the installation's database."""

    def __init__(self, mypay: Installation, client: httpx.AsyncClient, pool: Pool) -> None:
        self.mypay, self.client, self.pool = mypay, client, pool

    async def pay(self, method: dict[str, Any], *, key: str | None = None, **more: Any) -> dict[str, Any]:
        """Create a payment; `prefer` is the header."""
        headers = {"Prefer": more.pop("prefer")} if "prefer" in more else {}
        body = {"amount": 15000, "currency": "LSL", "provider": "sandbox", "method": method, **more}
        answer = await self.client.post("/v1/payments", headers=self.mypay.headers(key, **headers), json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def confirm(self, payment: str, otp: str, *, key: str | None = None, **headers: str) -> httpx.Response:
        """Pass a code on."""
        path = f"/v1/payments/{payment}/confirm"
        return await self.client.post(path, headers=self.mypay.headers(key, **headers), json={"otp": otp})

    async def get(self, payment: str) -> dict[str, Any]:
        """The payment as it is now."""
        answer = await self.client.get(f"/v1/payments/{payment}", headers=self.mypay.headers())
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(
        self, payment: str, holds: Callable[[dict[str, Any]], bool], *, within_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """The payment, as soon as the condition holds."""
        deadline = time.monotonic() + within_s
        while not holds(shown := await self.get(payment)):
            assert time.monotonic() < deadline, shown
            await asyncio.sleep(0.1)
        return shown

    async def final(self, payment: str, *, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The payment, once its status is final."""
        return await self.until(payment, lambda shown: shown["status"] in FINAL, within_s=within_s)

    async def ledger(self, payment: str, provider: str = "sandbox") -> dict[str, list[dict[str, Any]]]:
        """What the provider did about it."""
        url = f"{self.mypay.simulators[provider]}/_simulator/ledger"
        answer = await self.client.get(url, params={"payment": payment})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def charged(self, payment: str, provider: str = "sandbox") -> tuple[int, int]:
        """How often the provider took money, and how often it was asked to."""
        ledger = await self.ledger(payment, provider)
        path = {"sandbox": "/v1/charges", "cpay": "/api/cpaypayments/paymentrequest/async/transactions"}[provider]
        asked = [each for each in ledger["requests"] if (each["method"], each["path"]) == ("POST", path)]
        return len(ledger["charges"]), len(asked)

    async def moved(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a refund or payout, and show it once it is over."""
        made = await self.client.post(path, headers=self.mypay.headers(), json=body)
        assert made.status_code == 201, made.text

        async def over() -> dict[str, Any] | None:
            shown = await self.client.get(f"{path}/{made.json()['id']}", headers=self.mypay.headers())
            return dict(shown.json()) if shown.json()["status"] in ("succeeded", "failed") else None

        return dict(await within(over))

    async def payout_reference(self, payout: str) -> str:
        """What its provider knows it by."""
        sql = "select reference from operations where payment_id = $1 and verb = 'payout'"
        return str(await self.pool.fetchval(sql, ids.read(ids.PAYOUT, payout)))

    async def events(self, payment: str) -> list[asyncpg.Record]:
        """Its events in order of their sequence, which has no gap."""
        sql = "select * from events where object_id = $1 order by sequence"
        rows = await self.pool.fetch(sql, ids.read(ids.PAYMENT, payment))
        assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
        return list(rows)

    async def story(self, payment: str) -> list[str]:
        """The types of its events, without "payment."."""
        return [row["type"].removeprefix("payment.") for row in await self.events(payment)]

    async def operation(self, payment: str, verb: str = "charge") -> asyncpg.Record:
        """Its newest operation of a verb."""
        sql = "select * from operations where payment_id = $1 and verb = $2 order by id desc limit 1"
        row = await self.pool.fetchrow(sql, ids.read(ids.PAYMENT, payment), verb)
        assert row is not None
        return row

    async def expire_in(self, payment: str, seconds: float) -> None:
        """Move its end, which the API does not allow to be near."""
        await self.pool.execute(
            "update payments set expires_at = now() + make_interval(secs => $2) where id = $1",
            ids.read(ids.PAYMENT, payment),
            seconds,
        )

    async def all_published(self) -> None:
        """Wait until every event is on its topic."""
        sql = """
        select (select published_position from relay) =
               (select coalesce(max(position), 0) from events)
               and not exists (select 1 from events where position is null)
        """
        await within(self.pool.fetchval, sql)


async def within(ask: Callable[..., Awaitable[Any]], *parameters: Any, seconds: float = PATIENCE_S) -> Any:
    """The answer, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := await ask(*parameters)):
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.1)
    return found


@asynccontextmanager
async def shop(mypay: Installation) -> AsyncIterator[Shop]:
    """The demo merchant."""
    limits = httpx.Limits(max_connections=100)
    async with (
        httpx.AsyncClient(base_url=mypay.base_url, timeout=40, limits=limits) as client,
        await create_pool(mypay.settings, size=4) as pool,
    ):
        yield Shop(mypay, client, pool)


def phone(digits: str) -> dict[str, str]:
    """A wallet of these last digits."""
    return {"type": "mobile_money", "phone": f"+26658123{digits}"}


def card(token: str) -> dict[str, str]:
    """A card."""
    return {"type": "card", "token": token}


def fresh_key() -> str:
    """An idempotency key."""
    return uuid.uuid4().hex
