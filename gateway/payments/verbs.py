"""What a merchant may ask of a payment that exists: which states allow it, and the operation that it starts."""

from datetime import datetime
from uuid import UUID

from gateway.payments import queries
from gateway.payments.errors import MyPayError
from gateway.payments.facts import Cancel, Resolution, Resolve
from gateway.payments.model import Operation, Root, State, Status
from gateway.payments.queries import PUBLISH_GRACE
from gateway.payments.transitions import fold
from providers.contract import Otp, Verb


def start_confirm(root: Root, operation_id: UUID, reference: str, now: datetime) -> Operation:
    """Prepare the operation that passes the payer's code to the provider. Raises 409 `payment_not_confirmable`."""
    attempt, payment = root.attempt, root.payment
    waits = payment.status is Status.REQUIRES_ACTION and isinstance(payment.next_action, Otp)
    if attempt is None or attempt.state is not State.ACTION_REQUIRED or not waits:
        raise MyPayError("payment_not_confirmable", "The payment is not waiting for a code.")
    if root.live_confirm() is not None:
        raise MyPayError("payment_not_confirmable", "A code is being checked already: wait for its result.")
    confirm = Operation(
        lp=payment.lp,
        id=operation_id,
        payment_id=payment.id,
        merchant_id=payment.merchant_id,
        account_id=attempt.account_id,
        provider=attempt.provider,
        settings_version=attempt.settings_version,
        verb=Verb.CONFIRM,
        state=State.PREPARED,
        amount=attempt.amount,
        currency=attempt.currency,
        reference=reference,
        target_id=attempt.id,
        next_publish_at=now + PUBLISH_GRACE,
        created_at=now,
        updated_at=now,
    )
    root.operations[confirm.id] = confirm
    root.created.append(confirm)
    return confirm


def cancel(root: Root, now: datetime) -> Operation | None:
    """Cancel a payment of which nothing can have been sent. Raises 409 `payment_not_cancelable`."""
    fold(root, [Cancel(payment_id=root.payment.id)], now)
    if root.payment.status is not Status.CANCELED:
        raise MyPayError("payment_not_cancelable")
    return root.attempt


def verify(root: Root, now: datetime) -> Operation | None:
    """Ask the provider about the payment now; None where there is nothing to ask, or it was asked a moment ago."""
    if root.attempt is not None:
        queries.ask(root, root.attempt, now)
    return root.created[-1] if root.created else None


def resolve(resolution: Resolution, root: Root, now: datetime) -> Operation | None:
    """End the payment's review with a person's word. Raises 409 `payment_not_resolvable`."""
    if root.payment.review is None:
        raise MyPayError("payment_not_resolvable", "The payment has no open review.")
    if resolution.action == "mark_failed" and root.payment.amount_captured > 0:
        raise MyPayError("payment_not_resolvable", "Money was captured: a failure would hide it.")
    fold(root, [Resolve(payment_id=root.payment.id, resolution=resolution)], now)
    return root.attempt
