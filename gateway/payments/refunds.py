"""Refunds: money of a payment that goes back, at our request or because the provider took it back."""

from datetime import datetime
from typing import Final

from gateway.payments import views
from gateway.payments.model import Operation, Refund, RefundStatus, Root, State
from gateway.payments.preparing import prepare, record
from providers.contract import Verb

SECOND_SUCCESS: Final = "second_success"  # the reason of a refund that we start ourselves: the payer paid twice
PROVIDER_REVERSAL: Final = "provider_reversal"  # the reason of one that the provider made unasked


def start(
    root: Root,
    target: Operation,
    amount: int,
    now: datetime,
    *,
    reason: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Operation:
    """Prepare the operation that gives back `amount` (minor units) of what `target` took, and reserve the amount."""
    operation = prepare(root, Verb.REFUND, target, amount, now)
    _begin(root, operation, now, reason, metadata or {})
    return operation


def found(root: Root, target: Operation, amount: int, now: datetime) -> Operation:
    """Record that the provider has given back `amount` of what `target` took; the operation is to be settled next."""
    operation = record(root, Verb.REFUND, target, amount, State.PENDING, now)
    _begin(root, operation, now, PROVIDER_REVERSAL, {})
    return operation


def reversed_already(root: Root, target: Operation) -> bool:
    """Whether it is known that the provider took back what `target` took."""
    return any(
        refund.reason == PROVIDER_REVERSAL and root.operations[refund.id].target_id == target.id
        for refund in root.refunds.values()
    )


def _begin(root: Root, operation: Operation, now: datetime, reason: str | None, metadata: dict[str, str]) -> None:
    refund = Refund(
        lp=operation.lp,
        id=operation.id,
        payment_id=operation.payment_id,
        merchant_id=operation.merchant_id,
        livemode=root.payment.livemode,
        account_id=operation.account_id,
        provider=operation.provider,
        status=RefundStatus.PENDING,
        amount=operation.amount,
        currency=operation.currency,
        reason=reason,
        metadata=metadata,
        sequence=1,
        created_at=now,
        updated_at=now,
    )
    root.payment.amount_refund_reserved += operation.amount
    root.payment_touched = True
    root.refunds[refund.id] = refund
    root.refunds_touched.add(refund.id)
    root.events.append(views.refund_event(refund, now))
