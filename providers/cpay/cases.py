"""C-Pay's cases, from its document and from what its integrators saw: shapes, words, errors, and its payers."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from providers.conformance.cases import CallbackCase, Case, Cases, Scenario, Step, about, answer, operation
from providers.contract import (
    ActionRequired,
    Ambiguous,
    Declined,
    HttpResponse,
    Notice,
    Operation,
    Otp,
    Outcome,
    Pending,
    Redirected,
    Reversed,
    Secret,
    Succeeded,
    Unknown,
    Verb,
)
from providers.cpay.spec import REFERENCE, CPayAccount
from providers.declines import DeclineCode

ACCOUNT: Final = CPayAccount(
    base_url="http://127.0.0.1:9",
    api_key=Secret("cpay-key"),
    client_code="CC01",
    hmac_secret=Secret("cpay-hmac"),
    merchant_code="M001",
)
OTP_ACCOUNT: Final = msgspec.structs.replace(ACCOUNT, flow="otp")

CARD_ACCOUNT: Final = msgspec.structs.replace(ACCOUNT, flow="card")
E164_ACCOUNT: Final = msgspec.structs.replace(ACCOUNT, msisdn_format="e164")

CHARGE: Final = operation(REFERENCE)
QUERY: Final = about(CHARGE, REFERENCE)
CONFIRM: Final = about(CHARGE, REFERENCE, Verb.CONFIRM)
PAYOUT: Final = operation(REFERENCE, Verb.PAYOUT, payee="Mpho Mokoena")
KNOWN_PAYOUT: Final = msgspec.structs.replace(PAYOUT, provider_reference="CP0000000001")
INQUIRY: Final = about(PAYOUT, REFERENCE)
KNOWN_INQUIRY: Final = about(KNOWN_PAYOUT, REFERENCE)
ID: Final = "CP0000000001"
CARD_PAGE: Final = "https://cards.example/pay?id=1&lang=en"
ON_PAGE: Final = ActionRequired(action=Redirected(CARD_PAGE))
SUCCEEDED: Final = Succeeded(provider_reference=ID)
ENTER_CODE: Final = ActionRequired(action=Otp("Enter the code that C-Pay sent to the payer."), provider_reference=ID)


def said(status: str | None, **fields: Any) -> dict[str, Any]:
    """An answer in the document's shape."""
    return {
        "statusCode": "0000",
        "description": "Successful",
        "extTransactionId": CHARGE.reference,
        "cPayTransactionId": ID,
        "paymentRequestStatus": status,
        "additionalData": {},
        "reasonCode": None,
        **fields,
    }


def capitalised(members: Mapping[str, Any]) -> dict[str, Any]:
    """As callbacks, and some answers, were seen."""
    return {key[0].upper() + key[1:]: value for key, value in members.items()}


def declined(code: DeclineCode, word: str, **fields: Any) -> Declined:
    """A decline in C-Pay's words."""
    return Declined(
        **{
            "code": code,
            "provider_code": word,
            "provider_message": "Successful",
            "provider_reference": ID,
            **fields,
        }
    )


def case(says: str, asked: Operation, body: object, expect: Outcome, row: str | None = None, status: int = 200) -> Case:
    """One answer and what it means."""
    return Case(says=says, operation=asked, answers=(answer(body, status),), expect=expect, row=row)


def stated(word: str, expect: Outcome) -> tuple[Case, ...]:
    """A word about a payment, as a charge's answer (wrapped) and as a query's (capitalised)."""
    return (
        case(f"charge: {word}", CHARGE, {"return": said(word)}, expect, word.upper()),
        case(f"query: {word}", QUERY, capitalised(said(word)), expect, word.upper()),
    )


def reason(word: str) -> Case:
    """A word that comes as a reasonCode."""
    return case(f"reason: {word}", CHARGE, {"return": said(None, reasonCode=word)}, ENTER_CODE, word.upper())


def refused(says: str, status: int, code: DeclineCode, row: str, **fields: Any) -> Case:
    """An error of our request."""
    body = {"statusCode": str(status), "description": "?", "reasonCode": None, **fields}
    expect = Declined(code=code, provider_code=row, provider_message=body["description"])
    return case(says, CHARGE, body, expect, row, status)


def on_card(says: str, asked: Operation, given: HttpResponse, expect: Outcome, row: str | None = None) -> Case:
    """An answer to an account whose payers enter cards."""
    return Case(says=says, operation=asked, answers=(given,), expect=expect, row=row, account=CARD_ACCOUNT)


LINK: Final = {"StatusCode": "202", "Description": "Payment Link Created."}
FRAME: Final = b'<html><body><iframe src="https://cards.example/pay?id=1&amp;lang=en"></iframe></body></html>'
CARDS: Final = (
    on_card("a card page, by a header of an HTTP 400", CHARGE, answer(LINK, 400, {"redirecturl": CARD_PAGE}), ON_PAGE),
    on_card("a card page, in a frame of an HTTP 202", CHARGE, answer(FRAME, 202), ON_PAGE),
    on_card("a page without a frame", CHARGE, answer(b"<html></html>", 202), Unknown(detail="DecodeError")),
    on_card(
        "the card is not entered yet",
        QUERY,
        answer(said(None, reasonCode="paymentIncomplete")),
        Pending(provider_reference=ID),
    ),
    on_card("the card was charged", QUERY, answer(said("PROCESSED")), SUCCEEDED, "PROCESSED"),
)


def transfer(state: str, **fields: Any) -> dict[str, Any]:
    """One payout in an inquiry's list."""
    return {"state": state, "issuertrxref": None, "acquirertrxref": ID, "walletdestination": "58123000", **fields}


ANOTHER: Final = transfer("SUCCESS", acquirertrxref="CP0000000009")
PAYOUTS: Final = (
    case("a payout is accepted", PAYOUT, said("ACCEPTED"), Pending(provider_reference=ID), "ACCEPTED"),
    case("a payout is denied", PAYOUT, said("DENIED"), declined(DeclineCode.DECLINED, "DENIED"), "DENIED"),
    case("a payout arrived", KNOWN_INQUIRY, [ANOTHER, transfer("SUCCESS")], Succeeded(), "SUCCESS"),
    case("a payout is under way", KNOWN_INQUIRY, [transfer("OPEN")], Pending(), "OPEN"),
    case(
        "a payout was rejected",
        KNOWN_INQUIRY,
        [transfer("FAILED", rejectMessage="No such wallet"), ANOTHER],
        Declined(code=DeclineCode.DECLINED, provider_code="FAILED", provider_message="No such wallet"),
        "FAILED",
    ),
    case(
        "a payout found by our name",
        INQUIRY,
        [transfer("SUCCESS", issuertrxref=PAYOUT.reference)],
        Succeeded(),
        "SUCCESS",
    ),
    case(
        "a payout that is not in the list",
        INQUIRY,
        [ANOTHER],
        Ambiguous(detail="0 of the day's 1 payouts go by its name"),
    ),
    case(
        "two payouts of one name",
        KNOWN_INQUIRY,
        [transfer("SUCCESS"), transfer("FAILED")],
        Ambiguous(detail="2 of the day's 2 payouts go by its name"),
    ),
)

ANSWERS: Final = (
    *CARDS,
    *PAYOUTS,
    *stated("SUCCESS", SUCCEEDED),
    *stated("processed", SUCCEEDED),
    *stated("Open", Pending(provider_reference=ID)),
    *stated("SCHEDULED", Pending(provider_reference=ID)),
    *stated("ACCEPTED", Pending(provider_reference=ID)),
    *stated("OTPSEND", ENTER_CODE),
    *stated("DENIED", declined(DeclineCode.DECLINED, "DENIED")),
    *stated("CANCELED", declined(DeclineCode.PAYER_CANCELED, "CANCELED")),
    *stated("Cancelled", declined(DeclineCode.PAYER_CANCELED, "CANCELLED")),
    *stated("EXPIRED", declined(DeclineCode.PAYER_TIMEOUT, "EXPIRED")),
    *stated("FAILED", declined(DeclineCode.DECLINED, "FAILED")),
    *stated("REVERSED", Reversed(provider_reference=ID)),
    reason("otpSent"),
    reason("paymentIncomplete"),
    case("a word that is in no table", QUERY, said("WAT"), Pending(provider_reference=ID, provider_code="WAT")),
    case("the code is right", CONFIRM, said("PROCESSED"), SUCCEEDED, "PROCESSED"),
    case(
        "the code is wrong",
        CONFIRM,
        {"statusCode": "400", "description": "Invalid OTP", "reasonCode": "validationFailure"},
        ActionRequired(action=Otp("C-Pay did not accept the code.")),
        "VALIDATIONFAILURE",
        400,
    ),
    refused("a wrong checksum", 400, DeclineCode.CONFIGURATION, "CHECKSUMERROR", reasonCode="checksumError"),
    refused("a wrong field", 400, DeclineCode.INVALID_REQUEST, "VALIDATIONFAILURE", reasonCode="validationFailure"),
    refused(
        "no wallet",
        200,
        DeclineCode.INVALID_PAYER,
        "WALLET ACCOUNT DOES NOT EXIST",
        description="Wallet account does not exist",
    ),
    refused("HTTP 400", 400, DeclineCode.CONFIGURATION, "400"),
    refused("an unknown client code", 404, DeclineCode.CONFIGURATION, "404", description="Client code not found"),
    case(
        "a wrong key",
        CHARGE,
        b"<html>Unauthorized</html>",
        Declined(code=DeclineCode.CONFIGURATION, provider_code="401"),
        "401",
        401,
    ),
    case("forbidden", CHARGE, b"", Declined(code=DeclineCode.CONFIGURATION, provider_code="403"), "403", 403),
    case("success under HTTP 400", CHARGE, said("SUCCESS"), SUCCEEDED, "SUCCESS", 400),
    case("an external service failed", CHARGE, said("FAILED"), Ambiguous(detail="HTTP 424"), None, 424),
    case(
        "about another transaction",
        CHARGE,
        said("SUCCESS", extTransactionId="OTHER"),
        Ambiguous(detail="the answer is about another transaction"),
    ),
    case("a query finds nothing", QUERY, {"statusCode": "404"}, Ambiguous(detail="HTTP 404"), None, 404),
)


def callback(word: str, outcome: Outcome) -> CallbackCase:
    """A callback, and the same transaction as a query's answer."""
    notice = Notice(outcome=outcome, reference=CHARGE.reference, provider_reference=ID)
    return CallbackCase(
        says=f"it is {word}",
        about=CHARGE,
        body=msgspec.json.encode(capitalised(said(word))),
        expect=(notice,),
        poll=(answer(said(word)),),
        row=word.upper(),
    )


CALLBACKS: Final = (
    callback("PROCESSED", SUCCEEDED),
    callback("DENIED", declined(DeclineCode.DECLINED, "DENIED")),
    callback("OPEN", Pending(provider_reference=ID)),
    callback("REVERSED", Reversed(provider_reference=ID)),
)


def payer(digits: str) -> Operation:
    """A charge to a payer who behaves as the last digits of the phone say."""
    return operation(REFERENCE, phone=f"+26658123{digits}")


def pushed(
    says: str, digits: str, first: type[Outcome], last: type[Outcome], *, callbacks: int = 1, deadline_s: float = 5
) -> Scenario:
    """A USSD push."""
    moved = int(last in (Succeeded, Reversed))
    step = Step(operation=payer(digits), first=first, last=last, moved=moved, deadline_s=deadline_s)
    return Scenario(says=says, steps=(step,), callbacks=callbacks)


def with_code(says: str, digits: str, first: type[Outcome], last: type[Outcome], deadline_s: float = 5) -> Scenario:
    """A charge whose payer reads us a code."""
    charge = payer(digits)
    wrong = about(charge, REFERENCE, Verb.CONFIRM, number=2, otp=Secret("000000"))
    right = about(charge, REFERENCE, Verb.CONFIRM, number=3)
    return Scenario(
        says=says,
        account=OTP_ACCOUNT,
        steps=(
            Step(operation=charge, first=ActionRequired, last=ActionRequired, moved=0),
            Step(operation=wrong, first=ActionRequired, last=ActionRequired, moved=0),
            Step(operation=right, first=first, last=last, moved=int(last is Succeeded), deadline_s=deadline_s),
        ),
    )


def on_page(says: str, digits: str, last: type[Outcome], button: str) -> Scenario:
    """A charge whose payer enters a card."""
    moved = int(last is Succeeded)
    step = Step(operation=payer(digits), first=ActionRequired, last=last, moved=moved, presses=button)
    return Scenario(says=says, account=CARD_ACCOUNT, steps=(step,))


def paid_out(says: str, digits: str, first: type[Outcome], last: type[Outcome], *, deadline_s: float = 5) -> Scenario:
    """A payout to a wallet, asked about among those of its day."""
    payout = operation(REFERENCE, Verb.PAYOUT, phone=f"+26658123{digits}", payee="Mpho Mokoena")
    step = Step(operation=payout, first=first, last=last, moved=int(last is Succeeded), deadline_s=deadline_s)
    return Scenario(says=says, steps=(step,))


CASES: Final = Cases(
    account=ACCOUNT,
    answers=ANSWERS,
    callbacks=CALLBACKS,
    scenarios=(
        pushed("success", "000", Pending, Succeeded),
        pushed("a decline", "002", Pending, Declined),
        pushed("the payer cancels", "003", Pending, Declined),
        pushed("the payer never answers", "004", Pending, Pending, callbacks=0),
        pushed("charged, and no answer", "005", Unknown, Succeeded, deadline_s=0.3),
        pushed("charged, and an HTTP 500", "006", Ambiguous, Succeeded),
        pushed("success without a callback", "013", Pending, Succeeded, callbacks=0),
        pushed("success, and then a reversal", "019", Pending, Reversed, callbacks=2),
        msgspec.structs.replace(pushed("a number in E.164", "000", Pending, Succeeded), account=E164_ACCOUNT),
        on_page("a card page", "000", Succeeded, "?pay=yes"),
        on_page("a card page in a frame", "020", Succeeded, "?pay=yes"),
        on_page("a card page, and the payer leaves", "000", Declined, "?pay=no"),
        paid_out("a payout", "000", Pending, Succeeded),
        paid_out("a payout that is denied", "002", Pending, Declined),
        paid_out("a payout made, and no answer", "005", Unknown, Succeeded, deadline_s=0.3),
        paid_out("a payout made, and an HTTP 500", "006", Ambiguous, Succeeded),
        pushed("duplicate callbacks", "017", Pending, Succeeded, callbacks=3),
        with_code("a code", "000", Succeeded, Succeeded),
        with_code("a code, and a decline", "002", Declined, Declined),
        with_code("a code, charged, and no answer", "005", Unknown, Succeeded, 0.3),
    ),
    secrets={ACCOUNT.api_key: ACCOUNT.hmac_secret},
    unreadable=(b'{"extTransactionId": 7}', b'{"statusCode": "0000"}'),
)
