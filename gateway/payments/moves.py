"""The moves: the only places where an operation's state, a payment's or refund's status and a review change.

Each finds the cell in the tables of `gateway.payments.states` and does what it says.
"""

import re
from datetime import datetime
from typing import Any

from gateway.payments import views
from gateway.payments.model import (
    ENDED_BY_EVIDENCE,
    LEADING,
    Operation,
    Refund,
    RefundStatus,
    Review,
    ReviewReason,
    Root,
    State,
    Status,
)
from gateway.payments.states import (
    OPERATION_TABLE,
    PAYMENT_TABLE,
    REFUND_TABLE,
    REFUSE,
    STALE,
    OperationFact,
    PaymentFact,
    RefundFact,
)
from providers.contract import NextAction, ProviderSpec, Verb


def move(root: Root, operation: Operation, fact: OperationFact, now: datetime) -> str:
    """Move the operation by its table; returns the cell: the new state, STALE or REFUSE."""
    cell = OPERATION_TABLE[operation.state, fact]
    if cell in (STALE, REFUSE):
        root.stale.append(f"operation {operation.state}: {fact}")
    else:
        root.touch(operation, now).state = State(cell)
    return cell


def close(operation: Operation) -> None:
    """End every appointment and lease of an operation that needs nothing more."""
    operation.next_publish_at = operation.next_query_at = operation.lease_until = None
    operation.owner = operation.secret_input = None


def advance(
    root: Root,
    fact: PaymentFact,
    now: datetime,
    *,
    refused: ReviewReason = ReviewReason.CONTRADICTED,
    operation: Operation | None = None,
    **changes: Any,
) -> bool:
    """Move the payment by its table, with `changes` to its fields, and write the event; False if it did not move.

    Where the table refuses, a review for the reason `refused` is opened, about `operation`.
    """
    payment = root.payment
    cell = PAYMENT_TABLE[payment.status, fact]
    if cell == STALE:
        root.stale.append(f"payment {payment.status}: {fact}")
        return False
    if cell == REFUSE:
        review(root, refused, now, operation)
        return False
    payment.status = Status(cell)
    if payment.status is not Status.REQUIRES_ACTION:
        payment.next_action = None
    for name, value in changes.items():
        setattr(payment, name, value)
    emit(root, str(payment.status), now)
    return True


def advance_refund(root: Root, refund: Refund, fact: RefundFact, now: datetime, **changes: Any) -> bool:
    """Move the refund by its table, with `changes` to its fields, and write the event; False if it did not move."""
    cell = REFUND_TABLE[refund.status, fact]
    if cell in (STALE, REFUSE):  # what is refused, the operation's table has sent to review
        root.stale.append(f"refund {refund.status}: {fact}")
        return False
    refund.status = RefundStatus(cell)
    for name, value in changes.items():
        setattr(refund, name, value)
    emit_refund(root, refund, now)
    return True


def require_action(root: Root, action: NextAction, now: datetime) -> None:
    """Tell the payer, through the merchant, what to do; the same words again are no news."""
    if root.payment.next_action != action:
        advance(root, PaymentFact.ACTION, now, next_action=action)


def review(root: Root, reason: ReviewReason, now: datetime, operation: Operation | None = None) -> None:
    """Open a review, about `operation`. While one is open only a graver reason takes its place; others are noted.

    What is doubtful about a refund stays noted on the refund until it is settled.
    """
    found = Review(reason, views.timestamp(now), None if operation is None else operation.id)
    if operation is not None and operation.verb is Verb.REFUND:
        root.refunds[operation.id].review = found
        root.refunds_touched.add(operation.id)
    open_now = root.payment.review
    if open_now is not None and gravity(reason) <= gravity(open_now.reason):
        root.stale.append(f"review {open_now.reason}: {reason}")
        return
    root.payment.review = found
    emit(root, "review", now)


def gravity(reason: ReviewReason) -> int:
    """What is at stake: 2, a payer who paid twice; 1, another contradiction; 0, a doubt that proof would end."""
    if reason in ENDED_BY_EVIDENCE:
        return 0
    return 2 if reason is ReviewReason.SECOND_SUCCESS else 1


def end_review(root: Root, operation: Operation, now: datetime) -> None:
    """Proof of the outcome ends a review of this operation that only waited for it."""
    refund = root.refunds.get(operation.id)
    if refund is not None and _only_waits(refund.review):
        refund.review = None
        root.refunds_touched.add(refund.id)
    found = root.payment.review
    if found is not None and _only_waits(found) and found.operation in (None, operation.id):
        resolved(root, now)


def _only_waits(found: Review | None) -> bool:
    return found is not None and found.reason in ENDED_BY_EVIDENCE


def resolved(root: Root, now: datetime) -> None:
    """The review is over; the next is that of a refund which was noted meanwhile."""
    over = root.payment.review
    root.payment.review = None
    if over is not None and over.operation in root.refunds:
        root.refunds[over.operation].review = None
        root.refunds_touched.add(over.operation)
    emit(root, "review_resolved", now)
    for refund in root.refunds.values():
        if refund.review is not None:
            review(root, refund.review.reason, now, root.operations[refund.id])


def emit(root: Root, kind: str, now: datetime) -> None:
    """Write one event ("succeeded") of the payment or payout as it is now, with the next sequence number."""
    root.payment.sequence += 1
    root.payment.updated_at = now
    root.payment_touched = True
    root.events.append(views.event(f"{root.payment.kind}.{kind}", root.payment, now))


def emit_refund(root: Root, refund: Refund, now: datetime) -> None:
    """Write one event of the refund as it is now, named by its status, with its next sequence number."""
    refund.sequence += 1
    refund.updated_at = now
    root.refunds_touched.add(refund.id)
    root.events.append(views.refund_event(refund, now))


def own_reference(root: Root, operation: Operation, reference: str | None, now: datetime) -> bool:
    """Note the provider's name for the operation; False (and review) when another operation owns it."""
    if reference is None:
        return True
    owner = root.owners.get(reference)
    if owner is not None and owner != operation.id:
        review(root, ReviewReason.REFERENCE_MISMATCH, now, operation)
        return False
    if owner is None:
        root.owners[reference] = operation.id
        root.references.append((reference, operation.id))
    if _is_better(root.spec, operation.provider_reference, reference):
        root.touch(operation, now).provider_reference = reference
        if operation.verb in LEADING and operation.target_id is None:
            root.payment.provider_reference = reference
            root.payment_touched = True
        if operation.verb is Verb.REFUND:
            root.refunds[operation.id].provider_reference = reference
            root.refunds_touched.add(operation.id)
    return True


def names_money(spec: ProviderSpec, reference: str | None) -> bool:
    """Whether a provider's name is one of money, not only of a request: most providers know no difference."""
    return spec.receipts is None or (reference is not None and re.fullmatch(spec.receipts, reference) is not None)


def _is_better(spec: ProviderSpec, known: str | None, reference: str) -> bool:
    """The first name is kept, until a receipt takes the place of a request's name."""
    return known is None or (names_money(spec, reference) and not names_money(spec, known))
