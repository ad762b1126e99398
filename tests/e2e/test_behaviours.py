"""The sandbox's 17 behaviours (docs: the sandbox), by phone and by card, all at once: each ends as promised."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import msgspec
import pytest
from aiokafka import ConsumerRecord  # type: ignore[import-untyped]

from gateway import ids
from streams import topics
from tests.e2e.promises import PROMISES, RETURN_URL, live, press, waits
from tests.e2e.shop import Ended, Shop, fresh_key, phone, shop
from tests.streams.support import read_topic
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("behaviours")
PACE = 0.3


WAYS = [(digits, way) for digits in PROMISES for way in ("phone", "card")]
Payments = Ended[tuple[str, str]]


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("behaviours"), pace=PACE) as running:
        yield running


@pytest.fixture(scope="module")
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        yield merchant


@pytest.fixture(scope="module")
async def ended(merchant: Shop) -> Payments:
    """All 34 payments, started side by side, once each is where it stays.

    One that ends by callback goes before, so that the consumers of callbacks have their partitions: the two callbacks
    of 014 are 0.6 s apart here, and the second must not be known (by a query) before the first.
    """
    await live(merchant, "001", "phone")
    payments = await asyncio.gather(*(live(merchant, digits, way) for digits, way in WAYS), return_exceptions=True)
    return Ended(zip(WAYS, payments, strict=True))


# --- How each ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("digits", "way"), WAYS)
async def test_it_ends_as_promised(merchant: Shop, ended: Payments, digits: str, way: str) -> None:
    shown, promise = ended[digits, way], PROMISES[digits]
    failure = shown["failure"] and shown["failure"]["code"]
    assert (failure, shown["next_action"]) == (promise.failure, None)
    assert shown["amount_captured"] == (15000 if promise.status == "succeeded" else 0)
    assert await merchant.story(shown["id"]) == ["created", "processing", *promise.events.split()]
    assert shown["sequence"] == 2 + len(promise.events.split())
    assert await merchant.charged(shown["id"]) == (promise.charges, promise.sent)
    for charge in (await merchant.ledger(shown["id"]))["charges"]:
        assert charge["amount"] == 15000 + (digits == "009")
        assert charge["id"] == shown["provider_reference"] or digits == "009"


@pytest.mark.parametrize("way", ["phone", "card"])
async def test_every_send_carries_the_same_operation(merchant: Shop, ended: Payments, way: str) -> None:
    """The one that may be sent again, because its absence is proven each time."""
    payment = ended["007", way]["id"]
    sends = [each for each in (await merchant.ledger(payment))["requests"] if each["method"] == "POST"]
    operation = await merchant.operation(payment)
    assert {each["operation"] for each in sends} == {ids.show(ids.OPERATION, operation["id"])}
    assert (operation["sends"], operation["fence"], operation["state"]) == (3, 3, "not_sent")


@pytest.mark.parametrize("way", ["phone", "card"])
async def test_it_is_settled_in_time(merchant: Shop, ended: Payments, way: str) -> None:
    def took(digits: str, since: str) -> float:
        shown = ended[digits, way]
        return (datetime.fromisoformat(shown["updated_at"]) - datetime.fromisoformat(shown[since])).total_seconds()

    assert took("001", "created_at") < 5
    assert 0 <= took("004", "expires_at") < 60
    assert max(took(digits, "created_at") for digits in PROMISES if digits != "004") < 60


@pytest.mark.parametrize(
    ("digits", "results"),
    [("016", ["forged"]), ("012", ["applied", *["duplicate"] * 4]), ("013", []), ("001", ["applied"])],
)
async def test_what_became_of_its_callbacks(merchant: Shop, ended: Payments, digits: str, results: list[str]) -> None:
    operation = (await merchant.operation(ended[digits, "phone"]["id"]))["id"]
    sql = "select coalesce(result, state) from callbacks where operation_id = $1 order by 1"

    async def found() -> list[str]:
        return [row[0] for row in await merchant.pool.fetch(sql, operation)]

    deadline = time.monotonic() + 20
    while len(known := await found()) < len(results) or "received" in known:
        assert time.monotonic() < deadline, known
        await asyncio.sleep(0.1)
    assert set(known) <= set(results)  # copies that are handled at the same moment do not see each other
    assert ("applied" in known, len(known)) == ("applied" in results, len(results))


async def test_reviews_are_found_by_their_reason(merchant: Shop, ended: Payments) -> None:
    for digits in ("009", "014"):
        query = {"review": PROMISES[digits].review or ""}
        answer = await merchant.client.get("/v1/payments", headers=merchant.mypay.headers(), params=query)
        found = {each["id"] for each in answer.json()["data"]}
        assert {ended[digits, way]["id"] for way in ("phone", "card")} == found


# --- What the topic carries -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def published(merchant: Shop, ended: Payments) -> list[ConsumerRecord]:
    await merchant.all_published()
    return await read_topic(merchant.mypay.settings, topics.EVENTS_TEST)


async def test_every_event_is_on_the_topic_once_and_in_order(
    merchant: Shop, ended: Payments, published: list[ConsumerRecord]
) -> None:
    for shown in (ended[way] for way in WAYS):
        rows = await merchant.events(shown["id"])
        records = [record for record in published if record.key == shown["id"].encode()]
        assert [record.value for record in records] == [bytes(row["body"]) for row in rows]
        assert len({record.partition for record in records}) == 1
        for record, row in zip(records, rows, strict=True):
            body = msgspec.json.decode(record.value)
            headers = {name: value.decode() for name, value in record.headers}
            assert headers == {
                "content-type": "application/json",
                "ce_specversion": "1.0",
                "ce_id": ids.show(ids.EVENT, row["id"]),
                "ce_source": "/mypay",
                "ce_type": row["type"],
                "ce_subject": shown["id"],
                "ce_time": body["timestamp"],
                "ce_sequence": str(row["sequence"]),
            }
            assert (body["id"], body["type"]) == (headers["ce_id"], headers["ce_type"])


async def test_the_last_event_shows_what_a_get_shows(
    merchant: Shop, ended: Payments, published: list[ConsumerRecord]
) -> None:
    for shown in (ended[way] for way in WAYS):
        last = [record for record in published if record.key == shown["id"].encode()][-1]
        assert msgspec.json.decode(last.value)["data"]["object"] == await merchant.get(shown["id"])


async def test_live_events_are_none_of_these(merchant: Shop, published: list[ConsumerRecord]) -> None:
    assert await read_topic(merchant.mypay.settings, topics.EVENTS_LIVE) == []


# --- The redirect's page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("declined", "failed")])
async def test_a_redirected_payer_comes_back_to_the_merchant(merchant: Shop, outcome: str, status: str) -> None:
    made = await merchant.pay({"type": "redirect"}, return_url=RETURN_URL)
    waiting = await merchant.until(made["id"], waits)
    assert waiting["next_action"]["type"] == "redirect"
    address, told = await press(merchant, waiting, outcome)
    assert address == "https://shop.example/thanks"
    assert told.items() >= {"order": "7", "lang": "st", "payment": made["id"]}.items()
    assert told["status"] in ("requires_action", status)
    shown = await merchant.final(made["id"])
    assert shown["status"] == status
    assert (shown["failure"] and shown["failure"]["code"]) == (None if status == "succeeded" else "payer_canceled")


async def test_a_return_page_is_ours_alone(merchant: Shop) -> None:
    for token in ("x", "A" * 43, "..%2F..", "%C3%A4"):
        assert (await merchant.client.get(f"/return/{token}")).status_code == 404


# --- The payer's code -------------------------------------------------------------------------------------------------


async def waiting_for_code(merchant: Shop) -> str:
    made = await merchant.pay(phone("011"), prefer="wait=20")
    assert (made["status"], made["next_action"]["type"]) == ("requires_action", "otp")
    return str(made["id"])


async def test_a_wrong_code_may_be_followed_by_the_right_one(merchant: Shop) -> None:
    payment = await waiting_for_code(merchant)
    wrong = await merchant.confirm(payment, "000000", Prefer="wait=20")
    shown = wrong.json()
    assert (wrong.status_code, shown["status"], shown["operation"]["verb"]) == (200, "requires_action", "confirm")
    assert "2 more tries" in shown["next_action"]["message"]
    right = (await merchant.confirm(payment, "123456", Prefer="wait=20")).json()
    assert (right["status"], right["amount_captured"], right["operation"]["state"]) == ("succeeded", 15000, "succeeded")
    assert await merchant.story(payment) == [
        "created", "processing", "requires_action", "requires_action", "succeeded"
    ]  # fmt: skip
    assert (await merchant.charged(payment))[0] == 1


async def test_the_third_wrong_code_ends_it(merchant: Shop) -> None:
    payment = await waiting_for_code(merchant)
    for status in ("requires_action", "requires_action", "failed"):
        shown = (await merchant.confirm(payment, "000000", Prefer="wait=20")).json()
        assert shown["status"] == status
    assert shown["failure"]["code"] == "invalid_otp"
    assert (await merchant.charged(payment))[0] == 0
    late = await merchant.confirm(payment, "123456")
    assert (late.status_code, late.json()["code"]) == (409, "payment_not_confirmable")


async def test_a_repeated_confirm_is_one_try(merchant: Shop) -> None:
    """The same key: the same answer, and the payer's code is not counted again."""
    payment, key = await waiting_for_code(merchant), fresh_key()
    first = await merchant.confirm(payment, "000000", key=key)
    repeated = [await merchant.confirm(payment, "000000", key=key) for _ in range(5)]
    assert {answer.content for answer in repeated} == {first.content}
    assert {answer.headers["idempotency-replayed"] for answer in repeated} == {"true"}
    other = await merchant.confirm(payment, "123456", key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    shown = await merchant.until(payment, lambda shown: "wrong" in shown["next_action"]["message"])
    assert "2 more tries" in shown["next_action"]["message"]
    confirms = [each for each in (await merchant.ledger(payment))["requests"] if each["path"].endswith("/confirm")]
    assert len(confirms) == 1


async def test_the_code_is_kept_by_nobody(merchant: Shop) -> None:
    payment, code = await waiting_for_code(merchant), "ZX81ZX81"
    await merchant.confirm(payment, code, Prefer="wait=20")
    assert (await merchant.operation(payment, "confirm"))["secret_input"] is None
    for table in ("operations", "idempotency_keys", "events"):
        stored = await merchant.pool.fetch(f"select to_jsonb(t)::text from {table} t")
        assert not any(code in row[0] or code.encode().hex() in row[0] for row in stored)
    for name in ("api", "worker-1"):
        assert code not in merchant.mypay.processes[name].log


@pytest.mark.parametrize("digits", ["000", "001", "009", "010"])
async def test_what_does_not_wait_for_a_code_takes_none(merchant: Shop, ended: Payments, digits: str) -> None:
    answer = await merchant.confirm(ended[digits, "phone"]["id"], "123456")
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_not_confirmable")


async def test_one_code_at_a_time(merchant: Shop) -> None:
    """Of codes that come at once, each that is taken is one try, and the others are told to wait."""
    payment = await waiting_for_code(merchant)
    answers = await asyncio.gather(*(merchant.confirm(payment, "000000", Prefer="wait=20") for _ in range(5)))
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 409}
    tries = [each for each in (await merchant.ledger(payment))["requests"] if each["path"].endswith("/confirm")]
    assert len(tries) == codes.count(200) <= 3
