"""What a provider said about an operation that moves money, and what follows from it.

One function per outcome, found in `_SAY`. What the provider states (amount, currency, reference) must be what we asked
for; what it does not state is not compared.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.payments import decisions, queries
from gateway.payments.model import OPEN, Evidence, Operation, ReviewReason, Root, State, Status, failure
from gateway.payments.moves import advance, close, end_review, move, own_reference, require_action, review
from gateway.payments.states import REFUSE, OperationFact, PaymentFact
from providers.contract import (
    Absent,
    ActionRequired,
    Ambiguous,
    Authorized,
    Declined,
    NotSent,
    Outcome,
    Pending,
    Reversed,
    Succeeded,
    Throttled,
    Unknown,
)
from providers.declines import DeclineCode


def state(root: Root, operation: Operation, outcome: Outcome, source: str, now: datetime) -> None:
    """Apply what `source` says about the operation."""
    operation.evidence = Evidence(source=source, outcome=outcome, at=now)
    root.touch(operation, now)
    _SAY[type(outcome)](root, operation, outcome, now)


def _succeeded(root: Root, operation: Operation, outcome: Succeeded, now: datetime) -> None:
    if not _agrees(root, operation, outcome, now):
        return None
    late = move(root, operation, OperationFact.SUCCEEDED, now) == State.LATE_SUCCEEDED
    if operation.state not in (State.SUCCEEDED, State.LATE_SUCCEEDED):
        return review(root, ReviewReason.CONTRADICTED, now)
    close(operation)
    closed_before = root.payment.status not in OPEN | {Status.AUTHORIZED}
    fact = PaymentFact.LATE_SUCCEEDED if late else PaymentFact.SUCCEEDED
    changes = {"amount_captured": operation.amount, "failure": None}
    moved = advance(root, fact, now, refused=ReviewReason.SECOND_SUCCESS, **changes)
    if moved and (late or closed_before):
        review(root, ReviewReason.LATE_SUCCESS, now)
    elif moved:
        end_review(root, now)
    return None


def _authorized(root: Root, operation: Operation, outcome: Authorized, now: datetime) -> None:
    if not _agrees(root, operation, outcome, now):
        return
    if move(root, operation, OperationFact.AUTHORIZED, now) == REFUSE:
        advance(root, PaymentFact.LATE_AUTHORIZED, now, refused=ReviewReason.LATE_AUTHORIZATION)
    elif operation.state is State.AUTHORIZED:
        close(operation)
        if advance(root, PaymentFact.AUTHORIZED, now):
            end_review(root, now)


def _pending(root: Root, operation: Operation, outcome: Pending, now: datetime) -> None:
    own_reference(root, operation, outcome.provider_reference, now)
    acted = operation.state is State.ACTION_REQUIRED
    waits = acted and outcome.awaits_payer
    if not waits and move(root, operation, OperationFact.PENDING, now) == State.PENDING:
        advance(root, PaymentFact.CONFIRMED if acted else PaymentFact.SENT, now)
    queries.schedule(root, operation, now)


def _action_required(root: Root, operation: Operation, outcome: ActionRequired, now: datetime) -> None:
    own_reference(root, operation, outcome.provider_reference, now)
    if move(root, operation, OperationFact.ACTION, now) == State.ACTION_REQUIRED:
        require_action(root, outcome.action, now)
    queries.schedule(root, operation, now)


def _declined(root: Root, operation: Operation, outcome: Declined, now: datetime) -> None:
    own_reference(root, operation, outcome.provider_reference, now)
    verdict = move(root, operation, OperationFact.DECLINED, now)
    if verdict == REFUSE:
        advance(root, PaymentFact.CONTRADICTED, now)
    elif verdict == State.DECLINED:
        close(operation)
        words = failure(outcome.code, outcome.provider_code, outcome.provider_message)
        advance(root, PaymentFact.DECLINED, now, failure=words)


def _reversed(root: Root, operation: Operation, outcome: Reversed, now: datetime) -> None:
    """What succeeded and was given back: after a success of ours it contradicts us, before one no money is with us."""
    _declined(root, operation, Declined(code=DeclineCode.CANCELED, provider_code="reversed"), now)


def _not_sent(root: Root, operation: Operation, outcome: NotSent, now: datetime) -> None:
    send_again(root, operation, now)


def _throttled(root: Root, operation: Operation, outcome: Throttled, now: datetime) -> None:
    send_again(root, operation, now, limit=decisions.THROTTLES_MAX, delay_s=outcome.retry_after_s)


def _unknown(root: Root, operation: Operation, outcome: Unknown | Ambiguous | Absent, now: datetime) -> None:
    """Also where absence is stated otherwise than in answer to a query: it proves nothing, and is asked about."""
    move(root, operation, OperationFact.UNKNOWN, now)
    queries.schedule(root, operation, now)


_SAY: Final[dict[type, Callable[[Root, Operation, Any, datetime], None]]] = {
    Succeeded: _succeeded,
    Authorized: _authorized,
    Pending: _pending,
    ActionRequired: _action_required,
    Declined: _declined,
    Reversed: _reversed,
    Throttled: _throttled,
    NotSent: _not_sent,
    Unknown: _unknown,
    Ambiguous: _unknown,
    Absent: _unknown,
}


def send_again(
    root: Root,
    operation: Operation,
    now: datetime,
    *,
    limit: int = decisions.SENDS_MAX,
    delay_s: float | None = None,
) -> None:
    """It provably had no effect: back to prepared, or, after `limit` sends, given up."""
    if operation.sends >= limit:
        if move(root, operation, OperationFact.NOT_SENT, now) == State.NOT_SENT:
            close(operation)
            advance(root, PaymentFact.DECLINED, now, failure=failure(DeclineCode.PROVIDER_UNAVAILABLE))
    elif move(root, operation, OperationFact.RETRYABLE, now) == State.PREPARED:
        close(operation)
        wait = decisions.retry_delay_s(operation.sends, root.pace) if delay_s is None else delay_s
        operation.next_publish_at = now + timedelta(seconds=wait)


def _agrees(root: Root, operation: Operation, outcome: Succeeded | Authorized, now: datetime) -> bool:
    """Whether what the provider states is what we asked for; if not, it goes to review and is no success."""
    reference = outcome.provider_reference
    if outcome.amount is not None and outcome.amount != operation.amount:
        return _hold(root, operation, ReviewReason.AMOUNT_MISMATCH, now)
    if outcome.currency is not None and outcome.currency != operation.currency:
        return _hold(root, operation, ReviewReason.CURRENCY_MISMATCH, now)
    if _is_second(root, operation, reference):
        own_reference(root, operation, reference, now)
        review(root, ReviewReason.SECOND_SUCCESS, now)
        return False
    return own_reference(root, operation, reference, now)


def _hold(root: Root, operation: Operation, reason: ReviewReason, now: datetime) -> bool:
    acted = operation.state is State.ACTION_REQUIRED
    if move(root, operation, OperationFact.PENDING, now) == State.PENDING:
        advance(root, PaymentFact.CONFIRMED if acted else PaymentFact.SENT, now)
    operation.next_query_at = None
    review(root, reason, now)
    return False


def _is_second(root: Root, operation: Operation, reference: str | None) -> bool:
    """Two different provider references of one operation that both succeeded: the payer paid twice."""
    succeeded = operation.state in (State.SUCCEEDED, State.LATE_SUCCEEDED)
    known = operation.provider_reference in (None, reference) or root.owners.get(reference or "") == operation.id
    return succeeded and reference is not None and not known
