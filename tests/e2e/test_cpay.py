"""C-Pay, whose callbacks prove nothing and which charges a repeated reference again: nothing is ever sent twice."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from tests.e2e.shop import Ended, Ending, Shop, ending, phone, shop, within
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("cpay")
API_KEY, HMAC_SECRET = "cpay-test-key", "cpay-hmac-secret"  # the simulator checks our checksums with it
PUSH = "/api/cpaypayments/paymentrequest/async/transactions"


class Promise(NamedTuple):
    """How a payer of C-Pay's simulator ends a payment; `charges`: how often money is taken."""

    status: str
    failure: str | None = None
    charges: int = 1
    callbacks: int = 1


PROMISES = {
    "000": Promise("succeeded"),
    "002": Promise("failed", "declined", charges=0),
    "003": Promise("failed", "payer_canceled", charges=0),
    "004": Promise("expired", "expired", charges=0, callbacks=0),
    "005": Promise("succeeded"),  # charged, and never answered
    "006": Promise("succeeded"),  # charged, and answered with an error
    "013": Promise("succeeded", callbacks=0),
    "017": Promise("succeeded", callbacks=3),
    "018": Promise("failed", "invalid_payer", charges=0, callbacks=0),
}
Payments = Ended[str]


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("cpay"), pace=0.1) as running:
        yield running


@pytest.fixture(scope="module")
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        shared = {"api_key": API_KEY, "secret": HMAC_SECRET}
        url = f"{mypay.simulators['cpay']}/_simulator/secrets"
        assert (await merchant.client.post(url, json=shared)).status_code == 200
        yield merchant


async def open_account(merchant: Shop, flow: str) -> str:
    """An account of ours at the simulator, through the API."""
    settings = {
        "base_url": merchant.mypay.simulators["cpay"],
        "api_key": API_KEY,
        "client_code": "CLIENT",
        "hmac_secret": HMAC_SECRET,
        "merchant_code": "MERCHANT",
        "flow": flow,
    }
    body = {"provider": "cpay", "settings": settings}
    answer = await merchant.client.post("/v1/accounts", headers=merchant.mypay.headers(), json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="module")
async def push_account(merchant: Shop) -> str:
    return await open_account(merchant, "async")


@pytest.fixture(scope="module")
async def otp_account(merchant: Shop) -> str:
    return await open_account(merchant, "otp")


@pytest.fixture(scope="module")
async def card_account(merchant: Shop) -> str:
    return await open_account(merchant, "card")


async def pay(merchant: Shop, digits: str, account: str, **more: Any) -> str:
    made = await merchant.pay(phone(digits), provider="cpay", account=account, **more)
    assert made["provider"] == "cpay"
    return str(made["id"])


# --- USSD push --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def ended(merchant: Shop, push_account: str) -> Payments:
    """One payment of each kind, side by side, once each has ended."""

    async def live(digits: str) -> dict[str, Any]:
        payment = await pay(merchant, digits, push_account)
        if digits == "004":
            await merchant.expire_in(payment, 1)
        return await merchant.final(payment)

    return await Ended.side_by_side(PROMISES, live)


@pytest.mark.parametrize("digits", PROMISES)
async def test_it_ends_as_promised(merchant: Shop, ended: Payments, digits: str) -> None:
    shown, promise = ended[digits], PROMISES[digits]
    assert (shown["status"], shown["failure"] and shown["failure"]["code"]) == (promise.status, promise.failure)
    assert await merchant.story(shown["id"]) == ["created", "processing", promise.status]
    assert await merchant.charged(shown["id"], "cpay") == (promise.charges, 1), "sent once, whatever came of it"
    for charge in (await merchant.ledger(shown["id"], "cpay"))["charges"]:
        assert (charge["amount"], charge["currency"], charge["id"]) == (15000, "LSL", shown["provider_reference"])


@pytest.mark.parametrize("digits", [digits for digits, promise in PROMISES.items() if promise.status == "succeeded"])
async def test_success_is_what_c_pay_answered_to_our_question(merchant: Shop, ended: Payments, digits: str) -> None:
    """Not what anybody called back: the evidence is a query's, even where a callback came first."""
    operation = await merchant.operation(ended[digits]["id"])
    assert b'"source":"query"' in operation["evidence"].replace(b": ", b":")
    requests = (await merchant.ledger(ended[digits]["id"], "cpay"))["requests"]
    questions = [each for each in requests if each["method"] == "GET"]
    assert {each["reference"] for each in questions} == {operation["reference"]}


@pytest.mark.parametrize("digits", ["000", "002", "013", "017"])
async def test_callbacks_are_counted_and_only_make_us_ask(merchant: Shop, ended: Payments, digits: str) -> None:
    operation = (await merchant.operation(ended[digits]["id"]))["id"]
    wanted = PROMISES[digits].callbacks
    sql = "select coalesce(result, state) from callbacks where operation_id = $1"
    deadline = time.monotonic() + 20
    while len(results := [row[0] for row in await merchant.pool.fetch(sql, operation)]) < wanted or (
        "received" in results
    ):
        assert time.monotonic() < deadline, results
        await asyncio.sleep(0.1)
    assert set(results) <= {"asked", "duplicate"}
    assert len(results) == wanted


async def test_a_lie_is_not_believed(merchant: Shop, push_account: str) -> None:
    """Somebody who knows the address says that a payment succeeded, which nobody has paid."""
    payment = await pay(merchant, "004", push_account, prefer="wait=1")
    operation = await merchant.operation(payment)
    token = await merchant.pool.fetchval("select callback_token from accounts where id = $1", operation["account_id"])
    lie = {"extTransactionId": operation["reference"], "cPayTransactionId": "CP9", "paymentRequestStatus": "PROCESSED"}
    answer = await merchant.client.post(f"/callbacks/cpay/{token}", json=lie)
    assert answer.status_code == 200
    questions = len([one for one in (await merchant.ledger(payment, "cpay"))["requests"] if one["method"] == "GET"])
    deadline = time.monotonic() + 20
    while True:
        requests = (await merchant.ledger(payment, "cpay"))["requests"]
        if len([one for one in requests if one["method"] == "GET"]) > questions:
            break
        assert time.monotonic() < deadline, "nobody asked"
        await asyncio.sleep(0.1)
    shown = await merchant.get(payment)
    assert (shown["status"], shown["review"], shown["amount_captured"]) == ("processing", None, 0)


async def test_the_simulator_would_show_a_second_send(merchant: Shop) -> None:
    """What makes "sent once" worth testing: a repeated extTransactionId is charged again."""
    reference, msisdn, amount = "R" * 20, "58123006", "150.00"
    salt = f"{reference}CLIENT{amount}{msisdn}"
    request = {
        "extTransactionId": reference,
        "clientCode": "CLIENT",
        "msisdn": msisdn,
        "amount": amount,
        "currency": "LSL",
        "checksum": hmac.new(HMAC_SECRET.encode(), salt.encode(), hashlib.sha256).hexdigest(),
        "redirectUrl": "http://127.0.0.1:1/",
        "additionalData": {"payment": "pay_twice"},
    }
    for _ in range(2):
        url = merchant.mypay.simulators["cpay"] + PUSH
        sent = await merchant.client.post(url, json={"transactionRequest": request}, headers={"authorization": API_KEY})
        assert sent.status_code == 500
    assert await merchant.charged("pay_twice", "cpay") == (2, 2)


# --- OTP --------------------------------------------------------------------------------------------------------------


async def waiting_for_code(merchant: Shop, account: str, digits: str) -> str:
    payment = await pay(merchant, digits, account, prefer="wait=20")
    shown = await merchant.get(payment)
    assert (shown["status"], shown["next_action"]["type"]) == ("requires_action", "otp")
    return payment


async def confirms(merchant: Shop, payment: str) -> int:
    requests = (await merchant.ledger(payment, "cpay"))["requests"]
    return len([each for each in requests if each["path"] == "/api/cpaypayments/confirm"])


async def test_a_code_is_confirmed(merchant: Shop, otp_account: str) -> None:
    payment = await waiting_for_code(merchant, otp_account, "000")
    wrong = (await merchant.confirm(payment, "000000", Prefer="wait=20")).json()
    assert (wrong["status"], wrong["next_action"]["message"]) == ("requires_action", "C-Pay did not accept the code.")
    right = (await merchant.confirm(payment, "123456", Prefer="wait=20")).json()
    assert (right["status"], right["amount_captured"]) == ("succeeded", 15000)
    assert len((await merchant.ledger(payment, "cpay"))["charges"]) == 1
    assert await confirms(merchant, payment) == 2


async def is_closed(merchant: Shop, payment: str) -> bool:
    """The confirm is known to have succeeded, and its code is forgotten."""
    confirm = await merchant.operation(payment, "confirm")
    return (confirm["state"], confirm["secret_input"], confirm["lease_until"]) == ("succeeded", None, None)


@pytest.mark.parametrize("digits", ["005", "006"])
async def test_a_confirm_without_an_answer_is_asked_about(merchant: Shop, otp_account: str, digits: str) -> None:
    """The code was accepted and the money taken, but no answer came: the code is not sent again."""
    payment = await waiting_for_code(merchant, otp_account, digits)
    started = await merchant.confirm(payment, "123456")
    assert started.json()["operation"]["state"] == "prepared"
    shown = await merchant.final(payment)
    assert (shown["status"], await confirms(merchant, payment)) == ("succeeded", 1)
    await within(is_closed, merchant, payment)
    assert len((await merchant.ledger(payment, "cpay"))["charges"]) == 1


# --- A card at C-Pay's page ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decision", "status", "charges"), [("yes", "succeeded", 1), ("no", "failed", 0)])
async def test_the_payer_enters_a_card_at_c_pays_page(
    merchant: Shop, card_account: str, decision: str, status: str, charges: int
) -> None:
    more = {"return_url": "https://shop.example/back", "prefer": "wait=20"}
    made = await merchant.pay(phone("000"), provider="cpay", account=card_account, **more)
    assert (made["status"], made["next_action"]["type"]) == ("requires_action", "redirect")
    page = made["next_action"]["url"]
    assert page.startswith(merchant.mypay.simulators["cpay"])
    assert (await merchant.client.post(page, params={"pay": decision})).status_code < 400
    shown = await merchant.final(made["id"])
    assert shown["status"] == status
    assert len((await merchant.ledger(made["id"], "cpay"))["charges"]) == charges


# --- Payouts to wallets ------------------------------------------------------------------------------------------

PAYOUTS = {
    "000": Ending("succeeded"),
    "002": Ending("failed", "declined", 0),
    "005": Ending("succeeded"),  # made, and never answered: found among the day's payouts
    "006": Ending("succeeded"),  # made, and answered with an error
}


async def test_payouts_end_as_promised(merchant: Shop, push_account: str) -> None:
    async def live(digits: str) -> Ending:
        body = {"amount": 15000, "currency": "LSL", "account": push_account}
        shown = await merchant.moved("/v1/payouts", {**body, "destination": {**phone(digits), "name": "Mpho Mokoena"}})
        ledger = await merchant.ledger(shown["id"], "cpay")
        assert len([each for each in ledger["requests"] if each["method"] == "POST"]) == 1, "sent once"
        return ending(shown, ledger["payouts"])

    found = dict(zip(PAYOUTS, await asyncio.gather(*map(live, PAYOUTS)), strict=True))
    assert found == PAYOUTS
