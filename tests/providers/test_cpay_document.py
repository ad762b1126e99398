"""The C-Pay adapter against the words and oddities of C-Pay's document."""

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
    Pending,
    Reversed,
    Secret,
    Succeeded,
    Verb,
)
from providers.cpay import spec
from providers.declines import DeclineCode
from providers.registry import PROVIDERS

SPEC = PROVIDERS["cpay"]


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
