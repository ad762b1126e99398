"""The sandbox's cases: its protocol's answers and callbacks, and how its payers behave."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

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
    Absent,
    ActionRequired,
    Ambiguous,
    Authorized,
    Card,
    Declined,
    HttpResponse,
    MobileMoney,
    Notice,
    Operation,
    Otp,
    Outcome,
    Pending,
    Redirect,
    Redirected,
    Secret,
    Succeeded,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.sandbox.spec import REFERENCE, SandboxAccount

ACCOUNT: Final = SandboxAccount(
    api_key=Secret("sk_one"),
    webhook_secret=Secret("whsec_5bAnb8CjQ8Y6ZNRbzgLLEc2/F0CtxnQUbRCg1pJZ5Mg="),
)
STRANGER: Final = SandboxAccount(api_key=Secret("sk_two"), webhook_secret=Secret("whsec_c3RyYW5nZXI="))

CHARGE: Final = operation(REFERENCE)
QUERY: Final = about(CHARGE, REFERENCE)
CONFIRM: Final = about(CHARGE, REFERENCE, Verb.CONFIRM)
AUTHORIZE: Final = msgspec.structs.replace(CHARGE, verb=Verb.AUTHORIZE)
PAYOUT: Final = msgspec.structs.replace(CHARGE, verb=Verb.PAYOUT)
FOLLOWING: Final = tuple(about(CHARGE, REFERENCE, verb) for verb in (Verb.CAPTURE, Verb.VOID, Verb.REFUND))
ID: Final = f"ch_{CHARGE.reference}"
SUCCEEDED: Final = Succeeded(provider_reference=ID, amount=15000, currency="LSL")
PAGE: Final = {"type": "redirect", "url": "https://sandbox.example/pay"}


def charge(status: str, **fields: Any) -> dict[str, Any]:
    """A charge as the protocol shows it."""
    known = {"id": ID, "reference": CHARGE.reference, "status": status, "amount": 15000, "currency": "LSL"}
    return {**known, "decline_code": None, "next_action": None, **fields}


def declined(code: DeclineCode, word: str) -> Declined:
    """A decline with the sandbox's word for it."""
    return Declined(code=code, provider_code=word, provider_reference=ID)


def case(says: str, asked: Operation, body: object, expect: Outcome, row: str | None = None, status: int = 200) -> Case:
    """One answer and what it means."""
    return Case(says=says, operation=asked, answers=(answer(body, status),), expect=expect, row=row)


def refusal(word: str, code: DeclineCode) -> Case:
    """A charge that the sandbox declines."""
    said = charge("declined", decline_code=word)
    return case(f"declined: {word}", CHARGE, said, declined(code, word), word)


ANSWERS: Final = (
    *(case(f"{one.verb}: taken", one, charge("succeeded"), SUCCEEDED, "succeeded") for one in (CHARGE, CONFIRM, QUERY)),
    *(
        case(f"{one.verb}: open", one, charge("pending"), Pending(provider_reference=ID), "pending")
        for one in (CHARGE, QUERY)
    ),
    case(
        "a page to go to",
        CHARGE,
        charge("requires_action", next_action=PAGE),
        ActionRequired(action=Redirected(PAGE["url"]), provider_reference=ID),
        "requires_action",
    ),
    case(
        "a code to enter",
        QUERY,
        charge("requires_action", next_action={"type": "otp", "message": "Enter it."}),
        ActionRequired(action=Otp("Enter it."), provider_reference=ID),
        "requires_action",
    ),
    refusal("insufficient_funds", DeclineCode.INSUFFICIENT_FUNDS),
    refusal("payer_canceled", DeclineCode.PAYER_CANCELED),
    refusal("payer_refused", DeclineCode.PAYER_CANCELED),
    refusal("invalid_otp", DeclineCode.INVALID_OTP),
    refusal("do_not_honor", DeclineCode.DECLINED),
    case(
        "a reason that is in no table",
        QUERY,
        charge("declined", decline_code="moon"),
        declined(DeclineCode.DECLINED, "moon"),
        "declined",
    ),
    case(
        "the amount is reserved",
        AUTHORIZE,
        charge("authorized"),
        Authorized(provider_reference=ID, amount=15000, currency="LSL"),
        "authorized",
    ),
    case("a payout is paid", PAYOUT, charge("succeeded"), SUCCEEDED),
    *(
        case(f"{one.verb}: done", one, {**charge("succeeded"), "reference": one.reference}, SUCCEEDED)
        for one in FOLLOWING
    ),
    refusal("not_possible", DeclineCode.INVALID_REQUEST),
    refusal("voided", DeclineCode.CANCELED),
    case("a word that is in no table", QUERY, charge("WAT"), Pending(provider_reference=ID, provider_code="WAT")),
    case(
        "our request is wrong",
        CHARGE,
        {"error": "invalid_request"},
        Declined(code=DeclineCode.INVALID_REQUEST, provider_code="400"),
        "400",
        400,
    ),
    case(
        "our key is wrong",
        CHARGE,
        {"error": "unauthorized"},
        Declined(code=DeclineCode.CONFIGURATION, provider_code="401"),
        "401",
        401,
    ),
    case("nothing is known of it", QUERY, {"error": "transaction_not_found"}, Absent(), status=404),
    case("another 404", QUERY, {"error": "no_such_path"}, Ambiguous(detail="HTTP 404"), status=404),
    case(
        "about something else",
        CHARGE,
        charge("succeeded", reference="other"),
        Ambiguous(detail="the answer is about something else"),
    ),
)


def callback(status: str, outcome: Outcome, row: str, **fields: Any) -> CallbackCase:
    """A callback, and the same charge as a query's answer."""
    said = charge(status, **fields)
    event = f"evt_{CHARGE.reference}_{status}"
    notice = Notice(outcome=outcome, reference=CHARGE.reference, provider_reference=ID, event_id=event)
    polled: tuple[HttpResponse, ...] = (answer(said),)
    body = msgspec.json.encode({"id": event, "transaction": said})
    return CallbackCase(says=f"it is {status}", about=CHARGE, body=body, expect=(notice,), poll=polled, row=row)


CALLBACKS: Final = (
    callback("succeeded", SUCCEEDED, "succeeded"),
    callback("pending", Pending(provider_reference=ID), "pending"),
    callback(
        "declined",
        declined(DeclineCode.PAYER_CANCELED, "payer_canceled"),
        "payer_canceled",
        decline_code="payer_canceled",
    ),
)


def sign(body: bytes, account: SandboxAccount, at: datetime) -> Mapping[str, str]:
    """Standard Webhooks 1.0, as its specification says it."""
    key = base64.b64decode(account.webhook_secret.removeprefix("whsec_"))
    timestamp = str(int(at.timestamp()))
    signature = hmac.digest(key, f"evt_1.{timestamp}.".encode() + body, hashlib.sha256)
    given = "v1," + base64.b64encode(signature).decode()
    return {"webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": given}


def payer(digits: str, number: int = 1) -> Operation:
    """A charge to a payer who behaves as the last digits of the phone say."""
    return operation(REFERENCE, phone=f"+26658123{digits}", number=number)


def scenario(
    says: str, charge: Operation, first: type[Outcome], last: type[Outcome], moved: int, *, callbacks: int = 0
) -> Scenario:
    """A charge alone."""
    hangs = isinstance(charge.method, MobileMoney) and charge.method.phone.endswith("005")
    step = Step(operation=charge, first=first, last=last, moved=moved, deadline_s=0.3 if hangs else 5)
    return Scenario(says=says, steps=(step,), callbacks=callbacks)


OTP_CHARGE: Final = payer("011")
SCENARIOS: Final = (
    scenario("success", payer("000"), Succeeded, Succeeded, 1),
    scenario("a card's success", operation(REFERENCE, method=Card(token="tok_ok")), Succeeded, Succeeded, 1),
    scenario("pending, then success by callback", payer("001"), Pending, Succeeded, 1, callbacks=1),
    scenario("pending, then success without a callback", payer("013"), Pending, Succeeded, 1),
    scenario("pending, then a decline", payer("003"), Pending, Declined, 0, callbacks=1),
    scenario("a decline", payer("002"), Declined, Declined, 0),
    scenario("charged, and no answer", payer("005"), Unknown, Succeeded, 1),
    scenario("charged, and an HTTP 500", payer("006"), Ambiguous, Succeeded, 1),
    scenario("not charged, and an HTTP 503", payer("007"), Ambiguous, Absent, 0),
    scenario("charged, and the connection is reset", payer("008"), Unknown, Succeeded, 1),
    scenario("duplicate callbacks, out of order", payer("012"), Pending, Succeeded, 1, callbacks=5),
    scenario("a forged callback, then success", payer("016"), Pending, Succeeded, 1, callbacks=1),
    scenario("a page", operation(REFERENCE, method=Redirect()), ActionRequired, ActionRequired, 0),
    Scenario(
        says="a page, and the payer pays",
        steps=(
            Step(
                operation=operation(REFERENCE, method=Redirect()),
                first=ActionRequired,
                last=Succeeded,
                moved=1,
                presses="?outcome=succeeded",
            ),
        ),
        callbacks=1,
    ),
    Scenario(
        says="a code",
        steps=(
            Step(operation=OTP_CHARGE, first=ActionRequired, last=ActionRequired, moved=0),
            Step(
                operation=about(OTP_CHARGE, REFERENCE, Verb.CONFIRM, otp=Secret("000000")),
                first=ActionRequired,
                last=ActionRequired,
                moved=0,
            ),
            Step(
                operation=about(OTP_CHARGE, REFERENCE, Verb.CONFIRM, number=3), first=Succeeded, last=Succeeded, moved=1
            ),
        ),
    ),
)

CASES: Final = Cases(
    account=ACCOUNT,
    answers=ANSWERS,
    callbacks=CALLBACKS,
    signings=(Signing(says="Standard Webhooks", sign=sign, account=ACCOUNT, stranger=STRANGER),),
    scenarios=SCENARIOS,
    secrets={ACCOUNT.api_key: ACCOUNT.webhook_secret},
    unreadable=(b'{"id": "evt", "transaction": null}',),
)
