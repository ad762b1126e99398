"""pawaPay's JSON, as far as we read it, and what it means."""

from typing import Final

import msgspec
from msgspec import Struct

from providers.contract import Declined, Outcome, Pending, Succeeded
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
    failure_reason: Reason | None = None
    data: "Transaction | None" = None  # in the answer to a query, whose own status is FOUND or NOT_FOUND

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


decode: Final = msgspec.json.Decoder(Transaction).decode


def outcome(said: Transaction) -> Outcome:
    """What is said about a transaction, whoever brings it. Failed is what states a reason, and not the one in doubt."""
    reason = said.failure_reason or Reason()
    code, reference = spec.FAILURES.get(reason.failure_code), said.provider_transaction_id
    kind = spec.STATUSES.get(said.status or ("REJECTED" if code else ""))  # errors of a request state no status
    if kind is Succeeded:
        return Succeeded(provider_reference=reference, amount=said.minor, currency=said.currency)
    if kind is Declined and reason.failure_code not in ("", spec.IN_DOUBT):
        return Declined(
            code=code or DeclineCode.DECLINED,
            provider_code=reason.failure_code,
            provider_message=reason.failure_message,
            provider_reference=reference,
        )
    word = None if kind is Pending else reason.failure_code or said.status
    return Pending(provider_reference=reference, provider_code=word)
