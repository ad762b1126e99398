"""What a client sees: payment, payout and refund objects and the event around them, as final bytes.

The same bytes are the answer of the API, the `data.object` of the event, and what topic, feed and webhooks carry.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from gateway import ids
from gateway.payments.model import (
    Customer,
    Event,
    Failure,
    Kind,
    Payment,
    Refund,
    RefundStatus,
    Review,
    ReviewReason,
    Status,
)
from providers.contract import Method, MobileMoney, NextAction


class ReviewObject(Struct):
    """An open question about an object, for a person."""

    reason: ReviewReason
    since: str


class PaymentObject(Struct, kw_only=True):
    """A payment as the API shows it (docs: reference of the HTTP contract)."""

    id: str
    object: Literal["payment"] = "payment"
    livemode: bool
    status: Status
    amount: int
    currency: str
    amount_captured: int
    amount_refunded: int
    country: str | None
    capture: str
    method: Method
    description: str | None
    reference: str | None
    metadata: dict[str, str]
    customer: Customer
    return_url: str | None
    account: str
    provider: str
    provider_reference: str | None
    next_action: NextAction | None
    failure: Failure | None
    review: ReviewObject | None
    sequence: int
    expires_at: str
    created_at: str
    updated_at: str


class Destination(Struct, kw_only=True):
    """Where a payout goes: a mobile-money wallet, and its holder's name where the merchant gave it."""

    type: Literal["mobile_money"] = "mobile_money"
    phone: str
    name: str | None


class PayoutObject(Struct, kw_only=True):
    """A payout as the API shows it."""

    id: str
    object: Literal["payout"] = "payout"
    livemode: bool
    status: Literal["pending", "processing", "succeeded", "failed", "canceled"]
    amount: int
    currency: str
    country: str | None
    destination: Destination
    description: str | None
    reference: str | None
    metadata: dict[str, str]
    account: str
    provider: str
    provider_reference: str | None
    failure: Failure | None
    review: ReviewObject | None
    sequence: int
    created_at: str
    updated_at: str


class RefundObject(Struct, kw_only=True):
    """A refund as the API shows it."""

    id: str
    object: Literal["refund"] = "refund"
    livemode: bool
    payment: str
    status: RefundStatus
    amount: int
    currency: str
    reason: str | None
    metadata: dict[str, str]
    account: str
    provider: str
    provider_reference: str | None
    failure: Failure | None
    review: ReviewObject | None
    sequence: int
    created_at: str
    updated_at: str


class OperationObject(Struct):
    """The operation that a request started, as the answer to that request shows it."""

    id: str
    verb: str
    state: str


class PaymentWithOperation(PaymentObject, kw_only=True):
    """A payment as it is now, and the operation that the request started, if one was."""

    operation: OperationObject | None


class PayoutWithOperation(PayoutObject, kw_only=True):
    """A payout as it is now, and the operation that the request concerned, if any."""

    operation: OperationObject | None


class EventData(Struct):
    """What an event is about: the object as GET would have shown it at that sequence."""

    object: Raw


class EventObject(Struct, kw_only=True):
    """An event as every subscriber gets it."""

    id: str
    object: Literal["event"] = "event"
    type: str
    sequence: int
    timestamp: str
    livemode: bool
    merchant: str
    data: EventData


encode = msgspec.json.Encoder().encode


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: "2026-11-23T21:00:00.000Z"."""
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def timestamp_or_null(at: datetime | None) -> str | None:
    """The same of a time that may not be known."""
    return None if at is None else timestamp(at)


def payment_object(payment: Payment) -> PaymentObject:
    """The payment as a value."""
    details = payment.details
    assert payment.expires_at is not None, "only payouts never expire"
    return PaymentObject(
        **_common(payment),
        amount_captured=payment.amount_captured,
        amount_refunded=payment.amount_refunded,
        capture=details.capture,
        method=details.method,
        customer=details.customer,
        return_url=details.return_url,
        next_action=payment.next_action,
        expires_at=timestamp(payment.expires_at),
    )


def payout_object(payout: Payment) -> PayoutObject:
    """The payout as a value."""
    method = payout.details.method
    assert isinstance(method, MobileMoney), "payouts go to wallets"
    return PayoutObject(**_common(payout), destination=Destination(phone=method.phone, name=payout.details.payee))


def _common(root: Payment) -> dict[str, Any]:
    """What payments and payouts show alike."""
    return {
        "id": public_id(root),
        "livemode": root.livemode,
        "status": root.status,
        "amount": root.amount,
        "currency": root.currency,
        "country": root.country,
        "description": root.details.description,
        "reference": root.reference,
        "metadata": _sorted(root.details.metadata),
        "account": ids.show(ids.ACCOUNT, root.account_id),
        "provider": root.provider,
        "provider_reference": root.provider_reference,
        "failure": root.failure,
        "review": _review(root.review),
        "sequence": root.sequence,
        "created_at": timestamp(root.created_at),
        "updated_at": timestamp(root.updated_at),
    }


def _sorted(metadata: dict[str, str]) -> dict[str, str]:
    """jsonb keeps an order of its own; an answer must repeat to the byte."""
    return dict(sorted(metadata.items()))


def _review(review: Review | None) -> ReviewObject | None:
    return None if review is None else ReviewObject(review.reason, review.since)


def public_id(root: Payment) -> str:
    """ "pay_…", or "pout_…" of a payout."""
    return ids.show(ids.PAYOUT if root.kind is Kind.PAYOUT else ids.PAYMENT, root.id)


def payment_json(payment: Payment) -> bytes:
    """The payment or payout as the bytes of a GET."""
    return encode(payout_object(payment) if payment.kind is Kind.PAYOUT else payment_object(payment))


def refund_json(refund: Refund) -> bytes:
    """The refund as the bytes of a GET."""
    return encode(
        RefundObject(
            id=ids.show(ids.REFUND, refund.id),
            livemode=refund.livemode,
            payment=ids.show(ids.PAYMENT, refund.payment_id),
            status=refund.status,
            amount=refund.amount,
            currency=refund.currency,
            reason=refund.reason,
            metadata=_sorted(refund.metadata),
            account=ids.show(ids.ACCOUNT, refund.account_id),
            provider=refund.provider,
            provider_reference=refund.provider_reference,
            failure=refund.failure,
            review=_review(refund.review),
            sequence=refund.sequence,
            created_at=timestamp(refund.created_at),
            updated_at=timestamp(refund.updated_at),
        )
    )


def accepted_json(payment: Payment) -> bytes:
    """The bytes of the 201 that accepted this payment, rebuilt from what never changes: the answer of a replay."""
    return payment_json(
        msgspec.structs.replace(
            payment,
            status=Status.PENDING,
            amount_captured=0,
            amount_refunded=0,
            provider_reference=None,
            next_action=None,
            failure=None,
            review=None,
            sequence=1,
            updated_at=payment.created_at,
        )
    )


def event(kind: str, payment: Payment, at: datetime, object_json: bytes | None = None) -> Event:
    """An event about a payment or payout, its body holding it as it is at this sequence."""
    return _event(kind, payment, payment.id, at, object_json or payment_json(payment))


def refund_event(refund: Refund, at: datetime) -> Event:
    """The event that a refund has come to its status; it is ordered among those of its payment."""
    kind = "created" if refund.status is RefundStatus.PENDING else refund.status
    return _event(f"refund.{kind}", refund, refund.payment_id, at, refund_json(refund))


def _event(kind: str, about: Payment | Refund, root_id: UUID, at: datetime, object_json: bytes) -> Event:
    event_id = ids.new_at(at, about.lp)
    body = EventObject(
        id=ids.show(ids.EVENT, event_id),
        type=kind,
        sequence=about.sequence,
        timestamp=timestamp(at),
        livemode=about.livemode,
        merchant=ids.show(ids.MERCHANT, about.merchant_id),
        data=EventData(Raw(object_json)),
    )
    return Event(
        id=event_id,
        merchant_id=about.merchant_id,
        livemode=about.livemode,
        root_id=root_id,
        object_id=about.id,
        type=kind,
        sequence=about.sequence,
        body=encode(body),
        created_at=at,
    )
