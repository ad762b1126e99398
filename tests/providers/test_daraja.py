"""The Daraja adapter beyond its cases: what requests hold, what goes unanswered, and what the simulator plays."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from providers.conformance.cases import about
from providers.conformance.played import stage
from providers.conformance.suite import subject
from providers.contract import (
    Ambiguous,
    CallbackRequest,
    ConfigurationMissing,
    Declined,
    Deferred,
    Pending,
    Secret,
    Succeeded,
    Throttled,
    Verb,
)
from providers.daraja import cases, operations, spec
from providers.daraja.cases import ACCOUNT, CHARGE, PAID, PAYOUT, PUSHED, REFUND, kenyan
from providers.declines import DeclineCode
from providers.registry import PROVIDERS

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["daraja"]
NOW = datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC)


def first(operation, account=ACCOUNT):
    return next(SPEC.verbs[operation.verb].flow(operation, account))


def body(operation, account=ACCOUNT):
    return msgspec.json.decode(first(operation, account).content)


# --- Requests ---


def test_a_push_is_the_documented_one():
    """The password is base64 of shortcode, passkey and timestamp; the moment is Nairobi's, already the next day."""
    asked = replace(CHARGE, sent_at=NOW, description="A description that is too long")
    request = first(asked)
    assert (request.method, request.path) == ("POST", "/mpesa/stkpush/v1/processrequest")
    assert body(asked) == {
        "BusinessShortCode": "600610",
        "Password": base64.b64encode(b"600610the-passkey-of-60061020260401005959").decode(),
        "Timestamp": "20260401005959",
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 150,
        "PartyA": "254708300000",
        "PartyB": "600610",
        "PhoneNumber": "254708300000",
        "CallBackURL": asked.callback_url,
        "AccountReference": asked.reference,
        "TransactionDesc": "A description",
    }
    assert len(asked.reference) == 12


def test_a_published_password():
    """`printf '174379bfb2…c91920160216165627' | base64`, from Safaricom's public sandbox passkey."""
    passkey = "bfb279f9aa9bdbcf158e97dd71a467cd2e0c893059b10f78e6b72ada1ed2c919"
    account = replace(ACCOUNT, shortcode="174379", passkey=Secret(passkey))
    sent = datetime(2016, 2, 16, 13, 56, 27, tzinfo=UTC)
    assert body(replace(CHARGE, sent_at=sent), account)["Password"] == (
        "MTc0Mzc5YmZiMjc5ZjlhYTliZGJjZjE1OGU5N2RkNzFhNDY3Y2QyZTBjODkzMDU5YjEwZjc4ZTZiNzJhZGExZWQyYzkxOTIwMTYwMjE2MTY1NjI3"
    )


def test_a_till_is_paid_through_its_store():
    account = replace(ACCOUNT, transaction_type="till", party_b="5551234")
    said = body(CHARGE, account)
    assert (said["BusinessShortCode"], said["PartyB"]) == ("600610", "5551234")
    assert said["TransactionType"] == "CustomerBuyGoodsOnline"
    assert body(about(PAID, spec.REFERENCE), account)["IdentifierType"] == "2"


def test_a_payout_and_a_reversal_are_the_documented_ones():
    said = body(PAYOUT)
    assert (first(PAYOUT).path, said.pop("SecurityCredential") != "") == ("/mpesa/b2c/v3/paymentrequest", True)
    assert said == {
        "OriginatorConversationID": PAYOUT.reference,
        "InitiatorName": "testapi",
        "CommandID": "BusinessPayment",
        "Amount": 150,
        "PartyA": "600610",
        "PartyB": "254708300000",
        "Remarks": PAYOUT.reference,
        "ResultURL": PAYOUT.callback_url + "?payout",
        "QueueTimeOutURL": PAYOUT.callback_url + "?payout-late",
        "Occassion": "",
    }
    said = body(REFUND)
    assert (first(REFUND).path, said.pop("SecurityCredential") != "") == ("/mpesa/reversal/v1/request", True)
    assert said == {
        "Initiator": "testapi",
        "CommandID": "TransactionReversal",
        "TransactionID": cases.RECEIPT,
        "Amount": 150,
        "ReceiverParty": "600610",
        "RecieverIdentifierType": "11",
        "Remarks": REFUND.reference,
        "ResultURL": REFUND.callback_url + "?reversal",
        "QueueTimeOutURL": REFUND.callback_url + "?reversal-late",
        "Occasion": "",
    }


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Safaricom")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    dated = made.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_the_security_credential_is_the_password_under_the_certificate():
    key = rsa.generate_private_key(65537, 2048)
    account = replace(ACCOUNT, certificate=certificate(key), initiator_password=Secret("Safaricom999!*!"))
    sealed = base64.b64decode(body(PAYOUT, account)["SecurityCredential"])
    assert key.decrypt(sealed, padding.PKCS1v15()) == b"Safaricom999!*!"
    assert first(PAYOUT, account) == first(PAYOUT, account), "the padding is random, and kept"


# --- Without a request ------------------------------------------------------------------------------------------------


def outcome(operation, account=ACCOUNT):
    with pytest.raises(StopIteration) as end:
        next(SPEC.verbs[operation.verb].flow(operation, account))
    return end.value.value


@pytest.mark.parametrize(
    "lacking",
    [
        {"initiator_name": None},
        {"initiator_password": None},
        {"certificate": None},
        {"certificate": "no certificate"},
        {"certificate": certificate(ec.generate_private_key(ec.SECP256R1()))},
    ],
    ids=["name", "password", "certificate", "nonsense", "no RSA"],
)
def test_without_an_initiator_nothing_is_sent(lacking):
    account = replace(ACCOUNT, **lacking)
    for operation in (PAYOUT, REFUND):
        assert outcome(operation, account).code is DeclineCode.CONFIGURATION
    assert outcome(about(PAID, spec.REFERENCE), account) == Ambiguous(detail="no initiator to ask as")
    told = about(PUSHED, spec.REFERENCE, provider_reference=cases.RECEIPT)
    assert first(told, account).path == spec.PUSH_QUERY_PATH, "the push can still be asked about"


def test_what_has_no_receipt_is_not_reversed():
    assert outcome(about(PUSHED, spec.REFERENCE, Verb.REFUND)).code is DeclineCode.INVALID_REQUEST


def test_what_has_no_name_is_not_asked_about():
    assert outcome(about(CHARGE, spec.REFERENCE)) == Ambiguous(detail="nothing to ask by")
    assert outcome(about(REFUND, spec.REFERENCE)) == Ambiguous(detail="nothing to ask by")


@pytest.mark.parametrize(
    ("known", "told", "path", "name"),
    [
        (cases.CHECKOUT, None, spec.PUSH_QUERY_PATH, cases.CHECKOUT),
        (None, cases.CHECKOUT, spec.PUSH_QUERY_PATH, cases.CHECKOUT),
        (cases.CHECKOUT, "ws_CO_other", spec.PUSH_QUERY_PATH, cases.CHECKOUT),
        (cases.CHECKOUT, cases.RECEIPT, spec.STATUS_PATH, cases.RECEIPT),
        (cases.RECEIPT, "ws_CO_other", spec.STATUS_PATH, cases.RECEIPT),
        (cases.RECEIPT, "OTHER00000", spec.STATUS_PATH, "OTHER00000"),
    ],
)
def test_by_which_name_a_charge_is_asked_about(known, told, path, name):
    """A receipt that a callback tells is asked about; another push that it names never is, where we know our own."""
    request = first(about(replace(CHARGE, provider_reference=known), spec.REFERENCE, provider_reference=told))
    said = msgspec.json.decode(request.content)
    assert (request.path, said.get("CheckoutRequestID") or said.get("TransactionID")) == (path, name)


@pytest.mark.parametrize(("environment", "livemode", "right"), [("sandbox", False, True), ("live", True, True)])
def test_environments(environment, livemode, right):
    account = replace(ACCOUNT, environment=environment)
    assert SPEC.base_url(account, livemode).startswith("https://")
    with pytest.raises(ConfigurationMissing):
        SPEC.base_url(account, not livemode)
    assert SPEC.base_url(replace(account, base_url="http://here"), not livemode) == "http://here"


# --- At the simulator ---


@pytest.fixture
async def on():
    async with stage(subject("daraja"), ACCOUNT) as made:
        yield made


async def performed(on, operation):
    asked = replace(operation, callback_url=on.callback_url, sent_at=datetime.now(UTC))
    outcome = await on.perform(asked)
    return outcome, replace(asked, provider_reference=getattr(outcome, "provider_reference", None))


async def becomes(on, operation, kind):
    async with asyncio.timeout(30):
        while not isinstance(outcome := await on.perform(_query(on, operation)), kind):
            await asyncio.sleep(0.01)
    return outcome


def _query(on, operation):
    return about(operation, spec.REFERENCE, number=99, callback_url=on.callback_url)


async def told(on, **query):
    """The notices of the callbacks that came to an address, once there is one."""
    async with asyncio.timeout(30):
        while True:
            found = [one for one in on.callbacks if one.query == query]
            if found:
                return [notice for one in found for notice in parse(one)]
            await asyncio.sleep(0.01)


def parse(request):
    query = "&".join(request.query)
    return SPEC.callback.parse(
        CallbackRequest(method="POST", query=query, headers={}, body=request.content, received_at=NOW)
    )


async def paid(on, digits="00000"):
    """A payment and its receipt, as its callback tells them."""
    _, push = await performed(on, kenyan(digits=digits))
    await becomes(on, push, Succeeded)
    [notice, *_] = await told(on)
    assert notice.provider_reference == push.provider_reference
    return replace(push, provider_reference=notice.outcome.provider_reference)


async def test_a_repeated_push_is_another_prompt(on):
    """Why the adapter declares no idempotency."""
    _, push = await performed(on, CHARGE)
    _, again = await performed(on, CHARGE)
    assert push.provider_reference != again.provider_reference
    for one in (push, again):
        await becomes(on, one, Succeeded)
    assert len((await on.ledger(CHARGE.reference))["charges"]) == 2
    assert SPEC.verbs[Verb.CHARGE].uncertainty.idempotency == "none"


async def test_a_repeated_payout_is_refused(on):
    """Why the adapter declares idempotency by reference."""
    outcome, _ = await performed(on, PAYOUT)
    assert isinstance(outcome, Pending)
    assert (await performed(on, PAYOUT))[0] == Ambiguous(detail=spec.DUPLICATE)
    assert len((await on.ledger(PAYOUT.reference))["payouts"]) == 1


async def test_a_payout_is_answered_later(on):
    _, payout = await performed(on, PAYOUT)
    [notice] = await told(on, payout="")
    assert notice.answer
    assert notice.provider_reference == payout.provider_reference
    assert (notice.outcome.amount, notice.outcome.currency) == (15000, "KES")
    asked = await becomes(on, payout, Deferred)
    [notice, *_] = await told(on, status="")
    assert notice.answer
    assert notice.provider_reference == asked.provider_reference
    assert notice.outcome.amount == 15000


@pytest.mark.parametrize(
    ("digits", "code"), [("00002", DeclineCode.INSUFFICIENT_FUNDS), ("00003", DeclineCode.INVALID_PAYER)]
)
async def test_a_payout_may_be_declined(on, digits, code):
    _, payout = await performed(on, kenyan(Verb.PAYOUT, digits=digits, number=3))
    [notice] = await told(on, payout="")
    assert (notice.outcome.code, notice.answer) == (code, True)
    assert (await on.ledger(payout.reference))["payouts"] == []


async def test_a_result_may_be_late(on):
    """That proves nothing: it only makes us ask."""
    await performed(on, kenyan(Verb.PAYOUT, digits="00019", number=3))
    [notice] = await told(on, **{"payout-late": ""})
    assert (notice.outcome, notice.answer) == (Pending(), False)


async def test_a_forged_result_quotes_another_name(on):
    _, payout = await performed(on, kenyan(Verb.PAYOUT, digits="00016", number=3))
    [notice] = await told(on, payout="")
    assert isinstance(notice.outcome, Succeeded)
    assert notice.provider_reference != payout.provider_reference


async def test_a_reversal_by_receipt_once(on):
    charge = await paid(on)
    reversal = about(charge, spec.REFERENCE, Verb.REFUND, number=4)
    outcome, reversal = await performed(on, reversal)
    assert isinstance(outcome, Pending)
    [notice] = await told(on, reversal="")
    assert (notice.provider_reference, notice.answer) == (reversal.provider_reference, True)
    assert isinstance(notice.outcome, Succeeded)
    assert len((await on.ledger(charge.reference))["refunds"]) == 1
    await performed(on, about(charge, spec.REFERENCE, Verb.REFUND, number=5))
    async with asyncio.timeout(30):
        while len(found := await told(on, reversal="")) < 2:
            await asyncio.sleep(0.01)
    assert found[1].outcome.code is DeclineCode.DUPLICATE
    assert len((await on.ledger(charge.reference))["refunds"]) == 1


async def test_what_a_simulator_forgot_is_logged_in_again(on):
    """The token is refused before anything is done; the next call has a new one."""
    await performed(on, kenyan(number=7))
    broken = on._caller._login
    on._caller._login = replace(broken, headers={"authorization": Secret("Bearer old")})
    assert await on.perform(replace(CHARGE, callback_url=on.callback_url)) == Throttled(provider_code="404.001.03")
    assert (await on.ledger(CHARGE.reference))["charges"] == []
    assert isinstance((await performed(on, CHARGE))[0], Pending)


async def test_a_wrong_passkey_and_a_wrong_key(on):
    flow = SPEC.verbs[Verb.CHARGE].flow(CHARGE, replace(ACCOUNT, passkey=Secret("wrong")))
    outcome = await on._caller.call(flow, deadline_s=20)
    assert (outcome.code, outcome.provider_code) == (DeclineCode.CONFIGURATION, spec.BUSY)
    async with stage(subject("daraja"), replace(ACCOUNT, consumer_key=Secret("bad"))) as other:
        assert await other.perform(CHARGE) == Declined(code=DeclineCode.CONFIGURATION, provider_code="400")


async def test_the_check_registers_once(on):
    """Payments from handsets are reported from then on; that they already are is as good."""
    assert await on._caller.call(operations.check(ACCOUNT, on.callback_url), deadline_s=20) == Succeeded()
    await performed(on, CHARGE)
    [notice] = await told(on, confirmation="")
    assert (notice.reference, notice.answer) == (CHARGE.reference, False)
    taken = replace(ACCOUNT, shortcode="600999")
    assert await on._caller.call(operations.check(taken, on.callback_url), deadline_s=20) == Succeeded()
