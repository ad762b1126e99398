"""The records of the domain: a payment, its operations, and the root that holds them together while facts are applied.

Amounts are integers of minor units. Times are aware UTC datetimes of the database's clock. Ids are UUIDs here; their
public form is made in `gateway.payments.views`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from providers.contract import Deferred, Method, NextAction, Outcome, Pending, ProviderSpec, Verb
from providers.declines import DECLINES, DeclineCode


class Kind(StrEnum):
    """What a root is. Payments and payouts live by the same rules: money that comes, and money that goes."""

    PAYMENT = "payment"
    PAYOUT = "payout"


class Status(StrEnum):
    """Where a payment or payout stands, as the merchant sees it. A payout is never authorized, nor does it expire."""

    PENDING = "pending"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class RefundStatus(StrEnum):
    """Where a refund stands, as the merchant sees it."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class State(StrEnum):
    """Where an operation stands: what we did, and what the provider is known to have done."""

    PREPARED = "prepared"  # not sent, or proven to have had no effect: may be sent
    SENT = "sent"  # claimed by a worker that may be talking to the provider now
    SUCCEEDED = "succeeded"
    AUTHORIZED = "authorized"
    ACTION_REQUIRED = "action_required"
    PENDING = "pending"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"  # given up, proven to have had no effect
    LAPSED = "lapsed"  # its payment expired while it was open; still asked about
    LATE_SUCCEEDED = "late_succeeded"  # it succeeded after we had closed it


SETTLED = frozenset({State.SUCCEEDED, State.DECLINED, State.NOT_SENT, State.LATE_SUCCEEDED})
DONE = frozenset({State.SUCCEEDED, State.LATE_SUCCEEDED})
LIVE = frozenset({State.PREPARED, State.SENT, State.UNKNOWN, State.PENDING})  # may still have an effect
OPEN = frozenset({Status.PENDING, Status.PROCESSING, Status.REQUIRES_ACTION})
LEADING = frozenset({Verb.CHARGE, Verb.AUTHORIZE, Verb.PAYOUT})  # the status of their root follows them


class ReviewReason(StrEnum):
    """Why a person must look at a payment."""

    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    REFERENCE_MISMATCH = "reference_mismatch"
    LATE_SUCCESS = "late_success"
    LATE_AUTHORIZATION = "late_authorization"
    SECOND_SUCCESS = "second_success"
    OVER_CAPTURED = "over_captured"
    OVER_REFUNDED = "over_refunded"
    CONTRADICTED = "contradicted"
    UNKNOWN_OUTCOME = "unknown_outcome"
    CREDENTIALS_LOST = "credentials_lost"


# Reviews that proof of the outcome ends by itself.
ENDED_BY_EVIDENCE = frozenset(
    {ReviewReason.AMOUNT_MISMATCH, ReviewReason.CURRENCY_MISMATCH, ReviewReason.UNKNOWN_OUTCOME}
)


class Customer(Struct, frozen=True):
    """Who pays, as far as the merchant tells."""

    name: str | None = None
    email: str | None = None


class Details(Struct, frozen=True, kw_only=True):
    """What the merchant said at creation, never changes, and is never searched.

    A payout's `method` is where the money goes, and `payee` who gets it.
    """

    method: Method
    payee: str | None = None
    capture: Literal["automatic", "manual"] = "automatic"
    description: str | None = None
    customer: Customer = Customer()
    metadata: dict[str, str] = {}
    return_url: str | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """Why a payment failed, in our words and in the provider's."""

    code: str
    message: str
    advice: str
    provider_code: str | None = None
    provider_message: str | None = None


def failure(code: DeclineCode, provider_code: str | None = None, provider_message: str | None = None) -> Failure:
    """The failure of a decline code, with its meaning and advice from `DECLINES`."""
    message, advice = DECLINES[code]
    return Failure(
        code=code, message=message, advice=advice, provider_code=provider_code, provider_message=provider_message
    )


class Review(Struct, frozen=True):
    """An open question about a payment, for a person; `operation` is the one in doubt."""

    reason: ReviewReason
    since: str
    operation: UUID | None = None


class Payment(Struct, kw_only=True):
    """A merchant's wish to collect money, or (`kind` payout) to give some. `sequence` numbers its events.

    A payout never expires: `expires_at` is None.
    """

    lp: int
    id: UUID
    kind: Kind = Kind.PAYMENT
    merchant_id: UUID
    livemode: bool
    status: Status
    amount: int
    currency: str
    country: str | None
    phone: str | None
    reference: str | None
    account_id: UUID
    provider: str
    details: Details
    route: msgspec.Raw
    sequence: int
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    amount_captured: int = 0
    amount_refunded: int = 0
    amount_refund_reserved: int = 0
    provider_reference: str | None = None
    next_action: NextAction | None = None
    failure: Failure | None = None
    review: Review | None = None
    traceparent: str | None = None  # W3C Trace Context of the request that made it

    def is_over(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def refundable(self) -> int:
        """Minor units that are captured and neither refunded nor being refunded."""
        return self.amount_captured - self.amount_refunded - self.amount_refund_reserved


class Refund(Struct, kw_only=True):
    """Money of a payment that goes back to its payer. Its id is that of the operation that performs it."""

    lp: int
    id: UUID
    payment_id: UUID
    merchant_id: UUID
    livemode: bool
    account_id: UUID
    provider: str
    status: RefundStatus
    amount: int
    currency: str
    reason: str | None
    metadata: dict[str, str]
    sequence: int
    created_at: datetime
    updated_at: datetime
    provider_reference: str | None = None
    failure: Failure | None = None
    review: Review | None = None


class Evidence(Struct, frozen=True, kw_only=True):
    """What was last said about an operation, by whom and when."""

    source: str
    outcome: Outcome
    at: datetime


class Operation(Struct, kw_only=True):
    """One attempt of one verb at one account.

    `fence` grows with each claim; `lease_until` bounds the claim; `sends` counts claims. `next_publish_at` and
    `next_query_at` are the sweeper's appointments.
    """

    lp: int
    id: UUID
    payment_id: UUID
    merchant_id: UUID
    account_id: UUID
    provider: str
    settings_version: int
    verb: Verb
    state: State
    amount: int
    currency: str
    reference: str
    created_at: datetime
    updated_at: datetime
    provider_reference: str | None = None
    target_id: UUID | None = None
    secret_input: bytes | None = None
    fence: int = 0
    sends: int = 0
    owner: str | None = None
    lease_until: datetime | None = None
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    next_publish_at: datetime | None = None
    publishes: int = 0
    next_query_at: datetime | None = None
    queries: int = 0
    asked_at: datetime | None = None
    evidence: Evidence | None = None

    @property
    def awaited(self) -> str | None:
        """The name of the answer that is still to come by callback: told to us alone, in the answer that we got."""
        said = None if self.evidence is None or self.evidence.source == "callback" else self.evidence.outcome
        waits = Deferred if self.verb is Verb.QUERY else Pending
        return said.provider_reference if isinstance(said, waits) else None


class Event(Struct, frozen=True, kw_only=True):
    """A fact about a payment, its bytes final: the same go to topic, feed, stream and webhooks."""

    id: UUID
    merchant_id: UUID
    livemode: bool
    root_id: UUID
    object_id: UUID
    type: str
    sequence: int
    body: bytes
    created_at: datetime
    traceparent: str | None = None  # W3C Trace Context of what made it true


class Root(Struct, kw_only=True):
    """A payment with its operations and refunds, locked; what is done to it is collected here and written at once.

    `owners` tells which operation owns a provider reference at this account, for the references the facts name.
    `pace` multiplies the provider's declared durations (below 1 only in tests).
    """

    payment: Payment
    operations: dict[UUID, Operation]
    spec: ProviderSpec
    refunds: dict[UUID, Refund] = {}
    owners: dict[str, UUID] = {}
    pace: float = 1.0
    events: list[Event] = []
    created: list[Operation] = []
    touched: set[UUID] = set()
    references: list[tuple[str, UUID]] = []
    stale: list[str] = []
    payment_touched: bool = False
    traceparent: str | None = None  # W3C Trace Context of what is done now
    refunds_touched: set[UUID] = set()

    def touch(self, operation: Operation, now: datetime) -> Operation:
        """Remember that this operation is to be written."""
        operation.updated_at = now
        self.touched.add(operation.id)
        return operation

    @property
    def attempt(self) -> Operation | None:
        """The newest charge, authorize or payout: the one that the status follows.

        One with a target is no attempt of ours, but the record of another that the provider made of it.
        """
        leading = [each for each in self.operations.values() if each.verb in LEADING and each.target_id is None]
        return max(leading, key=lambda each: each.id, default=None)

    @property
    def in_doubt(self) -> Operation | None:
        """The operation that the open review is about."""
        review = self.payment.review
        named = None if review is None or review.operation is None else self.operations.get(review.operation)
        return named or self.attempt

    def live_query(self, target: UUID) -> Operation | None:
        """The query about `target` that is prepared or under way, if any."""
        return next(
            (
                each
                for each in self.operations.values()
                if each.verb is Verb.QUERY and each.target_id == target and each.state in (State.PREPARED, State.SENT)
            ),
            None,
        )

    def live(self, *verbs: Verb) -> Operation | None:
        """The operation of one of these verbs that may still have an effect, if any."""
        return next((o for o in self.operations.values() if o.verb in verbs and o.state in LIVE), None)

    def new_id(self, now: datetime) -> UUID:
        """An id for an operation of this root: it carries the root's logical partition."""
        return ids.new_at(now, self.payment.lp)
