"""M-Pesa: results at once or by callback, callbacks that prove nothing, and a name that no two requests may share."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import pytest

from providers.mpesa.cases import PUBLIC_KEY
from tests.e2e.shop import Ended, Ending, Shop, ending, phone, shop, within
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

API_KEY = "mpesa-test-key"
C2B = "/sandbox/ipg/v2/vodacomLES/c2bPayment/singleStage/"


class Promise(NamedTuple):
    """How a payer of M-Pesa's simulator ends a payment: how often money is taken, and how often it is asked for."""

    status: str
    failure: str | None = None
    charges: int = 1
    sends: int = 1
    callbacks: int = 0


PROMISES = {
    "000": Promise("succeeded"),
    "001": Promise("succeeded", callbacks=1),
    "002": Promise("failed", "insufficient_funds", charges=0),
    "003": Promise("failed", "declined", charges=0, callbacks=1),
    "004": Promise("expired", "expired", charges=0),
    "005": Promise("succeeded"),  # charged, and never answered
    "006": Promise("succeeded"),  # charged, and answered with an error
    "007": Promise("failed", "provider_unavailable", charges=0, sends=3),  # each after proof that nothing had happened
    "008": Promise("succeeded"),  # charged, and the connection reset
    "009": Promise("succeeded"),  # charged, and an answer about another request
    "010": Promise("succeeded"),  # charged, and a firewall's page
    "012": Promise("succeeded", callbacks=5),
    "013": Promise("succeeded"),  # accepted, and nobody called back
    "016": Promise("succeeded", callbacks=1),  # a forged callback, before anybody paid
}
ASKED = [digits for digits, promise in PROMISES.items() if promise.status == "succeeded" and digits != "000"]


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("mpesa"), pace=0.025) as running:
        yield running


@pytest.fixture(scope="module")
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        yield merchant


async def new_account(merchant: Shop, market: str) -> dict[str, Any]:
    """An account of ours at the simulator, in one market."""
    settings = {
        "environment": "sandbox",
        "market": market,
        "api_key": API_KEY,
        "public_key": PUBLIC_KEY,
        "service_provider_code": "000000",
        "base_url": merchant.mypay.simulators["mpesa"],
    }
    body = {"provider": "mpesa", "settings": settings}
    answer = await merchant.client.post("/v1/accounts", headers=merchant.mypay.headers(), json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture(scope="module")
async def account(merchant: Shop) -> str:
    """Our account in Lesotho; M-Pesa's portal learns its callback address."""
    made = await new_account(merchant, "vodacomLES")
    portal = {"api_key": API_KEY, "secret": made["callback_url"]}
    url = f"{merchant.mypay.simulators['mpesa']}/_simulator/secrets"
    assert (await merchant.client.post(url, json=portal)).status_code == 200
    return str(made["id"])


async def pay(merchant: Shop, account: str, method: dict[str, str], **more: Any) -> str:
    made = await merchant.pay(method, provider="mpesa", account=account, **more)
    return str(made["id"])


async def ledger(merchant: Shop, payment: str, reference: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """What M-Pesa did about it: it knows our reference alone."""
    reference = reference or (await merchant.operation(payment))["reference"]
    url = f"{merchant.mypay.simulators['mpesa']}/_simulator/ledger"
    return dict((await merchant.client.get(url, params={"reference": reference})).json())


@pytest.fixture(scope="module")
async def ended(merchant: Shop, account: str) -> Ended[str]:
    """One payment of each kind, side by side, once each has ended."""

    async def live(digits: str) -> dict[str, Any]:
        payment = await pay(merchant, account, phone(digits))
        if digits == "004":
            await merchant.expire_in(payment, 1)
        return await merchant.final(payment)

    return await Ended.side_by_side(PROMISES, live)


@pytest.mark.parametrize("digits", PROMISES)
async def test_it_ends_as_promised(merchant: Shop, ended: Ended[str], digits: str) -> None:
    shown, promise = ended[digits], PROMISES[digits]
    assert (shown["status"], shown["failure"] and shown["failure"]["code"]) == (promise.status, promise.failure)
    did = await ledger(merchant, shown["id"])
    asked = [each for each in did["requests"] if (each["method"], each["path"]) == ("POST", C2B)]
    assert (len(did["charges"]), len(asked)) == (promise.charges, promise.sends)
    for charge in did["charges"]:
        assert (charge["amount"], charge["currency"], charge["id"]) == (15000, "LSL", shown["provider_reference"])


@pytest.mark.parametrize("digits", ASKED)
async def test_what_was_not_answered_at_once_was_asked_about(merchant: Shop, ended: Ended[str], digits: str) -> None:
    """Not what anybody called back: the evidence is a query's."""
    operation = await merchant.operation(ended[digits]["id"])
    assert b'"source":"query"' in operation["evidence"].replace(b": ", b":")


@pytest.mark.parametrize("digits", ["001", "003", "012", "016"])
async def test_callbacks_are_counted_and_only_make_us_ask(merchant: Shop, ended: Ended[str], digits: str) -> None:
    """They come to the account's address, and are found by our reference."""
    reference = (await merchant.operation(ended[digits]["id"]))["reference"]
    sql = """
    select coalesce(result, state) from callbacks
     where provider = 'mpesa' and position(convert_to($1, 'UTF8') in body) > 0
    """
    deadline = time.monotonic() + 20
    while len(results := [row[0] for row in await merchant.pool.fetch(sql, reference)]) < PROMISES[
        digits
    ].callbacks or ("received" in results):
        assert time.monotonic() < deadline, results
        await asyncio.sleep(0.1)
    assert set(results) <= {"asked", "duplicate"}
    assert len(results) == PROMISES[digits].callbacks


async def test_a_lie_is_answered_as_m_pesa_expects_and_not_believed(merchant: Shop, account: str) -> None:
    payment = await pay(merchant, account, phone("004"), prefer="wait=1")
    operation = await merchant.operation(payment)
    token = await merchant.pool.fetchval("select callback_token from accounts where id = $1", operation["account_id"])
    names = {"input_OriginalConversationID": "c1", "input_ThirdPartyConversationID": operation["reference"]}
    lie = {**names, "input_TransactionID": "SOMEBODYS1", "input_ResultCode": "INS-0", "input_ResultDesc": "?"}
    asked = len((await ledger(merchant, payment))["requests"])
    answer = await merchant.client.post(f"/callbacks/mpesa/{token}", json=lie)
    assert answer.json() == {
        "output_OriginalConversationID": "c1",
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
        "output_ThirdPartyConversationID": operation["reference"],
    }
    deadline = time.monotonic() + 20
    while len((await ledger(merchant, payment))["requests"]) <= asked:
        assert time.monotonic() < deadline, "nobody asked"
        await asyncio.sleep(0.1)
    shown = await merchant.get(payment)
    assert (shown["status"], shown["review"], shown["amount_captured"]) == ("processing", None, 0)
    assert shown["provider_reference"] != "SOMEBODYS1"


@pytest.mark.parametrize(
    ("number", "status", "failure"),
    [("000000000001", "succeeded", None), ("000000000008", "failed", "insufficient_funds")],
)
async def test_the_sandboxs_numbers_are_taken(
    merchant: Shop, account: str, number: str, status: str, failure: str | None
) -> None:
    payment = await pay(merchant, account, {"type": "mobile_money", "phone": number}, prefer="wait=20")
    shown = await merchant.final(payment)
    assert (shown["status"], shown["failure"] and shown["failure"]["code"]) == (status, failure)


async def refused(merchant: Shop, **members: Any) -> dict[str, str]:
    """Why each account of M-Pesa's did not take a payment from Tanzania."""
    payer = {"type": "mobile_money", "phone": "+255754123456"}
    body = {"currency": "TZS", "provider": "mpesa", "method": payer, **members}
    answer = await merchant.client.post("/v1/payments", headers=merchant.mypay.headers(), json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_route"), answer.text
    return {each["account"]: each["reason"] for each in answer.json()["accounts"]}


async def test_a_payment_of_another_market_has_no_route(merchant: Shop, account: str) -> None:
    assert await refused(merchant, account=account, amount=1000000) == {account: "currency"}
    assert await refused(merchant, account=account, amount=1000000, currency="LSL") == {account: "country"}


async def test_the_account_of_the_payers_market_is_chosen(merchant: Shop, account: str) -> None:
    tanzania = (await new_account(merchant, "vodacomTZN"))["id"]
    assert (await refused(merchant, amount=1000050))[tanzania] == "amount_not_representable"
    made = await merchant.pay(
        {"type": "mobile_money", "phone": "+255754123000"}, provider="mpesa", currency="TZS", amount=1000000
    )
    assert made["account"] == tanzania


# --- Refunds and payouts ----------------------------------------------------------------------------------------------


PAYOUTS: Final = {
    "000": Ending("succeeded"),
    "001": Ending("succeeded"),  # accepted, and a callback
    "002": Ending("failed", "insufficient_funds", 0),
    "003": Ending("failed", "declined", 0),
    "005": Ending("succeeded"),  # done, and never answered
    "006": Ending("succeeded"),
    "008": Ending("succeeded"),
    "013": Ending("succeeded"),  # nobody called back
    "016": Ending("succeeded"),
}
REFUNDS: Final = {  # by amount: its last digits choose
    15000: Ending("succeeded"),
    5000: Ending("succeeded"),
    5001: Ending("succeeded"),
    5002: Ending("failed", "insufficient_funds", 0),
    5003: Ending("failed", "declined", 0),
    5005: Ending("succeeded"),
    5006: Ending("succeeded"),
    5008: Ending("succeeded"),
    5013: Ending("succeeded"),
}


async def test_payouts_end_as_promised(merchant: Shop, account: str) -> None:
    async def live(digits: str) -> Ending:
        body = {"amount": 15000, "currency": "LSL", "account": account, "destination": phone(digits)}
        shown = await merchant.moved("/v1/payouts", body)
        reference = await merchant.payout_reference(shown["id"])
        return ending(shown, (await ledger(merchant, "", reference))["payouts"])

    found = dict(zip(PAYOUTS, await asyncio.gather(*map(live, PAYOUTS)), strict=True))
    assert found == PAYOUTS


async def test_refunds_end_as_promised(merchant: Shop, account: str) -> None:
    async def live(amount: int) -> Ending:
        payment = await pay(merchant, account, phone("000"))
        await merchant.final(payment)
        shown = await merchant.moved("/v1/refunds", {"payment": payment, "amount": amount})
        given = (await ledger(merchant, "", (await merchant.operation(payment, "refund"))["reference"]))["refunds"]
        assert sum(each["amount"] for each in given) == (await merchant.get(payment))["amount_refunded"]
        return ending(shown, given)

    found = dict(zip(REFUNDS, await asyncio.gather(*map(live, REFUNDS)), strict=True))
    assert found == REFUNDS


async def test_a_refund_is_not_taken_for_the_providers_own_doing(merchant: Shop, account: str) -> None:
    """Asked about the payment after it was refunded, M-Pesa says that it was reversed: by us."""
    payment = await pay(merchant, account, phone("000"))
    await merchant.final(payment)
    await merchant.moved("/v1/refunds", {"payment": payment})
    asked = len((await ledger(merchant, payment))["requests"])
    answer = await merchant.client.post(f"/v1/payments/{payment}/verify", headers=merchant.mypay.headers(), json={})
    assert answer.status_code == 200, answer.text

    async def answered() -> bool:
        query = await merchant.operation(payment, "query")
        return len((await ledger(merchant, payment))["requests"]) > asked and query["answered_at"] is not None

    await within(answered)
    shown = await merchant.get(payment)
    assert (shown["status"], shown["amount_refunded"], shown["review"]) == ("succeeded", 15000, None)


async def test_only_one_reversal_of_a_payment_is_asked_for(merchant: Shop, account: str) -> None:
    payment = await pay(merchant, account, phone("000"))
    await merchant.final(payment)
    assert (await merchant.moved("/v1/refunds", {"payment": payment, "amount": 5000}))["status"] == "succeeded"
    body = {"payment": payment, "amount": 1000}
    answer = await merchant.client.post("/v1/refunds", headers=merchant.mypay.headers(), json=body)
    assert answer.status_code in (400, 409), answer.text
