"""Standard Bank Pay's cases: the contract as its users saw it, and a bank that speaks otherwise, by settings alone."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from providers.conformance.cases import (
    CallbackCase,
    Case,
    Cases,
    Scenario,
    Signing,
    Step,
    about,
    answer,
    operation,
)
from providers.contract import (
    ActionRequired,
    Ambiguous,
    Declined,
    Notice,
    Operation,
    Outcome,
    Pending,
    Redirected,
    Reversed,
    Secret,
    Succeeded,
    Unknown,
)
from providers.declines import DeclineCode
from providers.references import UUID4
from providers.standard_bank_pay.spec import StandardBankPayAccount

ACCOUNT: Final = StandardBankPayAccount(
    base_url="http://127.0.0.1:9",
    api_key=Secret("sbp_test_sk_one"),
    client_id="sbp-client-001",
    webhook_secret=Secret("whsec_5bAnb8CjQ8Y6ZNRbzgLLEc2/F0CtxnQUbRCg1pJZ5Mg="),
)
STRANGER: Final = replace(ACCOUNT, webhook_secret=Secret("whsec_c3RyYW5nZXI="))
TIMESTAMPED: Final = replace(
    ACCOUNT, api_key=Secret("sbp_test_sk_two"), webhook_secret=Secret("t_bank"), signature_scheme="timestamped"
)
BODY: Final = replace(
    ACCOUNT, api_key=Secret("sbp_test_sk_six"), webhook_secret=Secret("plain-bank"), signature_scheme="body"
)
UNSIGNED: Final = replace(ACCOUNT, api_key=Secret("sbp_test_sk_none"), webhook_secret=None)
CLIENT: Final = replace(ACCOUNT, authorization="client_credentials")

# A bank with other words in other places, amounts in major units, and a status that repeats them.
OTHER: Final = replace(
    ACCOUNT,
    amounts="major",
    status_words={"ACSC": "succeeded", "PDNG": "pending", "RJCT": "insufficient_funds"},
    paths={
        "initiate": "/pay",
        "status": "/pay/{reference}",
        "request_amount": "instructedAmount.amount",
        "request_currency": "instructedAmount.currency",
        "request_phone": "payer.msisdn",
        "request_reference": "endToEndId",
        "reference": "data.0.id",
        "state": "data.0.status",
        "approval_url": "links.redirect",
        "amount": "data.0.amount",
        "currency": "data.0.currency",
        "callback_reference": "id",
        "callback_state": "status",
        "callback_amount": "amount",
        "callback_currency": "currency",
    },
)

REF: Final = "SBP00000001"
URL: Final = "https://bank.example/approve/SBP00000001"
CHARGE: Final = operation(UUID4)
KNOWN: Final = replace(CHARGE, provider_reference=REF)
QUERY: Final = about(KNOWN, UUID4)
BLIND_QUERY: Final = about(CHARGE, UUID4)
APPROVE: Final = ActionRequired(action=Redirected(URL), provider_reference=REF)
SUCCEEDED: Final = Succeeded(provider_reference=REF)


def begun(state: str, **fields: Any) -> dict[str, Any]:
    """The answer to an initiation."""
    known = {"sbp_txn_ref": REF, "processing_state": state, "approval_url": URL, "expires_in_seconds": 300}
    return {**known, "meta": {"risk_score": 0.1}, **fields}


def shown(state: str, **fields: Any) -> dict[str, Any]:
    """The answer to a query."""
    return {"processing_state": state, "ledger_entry_id": None, **fields}


def case(
    says: str,
    asked: Operation,
    body: object,
    expect: Outcome,
    row: str | None = None,
    *,
    status: int = 200,
    account: Struct | None = None,
) -> Case:
    """One answer and what it means."""
    return Case(says=says, operation=asked, answers=(answer(body, status),), expect=expect, row=row, account=account)


def declined(word: str, code: DeclineCode) -> tuple[Case, ...]:
    """A word of a payment that came to nothing."""
    expect = Declined(code=code, provider_code=word, provider_reference=REF)
    return (
        case(f"charge: {word}", CHARGE, begun(word), expect, word, status=201),
        case(f"query: {word}", QUERY, shown(word), expect, word),
    )


def refused(status: int, code: DeclineCode) -> Case:
    """A refusal in words that are in no table."""
    expect = Declined(code=code, provider_code=str(status), provider_message="No.")
    return case(f"HTTP {status}", CHARGE, {"error": "No."}, expect, str(status), status=status)


def other(state: str, **fields: Any) -> dict[str, Any]:
    """An answer of the other bank."""
    return {"data": [{"id": REF, "status": state, "amount": 150.00, "currency": "LSL", **fields}]}


ANSWERS: Final = (
    case("settled at once", CHARGE, begun("SETTLED"), SUCCEEDED, "SETTLED", status=201),
    case("the payer must approve", CHARGE, begun("AWAITING_CUSTOMER"), APPROVE, "AWAITING_CUSTOMER", status=201),
    case(
        "the payer must approve, nobody says where",
        CHARGE,
        begun("AWAITING_CUSTOMER", approval_url=None),
        Pending(provider_reference=REF, awaits_payer=True),
        status=201,
    ),
    case("settled", QUERY, shown("SETTLED", ledger_entry_id="LE-1"), SUCCEEDED, "SETTLED"),
    case(
        "the payer has not decided",
        QUERY,
        shown("AWAITING_CUSTOMER"),
        Pending(provider_reference=REF, awaits_payer=True),
    ),
    case("asked by our id", BLIND_QUERY, shown("SETTLED", sbp_txn_ref=REF), SUCCEEDED, "SETTLED"),
    case(
        "asked by our id, which it does not know",
        BLIND_QUERY,
        {"error": "Payment not found"},
        Ambiguous(detail="HTTP 404"),
        status=404,
    ),
    *declined("DECLINED", DeclineCode.DECLINED),
    *declined("FAILED", DeclineCode.DECLINED),
    *declined("REJECTED", DeclineCode.DECLINED),
    *declined("EXPIRED", DeclineCode.PAYER_TIMEOUT),
    *declined("CANCELLED", DeclineCode.PAYER_CANCELED),
    case("reversed", QUERY, shown("REVERSED"), Reversed(provider_reference=REF), "REVERSED"),
    case("refunded", QUERY, shown("REFUNDED"), Reversed(provider_reference=REF), "REFUNDED"),
    case("a word that is in no table", QUERY, shown("WAT"), Pending(provider_reference=REF, provider_code="WAT")),
    case(
        "above the daily limit",
        CHARGE,
        {"error": "Amount exceeds daily limit"},
        Declined(code=DeclineCode.LIMIT_EXCEEDED, provider_code="Amount exceeds daily limit"),
        "Amount exceeds daily limit",
        status=422,
    ),
    refused(400, DeclineCode.INVALID_REQUEST),
    refused(401, DeclineCode.CONFIGURATION),
    refused(403, DeclineCode.CONFIGURATION),
    refused(422, DeclineCode.DECLINED),
    case("an error of the bank's", CHARGE, {"error": "Internal"}, Ambiguous(detail="HTTP 500"), status=500),
    case(
        "about another payment",
        QUERY,
        shown("SETTLED", sbp_txn_ref="SBP2"),
        Ambiguous(detail="the answer is about another payment"),
    ),
    case("another bank: accepted", CHARGE, other("PDNG"), Pending(provider_reference=REF), status=201, account=OTHER),
    case(
        "another bank: settled",
        QUERY,
        other("ACSC"),
        Succeeded(provider_reference=REF, amount=15000, currency="LSL"),
        account=OTHER,
    ),
    case(
        "another bank: refused",
        QUERY,
        other("RJCT"),
        Declined(code=DeclineCode.INSUFFICIENT_FUNDS, provider_code="RJCT", provider_reference=REF),
        account=OTHER,
    ),
)


def callback(
    event: str, state: str, outcome: Outcome, row: str | None = None, account: StandardBankPayAccount | None = None
) -> CallbackCase:
    """A callback, and the same payment as a query's answer."""
    details = {"ledger_entry_id": "LE-1", "net_amount": 14850}
    body = {"event_type": event, "sbp_txn_ref": REF, "details": details}
    return CallbackCase(
        says=f"it is {event}",
        about=KNOWN,
        body=msgspec.json.encode(body),
        expect=(Notice(outcome=outcome, provider_reference=REF),),
        poll=(answer(shown(state)),),
        row=row,
        account=account,
    )


CALLBACKS: Final = (
    callback("PAYMENT_SETTLED", "SETTLED", SUCCEEDED, "PAYMENT_SETTLED"),
    callback(
        "CANCELLED",
        "CANCELLED",
        Declined(code=DeclineCode.PAYER_CANCELED, provider_code="CANCELLED", provider_reference=REF),
        "CANCELLED",
    ),
)


def standard(body: bytes, account: StandardBankPayAccount, at: datetime) -> Mapping[str, str]:
    """Standard Webhooks 1.0."""
    key = base64.b64decode(str(account.webhook_secret).removeprefix("whsec_"))
    timestamp = str(int(at.timestamp()))
    signature = hmac.digest(key, f"evt_1.{timestamp}.".encode() + body, hashlib.sha256)
    given = "v1," + base64.b64encode(signature).decode()
    return {"webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": given}


def timestamped(body: bytes, account: StandardBankPayAccount, at: datetime) -> Mapping[str, str]:
    """As Stripe does, in the bank's header."""
    timestamp = str(int(at.timestamp()))
    key = str(account.webhook_secret).encode()
    signature = hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-sbp-signature": f"t={timestamp},v1={signature}"}


def plain(body: bytes, account: StandardBankPayAccount, at: datetime) -> Mapping[str, str]:
    """The body alone."""
    key = str(account.webhook_secret).encode()
    return {"x-sbp-signature": hmac.new(key, body, hashlib.sha256).hexdigest()}


def of_stranger(account: StandardBankPayAccount) -> StandardBankPayAccount:
    """Another account of the same bank."""
    return replace(account, webhook_secret=Secret("t_stranger"))


def payer(digits: str) -> Operation:
    """A charge to a payer who behaves as the last digits of the phone say."""
    return operation(UUID4, phone=f"+26658123{digits}")


def scenario(
    says: str,
    digits: str,
    first: type[Outcome],
    last: type[Outcome],
    moved: int | None = None,
    *,
    callbacks: int = 0,
    account: StandardBankPayAccount | None = None,
    presses: str | None = None,
) -> Scenario:
    """A charge."""
    step = Step(
        operation=payer(digits),
        first=first,
        last=last,
        moved=int(last is Succeeded) if moved is None else moved,
        deadline_s=0.3 if first is Unknown else 5,
        presses=presses,
    )
    return Scenario(says=says, steps=(step,), callbacks=callbacks, account=account)


SCENARIOS: Final = (
    scenario("settled at once", "000", Succeeded, Succeeded, callbacks=1),
    scenario("approved", "001", ActionRequired, Succeeded, callbacks=1),
    scenario("approved, signed with a time", "001", ActionRequired, Succeeded, callbacks=1, account=TIMESTAMPED),
    scenario("approved, the body signed", "001", ActionRequired, Succeeded, callbacks=1, account=BODY),
    scenario("approved, nothing signed", "001", ActionRequired, Succeeded, callbacks=1, account=UNSIGNED),
    scenario("approved, by a client with credentials", "001", ActionRequired, Succeeded, account=CLIENT),
    scenario("declined", "002", ActionRequired, Declined, callbacks=1),
    scenario("canceled", "003", ActionRequired, Declined, callbacks=1),
    scenario("never decided", "004", ActionRequired, Pending),
    scenario("settled, and no answer: nothing can be asked", "005", Unknown, Ambiguous, 1),
    scenario("settled, and an HTTP 500: nothing can be asked", "006", Ambiguous, Ambiguous, 1),
    scenario("an HTTP 503, and nothing happened", "007", Ambiguous, Ambiguous),
    scenario("settled, and the connection is reset", "008", Unknown, Ambiguous, 1),
    scenario("callbacks repeated and out of order", "012", ActionRequired, Succeeded, callbacks=5),
    scenario("no callback", "013", ActionRequired, Succeeded),
    scenario("a forged callback", "016", ActionRequired, Succeeded, callbacks=1),
    scenario("the payer pays at the bank's page", "021", ActionRequired, Succeeded, presses="?pay=yes"),
    scenario("the payer declines at the bank's page", "021", ActionRequired, Declined, presses="?pay=no"),
    scenario("a state nobody has heard of", "022", Pending, Pending),
)

CASES: Final = Cases(
    account=ACCOUNT,
    answers=ANSWERS,
    callbacks=CALLBACKS,
    signings=(
        Signing(says="Standard Webhooks", sign=standard, account=ACCOUNT, stranger=STRANGER),
        Signing(says="timestamped", sign=timestamped, account=TIMESTAMPED, stranger=of_stranger(TIMESTAMPED)),
        Signing(says="body", sign=plain, account=BODY, stranger=of_stranger(BODY), dated=False),
    ),
    scenarios=SCENARIOS,
    secrets={str(each.api_key): str(each.webhook_secret) for each in (ACCOUNT, TIMESTAMPED, BODY)},
    unreadable=(b'{"event_type": "PAYMENT_SETTLED"}', b'{"sbp_txn_ref": true}'),
)
