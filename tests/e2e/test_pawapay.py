"""pawaPay, whose signed callbacks are proof where the account requires them, and else only make us ask."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from gateway import ids
from tests.e2e.shop import Ended, Shop, phone, shop, within
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("pawapay")


class Promise(NamedTuple):
    """How a wallet of the simulator's ends a payment, what its callbacks are taken for, and who told where none came:
    the answer to our request or to a query."""

    status: str
    failure: str | None = None
    charges: int = 1
    callbacks: tuple[str, ...] = ("applied",)
    told_by: str | None = None
    review: str | None = None


PROMISES = {
    "789": Promise("succeeded"),
    "049": Promise("failed", "insufficient_funds", charges=0),
    "018": Promise("failed", "provider_unavailable", charges=0, callbacks=(), told_by="answer"),
    "129": Promise("expired", "expired", charges=0, callbacks=(), told_by="query"),
    "005": Promise("succeeded"),  # completed, and never answered
    "009": Promise("processing", review="amount_mismatch"),
    "012": Promise("succeeded", callbacks=("applied", "duplicate")),  # five: repeated, and out of order
    "013": Promise("succeeded", callbacks=(), told_by="query"),
    "016": Promise("succeeded", callbacks=("applied", "forged")),
    "021": Promise("succeeded"),  # signed in DER
}
Payments = Ended[str]


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("pawapay"), pace=0.1) as running:
        yield running


@pytest.fixture(scope="module")
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        yield merchant


async def open_account(merchant: Shop, token: str, **settings: Any) -> str:
    """An account of ours at the simulator, whose dashboard is told where callbacks go."""
    body = {"provider": "pawapay", "settings": {"api_token": token, **settings}}
    answer = await merchant.client.post("/v1/accounts", headers=merchant.mypay.headers(), json=body)
    assert answer.status_code == 201, answer.text
    told = {"api_key": token, "url": answer.json()["callback_url"]}
    url = f"{merchant.mypay.simulators['pawapay']}/_simulator/callbacks"
    assert (await merchant.client.post(url, json=told)).status_code == 200
    return str(answer.json()["id"])


async def key_of(merchant: Shop) -> str:
    """The key that pawaPay publishes."""
    url = f"{merchant.mypay.simulators['pawapay']}/v2/public-key/http"
    [published] = (await merchant.client.get(url)).json()
    return str(published["key"])


@pytest.fixture(scope="module")
async def signed(merchant: Shop) -> str:
    return await open_account(merchant, "token-signed", signing="required", public_key=await key_of(merchant))


@pytest.fixture(scope="module")
async def unsigned(merchant: Shop) -> str:
    return await open_account(merchant, "token-unsigned", signing="optional")


async def pay(merchant: Shop, digits: str, account: str) -> str:
    made = await merchant.pay(phone(digits), provider="pawapay", account=account)
    assert made["provider"] == "pawapay"
    return str(made["id"])


async def callback_results(merchant: Shop, payment: str) -> list[str]:
    """What was made of a payment's callbacks; they name it by its reference alone."""
    operation = await merchant.operation(payment)
    sql = "select coalesce(result, state) from callbacks where position(convert_to($1, 'UTF8') in body) > 0"
    return sorted(row[0] for row in await merchant.pool.fetch(sql, operation["reference"]))


@pytest.fixture(scope="module")
async def ended(merchant: Shop, signed: str) -> Payments:
    """One payment of each kind, side by side, once each has ended."""

    async def live(digits: str) -> dict[str, Any]:
        payment = await pay(merchant, digits, signed)
        if digits == "129":
            await merchant.expire_in(payment, 2)
        if PROMISES[digits].review:
            return await merchant.until(payment, lambda shown: shown["review"] is not None)
        return await merchant.final(payment)

    return await Ended.side_by_side(PROMISES, live)


@pytest.mark.parametrize("digits", PROMISES)
async def test_it_ends_as_promised(merchant: Shop, ended: Payments, digits: str) -> None:
    shown, promise = ended[digits], PROMISES[digits]
    assert (shown["status"], shown["failure"] and shown["failure"]["code"]) == (promise.status, promise.failure)
    assert (shown["review"] and shown["review"]["reason"]) == promise.review
    ledger = await merchant.ledger(shown["id"], "pawapay")
    assert len(ledger["charges"]) == promise.charges
    assert len([one for one in ledger["requests"] if one["method"] == "POST"]) == 1, "sent once, whatever came of it"
    operation = await merchant.operation(shown["id"])
    assert {one["reference"] for one in ledger["requests"]} == {operation["reference"]}


@pytest.mark.parametrize("digits", PROMISES)
async def test_callbacks_are_proof_or_forged(merchant: Shop, ended: Payments, digits: str) -> None:
    payment, promise = ended[digits]["id"], PROMISES[digits]

    async def as_promised() -> bool:
        return sorted(set(await callback_results(merchant, payment))) == list(promise.callbacks)

    await within(as_promised)
    if promise.told_by:
        evidence = (await merchant.operation(payment))["evidence"].replace(b": ", b":")
        assert f'"source":"{promise.told_by}"'.encode() in evidence


async def test_where_signatures_are_optional_a_callback_only_makes_us_ask(merchant: Shop, unsigned: str) -> None:
    payment = await pay(merchant, "789", unsigned)
    shown = await merchant.final(payment)
    assert shown["status"] == "succeeded"
    evidence = (await merchant.operation(payment))["evidence"].replace(b": ", b":")
    assert b'"source":"query"' in evidence

    async def asked() -> bool:
        return await callback_results(merchant, payment) == ["asked"]

    await within(asked)


async def test_a_callback_for_another_address_is_not_ours(merchant: Shop, ended: Payments, unsigned: str) -> None:
    """Signed by pawaPay, with the key that all its customers see, and sent on to another of its customers' address."""
    row = await merchant.pool.fetchrow(
        "select * from callbacks where position(convert_to($1, 'UTF8') in body) > 0 and result = 'applied'",
        (await merchant.operation(ended["789"]["id"]))["reference"],
    )
    other = await open_account(merchant, "token-other", signing="required", public_key=await key_of(merchant))
    token = await merchant.pool.fetchval(
        "select callback_token from accounts where id = $1", ids.read(ids.ACCOUNT, other)
    )
    headers = json.loads(row["headers"])
    answer = await merchant.client.post(f"/callbacks/pawapay/{token}", content=row["body"], headers=headers)
    assert answer.status_code == 200
    sql = "select result from callbacks where account_id = $1"
    assert await within(merchant.pool.fetchval, sql, ids.read(ids.ACCOUNT, other)) == "forged"


async def test_settings_that_could_verify_nothing_are_refused(merchant: Shop) -> None:
    for settings in ({"signing": "required"}, {"signing": "required", "public_key": "none"}, {"signing": "perhaps"}):
        body = {"provider": "pawapay", "settings": {"api_token": "t", **settings}}
        answer = await merchant.client.post("/v1/accounts", headers=merchant.mypay.headers(), json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == "invalid_request"


# --- Refunds and payouts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digits", "status", "failure", "times"),
    [
        ("789", "succeeded", None, 1),
        ("139", "succeeded", None, 1),  # it waits for its network first
        ("005", "succeeded", None, 1),  # made, and never answered
        ("089", "failed", "invalid_payer", 0),
    ],
)
async def test_payouts(merchant: Shop, signed: str, digits: str, status: str, failure: str | None, times: int) -> None:
    destination = {**phone(digits), "name": "Thabo Mokoena"}
    body = {"amount": 1050, "currency": "LSL", "account": signed, "destination": destination}
    shown = await merchant.moved("/v1/payouts", body)
    assert (shown["status"], shown["failure"] and shown["failure"]["code"]) == (status, failure)
    ledger = await merchant.ledger(shown["id"], "pawapay")
    assert [one["amount"] for one in ledger["payouts"]] == [1050] * times
    assert len([one for one in ledger["requests"] if one["method"] == "POST"]) == 1


async def test_a_deposit_is_given_back_in_parts(merchant: Shop, signed: str) -> None:
    payment = await pay(merchant, "789", signed)
    await merchant.final(payment)
    for amount in (5000, 10000):
        assert (await merchant.moved("/v1/refunds", {"payment": payment, "amount": amount}))["status"] == "succeeded"
    assert [one["amount"] for one in (await merchant.ledger(payment, "pawapay"))["refunds"]] == [5000, 10000]
    assert (await merchant.get(payment))["amount_refunded"] == 15000


async def test_a_refund_without_an_answer_is_made_once(merchant: Shop, ended: Payments) -> None:
    payment = ended["005"]["id"]
    assert (await merchant.moved("/v1/refunds", {"payment": payment}))["status"] == "succeeded"
    assert len((await merchant.ledger(payment, "pawapay"))["refunds"]) == 1


async def test_a_refund_that_fails_can_be_tried_again(merchant: Shop, signed: str) -> None:
    """The wallet that paid takes nothing back: RECIPIENT_NOT_FOUND."""
    payment = await pay(merchant, "089", signed)
    await merchant.final(payment)
    for _ in range(2):
        shown = await merchant.moved("/v1/refunds", {"payment": payment})
        assert (shown["status"], shown["failure"]["code"]) == ("failed", "invalid_payer")
    assert (await merchant.get(payment))["amount_refunded"] == 0
