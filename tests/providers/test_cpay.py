"""The C-Pay adapter: against its simulator, and against the words and oddities of its document."""

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime

import msgspec
import pytest

from providers.contract import (
    ActionRequired,
    Ambiguous,
    CallbackRequest,
    CallbackUnreadable,
    Declined,
    Otp,
    Pending,
    Reversed,
    Secret,
    Succeeded,
    Unknown,
    Verb,
)
from providers.cpay import spec
from providers.declines import DeclineCode
from providers.registry import PROVIDERS

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["cpay"]


@pytest.fixture
def cpay(simulator, operation, follow_up):
    class CPay:
        def __init__(self, sim):
            self.sim = sim

        def operation(self, digits="000", **fields):
            return operation("cpay", digits=digits, **fields)

        async def charge(self, op, **settings):
            return await self.sim.perform(op, deadline_s=0.5, **settings)

        async def query(self, target):
            return await self.sim.perform(follow_up("cpay", Verb.QUERY, target))

        async def confirm(self, target, otp, **settings):
            return await self.sim.perform(
                follow_up("cpay", Verb.CONFIRM, target, otp=Secret(otp)), deadline_s=0.5, **settings
            )

        async def becomes(self, target, kind):
            async with asyncio.timeout(5):
                while not isinstance(outcome := await self.query(target), kind):
                    await asyncio.sleep(0.01)
            return outcome

        async def charges(self, op):
            return (await self.sim.ledger(reference=op.reference))["charges"]

    async def start(**fields):
        started = CPay(await simulator("cpay", **fields))
        await started.sim.post("/_simulator/secrets", {"api_key": "cpay-key", "secret": "cpay-hmac"})
        return started

    return start


FIRST_AND_LAST = {
    "000": (Pending, Succeeded),
    "002": (Pending, Declined),
    "003": (Pending, Declined),
    "004": (Pending, Pending),
    "005": (Unknown, Succeeded),
    "006": (Ambiguous, Succeeded),
    "013": (Pending, Succeeded),
    "017": (Pending, Succeeded),
    "456": (Pending, Succeeded),
}


@pytest.mark.parametrize("digits", sorted(FIRST_AND_LAST))
@pytest.mark.parametrize("msisdn_format", ["local8", "e164"])
async def test_ussd_push(cpay, digits, msisdn_format):
    box = await cpay()
    op = box.operation(digits)
    first, last = FIRST_AND_LAST[digits]
    assert isinstance(await box.charge(op, msisdn_format=msisdn_format), first)
    await box.becomes(op, last)
    charges = await box.charges(op)
    assert len(charges) == (last is Succeeded)
    assert all((one["amount"], one["currency"], one["payment"]) == (15000, "LSL", op.payment) for one in charges)
    assert (await box.sim.ledger(payment=op.payment))["charges"] == charges


async def test_what_is_said_exactly(cpay):
    box = await cpay()
    await box.charge(op := box.operation("002"))
    outcome = await box.becomes(op, Declined)
    assert (outcome.code, outcome.provider_code) == (DeclineCode.DECLINED, "DENIED")
    await box.charge(op := box.operation("003"))
    assert (await box.becomes(op, Declined)).code is DeclineCode.PAYER_CANCELED
    outcome = await box.charge(box.operation("018"))
    assert (outcome.code, outcome.provider_message) == (DeclineCode.INVALID_PAYER, "Wallet account does not exist")
    outcome = await box.charge(box.operation(), hmac_secret=Secret("wrong"))
    assert (outcome.code, outcome.provider_code) == (DeclineCode.CONFIGURATION, "CHECKSUMERROR")


@pytest.mark.parametrize(
    ("digits", "last"), [("000", Succeeded), ("002", Declined), ("005", Unknown), ("006", Ambiguous)]
)
async def test_otp(cpay, digits, last):
    box = await cpay()
    op = box.operation(digits)
    assert isinstance((await box.charge(op, flow="otp")).action, Otp)
    assert isinstance(await box.query(op), ActionRequired)
    assert "not accept" in (await box.confirm(op, "000000", flow="otp")).action.message
    assert await box.charges(op) == []
    assert isinstance(await box.confirm(op, "123456", flow="otp"), last)
    await box.becomes(op, Declined if last is Declined else Succeeded)
    assert len(await box.charges(op)) == (last is not Declined)


async def test_a_repetition_is_charged_again(cpay):
    """Why the adapter declares no idempotency; and the ledger shows both requests."""
    box = await cpay()
    op = box.operation()
    await box.charge(op)
    await box.charge(op)
    async with asyncio.timeout(5):
        while len(await box.charges(op)) < 2:
            await asyncio.sleep(0.01)
    assert len([one for one in (await box.sim.ledger(payment=op.payment))["requests"] if one["method"] == "POST"]) == 2
    assert SPEC.verbs[Verb.CHARGE].uncertainty.idempotency == "none"
    assert SPEC.verbs[Verb.CHARGE].uncertainty.absence_after_s is None


async def test_a_query_that_finds_nothing_proves_nothing(cpay):
    box = await cpay()
    assert await box.query(box.operation()) == Ambiguous(detail="HTTP 404")


@pytest.mark.parametrize(("digits", "count"), [("000", 1), ("002", 1), ("013", 0), ("017", 3)])
async def test_callbacks(cpay, receiver, digits, count):
    box = await cpay()
    op = box.operation(digits, callback_url=receiver.url)
    await box.charge(op)
    last = await box.becomes(op, (Succeeded, Declined))
    await receiver.wait(count)
    await asyncio.sleep(0.05)
    assert len(receiver.requests) == count
    for request in receiver.requests:
        callback = CallbackRequest(method="POST", query="", headers={}, body=request.content, received_at=op.sent_at)
        [notice] = SPEC.callback.parse(callback)
        assert notice.reference == op.reference
        assert notice.provider_reference == last.provider_reference
        assert type(notice.outcome) is type(last)
    assert SPEC.callback.verify is None


# --- The document ---------------------------------------------------------------------------------------------------


def first_request(op, account):
    return next(SPEC.verbs[op.verb].flow(op, account))


def test_the_charge_is_the_documented_one(operation, settings):
    op = operation("cpay", amount=1999, description="A description that is much too long")
    request = first_request(op, settings("cpay"))
    assert (request.method, request.path) == ("POST", "/api/cpaypayments/paymentrequest/async/transactions")
    body = msgspec.json.decode(request.content)["transactionRequest"]
    salt = f"{op.reference}CC0119.9958123000"
    assert body == {
        "extTransactionId": op.reference,
        "clientCode": "CC01",
        "msisdn": "58123000",
        "otp": "",
        "amount": "19.99",
        "currency": "LSL",
        "shortDescription": "A description that i",
        "checksum": hmac.new(b"cpay-hmac", salt.encode(), hashlib.sha256).hexdigest(),
        "otpMedium": "sms",
        "additionalData": {"payment": op.payment},
        "redirectUrl": op.callback_url,
    }


def test_the_confirmation_signs_the_code(operation, follow_up, settings):
    op = operation("cpay")
    confirm = follow_up("cpay", Verb.CONFIRM, op, otp=Secret("123456"))
    request = first_request(confirm, settings("cpay", flow="otp", msisdn_format="e164"))
    assert request.path == "/api/cpaypayments/confirm"
    body = msgspec.json.decode(request.content)["transactionRequest"]
    salt = f"{op.reference}CC01150.00+26658123000123456"
    assert (body["extTransactionId"], body["otp"]) == (op.reference, "123456")
    assert body["checksum"] == hmac.new(b"cpay-hmac", salt.encode(), hashlib.sha256).hexdigest()


def test_a_published_checksum():
    """HMAC-SHA256 by OpenSSL: printf 'T1C110.0058123456' | openssl dgst -sha256 -hmac key."""
    from providers.cpay.operations import checksum

    account = SPEC.settings(
        base_url="", api_key=Secret(""), client_code="C1", hmac_secret=Secret("key"), merchant_code=""
    )
    assert (
        checksum(account, "T1", "C1", "10.00", "58123456")
        == "27de5699a28e0a7b7ac81450a1508b328133e750afcfcec1f2cd8cfc7b54e1f9"
    )


@pytest.mark.parametrize(
    ("sent_at", "date"),
    [
        ("2026-03-31T21:59:59Z", "2026-03-31"),
        ("2026-03-31T22:00:00Z", "2026-04-01"),
        ("2026-12-31T23:00:00Z", "2027-01-01"),
    ],
)
def test_queries_keep_the_date_of_the_charge_in_lesotho(operation, settings, sent_at, date):
    op = operation("cpay", sent_at=datetime.fromisoformat(sent_at))
    confirm = operation("cpay", Verb.CONFIRM, target=op)
    for target in (op, confirm):
        query = operation("cpay", Verb.QUERY, target=target, sent_at=datetime(2027, 5, 5, tzinfo=UTC))
        request = first_request(query, settings("cpay"))
        assert request.query == {"requestReference": op.reference, "dateTime": date}


@pytest.fixture
def heard(operation, settings, answered):
    """The outcomes of a charge, a query and a confirm that are answered so."""

    def make(fields, status=200, wrap=lambda members: members):
        op = operation("cpay")
        content = fields if isinstance(fields, bytes) else msgspec.json.encode(wrap(fields))
        operations = (
            op,
            operation("cpay", Verb.QUERY, target=op),
            operation("cpay", Verb.CONFIRM, target=op, otp=Secret("1")),
        )
        return [answered("cpay", one, settings("cpay"), status, content) for one in operations]

    return make


SHAPES = {
    "plain": lambda members: members,
    "wrapped": lambda members: {"return": members},
    "capitalised": lambda members: {key[0].upper() + key[1:]: value for key, value in members.items()},
    "lower case": lambda members: {key.lower(): value for key, value in members.items()},
}
MEANINGS = {
    "SUCCESS": Succeeded,
    "processed": Succeeded,
    "Open": Pending,
    "SCHEDULED": Pending,
    "ACCEPTED": Pending,
    "OTPSEND": ActionRequired,
    "DENIED": DeclineCode.DECLINED,
    "CANCELED": DeclineCode.PAYER_CANCELED,
    "Cancelled": DeclineCode.PAYER_CANCELED,
    "EXPIRED": DeclineCode.PAYER_TIMEOUT,
    "FAILED": DeclineCode.DECLINED,
    "REVERSED": Reversed,
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("word", sorted(MEANINGS))
def test_every_status_in_every_shape(heard, word, shape):
    said = {"statusCode": "0000", "paymentRequestStatus": word, "cPayTransactionId": "C1", "reasonCode": None}
    for outcome in heard(said, wrap=SHAPES[shape]):
        assert (outcome.code if isinstance(outcome, Declined) else type(outcome)) is MEANINGS[word]
        assert outcome.provider_reference == "C1"


def test_every_word_of_the_table_is_tried():
    reasons = {"OTPSENT", "PAYMENTINCOMPLETE"}
    assert {word.upper() for word in MEANINGS} | reasons == set(spec.STATUSES)


@pytest.mark.parametrize("reason", ["otpSent", "otpSend", "paymentIncomplete"])
def test_the_payer_must_act(heard, reason):
    assert all(isinstance(outcome, ActionRequired) for outcome in heard({"statusCode": "200", "reasonCode": reason}))


def test_unknown_words_are_pending(heard):
    for outcome in heard({"statusCode": "0000", "paymentRequestStatus": "WAT", "reasonCode": "canceled"}):
        assert outcome == Pending(provider_code="WAT")
    assert heard({"statusCode": "0000"}) == [Pending()] * 3
    assert heard({"statusCode": "9999"}) == [Pending(provider_code="9999")] * 3
    assert heard({}) == [Pending()] * 3


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"reasonCode": "checksumError"}, 200, DeclineCode.CONFIGURATION),
        ({"reasonCode": "checksumError"}, 400, DeclineCode.CONFIGURATION),
        ({"reasonCode": "validationFailure"}, 400, DeclineCode.INVALID_REQUEST),
        ({"description": "Wallet account does not exist."}, 400, DeclineCode.INVALID_PAYER),
        ({"description": "?"}, 400, DeclineCode.CONFIGURATION),
        ({"description": "?"}, 401, DeclineCode.CONFIGURATION),
        (b"<html>", 403, DeclineCode.CONFIGURATION),
        ({"description": "Client code not found"}, 404, DeclineCode.CONFIGURATION),
    ],
)
def test_errors_are_about_the_request_and_never_about_the_payment(heard, said, status, code):
    if status in (401, 403) or not isinstance(said, bytes):
        charge, query, _ = heard(said, status)
        assert charge.code is code
        assert not isinstance(query, Declined)


@pytest.mark.parametrize("status", [302, 408, 409, 424, 429, 500, 502, 503])
def test_other_statuses_prove_nothing(heard, status):
    assert heard({"paymentRequestStatus": "FAILED"}, status) == [Ambiguous(detail=f"HTTP {status}")] * 3


def test_a_bad_request_that_states_a_status_is_believed(heard):
    """Success has been seen under HTTP 400: the body comes first."""
    charge, _, _ = heard({"paymentRequestStatus": "SUCCESS"}, 400)
    assert isinstance(charge, Succeeded)


def test_an_answer_about_another_transaction_proves_nothing(heard):
    said = {"paymentRequestStatus": "SUCCESS", "extTransactionId": "OTHER"}
    assert all(isinstance(outcome, Ambiguous) for outcome in heard(said))


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"extTransactionId": 7}', b"\xff"])
def test_unreadable_callbacks(body, now):
    with pytest.raises(CallbackUnreadable):
        SPEC.callback.parse(CallbackRequest(method="POST", query="", headers={}, body=body, received_at=now()))
