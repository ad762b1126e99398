"""Daraja's JSON, as far as we read it, and what it means. Codes come as text or as numbers, and are compared as text."""

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.contract import Ambiguous, Declined, HttpResponse, Outcome, Pending, Succeeded, Throttled
from providers.daraja import spec
from providers.http import UNREADABLE
from providers.money import from_major

Code = str | int


class Login(Struct, frozen=True):
    """A token and its life in seconds (as text, "3599")."""

    access_token: str
    expires_in: str | int | float


class Answer(
    Struct,
    frozen=True,
    rename={
        "checkout": "CheckoutRequestID",
        "conversation": "ConversationID",
        "originator": "OriginatorConversationID",
        "response_code": "ResponseCode",
        "response_words": "ResponseDescription",
        "result_code": "ResultCode",
        "result_words": "ResultDesc",
        "error_code": "errorCode",
        "error_words": "errorMessage",
    },
):
    """The answer to any request: an acknowledgement, a push's result, or an error, the last under HTTP 200 as well."""

    checkout: str | None = None
    conversation: str | None = None
    originator: str | None = None
    response_code: Code | None = None
    response_words: str | None = None
    result_code: Code | None = None
    result_words: str | None = None
    error_code: str | None = None
    error_words: str | None = None


class Push(Struct, frozen=True, rename={"checkout": "CheckoutRequestID", "code": "ResultCode", "words": "ResultDesc"}):
    """What became of a push; the metadata, a list of {Name, Value}, only on success."""

    checkout: str
    code: Code
    words: str | None = None
    metadata: Any = msgspec.field(default=None, name="CallbackMetadata")


class PushBody(Struct, frozen=True):
    """The body of a push's callback."""

    push: Push = msgspec.field(name="stkCallback")


class Result(
    Struct,
    frozen=True,
    rename={
        "code": "ResultCode",
        "words": "ResultDesc",
        "originator": "OriginatorConversationID",
        "conversation": "ConversationID",
        "transaction": "TransactionID",
        "parameters": "ResultParameters",
    },
):
    """The late answer to a payout, reversal or status query."""

    code: Code
    originator: str
    conversation: str
    words: str | None = None
    transaction: str | None = None
    parameters: Any = None


class Callback(
    Struct,
    frozen=True,
    rename={
        "body": "Body",
        "result": "Result",
        "receipt": "TransID",
        "amount": "TransAmount",
        "account": "BillRefNumber",
    },
):
    """Any callback: of a push, a result, or of a payment from the handset (validation and confirmation look alike)."""

    body: PushBody | None = None
    result: Result | None = None
    receipt: str | None = None
    amount: str | int | float | None = None
    account: str | None = None


login: Final = msgspec.json.Decoder(Login).decode
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
    code, words = said.error_code, said.error_words
    if code in spec.THROTTLES:
        return Throttled(provider_code=code)
    found = spec.ERRORS.get(code or "") or _by_message(said)
    if found is not None:
        return Declined(code=found, provider_code=code, provider_message=words)
    if code is not None or said.response_code is None:
        return Ambiguous(detail=code or f"HTTP {status}")
    if str(said.response_code) == "0":
        return None
    refused = spec.DeclineCode.DECLINED
    return Declined(code=refused, provider_code=str(said.response_code), provider_message=said.response_words)


def is_error(said: Answer, error: tuple[str, str]) -> bool:
    """Whether an answer is this error: its code, and a part of its message in lower case."""
    return said.error_code == error[0] and error[1] in (said.error_words or "").lower()


def _by_message(said: Answer) -> spec.DeclineCode | None:
    return next((meaning for error, meaning in spec.MESSAGES.items() if is_error(said, error)), None)


def conversation(said: Answer | Result) -> str | None:
    """The name of a conversation: what it is asked about by, and the provider's own part, which nobody can guess."""
    return f"{said.originator}/{said.conversation}" if said.conversation else None


def pushed(code: Code, words: str | None, success: Succeeded) -> Outcome:
    """What a push's ResultCode means; a success may state more than its code."""
    word = str(code)
    if word == "0":
        return success
    if word in spec.PUSH_DECLINES:
        return Declined(code=spec.PUSH_DECLINES[word], provider_code=word, provider_message=words)
    return Pending(provider_code=None if word in spec.PUSH_PENDING else word)


def push_success(push: Push) -> Succeeded:
    """What a callback says of a paid push."""
    items = members(push.metadata, "Item", "Name")
    return success(items.get("MpesaReceiptNumber"), items.get("Amount"))


def result(said: Result) -> Outcome:
    """What became of a payout or reversal."""
    word, stated = str(said.code), members(said.parameters, "ResultParameter", "Key")
    if word == "0":
        return success(said.transaction, stated.get("TransactionAmount", stated.get("Amount")))
    if word in spec.RESULT_UNKNOWN:
        return Ambiguous(detail=word)
    if word not in spec.RESULT_DECLINES or (word == "21" and stated):  # 21 has been seen with a completed reversal
        return Pending(provider_code=word)
    return Declined(code=spec.RESULT_DECLINES[word], provider_code=word, provider_message=said.words)


def status(said: Result) -> Outcome:
    """What a transaction's status is; an error of the query says nothing about the transaction."""
    stated = members(said.parameters, "ResultParameter", "Key")
    word = stated.get("TransactionStatus")
    if str(said.code) == "0" and word == spec.COMPLETED:
        return success(stated.get("ReceiptNo"), stated.get("Amount"))
    return Pending(provider_code=str(word or said.code))


def success(receipt: Any, amount: Any) -> Succeeded:
    """A success with what it states; `ValueError` for an amount that is none in shillings and cents."""
    cents = None if amount is None else from_major(str(amount), spec.CURRENCY)
    currency = None if cents is None else spec.CURRENCY
    return Succeeded(provider_reference=receipt_of(receipt), amount=cents, currency=currency)


def receipt_of(name: Any) -> str | None:
    """The name, where it is one that Safaricom gives to money."""
    return name if isinstance(name, str) and re.fullmatch(spec.RECEIPTS, name) else None


def members(parameters: Any, inner: str, key: str) -> dict[str, Any]:
    """A list of {key, Value} by key, however it is wrapped: in a member `inner`, alone without the list, not at all."""
    found = parameters.get(inner) if isinstance(parameters, dict) and inner in parameters else parameters
    rows = found if isinstance(found, list) else [found]
    return {row[key]: row.get("Value") for row in rows if isinstance(row, dict) and isinstance(row.get(key), str)}
