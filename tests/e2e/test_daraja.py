"""Daraja through the public API: pushes, late answers, and payments that nobody ordered."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import pytest

from providers.contract import Secret, Succeeded
from providers.daraja import operations
from providers.daraja.cases import CERTIFICATE
from providers.daraja.spec import DarajaAccount
from providers.registry import PROVIDERS
from providers.transport import Caller
from tests.e2e.shop import Ended, Ending, Shop, ending, shop, within
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("daraja")
PASSKEY: Final = "the-passkey"
PUSH: Final = "/mpesa/stkpush/v1/processrequest"


class Promise(NamedTuple):
    """How a payer of Daraja's simulator ends a payment. `receipt`: whether M-Pesa's receipt number came to be known."""

    status: str
    failure: str | None = None
    charges: int = 1
    receipt: bool = True


PROMISES: Final = {
    "000": Promise("succeeded"),
    "002": Promise("failed", "insufficient_funds", charges=0),
    "003": Promise("failed", "payer_canceled", charges=0),
    "005": Promise("succeeded"),  # charged, and never answered: the callback brings the name to ask by
    "006": Promise("succeeded"),  # charged, and answered with an error
    "008": Promise("succeeded"),  # charged, and the connection reset
    "012": Promise("succeeded"),  # three callbacks
    "013": Promise("succeeded", receipt=False),  # no callback: the query tells no receipt
    "016": Promise("succeeded", receipt=False),  # a forged callback
    "017": Promise("failed", "authentication_failed", charges=0),
    "018": Promise("failed", "provider_unavailable", charges=0),
}


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("daraja"), pace=0.1) as running:
        yield running


@pytest.fixture(scope="module")
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        for shortcode in ("600610", "600620"):
            shared = {"api_key": shortcode, "secret": PASSKEY}
            url = f"{mypay.simulators['daraja']}/_simulator/secrets"
            assert (await merchant.client.post(url, json=shared)).status_code == 200
        yield merchant


async def open_account(merchant: Shop, shortcode: str) -> dict[str, Any]:
    """An account of ours at the simulator, through the API."""
    settings = {
        "environment": "sandbox",
        "consumer_key": "key",
        "consumer_secret": "secret",
        "shortcode": shortcode,
        "passkey": PASSKEY,
        "transaction_type": "paybill",
        "initiator_name": "api",
        "initiator_password": "password",
        "certificate": CERTIFICATE,
        "base_url": merchant.mypay.simulators["daraja"],
    }
    body = {"provider": "daraja", "settings": settings}
    answer = await merchant.client.post("/v1/accounts", headers=merchant.mypay.headers(), json=body)
    assert answer.status_code == 201, answer.text
    return {**answer.json(), "plain": settings}


@pytest.fixture(scope="module")
async def account(merchant: Shop) -> str:
    return str((await open_account(merchant, "600610"))["id"])


async def pay(merchant: Shop, digits: str, account: str, refund: str = "00") -> str:
    """A payment of a wallet whose last digits say what happens; the two before them, what happens to a refund."""
    method = {"type": "mobile_money", "phone": f"+2547083{refund}{digits}"}
    made = await merchant.pay(method, currency="KES", provider="daraja", account=account)
    return str(made["id"])


async def charges(merchant: Shop, payment: str, reference: str | None = None) -> tuple[list[dict[str, Any]], int]:
    """What the payer paid, and how often he was prompted, by our reference: Daraja knows no other name of ours."""
    reference = reference or (await merchant.operation(payment))["reference"]
    found = await ledger(merchant, reference)
    return found["charges"], len([each for each in found["requests"] if each["path"] == PUSH])


# --- Pushes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def ended(merchant: Shop, account: str) -> Ended[str]:
    """One payment of each kind, side by side, once each has ended."""

    async def live(digits: str) -> dict[str, Any]:
        payment = await pay(merchant, digits, account)
        promised = PROMISES[digits]
        return await merchant.until(payment, lambda shown: shown["status"] == promised.status)

    return await Ended.side_by_side(PROMISES, live)


@pytest.mark.parametrize("digits", PROMISES)
async def test_it_ends_as_promised(merchant: Shop, ended: Ended[str], digits: str) -> None:
    shown, promise = ended[digits], PROMISES[digits]
    assert (shown["failure"] and shown["failure"]["code"]) == promise.failure
    assert shown["review"] is None
    paid, prompts = await charges(merchant, shown["id"])
    assert (len(paid), prompts) == (promise.charges, 1), "prompted once, whatever came of it"
    if promise.charges:
        assert (paid[0]["amount"], paid[0]["currency"]) == (15000, "KES")
        assert (shown["provider_reference"] == paid[0]["id"]) is promise.receipt
        assert promise.receipt or shown["provider_reference"].startswith("ws_CO_")


@pytest.mark.parametrize("digits", [digits for digits, promise in PROMISES.items() if promise.charges])
async def test_success_is_what_daraja_answered_to_our_question(merchant: Shop, ended: Ended[str], digits: str) -> None:
    operation = await merchant.operation(ended[digits]["id"])
    sql = """select count(*) from operations where target_id = $1 and evidence ->> 'source' = 'query'
             and evidence #>> '{outcome,type}' = 'succeeded'"""
    assert await merchant.pool.fetchval(sql, operation["id"]) > 0


async def test_an_amount_that_is_not_ours_is_no_success(merchant: Shop, account: str) -> None:
    payment = await pay(merchant, "009", account)
    shown = await merchant.until(payment, lambda shown: shown["review"] is not None)
    assert (shown["status"], shown["review"]["reason"]) == ("processing", "amount_mismatch")


async def test_cents_and_other_countries_have_no_route(merchant: Shop, account: str) -> None:
    """Refused before anything is written, with the reason."""
    for amount, phone, reason in (
        (15001, "+254708300000", "amount_not_representable"),
        (99, "+254708300000", "amount_out_of_range"),
        (15000, "+26658123000", "country"),
    ):
        body = {"amount": amount, "currency": "KES", "account": account}
        body["method"] = {"type": "mobile_money", "phone": phone}
        answer = await merchant.client.post("/v1/payments", headers=merchant.mypay.headers(), json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "no_route")
        assert reason in answer.text


# --- Refunds and payouts ----------------------------------------------------------------------------------------------


PAYOUTS: Final = {
    "000": Ending("succeeded"),
    "002": Ending("failed", "insufficient_funds", 0),
    "003": Ending("failed", "invalid_payer", 0),
    "005": Ending("succeeded"),  # done, and never acknowledged: the result makes us ask, and the late answer is proof
    "006": Ending("succeeded"),
    "013": Ending("succeeded"),  # no result
    "016": Ending("succeeded"),  # a forged result
    "019": Ending("succeeded"),  # a result that is late
}
REFUNDS: Final = {
    "00": Ending("succeeded"),
    "02": Ending("failed", "insufficient_funds", 0),
    "06": Ending("succeeded"),  # done, and an HTTP 500: only the result tells a name to ask by
    "13": Ending("succeeded"),
    "16": Ending("succeeded"),
}


async def ledger(merchant: Shop, reference: str) -> dict[str, list[dict[str, Any]]]:
    url = f"{merchant.mypay.simulators['daraja']}/_simulator/ledger"
    return dict((await merchant.client.get(url, params={"reference": reference})).json())


async def test_payouts_end_as_promised(merchant: Shop, account: str) -> None:
    async def live(digits: str) -> Ending:
        to = {"type": "mobile_money", "phone": f"+254708300{digits}"}
        body = {"amount": 15000, "currency": "KES", "account": account, "destination": to}
        shown = await merchant.moved("/v1/payouts", body)
        paid = (await ledger(merchant, await merchant.payout_reference(shown["id"])))["payouts"]
        assert [shown["provider_reference"]] * len(paid) == [each["id"] for each in paid]
        return ending(shown, paid)

    found = dict(zip(PAYOUTS, await asyncio.gather(*map(live, PAYOUTS)), strict=True))
    assert found == PAYOUTS


async def test_refunds_end_as_promised(merchant: Shop, account: str) -> None:
    async def live(digits: str) -> Ending:
        payment = await pay(merchant, "000", account, refund=digits)
        await merchant.until(payment, lambda shown: (shown["provider_reference"] or "").startswith("SIM"))
        shown = await merchant.moved("/v1/refunds", {"payment": payment})
        given = (await ledger(merchant, (await merchant.operation(payment))["reference"]))["refunds"]
        assert (await merchant.get(payment))["amount_refunded"] == 15000 * len(given)
        return ending(shown, given)

    found = dict(zip(REFUNDS, await asyncio.gather(*map(live, REFUNDS)), strict=True))
    assert found == REFUNDS


async def test_what_has_no_receipt_is_not_refunded(merchant: Shop, account: str, ended: Ended[str]) -> None:
    """And a refund of a part is refused: a reversal is of the whole."""
    shown = await merchant.moved("/v1/refunds", {"payment": ended["013"]["id"]})
    assert (shown["status"], shown["failure"]["code"]) == ("failed", "invalid_request")
    assert "receipt" in shown["failure"]["provider_message"]
    body = {"payment": ended["000"]["id"], "amount": 100}
    answer = await merchant.client.post("/v1/refunds", headers=merchant.mypay.headers(), json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/amount")


# --- From the handset -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def registered(merchant: Shop) -> str:
    """An account whose check has registered its callback URL."""
    made = await open_account(merchant, "600620")
    plain: dict[str, Any] = {name: Secret(v) if name in SECRETS else v for name, v in made["plain"].items()}
    settings = DarajaAccount(**plain)
    caller = Caller(PROVIDERS["daraja"], settings, plain["base_url"])
    assert await caller.call(operations.check(settings, made["callback_url"]), deadline_s=30) == Succeeded()
    await caller.aclose()
    return str(made["id"])


SECRETS: Final = {"consumer_key", "consumer_secret", "passkey", "initiator_password"}


async def from_handset(merchant: Shop, account: str) -> None:
    """A payer pays the paybill unasked."""
    url = merchant.mypay.simulators["daraja"]
    token = (
        await merchant.client.get(f"{url}/oauth/v1/generate?grant_type=client_credentials", auth=("k", "s"))
    ).json()
    body = {"ShortCode": "600620", "CommandID": "CustomerPayBillOnline", "Amount": 150, "Msisdn": "254708300999"}
    answer = await merchant.client.post(
        f"{url}/mpesa/c2b/v1/simulate",
        headers={"authorization": f"Bearer {token['access_token']}"},
        json={**body, "BillRefNumber": account},
    )
    assert answer.status_code == 200, answer.text


async def test_a_payment_from_the_handset_is_matched_by_its_account_reference(merchant: Shop, registered: str) -> None:
    """The prompt was never answered; the payer typed the reference that it had shown, in small letters."""
    payment = await pay(merchant, "004", registered)
    await merchant.until(payment, lambda shown: shown["status"] == "processing")
    reference = str((await merchant.operation(payment))["reference"])
    await from_handset(merchant, reference.lower())
    shown = await merchant.final(payment)
    paid, _ = await charges(merchant, payment, reference.lower())
    assert (shown["status"], shown["review"], len(paid)) == ("succeeded", None, 1)
    assert shown["provider_reference"] == paid[0]["id"]


async def test_a_payment_that_nobody_ordered_is_shown_as_unmatched(merchant: Shop, registered: str) -> None:
    await from_handset(merchant, "Order 7")

    async def found() -> dict[str, Any] | None:
        answer = await merchant.client.get("/v1/callbacks?provider=daraja", headers=merchant.mypay.headers())
        told = [each for each in answer.json()["data"] if "Order 7" in each["body"] and each["state"] == "processed"]
        return {each["query"]: each for each in told} if len(told) == 2 else None

    seen = await within(found)
    assert (seen["validation"]["result"], seen["confirmation"]["result"]) == ("ignored", "unmatched")
    assert seen["confirmation"]["account"] == registered


async def test_a_push_and_its_report_as_a_payment_are_one(merchant: Shop, registered: str) -> None:
    """M-Pesa's TransID is the receipt number of the push: no second success."""
    payment = await pay(merchant, "000", registered)
    shown = await merchant.final(payment)
    reference = (await merchant.operation(payment))["reference"]

    async def both_handled() -> bool:
        sql = "select result from callbacks where state = 'processed' and body like $1"
        return len(await merchant.pool.fetch(sql.replace("body", "convert_from(body, 'UTF8')"), f"%{reference}%")) == 1

    await within(both_handled)
    shown = await merchant.get(payment)
    paid, _ = await charges(merchant, payment)
    assert (shown["status"], shown["review"], len(paid)) == ("succeeded", None, 1)
    assert shown["provider_reference"] == paid[0]["id"]


async def test_a_validation_is_answered_in_its_own_words(merchant: Shop, registered: str) -> None:
    answer = await merchant.client.get(f"/v1/accounts/{registered}", headers=merchant.mypay.headers())
    url = answer.json()["callback_url"]
    body = {"TransID": "SDQ5XK3J7T", "TransAmount": "150.00", "BillRefNumber": "Order 8"}
    validated = await merchant.client.post(f"{url}?validation", json=body)
    confirmed = await merchant.client.post(f"{url}?confirmation", json=body)
    assert validated.json() == {"ResultCode": "0", "ResultDesc": "Accepted"}
    assert confirmed.json() == {"ResultCode": 0, "ResultDesc": "Success"}
