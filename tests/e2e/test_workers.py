"""Two workers of one group on real Kafka share 1 000 payments; one is killed midway, and every payment still ends."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest

from gateway import ids
from streams import topics
from tests.bench.load import measure
from tests.streams.support import send_raw
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("workers")
PAYMENTS = 1000
WORKERS = ("worker-1", "worker-2")
WITHIN_S = 60
BODY = {"amount": 15000, "currency": "LSL", "method": {"type": "mobile_money", "phone": "+26658123000"}}


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    place = tmp_path_factory.mktemp("workers")
    with installation(parts, place, workers=2, pace=0.2) as made:
        yield made


def _charged(mypay: Installation, worker: str) -> int:
    """How many charges this worker performed, by its own log."""
    lines = (json.loads(line) for line in mypay.processes[worker].log.splitlines() if line.startswith("{"))
    return sum(1 for line in lines if line.get("event") == "operation.performed" and line["verb"] == "charge")


def _post(mypay: Installation, count: int) -> None:
    found = measure(int(mypay.environment["API_PORT"]), mypay.api_key, connections=16, count=count)
    assert found["statuses"] == {"201": count}


def _statuses(mypay: Installation) -> Counter[str]:
    async def read() -> Counter[str]:
        connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
        try:
            rows = await connection.fetch("select status, count(*) as n from payments group by status")
        finally:
            await connection.close()
        return Counter({row["status"]: row["n"] for row in rows})

    return asyncio.run(read())


def _until_all_succeeded(mypay: Installation, count: int, *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while (statuses := _statuses(mypay)) != {"succeeded": count}:
        assert time.monotonic() < deadline, statuses
        time.sleep(0.2)


def _until_both_work(mypay: Installation) -> int:
    """Post a few at a time until the group has both members at work; how many were posted."""
    posted = 0
    while not all(_charged(mypay, worker) for worker in WORKERS):
        assert posted < 1000, "one of the workers takes nothing"
        _post(mypay, 20)
        posted += 20
        _until_all_succeeded(mypay, posted, within_s=60)
    return posted


def test_each_takes_its_share_and_a_killed_one_loses_nothing(mypay: Installation) -> None:
    posted = _until_both_work(mypay)
    before = [_charged(mypay, worker) for worker in WORKERS]
    _post(mypay, PAYMENTS)
    _until_all_succeeded(mypay, posted + PAYMENTS, within_s=60)
    shares = [_charged(mypay, worker) - done for worker, done in zip(WORKERS, before, strict=True)]
    assert sum(shares) == PAYMENTS
    assert min(shares) >= 0.3 * PAYMENTS, shares

    _post(mypay, PAYMENTS)
    mypay.processes["worker-1"].kill()
    _until_all_succeeded(mypay, posted + 2 * PAYMENTS, within_s=90)
    with httpx.Client(base_url=mypay.simulators["sandbox"], trust_env=False) as simulator:
        for payment in _some(mypay, 200):
            assert len(simulator.get("/_simulator/ledger", params={"payment": payment}).json()["charges"]) == 1


def _some(mypay: Installation, count: int) -> list[str]:
    """Payments, newest first: those around the kill."""
    found: list[str] = []
    with httpx.Client(base_url=mypay.base_url, trust_env=False, headers=mypay.headers()) as client:
        after: dict[str, str] = {}
        while len(found) < count:
            answer = client.get("/v1/payments", params={"limit": "100", **after})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [each["id"] for each in page["data"]]
            after = {"after": page["next"]}
    return found


def test_the_same_key_replayed_twenty_times(mypay: Installation) -> None:
    body = {"provider": "sandbox", "amount": 15000, "currency": "LSL"}
    body["method"] = {"type": "mobile_money", "phone": "+26658123000"}  # type: ignore[assignment]
    headers = mypay.headers("twenty")
    with httpx.Client(base_url=mypay.base_url, trust_env=False) as client:
        answers = [client.post("/v1/payments", json=body, headers=headers) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None] + ["true"] * 19
    _until_all_succeeded(mypay, sum(_statuses(mypay).values()), within_s=60)
    with httpx.Client(base_url=mypay.simulators["sandbox"], trust_env=False) as simulator:
        ledger = simulator.get("/_simulator/ledger", params={"payment": answers[0].json()["id"]}).json()
    assert len(ledger["charges"]) == 1


# --- Group 36: what lies on a topic -----------------------------------------------------------------------------------

UNREADABLE: list[dict[str, Any]] = [
    {"value": b""},
    {"key": b"k", "value": None},
    {"value": b"x", "headers": [("latin", b"\xff\xfe"), ("content-type", b"application/json")]},
    {"value": b"x", "headers": [("null", None)]},
    {"value": b"{}", "headers": [("ce_id", b"1"), ("ce_specversion", b"0.3")]},
    {"value": b"y" * 1_000_000, "headers": [("ce_id", b"1")]},
    {"value": b"{", "timestamp": 0},
    {"value": b"\xff", "headers": [("ce_id", b"1")]},
]


def _command(payment: str, account: str, operation: str) -> bytes:
    return json.dumps({"operation": operation, "payment": payment, "account": account, "verb": "charge"}).encode()


def _letters(mypay: Installation) -> list[tuple[bytes | None, str]]:
    async def read() -> list[tuple[bytes | None, str]]:
        connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
        try:
            rows = await connection.fetch('select value, topic from dead_letters order by "offset"')
            return [(row["value"], row["topic"]) for row in rows]
        finally:
            await connection.close()

    return asyncio.run(read())


def test_36_whatever_lies_on_a_topic_stops_no_payment_and_charges_nobody(mypay: Installation) -> None:
    topic, account = topics.commands("sandbox"), mypay.accounts["sandbox"]
    nobody = [ids.show(prefix, ids.new(0)) for prefix in (ids.PAYMENT, ids.OPERATION)]
    paid = httpx.post(f"{mypay.base_url}/v1/payments", headers=mypay.headers(Prefer="wait=30"), json=BODY).json()
    assert paid["status"] == "succeeded"
    unknown = {"value": _command(nobody[0], account, nobody[1])}
    reused = [{"value": _command(paid["id"], account, nobody[1]), "headers": [("ce_id", b"1")]}, unknown, unknown]
    asyncio.run(send_raw(mypay.settings, topic, *UNREADABLE, unknown, *reused))
    deadline = time.monotonic() + WITHIN_S
    while len(letters := _letters(mypay)) < len(UNREADABLE):
        assert time.monotonic() < deadline, letters
        time.sleep(0.1)
    after = httpx.post(f"{mypay.base_url}/v1/payments", headers=mypay.headers(Prefer="wait=30"), json=BODY).json()
    assert after["status"] == "succeeded"
    assert _letters(mypay) == [(each["value"], topic) for each in UNREADABLE]
    for payment, charges in ((paid["id"], 1), (after["id"], 1), (nobody[0], 0)):
        url = f"{mypay.simulators['sandbox']}/_simulator/ledger"
        assert len(httpx.get(url, params={"payment": payment}).json()["charges"]) == charges
