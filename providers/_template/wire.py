"""Template Pay's JSON, as far as we read it, and what it means."""

from typing import Final

import msgspec
from msgspec import Struct

from providers._template import spec
from providers.contract import Outcome, Pending
from providers.declines import DeclineCode
from providers.money import from_major
from providers.outcomes import stated


class Payment(Struct, frozen=True):
    """A payment, as in every answer and callback. `amount` is text in major units."""

    reference: str
    status: str
    id: str | None = None
    amount: str | None = None
    currency: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """An amount that is none makes the whole answer unreadable: msgspec turns the `ValueError` into its own."""
        self.minor()

    def minor(self) -> int | None:
        """The amount in minor units."""
        return None if self.amount is None else from_major(self.amount, self.currency or "")


payment: Final = msgspec.json.Decoder(Payment).decode


def outcome(said: Payment) -> Outcome:
    """What a payment's status means, whoever brings it. An unknown word is Pending."""
    kind = spec.STATUSES.get(said.status)
    if kind is None:
        return Pending(provider_reference=said.id, provider_code=said.status)
    return stated(
        kind,
        provider_reference=said.id,
        amount=said.minor(),
        currency=said.currency,
        code=spec.DECLINES.get(said.reason or "", DeclineCode.DECLINED),
        provider_code=said.reason,
    )
