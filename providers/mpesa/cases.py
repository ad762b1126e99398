"""M-Pesa's cases, from the portal's pages and from what its integrators saw: codes, states, the door's words."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from providers.conformance.cases import CallbackCase, Case, Cases, Scenario, Step, about, answer, operation
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
    Throttled,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.mpesa import SPEC
from providers.mpesa.spec import MpesaAccount

PUBLIC_KEY: Final = (
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA7Cap0PFNLt1LswzgEuh9bsicdxPmxTzcWduzfy/cGESXGhbPKX3n0NhgkqwmoBcm"
    "U/+Vc0YQbhhIemq7DxRrbGMhFCKTbzAlivtbqJ+RPrFUTUNe0hKVjr+HwbU3iMVVuUI/xSspdutAHRszkw6rkDFFXyasAAD0XnUnW80RiUGq"
    "pEN56j4iJ1kdmpgtxnkIYA1ZqelCIAZLXtqtNEwd3rg7L3jS6lezInwpPGY9mjrt+2HKTjgehVHsjXTsigH0f5t+FLxKbR9ugWFDr3RPJhIm"
    "ImEkHKtxvAqfP8Hokd1JP2b+/vxgZA/fEZA2if3nvsJZNLBF8DrBwJ1jj+oH+pbEuUejvr0NqlkH4ilyQ2hFgx2GybwMs0QQKi0We+P3Ai/3"
    "Y4o1qCwhoX2ZoaCS1hx2lDTEieWRQ+eQo9ZNXy/4TuG6L/8xDapwXLJflmhhY2rY1DfBAhb+iGULhaDSrSgavxQtv1+xbLYnjY9UAvCtr1Nm"
    "NJYebanXTLCqUeWAfllEV5SjFN84FFxOdSMK/bpYEztyNDhkk9muSzZSNHQBmD0YnB2jurV+24TSEC4xxnpV9JzBuVVrwMTshzhivj7GLmV2"
    "Hp7B50b916lEmh7hiSZNK9brVzo2F4FuWZ77dhIlDfLes7S+HzqawZeLKzjqzPI9/eYmZjBRPmMiLFECAwEAAQ=="
)
ACCOUNT: Final = MpesaAccount(
    environment="sandbox",
    market="vodacomLES",
    api_key=Secret("mpesa-api-key"),
    public_key=PUBLIC_KEY,
    service_provider_code="000000",
)
TANZANIA: Final = replace(ACCOUNT, market="vodacomTZN")

FORM: Final = SPEC.reference
ID: Final = "49XCD123F6"
CHARGE: Final = operation(FORM)
CHARGED: Final = replace(CHARGE, provider_reference=ID)
PAYOUT: Final = operation(FORM, Verb.PAYOUT, number=3)
REFUND: Final = about(CHARGED, FORM, Verb.REFUND, number=4, amount=5000)
QUERY: Final = about(CHARGE, FORM)
REFUND_QUERY: Final = about(REFUND, FORM, number=5)
SUCCEEDED: Final = Succeeded(provider_reference=ID)


def said(code: str, of: Operation, transaction: str | None = None, **members: Any) -> dict[str, Any]:
    """An answer in the portal's shape."""
    name = of.id.replace("_", "") if of.verb is Verb.QUERY else of.reference
    return {
        "output_ResponseCode": code,
        "output_ResponseDesc": "as documented",
        "output_TransactionID": transaction or "N/A",
        "output_ConversationID": "fd1e9143d22544459f7c66e1860ef276",
        "output_ThirdPartyConversationID": name,
        **members,
    }


def case(says: str, of: Operation, body: object, expect: Outcome, row: str | None = None, status: int = 200) -> Case:
    """One answer and what it means."""
    return Case(says=says, operation=of, answers=(answer(body, status),), expect=expect, row=row)


def moved(says: str, of: Operation) -> tuple[Case, ...]:
    """The two ways in which a request is taken: synchronously and asynchronously."""
    return (
        case(f"{says} is done", of, said("INS-0", of, ID), SUCCEEDED, "INS-0", 201),
        case(f"{says} is accepted", of, said("INS-0", of), Pending(), None, 201),
        case(f"{says} is accepted, no name", of, said("INS-0", of, output_TransactionID=""), Pending(), None, 201),
    )


def declined(code: str, meant: DeclineCode, status: int = 400, of: Operation = CHARGE) -> Case:
    """A documented code that means that no money moved."""
    expect = Declined(code=meant, provider_code=code, provider_message="as documented")
    return case(f"{of.verb}: {code}", of, said(code, of), expect, code, status)


def unclear(code: str, status: int) -> Case:
    """A code from which nothing follows."""
    detail = f"HTTP {status}, and nothing about this request" if status >= 500 else code
    return case(f"{code} under {status}", CHARGE, said(code, CHARGE), Ambiguous(detail=detail), code, status)


def stated(word: str, expect: Outcome, row: str | None = None, of: Operation = QUERY, **members: Any) -> Case:
    """A state as a query's answer."""
    body = said("INS-0", of, output_ResponseTransactionStatus=word, output_OriginalTransactionID=ID, **members)
    del body["output_TransactionID"]
    return case(f"{of.target and of.target.verb}: {word} {members or ''}", of, body, expect, row)


def ended(word: str, meant: DeclineCode) -> Case:
    """A state that means that no money moved."""
    return stated(word, Declined(code=meant, provider_code=word.upper(), provider_reference=ID), word.upper())


def of_query(code: str, status: int, expect: Outcome, row: str | None = None) -> Case:
    """An error of a query."""
    return case(f"query: {code}", QUERY, said(code, QUERY), expect, row, status)


INVALID: Final = ("17", "20", "21", "26", "28", "30", "52", "57")
LIMITS: Final = ("990", "991", "992", "993", "994", "995")
ANSWERS: Final = (
    *moved("charge", CHARGE),
    *moved("payout", PAYOUT),
    *moved("refund", REFUND),
    declined("INS-6", DeclineCode.DECLINED, 401),
    declined("INS-15", DeclineCode.AMOUNT_OUT_OF_RANGE),
    declined("INS-996", DeclineCode.PROVIDER_UNAVAILABLE),
    declined("INS-2006", DeclineCode.INSUFFICIENT_FUNDS, 422),
    declined("INS-2051", DeclineCode.INVALID_PAYER),
    *(declined(f"INS-{number}", DeclineCode.CONFIGURATION) for number in ("13", "997", "998", "999")),
    *(declined(f"INS-{number}", DeclineCode.INVALID_REQUEST) for number in INVALID),
    *(declined(f"INS-{number}", DeclineCode.LIMIT_EXCEEDED) for number in LIMITS),
    declined("INS-31", DeclineCode.INVALID_REQUEST, of=PAYOUT),
    declined("INS-18", DeclineCode.INVALID_REQUEST, of=REFUND),
    declined("INS-35", DeclineCode.INVALID_REQUEST, of=REFUND),
    unclear("INS-1", 400),
    unclear("INS-1", 500),
    unclear("INS-9", 408),
    unclear("INS-10", 409),
    unclear("INS-16", 503),
    case("a code that is in no table", CHARGE, said("INS-77", CHARGE), Pending(provider_code="INS-77")),
    case(
        "no trusted source",
        CHARGE,
        {"output_error": "Origin not allowed"},
        Declined(code=DeclineCode.CONFIGURATION, provider_code="Origin not allowed"),
        None,
        403,
    ),
    case(
        "a session that is not live",
        CHARGE,
        {"output_error": "Unauthorized"},
        Throttled(retry_after_s=5, provider_code="401"),
        "401",
        401,
    ),
    case("too many requests", CHARGE, b"", Throttled(retry_after_s=5, provider_code="429"), "429", 429),
    *(
        case(
            f"the firewall under {status}",
            CHARGE,
            b"<html>Request Rejected. Your support ID is: 1</html>",
            Ambiguous(detail=f"HTTP {status}, and nothing about this request"),
            None,
            status,
        )
        for status in (200, 403)
    ),
    case(
        "an answer to another request",
        CHARGE,
        said("INS-0", CHARGE, ID, output_ThirdPartyConversationID="OTHER"),
        Ambiguous(detail="HTTP 201, and nothing about this request"),
        None,
        201,
    ),
    stated("Completed", SUCCEEDED, "COMPLETED", output_Reversed="False"),
    stated("Completed", Succeeded(), None, REFUND_QUERY, output_Reversed="True"),
    stated("Pending", Pending(provider_reference=ID), "PENDING"),
    stated("Processing", Pending(provider_reference=ID), "PROCESSING"),
    stated("N/A", Pending(provider_reference=ID)),
    stated("Wat", Pending(provider_reference=ID, provider_code="WAT")),
    ended("Cancelled", DeclineCode.PAYER_CANCELED),
    ended("canceled", DeclineCode.PAYER_CANCELED),
    ended("Expired", DeclineCode.PAYER_TIMEOUT),
    ended("Failed", DeclineCode.DECLINED),
    ended("Declined", DeclineCode.DECLINED),
    case(
        "older clients read another member",
        QUERY,
        said("INS-0", QUERY, output_TransactionStatus="Completed"),
        Succeeded(),
    ),
    case("a query is only accepted", QUERY, said("INS-0", QUERY), Pending()),
    of_query("INS-23", 400, Absent(), "INS-23"),
    of_query("INS-6", 401, Ambiguous(detail="INS-6")),
    of_query("INS-13", 400, Ambiguous(detail="INS-13")),
    of_query("INS-1", 500, Ambiguous(detail="INS-1")),
)


def callback(code: str, outcome: Outcome, state: str | None = None, transaction: str = ID) -> CallbackCase:
    """A result, and what a query was answered at that moment."""
    body = {
        "input_OriginalConversationID": "fd1e9143d22544459f7c66e1860ef276",
        "input_TransactionID": transaction,
        "input_ResultCode": code,
        "input_ResultDesc": "as documented",
        "input_ThirdPartyConversationID": CHARGE.reference,
    }
    polled = said("INS-0", QUERY, output_ResponseTransactionStatus=state, output_OriginalTransactionID=ID)
    return CallbackCase(
        says=f"{code} {transaction}",
        about=CHARGE,
        body=msgspec.json.encode(body),
        expect=(Notice(outcome=outcome, reference=CHARGE.reference),),
        poll=(answer(polled),) if state else (),
        row=code if code in SPEC.statuses else None,
    )


REFUSED: Final = Declined(code=DeclineCode.DECLINED, provider_code="INS-6", provider_message="as documented")
CALLBACKS: Final = (
    callback("INS-0", SUCCEEDED, "Completed"),
    callback("0", SUCCEEDED, "Completed"),
    callback("INS-6", REFUSED, "Failed", "N/A"),
    callback("INS-0", Pending(), "Pending", "N/A"),
    callback("INS-9", Ambiguous(detail="INS-9"), None, "N/A"),
    callback("INS-77", Pending(provider_code="INS-77"), None, "N/A"),
)


def played(says: str, digits: str, first: type[Outcome], last: type[Outcome], *, moves: int | None = None) -> Scenario:
    """A charge to a payer who behaves as the last digits of the phone say."""
    wanted = int(last is Succeeded) if moves is None else moves
    deadline_s = 0.5 if digits == "005" else 5.0
    charge = operation(FORM, phone=f"+26658123{digits}")
    return Scenario(
        says=says, steps=(Step(operation=charge, first=first, last=last, moved=wanted, deadline_s=deadline_s),)
    )


def trigger(digit: int, first: type[Outcome], last: type[Outcome], says: str) -> Scenario:
    """One of the sandbox's documented payers."""
    charge = operation(FORM, phone=f"00000000000{digit}")
    return Scenario(says=says, steps=(Step(operation=charge, first=first, last=last, moved=int(last is Succeeded)),))


def paid_out(says: str, digits: str, first: type[Outcome], last: type[Outcome]) -> Scenario:
    """A payout to a wallet."""
    payout = operation(FORM, Verb.PAYOUT, phone=f"+26658123{digits}")
    return Scenario(says=says, steps=(Step(operation=payout, first=first, last=last, moved=int(last is Succeeded)),))


def reversed_(says: str, amount: int, first: type[Outcome], last: type[Outcome]) -> Scenario:
    """A charge, and a reversal of an amount whose last digits say how it goes."""
    charge = operation(FORM)
    refund = about(charge, FORM, Verb.REFUND, number=2, amount=amount)
    return Scenario(
        says=says,
        steps=(
            Step(operation=charge, first=Succeeded, last=Succeeded, moved=1),
            Step(operation=refund, first=first, last=last, moved=int(last is Succeeded), deadline_s=2.0),
        ),
    )


TZS: Final = operation(FORM, phone="+255754123000", currency="TZS", country="TZ")
SCENARIOS: Final = (
    played("a success at once", "000", Succeeded, Succeeded),
    played("a success later", "001", Pending, Succeeded),
    played("too little money", "002", Declined, Declined),
    played("the payer refuses", "003", Pending, Declined),
    played("the payer never answers", "004", Pending, Pending),
    played("charged, and no answer", "005", Unknown, Succeeded),
    played("charged, and an HTTP 500", "006", Ambiguous, Succeeded),
    played("an error, and not charged", "007", Ambiguous, Absent),
    played("charged, and a reset", "008", Unknown, Succeeded),
    played("charged, and an answer about another", "009", Ambiguous, Succeeded),
    played("charged, and the firewall's page", "010", Ambiguous, Succeeded),
    played("success without a callback", "013", Pending, Succeeded),
    played("a failure that becomes a success", "014", Pending, Succeeded),
    trigger(1, Succeeded, Succeeded, "the sandbox's success"),
    trigger(2, Ambiguous, Absent, "the sandbox's timeout"),
    trigger(4, Declined, Declined, "the sandbox's wrong PIN"),
    trigger(5, Ambiguous, Absent, "the sandbox's internal error"),
    trigger(8, Declined, Declined, "the sandbox's insufficient balance"),
    trigger(9, Ambiguous, Absent, "the sandbox's overload"),
    paid_out("a payout", "000", Succeeded, Succeeded),
    paid_out("a payout later", "001", Pending, Succeeded),
    paid_out("a payout from too small a float", "002", Declined, Declined),
    paid_out("paid out, and an HTTP 500", "006", Ambiguous, Succeeded),
    paid_out("paid out, and a reset", "008", Unknown, Succeeded),
    reversed_("a whole reversal", 15000, Succeeded, Succeeded),
    reversed_("a part is reversed", 5000, Succeeded, Succeeded),
    reversed_("a part is reversed later", 5001, Pending, Succeeded),
    reversed_("a reversal that fails", 5002, Declined, Declined),
    reversed_("reversed, and no answer", 5005, Unknown, Succeeded),
    reversed_("more than was charged", 16000, Declined, Absent),
    Scenario(
        says="another market, whole units",
        account=TANZANIA,
        steps=(Step(operation=TZS, first=Succeeded, last=Succeeded, moved=1),),
    ),
)

CASES: Final = Cases(
    account=ACCOUNT,
    answers=ANSWERS,
    callbacks=CALLBACKS,
    scenarios=SCENARIOS,
    login=(answer({"output_ResponseCode": "INS-0", "output_ResponseDesc": "?", "output_SessionID": "1x"}),),
    refused_logins=(
        (answer({"output_error": "Origin not allowed"}, 403),),
        (answer({"output_error": "Unauthorized"}, 401),),
    ),
    unreadable=(b'{"input_ResultCode": "INS-0"}', b'{"input_ThirdPartyConversationID": 7}'),
)
