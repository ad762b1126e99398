"""`Prefer: wait` over HTTP: an API without workers, whose payments this test moves itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
import pytest

from gateway import ids
from gateway.clock import Clock
from gateway.payments.facts import Proof
from gateway.store.database import connect
from gateway.usecases.record_outcome import Recorder
from providers.contract import Succeeded
from tests.engine.conftest import Announced
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("waiting over HTTP")
BODY = {"amount": 15000, "currency": "LSL", "method": {"type": "mobile_money", "phone": "+26658123000"}}
WAITERS = 200


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An API alone: nothing moves by itself."""
    with installation(parts, tmp_path_factory.mktemp("api"), workers=0, simulators=False) as running:
        yield running


@pytest.fixture
async def client(mypay: Installation) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=WAITERS + 50)
    async with httpx.AsyncClient(base_url=mypay.base_url, timeout=40, limits=limits) as client:
        yield client


async def create(
    client: httpx.AsyncClient, mypay: Installation, key: str | None = None, **prefer: str
) -> httpx.Response:
    return await client.post("/v1/payments", headers=mypay.headers(key, **prefer), json=BODY)


async def test_it_waits_so_long_and_no_longer(mypay: Installation, client: httpx.AsyncClient) -> None:
    began = time.monotonic()
    answer = await create(client, mypay, Prefer="wait=1")
    waited = time.monotonic() - began
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert answer.headers["preference-applied"] == "wait=1"
    assert 1 <= waited < 5


async def test_who_does_not_wait_is_answered_at_once(mypay: Installation, client: httpx.AsyncClient) -> None:
    for prefer in ({}, {"Prefer": "wait=0"}, {"Prefer": "respond-async"}, {"Prefer": "wait=soon"}):
        began = time.monotonic()
        answer = await create(client, mypay, **prefer)
        assert answer.status_code == 201
        assert "preference-applied" not in answer.headers
        assert time.monotonic() - began < 5


async def test_a_replay_waits_as_well(mypay: Installation, client: httpx.AsyncClient) -> None:
    first = await create(client, mypay, "replay")
    began = time.monotonic()
    waited = await create(client, mypay, "replay", Prefer="wait=1")
    assert time.monotonic() - began >= 1
    assert (waited.content, waited.headers["idempotency-replayed"]) == (first.content, "true")


async def test_two_hundred_wait_and_others_are_served(mypay: Installation, client: httpx.AsyncClient) -> None:
    """None of them holds one of the four connections; and all hear of the outcome soon."""
    known = (await create(client, mypay)).json()["id"]
    began = time.monotonic()
    waiting = [asyncio.create_task(create(client, mypay, f"wait-{n}", Prefer="wait=30")) for n in range(WAITERS)]
    payments = await accepted(mypay)
    slowest = 0.0
    for _ in range(40):
        asked = time.monotonic()
        assert (await client.get(f"/v1/payments/{known}", headers=mypay.headers())).status_code == 200
        slowest = max(slowest, time.monotonic() - asked)
    assert slowest < 3
    assert not any(task.done() for task in waiting)
    recorder = Recorder(mypay.settings, Clock(), Announced(), Announced())
    await asyncio.gather(
        *(
            recorder.record(Proof(payment_id=payment, operation_id=operation, outcome=Succeeded()))
            for payment, operation in payments
        )
    )
    recorded = time.monotonic()
    answers = await asyncio.gather(*waiting)
    assert time.monotonic() - recorded < 10  # and not at the end of the 30 s that they were ready to wait
    assert time.monotonic() - began < 29
    await recorder.close()
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(201, "succeeded")}
    assert {answer.json()["id"] for answer in answers} == {ids.show(ids.PAYMENT, payment) for payment, _ in payments}


async def accepted(mypay: Installation) -> list[tuple[UUID, UUID]]:
    """The payments of those who wait, once all are on disk, with their charges."""
    connection = await connect(mypay.settings)
    sql = """
    select o.payment_id, o.id from operations o join idempotency_keys k on k.object_id = o.payment_id
     where k.key like 'wait-%'
    """
    try:
        async with asyncio.timeout(20):
            while len(rows := await connection.fetch(sql)) < WAITERS:
                await asyncio.sleep(0.05)
        return [(row["payment_id"], row["id"]) for row in rows]
    finally:
        await connection.close()
