"""What a client sees: the payment object and the event around it, as final bytes.

The same bytes are the answer of the API, the `data.object` of the event, and what topic, feed and webhooks carry.
"""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from gateway import ids
from gateway.payments.model import Customer, Event, Failure, Payment, Review, Status
from providers.contract import Method, NextAction


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
    review: Review | None
    sequence: int
    expires_at: str
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


def payment_object(payment: Payment) -> PaymentObject:
    """The payment as a value."""
    details = payment.details
    return PaymentObject(
        id=ids.show(ids.PAYMENT, payment.id),
        livemode=payment.livemode,
        status=payment.status,
        amount=payment.amount,
        currency=payment.currency,
        amount_captured=payment.amount_captured,
        amount_refunded=payment.amount_refunded,
        country=payment.country,
        capture=details.capture,
        method=details.method,
        description=details.description,
        reference=payment.reference,
        metadata=dict(sorted(details.metadata.items())),  # jsonb keeps its own order; an answer must repeat to the byte
        customer=details.customer,
        return_url=details.return_url,
        account=ids.show(ids.ACCOUNT, payment.account_id),
        provider=payment.provider,
        provider_reference=payment.provider_reference,
        next_action=payment.next_action,
        failure=payment.failure,
        review=payment.review,
        sequence=payment.sequence,
        expires_at=timestamp(payment.expires_at),
        created_at=timestamp(payment.created_at),
        updated_at=timestamp(payment.updated_at),
    )


def payment_json(payment: Payment) -> bytes:
    """The payment as the bytes of a GET."""
    return encode(payment_object(payment))


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
    """An event about a payment, its body holding the payment as it is at this sequence."""
    event_id = ids.new(payment.lp, at_ms=int(at.timestamp() * 1000))
    body = EventObject(
        id=ids.show(ids.EVENT, event_id),
        type=kind,
        sequence=payment.sequence,
        timestamp=timestamp(at),
        livemode=payment.livemode,
        merchant=ids.show(ids.MERCHANT, payment.merchant_id),
        data=EventData(Raw(object_json or payment_json(payment))),
    )
    return Event(
        id=event_id,
        merchant_id=payment.merchant_id,
        livemode=payment.livemode,
        root_id=payment.id,
        object_id=payment.id,
        type=kind,
        sequence=payment.sequence,
        body=encode(body),
        created_at=at,
    )
