"""pawaPay's cases, from its pages (docs.pawapay.io/v2) and its staff's reference files: words, failures, signatures."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from providers.conformance.cases import (
    CALLBACK_URL,
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
    Absent,
    Ambiguous,
    Declined,
    Notice,
    Operation,
    Outcome,
    Pending,
    Secret,
    Succeeded,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.pawapay.spec import PawaPayAccount
from providers.references import UUID4

KEY: Final = ec.derive_private_key(2**200 + 7, ec.SECP256R1())
NEXT_KEY: Final = ec.derive_private_key(2**200 + 8, ec.SECP256R1())
STRANGERS_KEY: Final = ec.derive_private_key(2**200 + 9, ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The public half, as pawaPay publishes it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


ACCOUNT: Final = PawaPayAccount(api_token=Secret("pawapay-token"), signing="required", public_key=pem(KEY))
STRANGER: Final = msgspec.structs.replace(ACCOUNT, public_key=pem(STRANGERS_KEY))
ROTATING: Final = msgspec.structs.replace(ACCOUNT, public_key=pem(NEXT_KEY) + pem(KEY))

CHARGE: Final = operation(UUID4, description="Order 1001: shoes, size 42")
REFUND: Final = about(CHARGE, UUID4, Verb.REFUND, number=3)
PAYOUT: Final = operation(UUID4, Verb.PAYOUT, number=4)
NAMES: Final = {Verb.CHARGE: "depositId", Verb.REFUND: "refundId", Verb.PAYOUT: "payoutId"}
QUERIES: Final = tuple(about(each, UUID4, number=9) for each in (CHARGE, REFUND, PAYOUT))
QUERY: Final = QUERIES[0]
NETWORK_ID: Final = "ABC123DEF456"
SUCCEEDED: Final = Succeeded(provider_reference=NETWORK_ID, amount=15000, currency="LSL")

REFUSED: Final = {  # under which HTTP status, by failure code: what is wrong with a request
    DeclineCode.CONFIGURATION: (
        (401, "NO_AUTHENTICATION"),
        *((403, word) for word in ("AUTHENTICATION_ERROR", "AUTHORISATION_ERROR", "HTTP_SIGNATURE_ERROR")),
        *((403, word) for word in ("DEPOSITS_NOT_ALLOWED", "PAYOUTS_NOT_ALLOWED", "REFUNDS_NOT_ALLOWED")),
    ),
    DeclineCode.INVALID_REQUEST: (
        *((400, word) for word in ("INVALID_INPUT", "MISSING_PARAMETER", "UNSUPPORTED_PARAMETER")),
        *((400, word) for word in ("INVALID_PARAMETER", "DUPLICATE_METADATA_FIELD")),
        *((200, word) for word in ("INVALID_AMOUNT", "INVALID_PHONE_NUMBER", "INVALID_CURRENCY", "INVALID_PROVIDER")),
    ),
    DeclineCode.AMOUNT_OUT_OF_RANGE: ((200, "AMOUNT_OUT_OF_BOUNDS"),),
    DeclineCode.PROVIDER_UNAVAILABLE: ((200, "PROVIDER_TEMPORARILY_UNAVAILABLE"),),
}
REFUND_REFUSED: Final = {
    "NOT_FOUND": DeclineCode.INVALID_REQUEST,
    "INVALID_STATE": DeclineCode.INVALID_REQUEST,
    "AMOUNT_TOO_LARGE": DeclineCode.AMOUNT_OUT_OF_RANGE,
    "DEPOSIT_ALREADY_REFUNDED": DeclineCode.DUPLICATE,
    "REFUND_IN_PROGRESS": DeclineCode.PROVIDER_UNAVAILABLE,
    "PAWAPAY_WALLET_OUT_OF_FUNDS": DeclineCode.INSUFFICIENT_FUNDS,
}
DEPOSIT_FAILED: Final = {
    "PAYMENT_NOT_APPROVED": DeclineCode.PAYER_TIMEOUT,
    "INSUFFICIENT_BALANCE": DeclineCode.INSUFFICIENT_FUNDS,
    "PAYMENT_IN_PROGRESS": DeclineCode.PROVIDER_UNAVAILABLE,
    "TRANSACTION_ALREADY_IN_PROCESS": DeclineCode.PROVIDER_UNAVAILABLE,
    "PAYER_NOT_FOUND": DeclineCode.INVALID_PAYER,
    "PAYER_LIMIT_REACHED": DeclineCode.LIMIT_EXCEEDED,
    "UNSPECIFIED_FAILURE": DeclineCode.DECLINED,
}
PAYOUT_FAILED: Final = {
    "RECIPIENT_NOT_FOUND": DeclineCode.INVALID_PAYER,
    "RECIPIENT_LIMIT_REACHED": DeclineCode.LIMIT_EXCEEDED,
    "WALLET_LIMIT_REACHED": DeclineCode.LIMIT_EXCEEDED,
    "MANUALLY_CANCELLED": DeclineCode.CANCELED,
}


def reason(word: str) -> dict[str, str]:
    """Why, in pawaPay's form."""
    return {"failureCode": word, "failureMessage": "why"}


def declined(code: DeclineCode, word: str) -> Declined:
    """A decline in pawaPay's words."""
    return Declined(code=code, provider_code=word, provider_message="why")


def started(one: Operation, status: str, **fields: Any) -> dict[str, Any]:
    """The answer to an initiation."""
    return {NAMES[one.verb]: one.reference, "status": status, "created": "2026-03-31T21:59:59Z", **fields}


def transaction(one: Operation, status: str, **fields: Any) -> dict[str, Any]:
    """A transaction, as callbacks show it."""
    return {
        NAMES[one.verb]: one.reference,
        "status": status,
        "amount": "150.00",
        "currency": "LSL",
        "country": "LSO",
        "customerMessage": "Order 1001 shoes size",
        "created": "2026-03-31T21:59:59Z",
        "providerTransactionId": NETWORK_ID if status == "COMPLETED" else None,
        "failureReason": None,
        "metadata": {},
        **fields,
    }


def found(one: Operation, status: str, **fields: Any) -> dict[str, Any]:
    """The answer to a query."""
    return {"status": "FOUND", "data": {**transaction(one, status, **fields), "clientReferenceId": one.payment}}


def case(says: str, asked: Operation, body: object, expect: Outcome, row: str | None = None, status: int = 200) -> Case:
    """One answer and what it means."""
    return Case(says=says, operation=asked, answers=(answer(body, status),), expect=expect, row=row)


def failed(one: Operation, words: Mapping[str, DeclineCode]) -> tuple[Case, ...]:
    """What became of a transaction."""
    query = about(one, UUID4, number=9)
    return tuple(
        case(f"failed: {word}", query, found(one, "FAILED", failureReason=reason(word)), declined(code, word), word)
        for word, code in words.items()
    )


ANSWERS: Final = (
    *(case(f"{one.verb}: taken", one, started(one, "ACCEPTED"), Pending(), "ACCEPTED") for one in (CHARGE, PAYOUT)),
    case("a refund is taken, under another name", REFUND, started(REFUND, "ACCEPTED"), Pending(), "ACCEPTED"),
    case("it was received before", CHARGE, started(CHARGE, "DUPLICATE_IGNORED"), Pending(), "DUPLICATE_IGNORED"),
    *(
        case(f"it is {word}", query, found(query.target or query, word), Pending(), word)
        for query, word in zip(
            (*QUERIES, *QUERIES),
            ("ACCEPTED", "ENQUEUED", "PROCESSING", "SUBMITTED", "IN_RECONCILIATION", "PROCESSING"),
            strict=True,
        )
    ),
    *(
        case(f"{query.target.verb}: completed", query, found(query.target, "COMPLETED"), SUCCEEDED, "COMPLETED")
        for query in QUERIES
        if query.target
    ),
    case(
        "an amount with four decimals",
        QUERY,
        found(CHARGE, "COMPLETED", amount="150.0000"),
        SUCCEEDED,
        "COMPLETED",
    ),
    case(
        "an amount that is not ours",
        QUERY,
        found(CHARGE, "COMPLETED", amount="150.01"),
        Succeeded(provider_reference=NETWORK_ID, amount=15001, currency="LSL"),
        "COMPLETED",
    ),
    case(
        "failed, for no reason",
        QUERY,
        found(CHARGE, "FAILED"),
        Pending(provider_code="FAILED"),
    ),
    case(
        "a reason that is in no table",
        QUERY,
        found(CHARGE, "FAILED", failureReason=reason("MOON")),
        declined(DeclineCode.DECLINED, "MOON"),
        "FAILED",
    ),
    case("a word that is in no table", QUERY, found(CHARGE, "WAT"), Pending(provider_code="WAT")),
    *failed(CHARGE, DEPOSIT_FAILED),
    *failed(PAYOUT, PAYOUT_FAILED),
    *(
        case(
            f"refused: {word}",
            CHARGE,
            {"failureReason": reason(word)}
            if status != 200
            else started(CHARGE, "REJECTED", failureReason=reason(word)),
            declined(code, word),
            word,
            status,
        )
        for code, words in REFUSED.items()
        for status, word in words
    ),
    *(
        case(
            f"refund refused: {word}",
            REFUND,
            started(REFUND, "REJECTED", failureReason=reason(word)),
            declined(code, word),
            word,
        )
        for word, code in REFUND_REFUSED.items()
    ),
    case(
        "rejected, for a reason that is in no table",
        PAYOUT,
        started(PAYOUT, "REJECTED", failureReason=reason("MOON")),
        declined(DeclineCode.DECLINED, "MOON"),
        "REJECTED",
    ),
    case(
        "do not assume failure",
        CHARGE,
        {"failureReason": reason("UNKNOWN_ERROR")},
        Ambiguous(detail="HTTP 500"),
        status=500,
    ),
    case("an error in nobody's words", CHARGE, {"message": "Bad"}, Ambiguous(detail="HTTP 400"), status=400),
    case("it was never received", QUERY, {"status": "NOT_FOUND"}, Absent()),
    case("a query is refused", QUERY, {"failureReason": reason("X")}, Ambiguous(detail="HTTP 403"), status=403),
    case(
        "about another deposit",
        QUERY,
        found(PAYOUT, "COMPLETED"),
        Ambiguous(detail="the answer is about another transaction"),
    ),
)


def callback(one: Operation, status: str, outcome: Outcome, row: str, **fields: Any) -> CallbackCase:
    """A callback, and the same transaction as a query's answer."""
    named = NETWORK_ID if status == "COMPLETED" else None
    return CallbackCase(
        says=f"the {one.verb} is {row}",
        about=one,
        body=msgspec.json.encode(transaction(one, status, **fields)),
        expect=(Notice(outcome=outcome, reference=one.reference, provider_reference=named),),
        poll=(answer(found(one, status, **fields)),),
        row=row,
    )


CALLBACKS: Final = (
    callback(CHARGE, "COMPLETED", SUCCEEDED, "COMPLETED", amount="150.0000"),
    callback(PAYOUT, "COMPLETED", SUCCEEDED, "COMPLETED"),
    callback(REFUND, "PROCESSING", Pending(), "PROCESSING"),
    callback(
        CHARGE,
        "FAILED",
        declined(DeclineCode.INSUFFICIENT_FUNDS, "INSUFFICIENT_BALANCE"),
        "INSUFFICIENT_BALANCE",
        failureReason=reason("INSUFFICIENT_BALANCE"),
    ),
)


def sign(body: bytes, account: PawaPayAccount, at: datetime) -> Mapping[str, str]:
    """RFC 9421, as in pawaPay's guide."""
    return _signed(body, STRANGERS_KEY if account is STRANGER else KEY, at)


def sign_der(body: bytes, account: PawaPayAccount, at: datetime) -> Mapping[str, str]:
    """As pawaPay's Node example signs: the signature in DER."""
    return _signed(body, STRANGERS_KEY if account is STRANGER else KEY, at, raw=False)


def _signed(body: bytes, key: ec.EllipticCurvePrivateKey, at: datetime, *, raw: bool = True) -> Mapping[str, str]:
    authority, _, path = CALLBACK_URL.removeprefix("https://").partition("/")
    digest = base64.b64encode(hashlib.sha512(body).digest()).decode()
    created = int(at.timestamp())
    headers = {
        "signature-date": at.isoformat(),
        "content-digest": f"sha-512=:{digest}:",
        "content-type": "application/json; charset=UTF-8",
    }
    covered = {"@method": "POST", "@authority": authority, "@path": f"/{path}", **headers}
    names = " ".join(f'"{name}"' for name in covered)
    parameters = (
        f'({names});alg="ecdsa-p256-sha256";keyid="HTTP_EC_P256_KEY:1";created={created};expires={created + 60}'
    )
    base = "".join(f'"{name}": {value}\n' for name, value in covered.items()) + f'"@signature-params": {parameters}'
    signature = key.sign(base.encode(), ec.ECDSA(SHA256()))
    if raw:
        signature = b"".join(number.to_bytes(32) for number in decode_dss_signature(signature))
    given = base64.b64encode(signature).decode()
    return {**headers, "signature-input": f"sig-pp={parameters}", "signature": f"sig-pp=:{given}:"}


def wallet(digits: str, verb: Verb = Verb.CHARGE, number: int = 1) -> Operation:
    """A deposit from, or a payout to, a wallet that behaves as its last digits say."""
    return operation(UUID4, verb, phone=f"+26658123{digits}", number=number)


def step(one: Operation, first: type[Outcome], last: type[Outcome], moved: int | None = None) -> Step:
    """An operation; money moves once where it succeeds."""
    hangs = first is Unknown
    times = int(last is Succeeded) if moved is None else moved
    return Step(operation=one, first=first, last=last, moved=times, deadline_s=0.3 if hangs else 5)


def alone(says: str, one: Operation, first: type[Outcome], last: type[Outcome]) -> Scenario:
    """One operation."""
    return Scenario(says=says, steps=(step(one, first, last),))


DEPOSIT: Final = wallet("789", number=5)
HALF: Final = about(DEPOSIT, UUID4, Verb.REFUND, number=6, amount=7500)
MORE: Final = about(DEPOSIT, UUID4, Verb.REFUND, number=7, amount=7501)
REST: Final = about(DEPOSIT, UUID4, Verb.REFUND, number=8, amount=7500)
SCENARIOS: Final = (
    alone("success", wallet("789"), Pending, Succeeded),
    alone("the sandbox's number of Lesotho", operation(UUID4, phone="266100000000"), Pending, Succeeded),
    alone("no PIN in time", wallet("039"), Pending, Declined),
    alone("no money", wallet("049"), Pending, Declined),
    alone("it stays as it is", wallet("129"), Pending, Pending),
    alone("completed, and no answer", wallet("005"), Unknown, Succeeded),
    alone("completed, and an HTTP 500", wallet("006"), Ambiguous, Succeeded),
    alone("an HTTP 500, and nothing happened", wallet("007"), Ambiguous, Absent),
    alone("completed, and the connection is reset", wallet("008"), Unknown, Succeeded),
    alone("one minor unit more", wallet("009"), Pending, Succeeded),
    alone("rejected", wallet("018"), Declined, Absent),
    alone("a payout", wallet("789", Verb.PAYOUT), Pending, Succeeded),
    alone("a payout that waits for its network", wallet("139", Verb.PAYOUT), Pending, Succeeded),
    alone("a payout to nobody", wallet("089", Verb.PAYOUT), Pending, Declined),
    alone("a payout, and no answer", wallet("005", Verb.PAYOUT), Unknown, Succeeded),
    Scenario(
        says="the same id again has no second effect",
        steps=(step(wallet("789"), Pending, Succeeded), step(wallet("789"), Pending, Succeeded)),
    ),
    Scenario(
        says="a deposit is given back in two parts, and no more",
        steps=(
            step(DEPOSIT, Pending, Succeeded),
            step(HALF, Pending, Succeeded),
            step(MORE, Declined, Absent),
            step(REST, Pending, Succeeded),
        ),
    ),
)

CASES: Final = Cases(
    account=ACCOUNT,
    answers=ANSWERS,
    callbacks=CALLBACKS,
    signings=(
        Signing(says="RFC 9421", sign=sign, account=ACCOUNT, stranger=STRANGER),
        Signing(says="with DER", sign=sign_der, account=ACCOUNT, stranger=STRANGER),
        Signing(says="while the key changes", sign=sign, account=ROTATING, stranger=STRANGER),
    ),
    scenarios=SCENARIOS,
    unreadable=(
        b'{"status": "COMPLETED"}',
        b'{"depositId": "x", "status": "COMPLETED", "amount": "1e3", "currency": "LSL"}',
    ),
)
