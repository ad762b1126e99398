"""The sandbox's JSON, as far as we read it, and what it means."""

from typing import Final

import msgspec
from msgspec import Struct

from providers.contract import (
    ActionRequired,
    Authorized,
    Declined,
    NextAction,
    Otp,
    Outcome,
    Pending,
    Redirected,
    Succeeded,
)
from providers.declines import DeclineCode
from providers.sandbox import spec

OTP_MESSAGE: Final = "Enter the code that was sent to the payer."


class Action(Struct, frozen=True):
    """What the payer must do: `type` is redirect (to `url`) or otp."""

    type: str
    url: str = ""
    message: str = OTP_MESSAGE


class Transaction(Struct, frozen=True):
    """Whatever was asked for, as an answer to every call and in a callback."""

    id: str
    reference: str
    status: str
    amount: int
    currency: str
    decline_code: str | None = None
    next_action: Action | None = None


class Event(Struct, frozen=True):
    """The body of a callback."""

    id: str
    transaction: Transaction


class Problem(Struct, frozen=True):
    """The body of an error."""

    error: str


transaction: Final = msgspec.json.Decoder(Transaction).decode
event: Final = msgspec.json.Decoder(Event).decode
problem: Final = msgspec.json.Decoder(Problem).decode


def outcome(said: Transaction) -> Outcome:
    """What a status means, whoever brings it. An unknown word is Pending."""
    kind = spec.STATUSES.get(said.status)
    if kind is Authorized:
        return Authorized(provider_reference=said.id, amount=said.amount, currency=said.currency)
    if kind is Succeeded:
        return Succeeded(provider_reference=said.id, amount=said.amount, currency=said.currency)
    if kind is Declined:
        code = spec.DECLINES.get(said.decline_code or "", DeclineCode.DECLINED)
        return Declined(code=code, provider_code=said.decline_code, provider_reference=said.id)
    if kind is ActionRequired and said.next_action is not None:
        return ActionRequired(action=_action(said.next_action), provider_reference=said.id)
    return Pending(provider_reference=said.id, provider_code=None if kind is Pending else said.status)


def _action(action: Action) -> NextAction:
    return Redirected(action.url) if action.type == "redirect" else Otp(action.message)
