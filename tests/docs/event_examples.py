"""An example of every event type, made by the code that makes events."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from gateway import ids
from gateway.event_types import EVENT_TYPES
from gateway.payments import views
from gateway.payments.model import Details, Kind, Payment, Refund, RefundStatus, Review, ReviewReason, Status, failure
from gateway.usecases.webhook_objects import WebhookEndpointObject
from providers.contract import MobileMoney, Otp
from providers.declines import DeclineCode

AT: Final = datetime(2026, 11, 25, 1, 22, 16, 708_000, UTC)
MERCHANT: Final = UUID("01a21041-0000-7000-8000-000000000001")
ROOT: Final = UUID("01a2104b-dac7-7bc8-9ff4-8dd9aa7ccacb")
ACCOUNT: Final = UUID("01a21041-0000-7000-8000-000000000002")
EVENT: Final = UUID("01a2104b-dc30-75de-948c-2538dfcfc8cb")
ENDPOINT: Final = UUID("01a21041-0000-7000-8000-000000000003")

_STATUSES: Final = {  # of the types that are not named by the object's status
    "created": "pending",
    "captured": "succeeded",
    "refunded": "succeeded",
    "capture_failed": "authorized",
    "void_failed": "authorized",
    "review": "processing",
    "review_resolved": "succeeded",
}
_SEQUENCES: Final = {"created": 1, "processing": 2, "requires_action": 2, "authorized": 3, "ping": 1}


def example(kind: str) -> dict[str, Any]:
    """The event of this type, as its JSON."""
    family, _, word = kind.rpartition(".")
    made = _OBJECTS[family or "ping"](word)
    sequence = _SEQUENCES.get(word, 3)
    body = views.EventObject(
        id=ids.show(ids.EVENT, EVENT),
        type=kind,
        sequence=sequence,
        timestamp=views.timestamp(AT),
        livemode=False,
        merchant=ids.show(ids.MERCHANT, MERCHANT),
        data=views.EventData(msgspec.Raw(made)),
    )
    shown: dict[str, Any] = msgspec.json.decode(views.encode(body))
    if "sequence" in shown["data"]["object"]:
        shown["data"]["object"]["sequence"] = sequence
    return shown


def _payment(word: str, kind: Kind = Kind.PAYMENT) -> bytes:
    status = Status(_STATUSES.get(word, word))
    taken = 15000 if status is Status.SUCCEEDED else 0
    return views.payment_json(
        Payment(
            lp=ids.lp_of(ROOT),
            id=ROOT,
            kind=kind,
            merchant_id=MERCHANT,
            livemode=False,
            status=status,
            amount=15000,
            currency="LSL",
            country="LS",
            phone="+26658123000",
            reference="order-1001",
            account_id=ACCOUNT,
            provider="sandbox",
            details=Details(method=MobileMoney("+26658123000")),
            route=msgspec.Raw(b"{}"),
            sequence=3,
            expires_at=datetime(2026, 11, 25, 2, 22, 16, 507_000, UTC),
            created_at=datetime(2026, 11, 25, 1, 22, 16, 507_000, UTC),
            updated_at=AT,
            amount_captured=taken,
            amount_refunded=taken if word == "refunded" else 0,
            provider_reference=None if status is Status.PENDING else "ch_3rnu4km4wsvoo6hap9o2wmnk",
            next_action=Otp("Enter the code.") if status is Status.REQUIRES_ACTION else None,
            failure=failure(DeclineCode.INSUFFICIENT_FUNDS) if status is Status.FAILED else None,
            review=Review(ReviewReason.AMOUNT_MISMATCH, views.timestamp(AT)) if word == "review" else None,
        )
    )


def _payout(word: str) -> bytes:
    return _payment(word, Kind.PAYOUT)


def _refund(word: str) -> bytes:
    status = RefundStatus(_STATUSES.get(word, word))
    return views.refund_json(
        Refund(
            lp=ids.lp_of(ROOT),
            id=ROOT,
            payment_id=ROOT,
            merchant_id=MERCHANT,
            livemode=False,
            account_id=ACCOUNT,
            provider="sandbox",
            status=status,
            amount=15000,
            currency="LSL",
            reason=None,
            metadata={},
            sequence=3,
            created_at=AT,
            updated_at=AT,
            failure=failure(DeclineCode.DECLINED) if status is RefundStatus.FAILED else None,
        )
    )


def _endpoint(word: str) -> bytes:
    is_disabled = word == "disabled"
    return views.encode(
        WebhookEndpointObject(
            id=ids.show(ids.WEBHOOK_ENDPOINT, ENDPOINT),
            livemode=False,
            url="https://shop.example/hooks",
            events=["payment.*"],
            description=None,
            status="disabled" if is_disabled else "enabled",
            disabled_reason="It answered 410 Gone." if is_disabled else None,
            public_key=None,
            previous_secret_expires_at=None,
            address_filter="on",
            created_at=views.timestamp(AT),
            updated_at=views.timestamp(AT),
        )
    )


_OBJECTS: Final = {
    "payment": _payment,
    "payout": _payout,
    "refund": _refund,
    "webhook_endpoint": _endpoint,
    "ping": _endpoint,
}
EXAMPLES: Final = {kind: example(kind) for kind in EVENT_TYPES}
