"""The facts that change a payment. Every change goes through one of these and `gateway.payments.transitions.fold`."""

from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from providers.contract import Outcome


class Claim(Struct, frozen=True, kw_only=True):
    """A worker wants to perform a prepared operation. `owner` is unique to this claim; the lease lasts `lease_s`."""

    payment_id: UUID
    operation_id: UUID
    owner: str
    lease_s: float


class Answer(Struct, frozen=True, kw_only=True):
    """What came of performing an operation, by the worker whose claim had `fence`."""

    payment_id: UUID
    operation_id: UUID
    fence: int
    outcome: Outcome


class Proof(Struct, frozen=True, kw_only=True):
    """What a signed callback states about an operation."""

    payment_id: UUID
    operation_id: UUID
    outcome: Outcome
    source: str = "callback"


class LeaseEnded(Struct, frozen=True, kw_only=True):
    """Nobody answered for a claimed operation in time."""

    payment_id: UUID
    operation_id: UUID


class Ask(Struct, frozen=True, kw_only=True):
    """Somebody wants the provider asked about an operation: a schedule, an unsigned callback, a payer who returned.

    An unsigned callback may bring `provider_reference`: a name to ask about, taken once and only if nobody owns it; and
    `claim`, what it said. Both go with the question that is asked because of it.
    """

    payment_id: UUID
    operation_id: UUID
    provider_reference: str | None = None
    claim: Outcome | None = None


class Expire(Struct, frozen=True, kw_only=True):
    """The payment's time is over."""

    payment_id: UUID


class Resolution(Struct, frozen=True, kw_only=True):
    """How a person ends a review."""

    action: Literal["mark_succeeded", "mark_failed", "refund"]
    reason: str


class Resolve(Struct, frozen=True, kw_only=True):
    """A person has found out what became of a payment under review."""

    payment_id: UUID
    resolution: Resolution


class Cancel(Struct, frozen=True, kw_only=True):
    """The merchant does not want the payment any more. Has an effect only while nothing can have been sent."""

    payment_id: UUID


Fact: TypeAlias = Claim | Answer | Proof | LeaseEnded | Ask | Expire | Cancel | Resolve
