"""What a provider said about an operation that moves money, and what follows from it for the operation.

What follows for the payment, payout or refund that it serves is in `gateway.payments.effects`.

One function per outcome, found in `_SAY`. What the provider states (amount, currency, reference) must be what we asked
for; what it does not state is not compared.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.payments import decisions, queries, refunds
from gateway.payments.effects import EFFECTS, settle
from gateway.payments.model import DONE, LEADING, Evidence, Operation, ReviewReason, Root, State, failure
from gateway.payments.moves import (
    advance,
    close,
    end_review,
    move,
    names_money,
    own_reference,
    require_action,
    review,
)
from gateway.payments.preparing import prepare
from gateway.payments.states import REFUSE, OperationFact, PaymentFact
from providers.contract import (
    Absent,
    ActionRequired,
    Ambiguous,
    Authorized,
    Declined,
    Deferred,
    NotSent,
    Outcome,
    Pending,
    Reversed,
    Succeeded,
    Throttled,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode

AUTHORIZABLE: Final = LEADING - {Verb.PAYOUT}  # what a payer may authorize, or be asked to


def state(root: Root, operation: Operation, outcome: Outcome, source: str, now: datetime) -> None:
    """Apply what `source` says about the operation."""
    if not (isinstance(outcome, Pending) and operation.awaited):  # nothing new, and the awaited name is still needed
        operation.evidence = Evidence(source=source, outcome=outcome, at=now)
    root.touch(operation, now)
    _SAY[type(outcome)](root, operation, outcome, now)


def _succeeded(root: Root, operation: Operation, outcome: Succeeded, now: datetime) -> None:
    if not _agrees(root, operation, outcome, now):
        return
    cell = move(root, operation, OperationFact.SUCCEEDED, now)
    if cell == REFUSE:
        review(root, ReviewReason.CONTRADICTED, now, operation)
    elif cell in DONE:
        settle(root, operation, cell == State.LATE_SUCCEEDED, now)


def _authorized(root: Root, operation: Operation, outcome: Authorized, now: datetime) -> None:
    if operation.verb not in AUTHORIZABLE:
        return _pending(root, operation, Pending(provider_reference=outcome.provider_reference), now)
    if not _agrees(root, operation, outcome, now):
        return None
    if move(root, operation, OperationFact.AUTHORIZED, now) == REFUSE:
        _give_back(root, operation, now)
    elif operation.state is State.AUTHORIZED:
        close(operation)
        if advance(root, PaymentFact.AUTHORIZED, now):
            end_review(root, operation, now)
    return None


def _give_back(root: Root, operation: Operation, now: datetime) -> None:
    """Money was reserved for a payment that is closed: it is given back, or a person must see to it."""
    if Verb.VOID not in root.spec.verbs:
        advance(root, PaymentFact.LATE_AUTHORIZED, now, refused=ReviewReason.LATE_AUTHORIZATION, operation=operation)
    elif not any(each.verb is Verb.VOID and each.target_id == operation.id for each in root.operations.values()):
        prepare(root, Verb.VOID, operation, operation.amount, now)


def _pending(root: Root, operation: Operation, outcome: Pending, now: datetime) -> None:
    own_reference(root, operation, outcome.provider_reference, now)
    if not (outcome.awaits_payer and operation.state is State.ACTION_REQUIRED):
        _wait(root, operation, now)
    queries.schedule(root, operation, now)


def _wait(root: Root, operation: Operation, now: datetime) -> None:
    acted = operation.state is State.ACTION_REQUIRED
    if move(root, operation, OperationFact.PENDING, now) == State.PENDING:
        EFFECTS[operation.verb].under_way(root, operation, acted, now)


def _action_required(root: Root, operation: Operation, outcome: ActionRequired, now: datetime) -> None:
    if operation.verb not in AUTHORIZABLE:  # nobody is there to act
        return _pending(root, operation, Pending(provider_reference=outcome.provider_reference), now)
    own_reference(root, operation, outcome.provider_reference, now)
    if move(root, operation, OperationFact.ACTION, now) == State.ACTION_REQUIRED:
        require_action(root, outcome.action, now)
    return queries.schedule(root, operation, now)


def _declined(root: Root, operation: Operation, outcome: Declined, now: datetime) -> None:
    own_reference(root, operation, outcome.provider_reference, now)
    verdict = move(root, operation, OperationFact.DECLINED, now)
    if verdict == REFUSE:
        advance(root, PaymentFact.CONTRADICTED, now, operation=operation)
    elif verdict == State.DECLINED:
        close(operation)
        words = failure(outcome.code, outcome.provider_code, outcome.provider_message)
        EFFECTS[operation.verb].declined(root, operation, words, now)


def _reversed(root: Root, operation: Operation, outcome: Reversed, now: datetime) -> None:
    """What succeeded and was given back: a refund that we had not asked for; before a success, no money is with us."""
    if operation.verb in AUTHORIZABLE and operation.state in DONE:
        amount = min(operation.amount, root.payment.refundable)
        if amount <= 0 or refunds.reversed_already(root, operation):
            return root.stale.append("reversed: nothing of it is left to give back")
        refund = refunds.found(root, operation, amount, now)
        return state(root, refund, Succeeded(), "provider", now)
    return _declined(root, operation, Declined(code=DeclineCode.CANCELED, provider_code="reversed"), now)


def _not_sent(root: Root, operation: Operation, outcome: NotSent, now: datetime) -> None:
    send_again(root, operation, now)


def _throttled(root: Root, operation: Operation, outcome: Throttled, now: datetime) -> None:
    send_again(root, operation, now, limit=decisions.THROTTLES_MAX, delay_s=outcome.retry_after_s)


def _unknown(root: Root, operation: Operation, outcome: Unknown | Ambiguous | Absent | Deferred, now: datetime) -> None:
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
    Deferred: _unknown,
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
            EFFECTS[operation.verb].declined(root, operation, failure(DeclineCode.PROVIDER_UNAVAILABLE), now)
    elif move(root, operation, OperationFact.RETRYABLE, now) == State.PREPARED:
        close(operation)
        wait = decisions.retry_delay_s(operation.sends, root.pace) if delay_s is None else delay_s
        operation.next_publish_at = now + timedelta(seconds=wait)


def _agrees(root: Root, operation: Operation, outcome: Succeeded | Authorized, now: datetime) -> bool:
    """Whether what the provider states is what we asked for; if not, it goes to review and is no success."""
    reference = outcome.provider_reference
    if _is_known_second(root, operation, reference):
        root.stale.append("a second success that is known")
        return False
    if outcome.amount is not None and outcome.amount != operation.amount:
        return _hold(root, operation, ReviewReason.AMOUNT_MISMATCH, now)
    if outcome.currency is not None and outcome.currency != operation.currency:
        return _hold(root, operation, ReviewReason.CURRENCY_MISMATCH, now)
    if reference is not None and _is_second(root, operation, reference):
        EFFECTS[operation.verb].twice(root, operation, reference, now)
        return False
    return own_reference(root, operation, reference, now)


def _hold(root: Root, operation: Operation, reason: ReviewReason, now: datetime) -> bool:
    _wait(root, operation, now)
    operation.next_query_at = None
    review(root, reason, now, operation)
    return False


def _is_second(root: Root, operation: Operation, reference: str) -> bool:
    """Two different names of money of one operation that succeeded: the provider did it twice."""
    known = operation.provider_reference in (None, reference) or reference in root.owners
    both = names_money(root.spec, operation.provider_reference) and names_money(root.spec, reference)
    return operation.state in DONE and both and not known


def _is_known_second(root: Root, operation: Operation, reference: str | None) -> bool:
    """Whether this reference is that of the operation's double, which is recorded already."""
    owner = root.operations.get(root.owners[reference]) if reference in root.owners else None
    return owner is not None and owner.verb in LEADING and owner.target_id == operation.id
