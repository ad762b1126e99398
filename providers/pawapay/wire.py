"""pawaPay's JSON, as far as we read it, and what it means."""

from typing import Final

import msgspec
from msgspec import Struct

from providers.contract import ActionRequired, Declined, Outcome, Pending, Redirected, Succeeded
from providers.declines import DeclineCode
from providers.money import from_major
from providers.pawapay import spec


class Reason(Struct, frozen=True, rename="camel"):
    """Why something was refused or failed."""

    failure_code: str = ""
    failure_message: str | None = None


class Transaction(Struct, frozen=True, kw_only=True, rename="camel"):
    """A deposit, payout or refund, in answers and callbacks. `amount` is decimal text, with zeros as it pleases."""

    status: str = ""
    deposit_id: str | None = None
    payout_id: str | None = None
    refund_id: str | None = None
    amount: str | None = None
    currency: str | None = None
    provider_transaction_id: str | None = None
    authorization_url: str | None = None
    failure_reason: Reason = Reason()

    def __post_init__(self) -> None:
        """Refuse an amount that is none: decoding makes it an error of msgspec's."""
        _ = self.minor

    @property
    def minor(self) -> int | None:
        """The amount in minor units."""
        return from_major(self.amount, self.currency) if self.amount and self.currency else None

    @property
    def name(self) -> str | None:
        """Our id of it; the guide calls a refund's payoutId once."""
        return self.refund_id or self.payout_id or self.deposit_id


class Found(Struct, frozen=True):
    """The answer to a query: FOUND, with data, or NOT_FOUND."""

    status: str
    data: Transaction = Transaction()


transaction: Final = msgspec.json.Decoder(Transaction).decode
found: Final = msgspec.json.Decoder(Found).decode


def outcome(said: Transaction) -> Outcome:
    """What is said about a transaction, whoever brings it. An unknown word is Pending."""
    kind, reference, word = (
        spec.STATUSES.get(said.status),
        said.provider_transaction_id,
        said.failure_reason.failure_code,
    )
    if kind is Succeeded:
        return Succeeded(provider_reference=reference, amount=said.minor, currency=said.currency)
    if kind is Declined and word != spec.IN_DOUBT:
        return declined(said)
    if kind is Pending and said.authorization_url:
        return ActionRequired(action=Redirected(said.authorization_url), provider_reference=reference)
    unknown = None if kind is Pending else word if kind else said.status
    return Pending(provider_reference=reference, provider_code=unknown)


def declined(said: Transaction) -> Declined:
    """A decline in pawaPay's own words."""
    reason = said.failure_reason
    return Declined(
        code=spec.FAILURES.get(reason.failure_code, DeclineCode.DECLINED),
        provider_code=reason.failure_code or None,
        provider_message=reason.failure_message,
        provider_reference=said.provider_transaction_id,
    )
