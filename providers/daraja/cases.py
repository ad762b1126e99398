"""Daraja's cases, from mpesakit's schemas, daraja-mcp's simulator, and what nkap saw: answers, callbacks, wallets."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from providers.conformance.cases import CallbackCase, Case, Cases, Scenario, Step, about, answer, operation
from providers.contract import (
    Ambiguous,
    Declined,
    Deferred,
    MobileMoney,
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
from providers.daraja.spec import (
    BUSY,
    COMPLETED,
    DUPLICATE,
    ERRORS,
    INTERNAL,
    PUSH,
    REFERENCE,
    RESULTS,
    THROTTLES,
    DarajaAccount,
)
from providers.declines import DeclineCode

CERTIFICATE: Final = """\
-----BEGIN CERTIFICATE-----
MIIClzCCAX+gAwIBAgIBATANBgkqhkiG9w0BAQsFADAPMQ0wCwYDVQQDDAR0ZXN0
MB4XDTI2MDEwMTAwMDAwMFoXDTQ2MDEwMTAwMDAwMFowDzENMAsGA1UEAwwEdGVz
dDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAJZS0O8RkGGby5GUdNIv
gdaGRPa2xjOs3lBKUk/r1zNwzPXvldEIXBfti3YSRJQhceOf/yojdSy6H7ElHupG
NbJZNq4ZwvsJCCPeirtkQeV59ISf1bNNA6mIpsKQNT0Hx/BFgCvllSkS+SmO6paJ
a2AvBBgg9ZPx+b4YvlRsL/Wf4KVbHr65FHICRsoxolGxNhID1dZs2EsUjtuHYLlD
qXqCD6puKr1LA1PL+FOw8kA/pzeCC+XjmmY5EwCcNvd7Lde5jpaXdfTcDGmC9sNa
8TuWkbgd1wbu/IJL4tUn4JhA+Gy8iflndFhuAr0a12SRXYGNR1aECLfQiy9KHwoH
NCcCAwEAATANBgkqhkiG9w0BAQsFAAOCAQEAR53InILGFcHQdrgxeedUkqtGLlVq
8w4v56VHosjsHaca03cMGKiTI8sDEXOd6um0ndxdvXQEFME0DQIp3Xn+1Han9zqb
XmnVJ4yHsP5BoZ4fBK9cEdGPrecKrACP+brAn8vVtAVGMv/9kt+YzxTVhSZ+Mv0T
+9re+t+k/Kn/13szKK+9lYhuD9qdZBCJC1XXIctGaxFg9etNvBKC5GIyIfc+U7ln
GqqzosM/ZIy63Z6CrOX7D65Vj9QzrZC6yj75S0pW0mVMKW+WOYcDBNxjOFOmJS9k
I1Hgkk6wHiBOIrxDnHe2032BRYEsvAYUG8zZf56xO1gdOvgCsfX0GZTzzw==
-----END CERTIFICATE-----
"""  # self-signed: nobody holds its key

ACCOUNT: Final = DarajaAccount(
    environment="sandbox",
    consumer_key=Secret("consumer-key"),
    consumer_secret=Secret("consumer-secret"),
    shortcode="600610",
    passkey=Secret("the-passkey-of-600610"),
    transaction_type="paybill",
    initiator_name="testapi",
    initiator_password=Secret("initiator-password"),
    certificate=CERTIFICATE,
)

CHECKOUT: Final = "ws_CO_01042026005959000708374000"
RECEIPT: Final = "SDQ5XK3J7T"
CONVERSATION: Final = "AG_20260401_2010b4dd4e3ff4f5c1d2"


def kenyan(verb: Verb = Verb.CHARGE, *, digits: str = "00000", **fields: Any) -> Operation:
    """150 KES from or to a wallet that behaves as the last digits of its number say."""
    method = MobileMoney(phone=f"+2547083{digits}")
    return operation(REFERENCE, verb, **{"currency": "KES", "country": "KE", "method": method, **fields})


CHARGE: Final = kenyan()
PUSHED: Final = replace(CHARGE, provider_reference=CHECKOUT)
PAID: Final = replace(CHARGE, provider_reference=RECEIPT)
QUERY: Final = about(PUSHED, REFERENCE)
PAYOUT: Final = kenyan(Verb.PAYOUT, number=3)
REFUND: Final = about(PAID, REFERENCE, Verb.REFUND, number=4)
STATED: Final = Succeeded(provider_reference=RECEIPT, amount=15000, currency="KES")
TOLD: Final = about(PUSHED, REFERENCE, provider_reference=CHECKOUT, claim=STATED)
PAYOUT_NAME: Final = f"{PAYOUT.reference}/{CONVERSATION}"
REFUND_NAME: Final = f"71840-27539181-07/{CONVERSATION}"


def case(says: str, asked: Operation, body: object, expect: Outcome, row: str | None = None, status: int = 200) -> Case:
    """One answer and what it means."""
    return Case(says=says, operation=asked, answers=(answer(body, status),), expect=expect, row=row)


def pushed(code: str | int, **fields: Any) -> dict[str, Any]:
    """The answer to a push's query."""
    return {
        "ResponseCode": "0",
        "ResponseDescription": "The service request has been accepted successfully",
        "MerchantRequestID": "22205-34066-1",
        "CheckoutRequestID": CHECKOUT,
        "ResultCode": code,
        "ResultDesc": "words that change",
        **fields,
    }


def error(code: str, message: str = "?") -> dict[str, str]:
    """An error of the gateway."""
    return {"requestId": "11728-2929992-1", "errorCode": code, "errorMessage": message}


def promised(originator: str, **fields: Any) -> dict[str, Any]:
    """The acknowledgement of what is answered later."""
    names = {"OriginatorConversationID": originator, "ConversationID": CONVERSATION}
    return {**names, "ResponseCode": "0", "ResponseDescription": "Accept the service request successfully.", **fields}


def declined(code: DeclineCode, word: str, message: str | None = "words that change") -> Declined:
    """A decline in Daraja's words."""
    return Declined(code=code, provider_code=word, provider_message=message)


ACCEPTED: Final = {
    "MerchantRequestID": "29115-34620561-1",
    "CheckoutRequestID": CHECKOUT,
    "ResponseCode": "0",
    "ResponseDescription": "Success. Request accepted for processing",
    "CustomerMessage": "Success. Request accepted for processing",
}
CONFLICTING: Final = "2001"  # of a push a wrong PIN, of a result an initiator who is refused
MESSAGES_SEEN: Final = {
    "wrong credentials": "Wrong credentials",
    "merchant does not exist": "Merchant does not exist",
    "unable to lock subscriber": "Unable to lock subscriber, a transaction is already in process",
}

PUSH_ANSWERS: Final = (
    case("a push is accepted", CHARGE, ACCEPTED, Pending(provider_reference=CHECKOUT)),
    case(
        "a push is not accepted",
        CHARGE,
        {**ACCEPTED, "ResponseCode": "1"},
        declined(DeclineCode.DECLINED, "1", "Success. Request accepted for processing"),
    ),
    case("nothing", CHARGE, b"", Ambiguous(detail="HTTP 500"), None, 500),
    case("blocked on the way", CHARGE, b"<html>Incapsula incident</html>", Ambiguous(detail="HTTP 503"), None, 503),
    case(
        "an error under HTTP 200",
        CHARGE,
        error("400.002.02"),
        declined(ERRORS["400.002.02"], "400.002.02", "?"),
        "400.002.02",
    ),
    *(
        case(f"error {code}", CHARGE, error(code), declined(meaning, code, "?"), code, 400)
        for code, meaning in ERRORS.items()
    ),
    *(case(f"error {code}", CHARGE, error(code), Throttled(provider_code=code), code, 500) for code in THROTTLES),
    *(case(f"error {code}", CHARGE, error(code), Ambiguous(detail=code), code, 500) for code in (BUSY, INTERNAL)),
    *(
        case(f"error {BUSY}: {row}", CHARGE, error(BUSY, seen), declined(meaning, BUSY, seen), row, 500)
        for (row, seen), meaning in zip(
            MESSAGES_SEEN.items(),
            (DeclineCode.CONFIGURATION, DeclineCode.CONFIGURATION, DeclineCode.PROVIDER_UNAVAILABLE),
            strict=True,
        )
    ),
    case("it is not paid yet", QUERY, pushed("4999"), Pending(), "4999"),
    case("it is paid", QUERY, pushed("0"), Succeeded(), "0"),
    case("it is paid, in numbers", QUERY, pushed(0), Succeeded(), "0"),
    case("it is paid, as a callback said", TOLD, pushed("0"), STATED, "0"),
    case("it is not what a callback said", TOLD, pushed("1032"), declined(DeclineCode.PAYER_CANCELED, "1032"), "1032"),
    case(
        "a callback about another push", replace(TOLD, provider_reference="ws_CO_other"), pushed("0"), Succeeded(), "0"
    ),
    *(
        case(f"a push ends: {code}", QUERY, pushed(code), declined(meaning, code), code)
        for code, meaning in PUSH.items()
        if code != CONFLICTING
    ),
    case("a code in no table", QUERY, pushed(777), Pending(provider_code="777")),
    case(
        "another push",
        QUERY,
        pushed("0", CheckoutRequestID="ws_CO_other"),
        Ambiguous(detail="HTTP 200, and not what was asked"),
    ),
    case(
        "still being processed",
        QUERY,
        error(BUSY, "The transaction is being processed"),
        Pending(provider_code=BUSY),
        None,
        500,
    ),
    case(
        "not known, or not yet",
        QUERY,
        error(BUSY, "The transaction does not exist"),
        Ambiguous(detail=BUSY),
        None,
        500,
    ),
    case("wrong credentials of a query", QUERY, error(BUSY, "Wrong credentials"), Ambiguous(detail=BUSY), None, 500),
    case("a query's token", QUERY, error("404.001.03"), Throttled(provider_code="404.001.03"), "404.001.03", 404),
    case("a query's error", QUERY, error("400.002.02"), Ambiguous(detail="400.002.02"), None, 400),
)

BY_RECEIPT: Final = about(PAID, REFERENCE)
LATE_ANSWERS: Final = (
    case("a payout is accepted", PAYOUT, promised(PAYOUT.reference), Pending(provider_reference=PAYOUT_NAME)),
    case(
        "a payout is accepted, in numbers",
        PAYOUT,
        promised(PAYOUT.reference, ResponseCode=0),
        Pending(provider_reference=PAYOUT_NAME),
    ),
    case("a payout was sent before", PAYOUT, error(DUPLICATE), Ambiguous(detail=DUPLICATE), DUPLICATE, 500),
    case("a reversal is accepted", REFUND, promised("71840-27539181-07"), Pending(provider_reference=REFUND_NAME)),
    case(
        "a reversal is not understood",
        REFUND,
        error("400.002.02"),
        declined(DeclineCode.INVALID_REQUEST, "400.002.02", "?"),
        None,
        400,
    ),
    case(
        "a question about a receipt",
        BY_RECEIPT,
        promised("1-2-3"),
        Deferred(provider_reference=f"1-2-3/{CONVERSATION}"),
    ),
    case(
        "a question about a payout",
        about(PAYOUT, REFERENCE),
        promised("1-2-3"),
        Deferred(provider_reference=f"1-2-3/{CONVERSATION}"),
    ),
    case(
        "a question about a reversal",
        about(replace(REFUND, provider_reference=REFUND_NAME), REFERENCE),
        promised("1-2-3"),
        Deferred(provider_reference=f"1-2-3/{CONVERSATION}"),
    ),
    case("a question that is refused", BY_RECEIPT, error("400.002.02"), Ambiguous(detail="400.002.02"), None, 400),
    case(
        "a question that is not accepted",
        BY_RECEIPT,
        promised("1-2-3", ResponseCode="1"),
        Ambiguous(detail="HTTP 200, and not what was asked"),
    ),
)


def push_callback(code: int | str, items: list[dict[str, Any]] | None = None) -> bytes:
    """What is posted to CallBackURL."""
    said = {"MerchantRequestID": "22205-34066-1", "CheckoutRequestID": CHECKOUT, "ResultCode": code}
    metadata = {} if items is None else {"CallbackMetadata": {"Item": items}}
    return msgspec.json.encode({"Body": {"stkCallback": {**said, "ResultDesc": "words that change", **metadata}}})


METADATA: Final[list[dict[str, Any]]] = [
    {"Name": "Amount", "Value": 150.00},
    {"Name": "MpesaReceiptNumber", "Value": RECEIPT},
    {"Name": "Balance"},
    {"Name": "TransactionDate", "Value": 20260401005959},
    {"Name": "PhoneNumber", "Value": 254708300000},
]


def told_push(
    says: str, code: int | str, outcome: Outcome, row: str | None, items: Any = None, poll: bool = True
) -> CallbackCase:
    """A push's callback, and the same push as a query's answer."""
    notice = Notice(outcome=outcome, provider_reference=CHECKOUT)
    polled = (answer(pushed(str(code))),) if poll else ()
    return CallbackCase(
        says=says, about=PUSHED, body=push_callback(code, items), expect=(notice,), row=row, poll=polled
    )


def result(
    code: int | str, parameters: Any = None, originator: str = PAYOUT.reference, transaction: str = RECEIPT
) -> bytes:
    """What is posted to ResultURL; `parameters` as they stand."""
    said = {
        "ResultType": 0,
        "ResultCode": code,
        "ResultDesc": "words that change",
        "OriginatorConversationID": originator,
        "ConversationID": CONVERSATION,
        "TransactionID": transaction,
        "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://example.com"}},
    }
    return msgspec.json.encode({"Result": said if parameters is None else {**said, "ResultParameters": parameters}})


def told(
    says: str,
    body: bytes,
    outcome: Outcome,
    row: str | None = None,
    *,
    query: str = "payout",
    asked: Operation = PAYOUT,
) -> CallbackCase:
    """A late answer: proof, where it quotes the conversation of its acknowledgement."""
    name = REFUND_NAME if asked is REFUND else PAYOUT_NAME
    notice = Notice(outcome=outcome, provider_reference=name, answer=True)
    return CallbackCase(says=says, about=asked, body=body, expect=(notice,), row=row, query=query)


def parameters(**values: Any) -> dict[str, Any]:
    """ResultParameters as a list."""
    return {"ResultParameter": [{"Key": key, "Value": value} for key, value in values.items()]}


STATUS_ROWS: Final = {
    "DebitPartyName": "600610 - Shop",
    "TransactionStatus": COMPLETED,
    "Amount": 150.0,
    "ConversationID": CONVERSATION,
    "ReceiptNo": RECEIPT,
}
PAYMENT: Final = {
    "TransactionType": "Pay Bill",
    "TransID": RECEIPT,
    "TransTime": "20260401005959",
    "TransAmount": "150.00",
    "BusinessShortCode": "600610",
    "BillRefNumber": f" {CHARGE.reference.lower()} ",
    "InvoiceNumber": "",
    "OrgAccountBalance": "49197.00",
    "ThirdPartyTransID": "",
    "MSISDN": "2547 ***** 126",
    "FirstName": "JOHN",
}


def payment(says: str, expect: tuple[Notice, ...], query: str, **fields: Any) -> CallbackCase:
    """A payment from a handset."""
    return CallbackCase(
        says=says, about=CHARGE, body=msgspec.json.encode({**PAYMENT, **fields}), expect=expect, query=query
    )


def noticed(account: str) -> tuple[Notice, ...]:
    """A payment to an account that the payer typed."""
    return (Notice(outcome=STATED, reference=account, provider_reference=RECEIPT, event_id=RECEIPT),)


CALLBACKS: Final = (
    told_push("it is paid", 0, STATED, "0", METADATA),
    told_push("it is paid, in another order", 0, STATED, "0", METADATA[::-1]),
    told_push("it is paid, and little is said", 0, Succeeded(), "0"),
    told_push("it is canceled", 1032, declined(DeclineCode.PAYER_CANCELED, "1032"), "1032"),
    told_push("a wrong PIN", 2001, declined(DeclineCode.AUTHENTICATION_FAILED, "2001"), "2001"),
    told_push("no operator", "SFC_IC0003", declined(DeclineCode.CONFIGURATION, "SFC_IC0003"), "SFC_IC0003"),
    told_push("a code in no table", 777, Pending(provider_code="777"), None),
    told("paid out", result(0, parameters(TransactionAmount=150, TransactionReceipt=RECEIPT)), STATED, "0"),
    told(
        "paid out, with one parameter",
        result(0, {"ResultParameter": {"Key": "TransactionAmount", "Value": 150}}),
        STATED,
    ),
    told("paid out, and little is said", result("0"), Succeeded(provider_reference=RECEIPT), "0"),
    told("reversed", result(0, parameters(Amount="150.00"), "71840-27539181-07"), STATED, "0", asked=REFUND),
    *(told(f"a result: {code}", result(code), declined(meaning, code), code) for code, meaning in RESULTS.items()),
    told("an earlier one landed", result(15), Ambiguous(detail="15"), "15"),
    told("21, though it looks done", result(21, parameters(Amount=150)), Pending(provider_code="21"), query="reversal"),
    told("a code in no table", result(777), Pending(provider_code="777")),
    told("it happened", result(0, parameters(**STATUS_ROWS)), STATED, COMPLETED, query="status"),
    told(
        "it is under way",
        result(0, parameters(TransactionStatus="Pending")),
        Pending(provider_code="Pending"),
        query="status",
    ),
    told("the question failed", result(2001), Pending(provider_code="2001"), query="status"),
    CallbackCase(
        says="not done in time",
        about=PAYOUT,
        body=result(1),
        query="payout-late",
        expect=(Notice(outcome=Pending(), provider_reference=PAYOUT_NAME),),
    ),
    CallbackCase(says="not answered in time", about=PAYOUT, body=result(1), query="status-late", expect=()),
    payment("a payment from a handset", noticed(CHARGE.reference), "confirmation"),
    payment("a payment that nobody ordered", noticed("ORDER 7"), "confirmation", BillRefNumber="order 7"),
    payment("a payment to nothing", noticed(""), "confirmation", BillRefNumber=None),
    payment("may it be paid?", (), "validation", OrgAccountBalance=""),
)


def play(
    says: str,
    digits: str,
    first: type[Outcome],
    last: type[Outcome],
    *,
    moved: int | None = None,
    callbacks: int = 1,
    **step: Any,
) -> Scenario:
    """A push to a wallet."""
    count = int(last is Succeeded) if moved is None else moved
    one = Step(operation=kenyan(digits=digits), first=first, last=last, moved=count, **step)
    return Scenario(says=says, steps=(one,), callbacks=callbacks)


def pay_out(says: str, digits: str, first: type[Outcome], *, moved: int = 1, **step: Any) -> Scenario:
    """A payout to a wallet: its questions are answered later, too."""
    one = Step(operation=kenyan(Verb.PAYOUT, digits=digits, number=3), first=first, last=Deferred, moved=moved, **step)
    return Scenario(says=says, steps=(one,))


CASES: Final = Cases(
    account=ACCOUNT,
    answers=(*PUSH_ANSWERS, *LATE_ANSWERS),
    callbacks=CALLBACKS,
    login=(answer({"access_token": "SGWcJPtNtYNPGm6uSYR9yPYrAI3Bm", "expires_in": "3599"}),),
    refused_logins=((answer(b"", 400),), (answer(error("400.008.01", "Invalid Authentication passed"), 400),)),
    scenarios=(
        play("it is paid", "00000", Pending, Succeeded),
        play("not enough money", "00002", Pending, Declined),
        play("the payer cancels", "00003", Pending, Declined),
        play("the payer never answers", "00004", Pending, Pending, callbacks=0),
        play(
            "paid, and no answer: there is no name to ask by",
            "00005",
            Unknown,
            Ambiguous,
            moved=1,
            callbacks=0,
            deadline_s=0.3,
        ),
        play("paid, and an HTTP 500", "00006", Ambiguous, Ambiguous, moved=1, callbacks=0),
        play("not paid, and an HTTP 503", "00007", Ambiguous, Ambiguous, callbacks=0),
        play("paid, and a reset", "00008", Unknown, Ambiguous, moved=1, callbacks=0),
        play("paid without a callback", "00013", Pending, Succeeded, callbacks=0),
        play("duplicate callbacks", "00012", Pending, Succeeded, callbacks=3),
        play("a forged callback", "00016", Pending, Succeeded, callbacks=0),
        play("a wrong PIN", "00017", Pending, Declined),
        play("the line is busy", "00018", Declined, Ambiguous, callbacks=0),
        play("nobody answers the test phone", "74149", Pending, Declined),
        pay_out("paid out", "00000", Pending),
        pay_out("not enough float", "00002", Pending, moved=0),
        pay_out("paid out, and no answer", "00005", Unknown, deadline_s=0.3),
        pay_out("paid out, and an HTTP 500", "00006", Ambiguous),
    ),
    secrets={ACCOUNT.shortcode: ACCOUNT.passkey},
    longer="seven requests (login, push and its query, payout, reversal, status, registration), three kinds of "
    "callbacks, and two sets of result codes that mean different things",
    unreadable=(
        b'{"Body": {}}',
        b'{"Result": {"ResultCode": 0}}',
        push_callback(0, [{"Name": "Amount", "Value": "1e9"}]),
    ),
)
