"""M-Pesa's JSON, as far as we read it, and what it means. Members are text; "N/A" and "" are as good as absent."""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from providers.contract import Absent, Ambiguous, Declined, HttpResponse, Outcome, Pending, Reversed, Succeeded
from providers.declines import DeclineCode
from providers.http import UNREADABLE
from providers.mpesa import spec

_PREFIX: Final = re.compile("^(output|input)_(Response|Result)?")
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Said(Struct, frozen=True):
    """An answer or a callback: "output_ResponseCode" of the one and "input_ResultCode" of the other are the same.

    `reference` is our name of the request, `original` M-Pesa's of the transaction that a query was about.
    """

    code: str | None = field(name="Code", default=None)
    message: str | None = field(name="Desc", default=None)
    session: str | None = field(name="SessionID", default=None)
    transaction: Annotated[str, Meta(pattern="^[0-9A-Za-z]{1,20}$")] | None = field(name="TransactionID", default=None)
    reference: str | None = field(name="ThirdPartyConversationID", default=None)
    conversation: str | None = field(name="OriginalConversationID", default=None)
    state: str | None = field(name="TransactionStatus", default=None)
    original: str | None = field(name="OriginalTransactionID", default=None)
    reversed: Literal["True", "true", "False", "false"] | bool | None = field(name="Reversed", default=None)
    error: str | None = None


def decode(content: bytes) -> Said:
    """Read an answer or a callback; a msgspec error when it is none."""
    members = {_PREFIX.sub("", key): value for key, value in _decode(content).items() if value not in ("", "N/A")}
    return msgspec.convert(members, Said)


def read(content: bytes) -> Said:
    """Read an answer; one without members when it is none, such as a firewall's HTML page."""
    try:
        return decode(content)
    except UNREADABLE:
        return Said()


def performed(response: HttpResponse, reference: str) -> Outcome:
    """What the answer to a request that moves money says; the body comes before the HTTP status."""
    said = read(response.content)
    if said.code is None and response.status in spec.CLOSED:
        return spec.CLOSED[response.status]
    if said.error == spec.ORIGIN_REFUSED:
        return Declined(code=DeclineCode.CONFIGURATION, provider_code=said.error)
    if said.code is None or response.status >= 500 or said.reference not in (None, reference):
        return Ambiguous(detail=f"HTTP {response.status}, and nothing about this request")
    return outcome(said)


def outcome(said: Said) -> Outcome:
    """What a code says of the transaction, whoever brings it."""
    meant = spec.CODES.get(said.code or "")
    accepted = meant is Succeeded and said.transaction is None
    return _outcome(Pending if accepted else meant, said.code, said.transaction, said.message)


def found(response: HttpResponse, reference: str, *, reversal: bool = False) -> Outcome:
    """What the answer to the query called `reference` says of a transaction. The query's own errors say nothing.

    Of a reversal, `original` may name the transaction that was reversed, and so is not taken for its own name.
    """
    said = read(response.content)
    meant = spec.CODES.get(said.code or "")
    if response.status >= 500 or said.reference not in (None, reference) or meant not in (Absent, Succeeded):
        return Ambiguous(detail=said.code or f"HTTP {response.status}")
    if meant is Absent:
        return Absent()
    name, word = None if reversal else said.original, (said.state or "").upper()
    state = spec.STATES.get(word)
    if state is Succeeded and not reversal and str(said.reversed) in ("True", "true"):
        return Reversed(provider_reference=name)
    return _outcome(state, word or None, name, None)


def _outcome(meant: object, word: str | None, name: str | None, message: str | None) -> Outcome:
    """What a word means. One that is in no table is Pending."""
    if isinstance(meant, DeclineCode):
        return Declined(code=meant, provider_code=word, provider_message=message, provider_reference=name)
    if meant is Succeeded:
        return Succeeded(provider_reference=name)
    if meant in (Pending, None):
        return Pending(provider_reference=name, provider_code=None if meant else word)
    return Ambiguous(detail=str(word))


def login_refused(response: HttpResponse) -> bool:
    """Whether the platform's door refused the login: whoever answers with a response code has let us in."""
    return response.status in (401, 403) and read(response.content).code is None
