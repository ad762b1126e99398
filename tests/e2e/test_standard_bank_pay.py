"""Standard Bank Pay: pages to approve at, callbacks signed or not, and payments that can only be asked about by the
bank's own name."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from tests.e2e.shop import Ended, Shop, phone, shop, within
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("standard_bank_pay")
SECRET = "whsec_5bAnb8CjQ8Y6ZNRbzgLLEc2/F0CtxnQUbRCg1pJZ5Mg="


class Promise(NamedTuple):
    """How a payer of the simulator's ends a payment, and how many callbacks come, which are proof."""

    status: str
    failure: str | None = None
    charges: int = 1
    callbacks: int = 1


PROMISES = {
    "000": Promise("succeeded"),
    "001": Promise("succeeded"),
    "002": Promise("failed", "declined", charges=0),
    "003": Promise("failed", "payer_canceled", charges=0),
    "004": Promise("expired", "expired", charges=0, callbacks=0),
    "005": Promise("succeeded"),  # settled and never answered: only the callback tells the bank's name of it
    "006": Promise("succeeded"),
    "012": Promise("succeeded", callbacks=5),
    "013": Promise("succeeded", callbacks=0),
    "016": Promise("succeeded", callbacks=2),  # one of them is forged
}
Payments = Ended[str]


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("bank"), pace=0.1) as running:
        yield running


@pytest.fixture(scope="module")
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        yield merchant


async def open_account(merchant: Shop, api_key: str, **settings: Any) -> str:
    """An account of ours at the simulator, which signs callbacks if it knows a secret."""
    simulator = merchant.mypay.simulators["standard_bank_pay"]
    if secret := settings.get("webhook_secret"):
        shared = {"api_key": api_key, "secret": secret}
        assert (await merchant.client.post(f"{simulator}/_simulator/secrets", json=shared)).status_code == 200
    known = {"base_url": f"{simulator}/api/v1", "api_key": api_key, "client_id": "sbp-client-001"}
    body = {"provider": "standard_bank_pay", "settings": {**known, **settings}}
    answer = await merchant.client.post("/v1/accounts", headers=merchant.mypay.headers(), json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="module")
async def signed(merchant: Shop) -> str:
    return await open_account(merchant, "sbp_test_sk_signed", webhook_secret=SECRET)


@pytest.fixture(scope="module")
async def unsigned(merchant: Shop) -> str:
    return await open_account(merchant, "sbp_test_sk_unsigned")


async def pay(merchant: Shop, digits: str, account: str, **more: Any) -> str:
    made = await merchant.pay(phone(digits), provider="standard_bank_pay", account=account, **more)
    assert made["provider"] == "standard_bank_pay"
    return str(made["id"])


async def ledger(merchant: Shop, payment: str) -> dict[str, list[dict[str, Any]]]:
    """What the bank did; its protocol carries our reference only."""
    reference = (await merchant.operation(payment))["reference"]
    url = f"{merchant.mypay.simulators['standard_bank_pay']}/_simulator/ledger"
    return dict((await merchant.client.get(url, params={"reference": reference})).json())


async def source(merchant: Shop, payment: str) -> str:
    """Who told how it ended."""
    evidence = (await merchant.operation(payment))["evidence"].replace(b": ", b":").decode()
    return str(evidence.partition('"source":"')[2].partition('"')[0])


@pytest.fixture(scope="module")
async def ended(merchant: Shop, signed: str) -> Payments:
    """One payment of each kind, side by side, once each has ended."""

    async def live(digits: str) -> dict[str, Any]:
        payment = await pay(merchant, digits, signed)
        if digits == "004":
            await merchant.expire_in(payment, 2)
        return await merchant.final(payment)

    return await Ended.side_by_side(PROMISES, live)


@pytest.mark.parametrize("digits", PROMISES)
async def test_it_ends_as_promised(merchant: Shop, ended: Payments, digits: str) -> None:
    shown, promise = ended[digits], PROMISES[digits]
    assert (shown["status"], shown["failure"] and shown["failure"]["code"]) == (promise.status, promise.failure)
    found = await ledger(merchant, shown["id"])
    assert len(found["charges"]) == promise.charges
    assert len([one for one in found["requests"] if one["method"] == "POST"]) == 1, "sent once, whatever came of it"
    for charge in found["charges"]:
        assert (charge["amount"], charge["id"]) == (15000, shown["provider_reference"])


@pytest.mark.parametrize("digits", PROMISES)
async def test_callbacks_are_proof_or_forged(merchant: Shop, ended: Payments, digits: str) -> None:
    payment, promise = ended[digits]["id"], PROMISES[digits]
    operation = await merchant.operation(payment)
    sql = "select coalesce(result, state) from callbacks where operation_id = $1"

    async def handled() -> list[str] | None:
        results = [row[0] for row in await merchant.pool.fetch(sql, operation["id"])]
        return [*results, "all"] if len(results) == promise.callbacks and "received" not in results else None

    results = await within(handled)
    assert set(results) <= {"applied", "duplicate", "forged", "all"}
    assert ("forged" in results) == (digits == "016")
    if promise.callbacks == 0:
        assert await source(merchant, payment) == "query"


async def test_without_a_secret_a_callback_tells_only_what_to_ask_about(merchant: Shop, unsigned: str) -> None:
    """Settled without an answer: the bank's name of it comes with the callback, the proof with our query."""
    payment = await pay(merchant, "005", unsigned)
    assert (await merchant.final(payment))["status"] == "succeeded"
    assert await source(merchant, payment) == "query"
    assert len((await ledger(merchant, payment))["charges"]) == 1


async def test_the_payer_approves_at_the_banks_page(merchant: Shop, signed: str) -> None:
    """And the page's address stays, however often the bank says that it still waits."""
    payment = await pay(merchant, "021", signed, prefer="wait=20")
    shown = await merchant.get(payment)
    assert (shown["status"], shown["next_action"]["type"]) == ("requires_action", "redirect")
    operation = await merchant.operation(payment)
    sql = "select count(*) from operations where target_id = $1 and state = 'succeeded'"
    await within(merchant.pool.fetchval, sql, operation["id"])
    assert (await merchant.get(payment)) == shown
    await merchant.client.post(shown["next_action"]["url"] + "?pay=yes")
    assert (await merchant.final(payment))["status"] == "succeeded"


async def test_above_the_banks_daily_limit(merchant: Shop, signed: str) -> None:
    payment = await pay(merchant, "000", signed, amount=100_001)
    shown = await merchant.final(payment)
    known = {"code": "limit_exceeded", "provider_code": "Amount exceeds daily limit"}
    assert (shown["status"], shown["failure"] | known) == ("failed", shown["failure"])


async def test_a_bank_without_an_answer_and_a_callback_is_never_sent_to_again(merchant: Shop, signed: str) -> None:
    """An HTTP 503 proves nothing, and nothing can be asked: it stays unknown, and the payer is not charged twice."""
    payment = await pay(merchant, "007", signed)
    operation = await merchant.operation(payment)
    sql = "select count(*) > 1 from operations where target_id = $1 and state = 'unknown'"
    await within(merchant.pool.fetchval, sql, operation["id"])
    assert (await merchant.operation(payment))["state"] == "unknown"
    assert (await merchant.get(payment))["status"] == "processing"
    requests = (await ledger(merchant, payment))["requests"]
    assert len([one for one in requests if one["method"] == "POST"]) == 1
