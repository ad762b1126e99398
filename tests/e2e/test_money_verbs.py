"""Capture, void, refund and payout through the public API, with the sandbox's faults: what ends how, and its ledger."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from gateway import ids
from tests.e2e.shop import Shop, phone, shop
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

PACE = 0.2
WAIT = {"Prefer": "wait=20"}


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("verbs"), pace=PACE) as running:
        yield running


@pytest.fixture(scope="module")
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        yield merchant


async def post(
    merchant: Shop, path: str, body: dict[str, Any], key: str | None = None, **headers: str
) -> httpx.Response:
    return await merchant.client.post(path, headers=merchant.mypay.headers(key, **headers), json=body)


async def patiently(merchant: Shop, path: str, body: dict[str, Any]) -> httpx.Response:
    """As a client should: a 503 is asked again, under the same key."""
    key = uuid.uuid4().hex
    while (answer := await post(merchant, path, body, key)).status_code == 503:
        await asyncio.sleep(float(answer.headers["retry-after"]))
    return answer


async def read(merchant: Shop, path: str) -> dict[str, Any]:
    answer = await merchant.client.get(path, headers=merchant.mypay.headers())
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def settled(merchant: Shop, path: str, *statuses: str) -> dict[str, Any]:
    """The object, once it has one of these statuses."""
    async with asyncio.timeout(40):
        while (shown := await read(merchant, path))["status"] not in statuses:
            await asyncio.sleep(0.1)
    return shown


async def told(merchant: Shop, text: str, prefix: str) -> list[str]:
    """The types of an object's events; their sequence has no gap."""
    sql = "select type, sequence from events where object_id = $1 order by sequence"
    rows = await merchant.pool.fetch(sql, ids.read(prefix, text))
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["type"] for row in rows]


async def authorized(merchant: Shop, digits: str = "000") -> str:
    made = await merchant.pay(phone(digits), capture="manual")
    shown = await settled(merchant, f"/v1/payments/{made['id']}", "authorized", "failed")
    assert (shown["status"], shown["amount_captured"], shown["capture"]) == ("authorized", 0, "manual")
    return str(made["id"])


async def paid(merchant: Shop, digits: str = "000") -> str:
    made = await merchant.pay(phone(digits))
    assert (await settled(merchant, f"/v1/payments/{made['id']}", "succeeded", "failed"))["status"] == "succeeded"
    return str(made["id"])


# --- Authorize, capture, void ---------------------------------------------------------------------------------------


async def test_an_authorization_is_captured_in_parts(merchant: Shop) -> None:
    payment = await authorized(merchant)
    assert [(await merchant.ledger(payment))[kind] == [] for kind in ("authorizations", "charges")] == [False, True]
    first = (await post(merchant, f"/v1/payments/{payment}/capture", {"amount": 6000}, **WAIT)).json()
    assert (first["status"], first["amount_captured"], first["operation"]["verb"]) == ("succeeded", 6000, "capture")
    too_much = await post(merchant, f"/v1/payments/{payment}/capture", {"amount": 9001})
    assert (too_much.status_code, too_much.json()["code"]) == (409, "amount_exceeds_authorized")
    rest = (await post(merchant, f"/v1/payments/{payment}/capture", {}, **WAIT)).json()
    assert (rest["status"], rest["amount_captured"]) == ("succeeded", 15000)
    nothing = await post(merchant, f"/v1/payments/{payment}/capture", {})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "payment_not_capturable")
    assert [each["amount"] for each in (await merchant.ledger(payment))["charges"]] == [6000, 9000]
    assert await merchant.story(payment) == ["created", "processing", "authorized", "captured", "succeeded", "captured"]


async def test_an_authorization_is_released(merchant: Shop) -> None:
    payment = await authorized(merchant)
    answer = await post(merchant, f"/v1/payments/{payment}/cancel", {}, **WAIT)
    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["operation"]["verb"]) == (200, "canceled", "void")
    assert shown["failure"]["code"] == "canceled"
    assert (await merchant.ledger(payment))["charges"] == []
    late = await post(merchant, f"/v1/payments/{payment}/capture", {})
    assert (late.status_code, late.json()["code"]) == (409, "payment_not_capturable")
    assert await merchant.story(payment) == ["created", "processing", "authorized", "canceled"]


async def test_what_is_captured_is_not_released(merchant: Shop) -> None:
    payment = await authorized(merchant)
    await post(merchant, f"/v1/payments/{payment}/capture", {"amount": 1}, **WAIT)
    answer = await post(merchant, f"/v1/payments/{payment}/cancel", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_not_cancelable")


async def test_captures_and_voids_at_once_start_one(merchant: Shop) -> None:
    payment = await authorized(merchant)
    answers = await asyncio.gather(
        *(patiently(merchant, f"/v1/payments/{payment}/capture", {}) for _ in range(10)),
        *(patiently(merchant, f"/v1/payments/{payment}/cancel", {}) for _ in range(10)),
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    shown = await settled(merchant, f"/v1/payments/{payment}", "succeeded", "canceled")
    ledger = await merchant.ledger(payment)
    assert len(ledger["charges"]) == (shown["status"] == "succeeded")
    started = [each for each in ledger["requests"] if each["path"] in ("/v1/captures", "/v1/voids")]
    assert len(started) == 1


@pytest.mark.parametrize("digits", ["001", "005", "006", "008", "012", "013"])
async def test_a_fault_captures_and_refunds_once(merchant: Shop, digits: str) -> None:
    """Whoever pays with these digits meets the same fault at every step."""
    payment = await authorized(merchant, digits)
    assert (await post(merchant, f"/v1/payments/{payment}/capture", {})).status_code == 200
    await settled(merchant, f"/v1/payments/{payment}", "succeeded")
    made = (await post(merchant, "/v1/refunds", {"payment": payment})).json()
    refund = await settled(merchant, f"/v1/refunds/{made['id']}", "succeeded", "failed")
    assert (refund["status"], refund["amount"], refund["payment"]) == ("succeeded", 15000, payment)
    ledger = await merchant.ledger(payment)
    assert [len(ledger[kind]) for kind in ("authorizations", "charges", "refunds")] == [1, 1, 1]
    assert ledger["refunds"][0]["id"] == refund["provider_reference"]
    shown = await read(merchant, f"/v1/payments/{payment}")
    assert (shown["status"], shown["amount_refunded"], shown["review"]) == ("succeeded", 15000, None)
    assert await told(merchant, made["id"], ids.REFUND) == ["refund.created", "refund.processing", "refund.succeeded"]


# --- Refunds --------------------------------------------------------------------------------------------------------


async def test_refunds_at_once_never_exceed_what_was_captured(merchant: Shop) -> None:
    payment = await paid(merchant)
    answers = await asyncio.gather(
        *(patiently(merchant, "/v1/refunds", {"payment": payment, "amount": 1000}) for _ in range(50))
    )
    made = [answer.json() for answer in answers if answer.status_code == 201]
    refused = {answer.json()["code"] for answer in answers if answer.status_code != 201}
    assert (len(made), refused) == (15, {"amount_exceeds_captured"})
    for each in made:
        await settled(merchant, f"/v1/refunds/{each['id']}", "succeeded")
    ledger = await merchant.ledger(payment)
    assert sum(each["amount"] for each in ledger["refunds"]) == 15000
    assert (await read(merchant, f"/v1/payments/{payment}"))["amount_refunded"] == 15000
    listed = await read(merchant, f"/v1/refunds?payment={payment}&limit=100")
    assert {each["id"] for each in listed["data"]} == {each["id"] for each in made}


async def test_a_refund_is_shown_and_repeated(merchant: Shop) -> None:
    payment, key = await paid(merchant), uuid.uuid4().hex
    body = {"payment": payment, "amount": 500, "reason": "too many", "metadata": {"case": "7"}}
    first = await post(merchant, "/v1/refunds", body, key)
    made = first.json()
    assert (first.status_code, first.headers["location"]) == (201, f"/v1/refunds/{made['id']}")
    assert made.items() >= {
        "object": "refund", "status": "pending", "amount": 500, "currency": "LSL", "reason": "too many",
        "metadata": {"case": "7"}, "payment": payment, "provider": "sandbox", "failure": None, "sequence": 1,
    }.items()  # fmt: skip
    again = await post(merchant, "/v1/refunds", body, key)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    other = await post(merchant, "/v1/refunds", {**body, "amount": 501}, key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    waited = (await post(merchant, "/v1/refunds", {"payment": payment}, **WAIT)).json()
    assert (waited["status"], waited["amount"]) == ("succeeded", 14500)


async def test_a_refund_that_is_declined_can_be_made_again(merchant: Shop) -> None:
    payment = await paid(merchant)
    declined = (
        await post(merchant, "/v1/refunds", {"payment": payment, "reason": "tok_insufficient_funds"}, **WAIT)
    ).json()
    assert (declined["status"], declined["failure"]["code"]) == ("failed", "insufficient_funds")
    again = (await post(merchant, "/v1/refunds", {"payment": payment}, **WAIT)).json()
    assert again["status"] == "succeeded"
    assert await merchant.story(payment) == ["created", "processing", "succeeded", "refunded"]


async def test_a_refund_that_cannot_be_sent_is_given_up(merchant: Shop) -> None:
    payment = await paid(merchant)
    made = (await post(merchant, "/v1/refunds", {"payment": payment, "reason": "tok_error_not_charged"})).json()
    refund = await settled(merchant, f"/v1/refunds/{made['id']}", "failed", "succeeded")
    assert (refund["status"], refund["failure"]["code"]) == ("failed", "provider_unavailable")
    assert (await merchant.ledger(payment))["refunds"] == []


async def test_a_refund_that_succeeds_late_is_looked_at(merchant: Shop) -> None:
    payment = await paid(merchant)
    made = (await post(merchant, "/v1/refunds", {"payment": payment, "reason": "tok_late_success"})).json()
    refund = await settled(merchant, f"/v1/refunds/{made['id']}", "succeeded")
    assert refund["review"]["reason"] == "late_success"
    shown = await read(merchant, f"/v1/payments/{payment}")
    assert (shown["amount_refunded"], shown["review"]["reason"]) == (15000, "late_success")
    resolved = await post(
        merchant, f"/v1/payments/{payment}/resolve", {"action": "mark_succeeded", "reason": "seen at the provider"}
    )
    assert (resolved.status_code, resolved.json()["review"]) == (200, None)
    assert (await read(merchant, f"/v1/refunds/{made['id']}"))["review"] is None


async def test_what_is_not_paid_is_not_refunded(merchant: Shop) -> None:
    waiting = (await merchant.pay(phone("004")))["id"]
    failed = (await merchant.pay(phone("002")))["id"]
    await settled(merchant, f"/v1/payments/{failed}", "failed")
    for payment in (waiting, failed):
        answer = await post(merchant, "/v1/refunds", {"payment": payment})
        assert (answer.status_code, answer.json()["code"]) == (409, "payment_not_refundable")
    unknown = await post(merchant, "/v1/refunds", {"payment": ids.show(ids.PAYMENT, ids.new(1))})
    assert unknown.status_code == 404


async def test_what_was_charged_wrongly_is_given_back(merchant: Shop) -> None:
    """The evidenced amount counts as captured, and is refunded."""
    made = await merchant.pay(phone("009"))
    payment = made["id"]
    await merchant.until(payment, lambda shown: bool(shown["review"]))
    resolved = await post(merchant, f"/v1/payments/{payment}/resolve", {"action": "refund", "reason": "wrong amount"})
    shown = resolved.json()
    assert (shown["status"], shown["amount_captured"], shown["review"]) == ("succeeded", 15001, None)
    assert shown["operation"]["verb"] == "refund"


# --- Payouts --------------------------------------------------------------------------------------------------------


def payout(digits: str, **more: Any) -> dict[str, Any]:
    destination = {"type": "mobile_money", "phone": f"+26658123{digits}", "name": "Thabo"}
    return {"amount": 2500, "currency": "LSL", "provider": "sandbox", "destination": destination, **more}


@pytest.mark.parametrize(
    ("digits", "status", "payouts"),
    [
        ("000", "succeeded", 1), ("001", "succeeded", 1), ("002", "failed", 0), ("005", "succeeded", 1),
        ("007", "failed", 0), ("008", "succeeded", 1), ("013", "succeeded", 1),
    ],
)  # fmt: skip
async def test_a_payout_ends_as_its_payee_behaves(merchant: Shop, digits: str, status: str, payouts: int) -> None:
    answer = await post(merchant, "/v1/payouts", payout(digits, reference="salary-7", metadata={"m": "11"}))
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/payouts/{made['id']}")
    assert made.items() >= {
        "object": "payout", "status": "pending", "amount": 2500, "currency": "LSL", "country": "LS",
        "destination": {"type": "mobile_money", "phone": f"+26658123{digits}", "name": "Thabo"},
        "reference": "salary-7", "metadata": {"m": "11"}, "provider": "sandbox", "sequence": 1,
    }.items()  # fmt: skip
    shown = await settled(merchant, f"/v1/payouts/{made['id']}", "succeeded", "failed")
    assert (shown["status"], shown["review"]) == (status, None)
    ledger = await merchant.ledger(made["id"])
    assert (len(ledger["payouts"]), ledger["charges"]) == (payouts, [])
    assert await told(merchant, made["id"], ids.PAYOUT) == ["payout.created", "payout.processing", f"payout.{status}"]


async def test_payouts_and_payments_are_listed_apart(merchant: Shop) -> None:
    made = (await post(merchant, "/v1/payouts", payout("000", reference="apart"))).json()
    payment = await merchant.pay(phone("000"), reference="apart")
    for path, wanted in (("/v1/payouts", made["id"]), ("/v1/payments", payment["id"])):
        assert [each["id"] for each in (await read(merchant, f"{path}?reference=apart"))["data"]] == [wanted]
    for path in (f"/v1/payments/{made['id']}", f"/v1/payouts/{payment['id']}"):
        answer = await merchant.client.get(path, headers=merchant.mypay.headers())
        assert answer.status_code == 404
    answer = await post(merchant, f"/v1/payouts/{made['id']}/cancel", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_not_cancelable")


async def test_a_key_is_for_one_request(merchant: Shop) -> None:
    key = uuid.uuid4().hex
    first = await post(merchant, "/v1/payouts", payout("000"), key)
    again = await post(merchant, "/v1/payouts", payout("000"), key)
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (201, first.content, "true")
    other = await post(merchant, "/v1/payments", {"amount": 1, "currency": "LSL", "method": phone("000")}, key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_the_events_of_a_refund_are_ordered_among_those_of_its_payment(merchant: Shop) -> None:
    payment = await paid(merchant)
    made = (await post(merchant, "/v1/refunds", {"payment": payment}, **WAIT)).json()
    await merchant.all_published()
    feed = await read(merchant, "/v1/events?limit=100")
    while feed["has_more"]:
        more = await read(merchant, f"/v1/events?limit=100&after={feed['next']}")
        feed = {**more, "data": feed["data"] + more["data"]}
    mine = [each for each in feed["data"] if each["data"]["object"]["id"] in (payment, made["id"])]
    assert [each["type"] for each in mine] == [
        "payment.created", "payment.processing", "payment.succeeded",
        "refund.created", "refund.processing", "refund.succeeded", "payment.refunded",
    ]  # fmt: skip
    entries = (await read(merchant, f"/v1/payments/{payment}/timeline"))["data"]
    assert "refund.succeeded" in [each["summary"] for each in entries if each["kind"] == "event"]
