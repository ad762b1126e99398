"""Daraja's JSON, as far as we read it, under its own names, and what it means. Codes come as text or as numbers."""

import re
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from providers.contract import Ambiguous, Declined, HttpResponse, Outcome, Pending, Succeeded, Throttled
from providers.daraja import spec
from providers.declines import DeclineCode
from providers.http import UNREADABLE
from providers.money import from_major

Code = str | int


class Token(Struct, frozen=True):
    """A login and its life in seconds (as text, "3599")."""

    access_token: str
    expires_in: str | int | float


class Answer(Struct, frozen=True):
    """The answer to any request: an acknowledgement, a push's result, or an error, which may come under HTTP 200."""

    CheckoutRequestID: str | None = None
    ConversationID: str | None = None
    OriginatorConversationID: str | None = None
    ResponseCode: Code | None = None
    ResponseDescription: str | None = None
    ResultCode: Code | None = None
    ResultDesc: str | None = None
    code: str | None = field(default=None, name="errorCode")
    message: str | None = field(default=None, name="errorMessage")


class Push(Struct, frozen=True):
    """What became of a push; with metadata, a list of {Name, Value}, only on success."""

    CheckoutRequestID: str
    ResultCode: Code
    ResultDesc: str | None = None
    CallbackMetadata: Any = None


class PushBody(Struct, frozen=True):
    """The body of a push's callback."""

    stk: Push = field(name="stkCallback")


class Result(Struct, frozen=True):
    """The late answer to a payout, reversal or status query."""

    ResultCode: Code
    OriginatorConversationID: str
    ConversationID: str
    ResultDesc: str | None = None
    TransactionID: str | None = None
    ResultParameters: Any = None


class Callback(Struct, frozen=True):
    """Any callback: of a push, of a result, or of a payment from a handset (its validation looks the same)."""

    Body: PushBody | None = None
    late: Result | None = field(default=None, name="Result")
    TransID: str | None = None
    TransAmount: str | int | float | None = None
    BillRefNumber: str | None = None


token: Final = msgspec.json.Decoder(Token).decode
callback: Final = msgspec.json.Decoder(Callback).decode
_answer: Final = msgspec.json.Decoder(Answer).decode


def answer(response: HttpResponse) -> Answer:
    """What an answer says; nothing where it is an HTML page, or empty."""
    try:
        return _answer(response.content)
    except UNREADABLE:
        return Answer()


def refusal(said: Answer, status: int) -> Outcome | None:
    """What an answer means that is not the acceptance ("0") of our request; None for that."""
    if said.code in spec.THROTTLES:
        return Throttled(provider_code=said.code)
    words = (said.message or "").lower() if said.code == spec.BUSY else ""
    meaning = spec.ERRORS.get(said.code or "") or next(
        (spec.MESSAGES[one] for one in spec.MESSAGES if one in words), None
    )
    if meaning is not None:
        return Declined(code=meaning, provider_code=said.code, provider_message=said.message)
    if said.code is not None or not str(said.ResponseCode).isdigit():
        return Ambiguous(detail=said.code or f"HTTP {status}")
    if (code := str(said.ResponseCode)) != "0":
        return Declined(code=DeclineCode.DECLINED, provider_code=code, provider_message=said.ResponseDescription)
    return None


def conversation(said: Answer | Result) -> str | None:
    """A conversation's name: the part it is asked about by, and the provider's own part, which nobody can guess."""
    return f"{said.OriginatorConversationID}/{said.ConversationID}" if said.ConversationID else None


def pushed(said: Push | Answer, success: Succeeded) -> Outcome:
    """What became of a push, as its callback or its query says; only the former states more than a code."""
    code = str(said.ResultCode)
    if code == "0":
        return success
    if code in spec.PUSH:
        return Declined(code=spec.PUSH[code], provider_code=code, provider_message=said.ResultDesc)
    return Pending(provider_code=None if code == spec.PUSH_PENDING else code)


def paid(said: Push) -> Succeeded:
    """What a push's callback states of its success."""
    stated = members(said.CallbackMetadata, "Item", "Name")
    return success(stated.get("MpesaReceiptNumber"), stated.get("Amount"))


def result(said: Result, about: str) -> Outcome:
    """What became of a payout or reversal."""
    code, stated = str(said.ResultCode), members(said.ResultParameters, "ResultParameter", "Key")
    if code == "0":
        return success(said.TransactionID, stated.get("TransactionAmount", stated.get("Amount")))
    if code == spec.RESULT_DUPLICATE:
        return Ambiguous(detail=code)
    if code not in spec.RESULTS or (code, about) == spec.RESULT_UNSURE:
        return Pending(provider_code=code)
    return Declined(code=spec.RESULTS[code], provider_code=code, provider_message=said.ResultDesc)


def status(said: Result) -> Outcome:
    """How a transaction stands; an error of the query says nothing about the transaction."""
    stated = members(said.ResultParameters, "ResultParameter", "Key")
    word = stated.get("TransactionStatus")
    if str(said.ResultCode) == "0" and word == spec.COMPLETED:
        return success(stated.get("ReceiptNo"), stated.get("Amount"))
    return Pending(provider_code=str(word or said.ResultCode))


def success(receipt: Any, amount: Any) -> Succeeded:
    """A success with what is stated of it; `ValueError` for an amount that is none."""
    if amount is None:
        return Succeeded(provider_reference=receipt_of(receipt))
    cents = from_major(str(amount), spec.CURRENCY)
    return Succeeded(provider_reference=receipt_of(receipt), amount=cents, currency=spec.CURRENCY)


def receipt_of(name: Any) -> str | None:
    """The name, where it is one that Safaricom gives to money."""
    return name if isinstance(name, str) and re.fullmatch(spec.RECEIPTS, name) else None


def members(parameters: Any, inner: str, key: str) -> dict[str, Any]:
    """The Values by `key`, whether they come as a list, as one object, or not at all."""
    found = parameters.get(inner) if isinstance(parameters, dict) else parameters
    rows = found if isinstance(found, list) else [found]
    return {row[key]: row.get("Value") for row in rows if isinstance(row, dict) and isinstance(row.get(key), str)}
