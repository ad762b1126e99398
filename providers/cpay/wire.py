"""C-Pay's JSON, as far as we read it, and what it means.

Answers and callbacks have one shape, sometimes wrapped in "return" and sometimes with capitalised keys: keys are
compared in lower case.
"""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.contract import ActionRequired, Ambiguous, Declined, HttpResponse, Otp, Outcome, Pending, Redirected
from providers.cpay import spec
from providers.declines import DeclineCode
from providers.outcomes import stated

OTP_MESSAGE: Final = "Enter the code that C-Pay sent to the payer."

_FRAME: Final = re.compile(r"<iframe[^>]*\ssrc\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
_list: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode


class Answer(Struct, frozen=True):
    """What C-Pay says about a payment, or about our request."""

    statuscode: str | int | None = None
    description: str | None = None
    reasoncode: str | None = None
    paymentrequeststatus: str | None = None
    exttransactionid: str | None = None
    cpaytransactionid: str | int | None = None

    @property
    def transaction(self) -> str | None:
        """C-Pay's own id of the payment."""
        return str(self.cpaytransactionid) if self.cpaytransactionid else None


class Payout(Struct, frozen=True):
    """One payout of those that went to a wallet on a day."""

    state: str
    issuertrxref: str | None = None
    acquirertrxref: str | None = None
    rejectmessage: str | None = None


def answer(content: bytes) -> Answer:
    """Read an answer; a msgspec error when it is none, such as an HTML page."""
    body = _object(content)
    inner = body.get("return")
    return msgspec.convert(_lowered(inner if isinstance(inner, dict) else body), Answer)


def page(response: HttpResponse) -> Outcome | None:
    """The card page that an answer leads to, by a header (seen under HTTP 400) or in a frame (under 202), or None."""
    frame = _FRAME.search(response.content.decode(errors="replace")) if response.status in (200, 202) else None
    url = response.headers.get("redirecturl") or (unescape(frame[1]) if frame else "")
    return ActionRequired(action=Redirected(url)) if re.match(r"https?://[^/\s]", url) else None


def status(said: Answer) -> str | None:
    """The word about the payment, in capitals, where it is one that we know."""
    word = (said.paymentrequeststatus or said.reasoncode or "").upper()
    return word if word in spec.STATUSES else None


def outcome(said: Answer) -> Outcome:
    """What an answer says about a payment. An unknown word is Pending."""
    word = status(said)
    if word is None:
        return Pending(provider_reference=said.transaction, provider_code=_unknown(said))
    if word in spec.DECLINES:
        return declined(said, spec.DECLINES[word], word)
    return stated(spec.STATUSES[word], provider_reference=said.transaction, action=Otp(OTP_MESSAGE))


def payout(content: bytes, names: set[str | None]) -> Outcome:
    """What an inquiry says about the one payout that goes by one of these names; nothing where none or several do."""
    every = [msgspec.convert(_lowered(one), Payout) for one in _list(content)]
    found = [one for one in every if {one.issuertrxref, one.acquirertrxref} & names]
    if len(found) != 1:
        return Ambiguous(detail=f"{len(found)} of the day's {len(every)} payouts go by its name")
    return outcome(Answer(paymentrequeststatus=found[0].state, description=found[0].rejectmessage))


def refusal(said: Answer) -> Declined | None:
    """The error of our request that an answer to it states, or None."""
    words = [word.upper().rstrip(".") for word in (said.reasoncode, said.description) if word]
    word = next((word for word in words if word in spec.REQUEST_ERRORS), None)
    return declined(said, spec.REQUEST_ERRORS[word], word) if word else None


def declined(said: Answer, code: DeclineCode, word: str) -> Declined:
    """A decline in C-Pay's own words."""
    return Declined(
        code=code, provider_code=word, provider_message=said.description, provider_reference=said.transaction
    )


def _lowered(members: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in members.items()}


def _unknown(said: Answer) -> str | None:
    """The word that is in no table; none where C-Pay only said that it accepted ("0000" or "200")."""
    code = None if said.statuscode in (None, "0000", "200", 200) else str(said.statuscode)
    return said.paymentrequeststatus or said.reasoncode or code
