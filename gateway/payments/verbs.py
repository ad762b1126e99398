"""What a merchant may ask of a payment that exists: which states allow it, and the operation that it starts."""

from datetime import datetime

from gateway.payments import queries, refunds
from gateway.payments.errors import MyPayError, invalid
from gateway.payments.facts import Cancel, Resolution, Resolve
from gateway.payments.model import LEADING, Operation, Root, State, Status
from gateway.payments.preparing import prepare
from gateway.payments.transitions import fold, seen_amount
from providers.contract import Otp, Verb


def start_confirm(root: Root, now: datetime) -> Operation:
    """Prepare the operation that passes the payer's code to the provider. Raises 409 `payment_not_confirmable`."""
    attempt, payment = root.attempt, root.payment
    waits = payment.status is Status.REQUIRES_ACTION and isinstance(payment.next_action, Otp)
    if attempt is None or attempt.state is not State.ACTION_REQUIRED or not waits:
        raise MyPayError("payment_not_confirmable", "The payment is not waiting for a code.")
    if root.live(Verb.CONFIRM) is not None:
        raise MyPayError("payment_not_confirmable", "A code is being checked already: wait for its result.")
    return prepare(root, Verb.CONFIRM, attempt, attempt.amount, now)


def capture(amount: int | None, root: Root, now: datetime) -> Operation:
    """Prepare the capture of `amount` (default: what is left of the authorized amount).

    Raises 409 `payment_not_capturable` and `amount_exceeds_authorized`, and 400 where the provider captures all or
    nothing.
    """
    attempt, payment = root.attempt, root.payment
    spec = root.spec.verbs.get(Verb.CAPTURE)
    again = payment.status is Status.SUCCEEDED and spec is not None and spec.several
    authorized = attempt is not None and attempt.verb is Verb.AUTHORIZE and attempt.state is State.AUTHORIZED
    left = payment.amount - payment.amount_captured
    if attempt is None or spec is None or not authorized or not (payment.status is Status.AUTHORIZED or again):
        raise MyPayError("payment_not_capturable", "There is no authorized amount that could be captured.")
    if root.live(Verb.CAPTURE, Verb.VOID) is not None:
        raise MyPayError("payment_not_capturable", "A capture or void is under way: wait for its result.")
    wanted = amount or left
    if wanted > left:
        raise MyPayError("amount_exceeds_authorized")
    if left == 0:
        raise MyPayError("payment_not_capturable", "All of the payment is captured.")
    if wanted < payment.amount and not spec.partial:
        raise invalid("/amount", "out_of_range", "The provider captures the whole amount or nothing.")
    return prepare(root, Verb.CAPTURE, attempt, wanted, now)


def cancel(root: Root, now: datetime) -> Operation | None:
    """Cancel a payment of which nothing can have been sent, or release what is only authorized.

    Raises 409 `payment_not_cancelable`.
    """
    if root.payment.status is Status.AUTHORIZED:
        return _void(root, now)
    fold(root, [Cancel(payment_id=root.payment.id)], now)
    if root.payment.status is not Status.CANCELED:
        raise MyPayError("payment_not_cancelable")
    return root.attempt


def _void(root: Root, now: datetime) -> Operation:
    attempt = root.attempt
    if attempt is None or Verb.VOID not in root.spec.verbs:
        raise MyPayError("payment_not_cancelable", "The provider releases no authorizations: this one lapses there.")
    if root.payment.amount_captured > 0 or root.live(Verb.CAPTURE, Verb.VOID) is not None:
        raise MyPayError("payment_not_cancelable", "A capture or void was started: wait for its result.")
    return prepare(root, Verb.VOID, attempt, attempt.amount, now)


def refund(amount: int | None, reason: str | None, metadata: dict[str, str], root: Root, now: datetime) -> Operation:
    """Prepare a refund of `amount` (default: what is left), reserving it.

    Raises 409 `payment_not_refundable` and `amount_exceeds_captured`, and 400 where the provider refunds the whole.
    """
    attempt, payment, spec = root.attempt, root.payment, root.spec.verbs.get(Verb.REFUND)
    if spec is None:
        raise MyPayError("payment_not_refundable", "The provider has no refunds.")
    if attempt is None or payment.status is not Status.SUCCEEDED or payment.amount_captured == 0:
        raise MyPayError("payment_not_refundable")
    wanted = amount or payment.refundable
    if wanted > payment.refundable or wanted == 0:
        raise MyPayError("amount_exceeds_captured")
    if wanted < payment.amount_captured and not spec.partial:
        raise invalid("/amount", "out_of_range", "The provider refunds the whole amount or nothing.")
    if payment.refundable < payment.amount_captured and not spec.several:
        raise MyPayError("payment_not_refundable", "The provider refunds a payment once.")
    return refunds.start(root, attempt, wanted, now, reason=reason, metadata=metadata)


def verify(root: Root, now: datetime) -> Operation | None:
    """Ask the provider about the payment now; None where there is nothing to ask, or it was asked a moment ago."""
    if root.attempt is not None:
        queries.ask(root, root.attempt, now)
    return root.created[-1] if root.created else None


def resolve(resolution: Resolution, root: Root, now: datetime) -> Operation | None:
    """End the review with a person's word. Raises 409 `payment_not_resolvable`."""
    operation = root.in_doubt
    if root.payment.review is None or operation is None:
        raise MyPayError("payment_not_resolvable", "There is no open review.")
    if resolution.action == "mark_failed" and operation.verb in LEADING and root.payment.amount_captured > 0:
        raise MyPayError("payment_not_resolvable", "Money was captured: a failure would hide it.")
    if resolution.action == "refund":
        _must_be_refundable(root, operation)
    fold(root, [Resolve(payment_id=root.payment.id, resolution=resolution)], now)
    return root.created[-1] if resolution.action == "refund" else operation


def _must_be_refundable(root: Root, operation: Operation) -> None:
    captures = operation.verb in LEADING and operation.verb is not Verb.PAYOUT and root.payment.amount_captured == 0
    left = seen_amount(operation) if captures else root.payment.refundable
    if Verb.REFUND not in root.spec.verbs or left <= 0:
        raise MyPayError("payment_not_resolvable", "There is nothing that could be refunded through the provider.")
