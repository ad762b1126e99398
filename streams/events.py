"""Events as Kafka messages: CloudEvents 1.0 in binary mode (cloudevents/spec, kafka-protocol-binding).

The value is the event's body, the very bytes that feed, stream and webhooks carry; the envelope is in the headers.
`sequence` is the CloudEvents extension of that name: the event's number among those of its object.
"""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.payments.views import timestamp
from streams import topics
from streams.publisher import Message


class Event(Struct, frozen=True, kw_only=True):
    """A positioned event, as its row is."""

    position: int
    id: UUID
    livemode: bool
    root_id: UUID
    object_id: UUID
    type: str
    sequence: int
    body: bytes
    created_at: datetime
    traceparent: str | None = None


class _Prefixes(NamedTuple):
    root: str
    subject: str


# By the first word of the type: refunds are ordered, and therefore keyed, by their payment.
_PREFIXES: Final = {
    "payment": _Prefixes(ids.PAYMENT, ids.PAYMENT),
    "refund": _Prefixes(ids.PAYMENT, ids.REFUND),
    "payout": _Prefixes(ids.PAYOUT, ids.PAYOUT),
    "account": _Prefixes(ids.ACCOUNT, ids.ACCOUNT),
    "webhook_endpoint": _Prefixes("whe", "whe"),
    "ping": _Prefixes("whe", "whe"),
}
_OTHER: Final = _Prefixes("obj", "obj")  # a type that this version does not know must not stop the relay


def message_of(event: Event) -> Message:
    """The event as a record: keyed by its root, in the partition of its root."""
    prefixes = _PREFIXES.get(event.type.split(".", 1)[0], _OTHER)
    attributes = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": ids.show(ids.EVENT, event.id),
        "ce_source": "/mypay",
        "ce_type": event.type,
        "ce_subject": ids.show(prefixes.subject, event.object_id),
        "ce_time": timestamp(event.created_at),
        "ce_sequence": str(event.sequence),
    }
    if event.traceparent is not None:  # under its own name, where consumers' tracing looks for it
        attributes["traceparent"] = event.traceparent
    return Message(
        topic=topics.events(event.livemode),
        lp=ids.lp_of(event.root_id),
        key=ids.show(prefixes.root, event.root_id).encode(),
        value=event.body,
        headers=tuple((name, value.encode()) for name, value in attributes.items()),
    )
