"""What becomes of payment, payout or refund when an operation is under way, succeeds or is declined: a row per verb.

Confirms and queries have no row: what they learn is about their target.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from gateway.payments import refunds
from gateway.payments.model import OPEN, Failure, Operation, ReviewReason, Root, State, Status, failure
from gateway.payments.moves import advance, advance_refund, close, emit, end_review, own_reference, review
from gateway.payments.preparing import record
from gateway.payments.states import PAYMENT_TABLE, REFUSE, PaymentFact, RefundFact
from providers.contract import Verb
from providers.declines import DeclineCode


class Effect(NamedTuple):
    """`under_way(root, operation, acted, now)`: sent or pending; `acted`: the payer did what he was asked to.

    `succeeded(root, operation, late, now)`; `twice(root, operation, reference, now)`: another success, under another
    name of the provider's; `declined(root, operation, words, now)`: also what was given up.
    """

    under_way: Callable[[Root, Operation, bool, datetime], None]
    succeeded: Callable[[Root, Operation, bool, datetime], None]
    twice: Callable[[Root, Operation, str, datetime], None]
    declined: Callable[[Root, Operation, Failure, datetime], None]


# --- Charge, authorize, payout: the status follows them -------------------------------------------------------------


def _leading_under_way(root: Root, operation: Operation, acted: bool, now: datetime) -> None:
    advance(root, PaymentFact.CONFIRMED if acted else PaymentFact.SENT, now)


def _leading_succeeded(root: Root, operation: Operation, late: bool, now: datetime) -> None:
    payment = root.payment
    fact = PaymentFact.LATE_SUCCEEDED if late else PaymentFact.SUCCEEDED
    if PAYMENT_TABLE[payment.status, fact] == REFUSE:
        return _pay_back(root, operation, now)
    closed_before = payment.status not in OPEN | {Status.AUTHORIZED}
    captured = payment.amount_captured if operation.verb is Verb.PAYOUT else operation.amount
    moved = advance(root, fact, now, amount_captured=captured, failure=None)
    if moved and (late or closed_before):
        review(root, ReviewReason.LATE_SUCCESS, now, operation)
    elif moved:
        end_review(root, operation, now)
    return None


def _leading_twice(root: Root, operation: Operation, reference: str, now: datetime) -> None:
    """The provider took (or paid) twice for one operation: the other one is recorded as an operation of its own."""
    if operation.verb is Verb.PAYOUT or Verb.REFUND not in root.spec.verbs:
        own_reference(root, operation, reference, now)
        return review(root, ReviewReason.SECOND_SUCCESS, now, operation)
    other = record(root, operation.verb, operation, operation.amount, State.LATE_SUCCEEDED, now)
    other.evidence = operation.evidence
    own_reference(root, other, reference, now)
    return _pay_back(root, other, now)


def _pay_back(root: Root, operation: Operation, now: datetime) -> None:
    """A payer who paid twice gets the second payment back, where the provider can; otherwise a person decides."""
    if operation.verb is Verb.PAYOUT or Verb.REFUND not in root.spec.verbs:
        return review(root, ReviewReason.SECOND_SUCCESS, now, operation)
    root.payment.amount_captured += operation.amount
    emit(root, "captured", now)
    refunds.start(root, operation, operation.amount, now, reason=refunds.SECOND_SUCCESS)
    return None


def _leading_declined(root: Root, operation: Operation, words: Failure, now: datetime) -> None:
    if advance(root, PaymentFact.DECLINED, now, failure=words):
        end_review(root, operation, now)


# --- Capture and void: what becomes of an authorization -------------------------------------------------------------


def _nothing_yet(root: Root, operation: Operation, acted: bool, now: datetime) -> None:
    """Neither is shown before it is known."""


def _captured(root: Root, operation: Operation, late: bool, now: datetime) -> None:
    payment = root.payment
    payment.amount_captured += operation.amount
    emit(root, "captured", now)
    closed_before = payment.status not in (Status.AUTHORIZED, Status.SUCCEEDED)
    if payment.status is not Status.SUCCEEDED:
        advance(root, PaymentFact.SUCCEEDED, now, failure=None)
    if payment.amount_captured > payment.amount:
        review(root, ReviewReason.OVER_CAPTURED, now, operation)
    elif late or closed_before:
        review(root, ReviewReason.LATE_SUCCESS, now, operation)
    else:
        end_review(root, operation, now)


def _captured_twice(root: Root, operation: Operation, reference: str, now: datetime) -> None:
    own_reference(root, operation, reference, now)
    root.payment.amount_captured += operation.amount
    emit(root, "captured", now)
    review(root, ReviewReason.OVER_CAPTURED, now, operation)


def _capture_declined(root: Root, operation: Operation, words: Failure, now: datetime) -> None:
    emit(root, "capture_failed", now)
    end_review(root, operation, now)


def _voided(root: Root, operation: Operation, late: bool, now: datetime) -> None:
    if advance(root, PaymentFact.CANCELED, now, operation=operation, failure=failure(DeclineCode.CANCELED)):
        end_review(root, operation, now)


def _voided_twice(root: Root, operation: Operation, reference: str, now: datetime) -> None:
    """No money moves by it."""
    own_reference(root, operation, reference, now)


def _void_declined(root: Root, operation: Operation, words: Failure, now: datetime) -> None:
    if root.payment.status is not Status.AUTHORIZED:
        return review(root, ReviewReason.LATE_AUTHORIZATION, now, operation)
    emit(root, "void_failed", now)
    return end_review(root, operation, now)


# --- Refund -----------------------------------------------------------------------------------------------------------


def _refund_under_way(root: Root, operation: Operation, acted: bool, now: datetime) -> None:
    advance_refund(root, root.refunds[operation.id], RefundFact.SENT, now)


def _refunded(root: Root, operation: Operation, late: bool, now: datetime) -> None:
    payment, refund = root.payment, root.refunds[operation.id]
    if not late:  # what was declined has released its reserve
        payment.amount_refund_reserved -= operation.amount
    payment.amount_refunded += operation.amount
    advance_refund(root, refund, RefundFact.SUCCEEDED, now, failure=None)
    emit(root, "refunded", now)
    if payment.amount_refunded > payment.amount_captured:
        review(root, ReviewReason.OVER_REFUNDED, now, operation)
    elif late:
        review(root, ReviewReason.LATE_SUCCESS, now, operation)
    else:
        end_review(root, operation, now)


def _refunded_twice(root: Root, operation: Operation, reference: str, now: datetime) -> None:
    own_reference(root, operation, reference, now)
    root.payment.amount_refunded += operation.amount
    emit(root, "refunded", now)
    review(root, ReviewReason.OVER_REFUNDED, now, operation)


def _refund_declined(root: Root, operation: Operation, words: Failure, now: datetime) -> None:
    refund = root.refunds[operation.id]
    root.payment.amount_refund_reserved -= operation.amount
    root.payment_touched = True
    advance_refund(root, refund, RefundFact.DECLINED, now, failure=words)
    end_review(root, operation, now)
    if refund.reason == refunds.SECOND_SUCCESS:
        review(root, ReviewReason.SECOND_SUCCESS, now, operation)


_LEADING: Final = Effect(_leading_under_way, _leading_succeeded, _leading_twice, _leading_declined)

EFFECTS: Final[dict[Verb, Effect]] = {
    Verb.CHARGE: _LEADING,
    Verb.AUTHORIZE: _LEADING,
    Verb.PAYOUT: _LEADING,
    Verb.CAPTURE: Effect(_nothing_yet, _captured, _captured_twice, _capture_declined),
    Verb.VOID: Effect(_nothing_yet, _voided, _voided_twice, _void_declined),
    Verb.REFUND: Effect(_refund_under_way, _refunded, _refunded_twice, _refund_declined),
}


def settle(root: Root, operation: Operation, late: bool, now: datetime) -> None:
    """The operation has succeeded: it needs nothing more, and its object learns of it."""
    close(operation)
    EFFECTS[operation.verb].succeeded(root, operation, late, now)
