"""C-Pay's JSON, as far as we read it, and what it means.

Answers and callbacks have one shape, sometimes wrapped in "return" and sometimes with capitalised keys: keys are
compared in lower case.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.contract import ActionRequired, Declined, Otp, Outcome, Pending, Reversed, Succeeded
from providers.cpay import spec
from providers.declines import DeclineCode

OTP_MESSAGE: Final = "Enter the code that C-Pay sent to the payer."

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


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


def answer(content: bytes) -> Answer:
    """Read an answer; a msgspec error when it is none, such as an HTML page."""
    body = _decode(content)
    inner = body.get("return")
    members = inner if isinstance(inner, dict) else body
    return msgspec.convert({key.lower(): value for key, value in members.items()}, Answer)


def status(said: Answer) -> str | None:
    """The word about the payment, in capitals, where it is one that we know."""
    word = (said.paymentrequeststatus or said.reasoncode or "").upper()
    return word if word in spec.STATUSES else None


def outcome(said: Answer) -> Outcome:
    """What an answer says about a payment. An unknown word is Pending."""
    word = status(said)
    if word is None:
        return Pending(provider_reference=said.transaction, provider_code=_unknown(said))
    kind = spec.STATUSES[word]
    if kind is Declined:
        return declined(said, spec.DECLINES[word], word)
    if kind is ActionRequired:
        return ActionRequired(action=Otp(OTP_MESSAGE), provider_reference=said.transaction)
    if kind is Succeeded:
        return Succeeded(provider_reference=said.transaction)
    if kind is Reversed:
        return Reversed(provider_reference=said.transaction)
    return Pending(provider_reference=said.transaction)


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


def _unknown(said: Answer) -> str | None:
    """The word that is in no table; none where C-Pay only said that it accepted ("0000" or "200")."""
    code = None if said.statuscode in (None, "0000", "200", 200) else str(said.statuscode)
    return said.paymentrequeststatus or said.reasoncode or code
