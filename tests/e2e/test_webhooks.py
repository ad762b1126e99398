"""From a payment to the merchant's server, by processes that may be killed: same id, same bytes, verified."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from gateway import ids
from tests.e2e.shop import Shop, phone, shop
from tests.streams.support import until
from tests.support.installation import Installation, installation
from tests.support.parts import Parts
from tests.support.receiver import Receiver, receiver

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("webhooks"), workers=0, pace=0.2) as running:
        running.start("rest", "worker", "--roles", "executor,callbacks,relay,sweeper")
        running.wait_ready()
        yield running


async def call(merchant: Shop, path: str, body: Any) -> Any:
    answer = await merchant.client.post(f"/v1/webhook_endpoints{path}", headers=merchant.mypay.headers(), json=body)
    assert answer.is_success, answer.text
    return answer.json()


def ids_of(shop: Receiver) -> list[str]:
    return [each.headers["webhook-id"] for each in shop.got]


async def test_a_notifier_that_dies_after_the_answer_sends_it_again(mypay: Installation) -> None:
    async with shop(mypay) as merchant, receiver() as shop_server:
        endpoint = await call(merchant, "", {"url": shop_server.url, "events": ["payment.*"]})
        mypay.environment["CRASH_AT"] = "webhook_after_answer:1"
        dying = mypay.start("notifier", "worker", "--roles", "notifier")
        del mypay.environment["CRASH_AT"]
        payment = await merchant.pay(phone("000"))
        await until(lambda: dying.process.poll() is not None)
        taken = len(shop_server.got)
        assert taken >= 1
        mypay.start("notifier", "worker", "--roles", "notifier")
        await merchant.final(payment["id"])
        await until(lambda: len(set(ids_of(shop_server))) == 3 and len(shop_server.got) >= 4)

        events = {each["id"]: each for each in await feed(merchant)}
        assert set(ids_of(shop_server)) == events.keys()
        for got in shop_server.got:
            told = Webhook(endpoint["secret"]).verify(got.body, got.headers)
            assert told == events[told["id"]]
            raw = await merchant.client.get(f"/v1/events/{told['id']}", headers=mypay.headers())
            assert raw.content == got.body
        again = next(name for name in ids_of(shop_server)[:taken] if ids_of(shop_server).count(name) == 2)
        assert len({got.body for got in shop_server.got if got.headers["webhook-id"] == again}) == 1
        numbers = [msgspec.json.decode(got.body)["sequence"] for got in shop_server.got]
        assert set(numbers) == {1, 2, 3}

        await until(lambda: nothing_waits(merchant, endpoint))  # the dying one may have been at several at once
        before = len(shop_server.got)
        since = events[ids_of(shop_server)[0]]["timestamp"]
        replayed = await call(merchant, f"/{endpoint['id']}/replay", {"from": min(since, first(events)), "to": None})
        assert replayed == {"scheduled": 3}
        await until(lambda: len(shop_server.got) == before + 3)
        assert {got.body for got in shop_server.got[before:]} == {got.body for got in shop_server.got[:before]}


async def nothing_waits(merchant: Shop, endpoint: Any) -> bool:
    sql = "select count(*) = 0 from webhook_deliveries where next_attempt_at is not null and endpoint_id = $1"
    return bool(await merchant.pool.fetchval(sql, ids.read(ids.WEBHOOK_ENDPOINT, endpoint["id"])))


async def feed(merchant: Shop) -> list[Any]:
    answer = await merchant.client.get("/v1/events", params={"type": "payment.*"}, headers=merchant.mypay.headers())
    return list(answer.json()["data"])


def first(events: dict[str, Any]) -> str:
    return min(str(each["timestamp"]) for each in events.values())


async def test_a_worker_that_plays_all_roles_delivers_within_a_moment(mypay: Installation) -> None:
    """The relay wakes the notifier of its own process; a stop in order leaves nothing to be sent again."""
    for name in ("rest", "notifier"):
        mypay.processes.pop(name).end()
    worker = mypay.start("worker-1", "worker")
    mypay.wait_ready()
    async with shop(mypay) as merchant, receiver() as shop_server:
        made = await call(merchant, "", {"url": shop_server.url, "events": ["payment.succeeded"]})
        payments = await asyncio.gather(*(merchant.pay(phone("000")) for _ in range(20)))
        await until(lambda: len(shop_server.got) == len(payments))
        worker.end()
        told = [msgspec.json.decode(got.body)["data"]["object"]["id"] for got in shop_server.got]
        assert sorted(told) == sorted(each["id"] for each in payments)
        assert await nothing_waits(merchant, made)
