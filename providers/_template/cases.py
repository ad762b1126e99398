"""Template Pay's cases: answers and callbacks as its document shows them, and how its payers behave."""

from typing import Any, Final

import msgspec

from providers._template.spec import REFERENCE, TemplatePayAccount
from providers.conformance.cases import CallbackCase, Case, Cases, Scenario, Step, about, answer, operation
from providers.contract import Ambiguous, Declined, Notice, Operation, Outcome, Pending, Secret, Succeeded, Unknown
from providers.declines import DeclineCode

ACCOUNT: Final = TemplatePayAccount(base_url="http://127.0.0.1:9", api_key=Secret("acme-key"))

CHARGE: Final = operation(REFERENCE)
QUERY: Final = about(CHARGE, REFERENCE)
ID: Final = "TP00000001"

PAID: Final = Succeeded(provider_reference=ID, amount=15000, currency="LSL")
OPEN: Final = Pending(provider_reference=ID)
NO_FUNDS: Final = Declined(code=DeclineCode.INSUFFICIENT_FUNDS, provider_code="NO_FUNDS", provider_reference=ID)


def said(status: str, **fields: Any) -> dict[str, Any]:
    """A payment in the document's shape."""
    known = {"id": ID, "reference": CHARGE.reference, "status": status, "amount": "150.00", "currency": "LSL"}
    return {**known, "reason": None, **fields}


def case(says: str, asked: Operation, body: object, expect: Outcome, row: str | None = None, status: int = 200) -> Case:
    """One answer and what it means."""
    return Case(says=says, operation=asked, answers=(answer(body, status),), expect=expect, row=row)


ANSWERS: Final = (
    case("the payer was asked", CHARGE, said("OPEN"), OPEN, "OPEN"),
    case("it is open", QUERY, said("OPEN"), OPEN, "OPEN"),
    case("it is paid", QUERY, said("PAID"), PAID, "PAID"),
    case("it is refused", QUERY, said("REFUSED", reason="NO_FUNDS"), NO_FUNDS, "NO_FUNDS"),
    case(
        "it is refused, and the reason is in no table",
        QUERY,
        said("REFUSED", reason="MOON"),
        Declined(code=DeclineCode.DECLINED, provider_code="MOON", provider_reference=ID),
        "REFUSED",
    ),
    case(
        "our key is wrong",
        CHARGE,
        {"error": "unauthorized"},
        Declined(code=DeclineCode.CONFIGURATION, provider_code="401"),
        "401",
        401,
    ),
    case("nothing is found", QUERY, {"error": "not_found"}, Ambiguous(detail="HTTP 404"), status=404),
)


def callback(status: str, outcome: Outcome, row: str, **fields: Any) -> CallbackCase:
    """A callback, and the same payment as a query's answer."""
    body = said(status, **fields)
    notice = Notice(outcome=outcome, reference=CHARGE.reference, provider_reference=ID)
    return CallbackCase(
        says=f"it is {status}",
        about=CHARGE,
        body=msgspec.json.encode(body),
        expect=(notice,),
        poll=(answer(body),),
        row=row,
    )


def scenario(says: str, digits: str, first: type[Outcome], last: type[Outcome], deadline_s: float = 5) -> Scenario:
    """A charge to a payer who behaves as the last digits of the phone say."""
    charge = operation(REFERENCE, phone=f"+26658123{digits}")
    step = Step(operation=charge, first=first, last=last, moved=int(last is Succeeded), deadline_s=deadline_s)
    return Scenario(says=says, steps=(step,), callbacks=1)


CASES: Final = Cases(
    account=ACCOUNT,
    answers=ANSWERS,
    callbacks=(callback("PAID", PAID, "PAID"), callback("REFUSED", NO_FUNDS, "NO_FUNDS", reason="NO_FUNDS")),
    scenarios=(
        scenario("success", "000", Pending, Succeeded),
        scenario("a decline", "002", Pending, Declined),
        scenario("charged, and no answer", "005", Unknown, Succeeded, 0.3),
        scenario("charged, and an HTTP 500", "006", Ambiguous, Succeeded),
    ),
)
