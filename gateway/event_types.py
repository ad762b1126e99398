"""Every event type there is: what it means, and the Struct of the object that it carries.

Published schemas, the AsyncAPI document and `mypay trigger` are made from this table. A type is never removed, and
never comes to mean something else.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gateway.payments.views import PaymentObject, PayoutObject, RefundObject
from gateway.usecases.webhook_objects import WebhookEndpointObject


class EventType(Struct, frozen=True):
    """What an event of a type says about its object."""

    carries: type[Struct]
    meaning: str


EVENT_TYPES: Final[Mapping[str, EventType]] = {
    "payment.created": EventType(PaymentObject, "It was accepted, and is on disk."),
    "payment.processing": EventType(PaymentObject, "The provider was asked; what became of it is not known yet."),
    "payment.requires_action": EventType(PaymentObject, "The payer must act: `next_action` says how."),
    "payment.authorized": EventType(PaymentObject, "The money is reserved, and waits for capture or cancel."),
    "payment.captured": EventType(PaymentObject, "A part or all of what was authorized was taken."),
    "payment.succeeded": EventType(PaymentObject, "The money was taken."),
    "payment.failed": EventType(PaymentObject, "No money was taken: `failure` says why."),
    "payment.canceled": EventType(PaymentObject, "It was called off before money was taken."),
    "payment.expired": EventType(PaymentObject, "Its time ran out before money was taken."),
    "payment.refunded": EventType(PaymentObject, "Money went back to the payer: `amount_refunded` is the new total."),
    "payment.capture_failed": EventType(PaymentObject, "A capture was declined; the authorization stands."),
    "payment.void_failed": EventType(PaymentObject, "The authorization could not be given up."),
    "payment.review": EventType(PaymentObject, "A person must look at it: `review` says why."),
    "payment.review_resolved": EventType(PaymentObject, "Its review has ended."),
    "payout.created": EventType(PayoutObject, "It was accepted, and is on disk."),
    "payout.processing": EventType(PayoutObject, "The provider was asked; what became of it is not known yet."),
    "payout.succeeded": EventType(PayoutObject, "The money was paid out."),
    "payout.failed": EventType(PayoutObject, "No money was paid out: `failure` says why."),
    "payout.canceled": EventType(PayoutObject, "It was called off before it was sent."),
    "payout.review": EventType(PayoutObject, "A person must look at it: `review` says why."),
    "payout.review_resolved": EventType(PayoutObject, "Its review has ended."),
    "refund.created": EventType(RefundObject, "It was accepted, and is on disk."),
    "refund.processing": EventType(RefundObject, "The provider was asked; what became of it is not known yet."),
    "refund.succeeded": EventType(RefundObject, "The money went back to the payer."),
    "refund.failed": EventType(RefundObject, "No money went back: `failure` says why."),
    "webhook_endpoint.disabled": EventType(
        WebhookEndpointObject, "Nothing is sent to it any more: `disabled_reason` says why."
    ),
    "ping": EventType(WebhookEndpointObject, "A test of one endpoint, sent to it alone."),
}
