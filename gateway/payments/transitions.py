"""How facts change a payment and its operations: the pure half of `record_outcome`, the one door.

`fold(root, facts, now)` applies facts in order to a locked root; what is to be written collects on the root.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.payments import decisions, queries, refunds
from gateway.payments.effects import EFFECTS, settle
from gateway.payments.facts import Answer, Ask, Cancel, Claim, Expire, Fact, LeaseEnded, Proof, Resolve
from gateway.payments.model import DONE, LEADING, OPEN, SETTLED, Evidence, Operation, Root, State, Status, failure
from gateway.payments.moves import advance, close, move, own_reference, require_action, resolved
from gateway.payments.outcomes import send_again, state
from gateway.payments.states import OPERATION_TABLE, PAYMENT_TABLE, OperationFact, PaymentFact
from providers.contract import (
    Absent,
    ActionRequired,
    Ambiguous,
    Declined,
    Deferred,
    NotSent,
    Otp,
    Outcome,
    Succeeded,
    Throttled,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode

DOUBTFUL: Final = (Declined, NotSent, Unknown, Ambiguous, Throttled)  # from an old fence these only make us ask
UNANSWERED: Final = (NotSent, Unknown, Ambiguous, Throttled)


def fold(root: Root, facts: list[Fact], now: datetime) -> None:
    """Apply the facts, in order, at the time `now`."""
    for fact in facts:
        _APPLY[type(fact)](root, fact, now)


# --- Facts ----------------------------------------------------------------------------------------------------------


def _claim(root: Root, fact: Claim, now: datetime) -> None:
    operation = root.operations[fact.operation_id]
    if operation.owner == fact.owner:
        return None  # our own claim, whose commit was not confirmed to us
    if not _may_be_sent(root, operation, now):
        return root.stale.append(f"operation {operation.state}: claimed")
    if not _worth_sending(root, operation, now):
        return None
    move(root, operation, OperationFact.CLAIMED, now)
    operation.fence += 1
    operation.sends += 1
    operation.owner = fact.owner
    operation.lease_until = now + timedelta(seconds=fact.lease_s)
    operation.sent_at = operation.sent_at or now
    operation.answered_at = operation.next_publish_at = operation.next_query_at = None
    operation.publishes = 0  # if it comes back to be sent again, that is a new command: its backoff begins anew
    if operation.verb in EFFECTS:
        EFFECTS[operation.verb].under_way(root, operation, False, now)
    return None


def _may_be_sent(root: Root, operation: Operation, now: datetime) -> bool:
    """What is prepared may be sent; what is unknown only where its provider's declaration permits a second send."""
    if OPERATION_TABLE[operation.state, OperationFact.CLAIMED] != State.SENT:
        return False
    if operation.state is State.PREPARED:
        return True
    uncertainty = root.spec.verbs[operation.verb].uncertainty
    permitted = decisions.after_unknown(uncertainty, operation.sent_at, now) is decisions.Next.RESEND
    return permitted and operation.sends < decisions.SENDS_MAX


def _worth_sending(root: Root, operation: Operation, now: datetime) -> bool:
    """Nobody is prompted for a dead order, no code passed on for one, and nobody asked about a settled one."""
    over = root.payment.is_over(now)
    if operation.verb in LEADING and over and root.payment.status in OPEN:
        _expire_unsent(root, operation, now)
        return False
    if operation.verb in LEADING and root.payment.review is not None:
        operation.next_publish_at = None
        root.touch(operation, now)
        return False
    target = root.operations.get(operation.target_id) if operation.target_id else None
    # A question about what was settled since it was prepared is moot; one that doubts what was settled is not.
    moot = target is None or (target.state in SETTLED and target.updated_at > operation.created_at)
    too_late = target is None or over or target.state is not State.ACTION_REQUIRED
    if (operation.verb is Verb.QUERY and moot) or (operation.verb is Verb.CONFIRM and too_late):
        move(root, operation, OperationFact.NOT_SENT, now)
        close(operation)
        return False
    return True


def _answer(root: Root, fact: Answer, now: datetime) -> None:
    operation = root.operations[fact.operation_id]
    if fact.fence != operation.fence and isinstance(fact.outcome, DOUBTFUL):
        root.stale.append(f"{type(fact.outcome).__name__} from an old fence")
        return queries.ask(root, operation, now)
    if fact.fence == operation.fence:
        operation.owner, operation.lease_until, operation.answered_at = None, None, now
        root.touch(operation, now)
    if operation.verb is Verb.QUERY:
        return _query_answered(root, operation, fact.outcome, now)
    if operation.verb is Verb.CONFIRM:
        return _confirm_answered(root, operation, fact.outcome, now)
    return state(root, operation, fact.outcome, "answer", now)


def _proof(root: Root, fact: Proof, now: datetime) -> None:
    operation = root.operations[fact.operation_id]
    if isinstance(fact.outcome, UNANSWERED):  # words of the transport: from elsewhere they permit no second send
        root.stale.append(f"{type(fact.outcome).__name__} from a {fact.source}")
        return queries.ask(root, operation, now)
    if operation.verb is Verb.QUERY:
        return _answered_late(root, operation, fact.outcome, now)
    return state(root, operation, fact.outcome, fact.source, now)


def _lease_ended(root: Root, fact: LeaseEnded, now: datetime) -> None:
    operation = root.operations[fact.operation_id]
    if operation.state is not State.SENT or operation.lease_until is None or operation.lease_until > now:
        return root.stale.append("lease already ended")
    operation.owner = None
    outcome = Unknown(detail="the worker that had claimed it did not answer")
    if operation.verb is Verb.QUERY:
        return _query_answered(root, operation, outcome, now)
    if operation.verb is Verb.CONFIRM:
        return _confirm_answered(root, operation, outcome, now)
    return state(root, operation, outcome, "lease", now)


def _ask(root: Root, fact: Ask, now: datetime) -> None:
    operation = root.operations[fact.operation_id]
    reference = fact.provider_reference
    if reference and operation.provider_reference is None and reference not in root.owners:
        own_reference(root, operation, reference, now)
    queries.ask(root, operation, now, told=reference, claim=fact.claim)


def _expire(root: Root, fact: Expire, now: datetime) -> None:
    """Expiry ends only what is open; what may have been sent is asked about first, and unknown never expires."""
    payment, attempt = root.payment, root.attempt
    due = payment.is_over(now) and payment.review is None
    if attempt is None or not due or PAYMENT_TABLE[payment.status, PaymentFact.EXPIRED] != Status.EXPIRED:
        return root.stale.append(f"payment {payment.status}: expired")
    if attempt.state is State.PREPARED:
        _expire_unsent(root, attempt, now)
    elif attempt.state in (State.PENDING, State.ACTION_REQUIRED):
        queries.ask(root, attempt, now)
    return None


def _cancel(root: Root, fact: Cancel, now: datetime) -> None:
    """Compare and set: only what is prepared is canceled, never an operation whose send is unproven."""
    attempt = root.attempt
    if attempt is None or attempt.state is not State.PREPARED:
        return root.stale.append("cancel of what may have been sent")
    if advance(root, PaymentFact.CANCELED, now, failure=failure(DeclineCode.CANCELED)):
        move(root, attempt, OperationFact.NOT_SENT, now)
        close(attempt)
    return None


def _resolve(root: Root, fact: Resolve, now: datetime) -> None:
    """A person's word settles the operation in doubt, unless it is settled, and ends the review."""
    operation = root.in_doubt
    if root.payment.review is None or operation is None:
        return root.stale.append("no review to resolve")
    if fact.resolution.action == "mark_failed":
        _mark_failed(root, operation, now)
    elif operation.verb in LEADING:
        _mark_succeeded(root, operation, now)
    elif fact.resolution.action == "refund":
        pass  # it is tried once more, below
    elif (cell := move(root, operation, OperationFact.SUCCEEDED, now)) in DONE:
        settle(root, operation, cell == State.LATE_SUCCEEDED, now)
    if root.payment.review is not None:
        resolved(root, now)
    if fact.resolution.action == "refund" and root.payment.refundable > 0:
        _start_refund(root, operation, fact.resolution.reason, now)
    return None


def _start_refund(root: Root, operation: Operation, reason: str, now: datetime) -> None:
    """Give back all that is left, or try the refund that failed once more."""
    if operation.verb is Verb.REFUND and operation.target_id is not None:
        refunds.start(root, root.operations[operation.target_id], operation.amount, now, reason=reason)
    else:
        refunds.start(root, operation, root.payment.refundable, now, reason=reason)


def _mark_succeeded(root: Root, operation: Operation, now: datetime) -> None:
    """Money that the provider was seen to take counts as captured, whatever we had asked for."""
    late = move(root, operation, OperationFact.SUCCEEDED, now) == State.LATE_SUCCEEDED
    close(operation)
    captured = 0 if operation.verb is Verb.PAYOUT else seen_amount(operation)
    known = PaymentFact.LATE_SUCCEEDED if late else PaymentFact.SUCCEEDED
    if root.payment.status is not Status.SUCCEEDED:
        advance(root, known, now, failure=None, amount_captured=captured)


def _mark_failed(root: Root, operation: Operation, now: datetime) -> None:
    if move(root, operation, OperationFact.DECLINED, now) == State.DECLINED:
        close(operation)
        EFFECTS[operation.verb].declined(root, operation, failure(DeclineCode.DECLINED), now)


def seen_amount(operation: Operation) -> int:
    """What the provider was seen to move, in minor units; what we asked for where it did not say."""
    seen = operation.evidence.outcome if operation.evidence is not None else None
    return seen.amount if isinstance(seen, Succeeded) and seen.amount is not None else operation.amount


def _expire_unsent(root: Root, operation: Operation, now: datetime) -> None:
    move(root, operation, OperationFact.NOT_SENT, now)
    close(operation)
    advance(root, PaymentFact.EXPIRED, now, failure=failure(DeclineCode.EXPIRED))


_APPLY: Final[dict[type, Callable[[Root, Any, datetime], None]]] = {
    Claim: _claim,
    Answer: _answer,
    Proof: _proof,
    LeaseEnded: _lease_ended,
    Ask: _ask,
    Expire: _expire,
    Cancel: _cancel,
    Resolve: _resolve,
}


# --- Queries and confirms speak about their target ------------------------------------------------------------------


def _query_answered(root: Root, query: Operation, outcome: Outcome, now: datetime) -> None:
    closed = OperationFact.UNKNOWN if isinstance(outcome, UNANSWERED) else OperationFact.SUCCEEDED
    query.evidence = Evidence(source="query", outcome=outcome, at=now)
    move(root, query, closed, now)
    close(query)
    target = root.operations.get(query.target_id) if query.target_id else None
    if target is None:
        return
    if isinstance(outcome, Absent):
        _absent(root, target, query, now)
    elif isinstance(outcome, Deferred):
        _await(root, query, outcome)
    elif not isinstance(outcome, UNANSWERED):
        _stated(root, query, target, outcome, now)
    queries.schedule(root, target, now)
    _ask_again_after_absence(root, target, now)


def _stated(root: Root, query: Operation, target: Operation, outcome: Outcome, now: datetime) -> None:
    state(root, target, outcome, "query", now)
    _close_confirm(root, target, now)
    _lapse_if_over(root, target, query, now)


def _await(root: Root, query: Operation, outcome: Deferred) -> None:
    """The name of the answer leads to the query: a callback that came before it was known waits for it."""
    if outcome.provider_reference not in root.owners:
        root.owners[outcome.provider_reference] = query.id
        root.references.append((outcome.provider_reference, query.id))


def _answered_late(root: Root, query: Operation, outcome: Outcome, now: datetime) -> None:
    """The answer to a query, by callback: it counts once."""
    root.touch(query, now).evidence = Evidence(source="callback", outcome=outcome, at=now)
    target = root.operations.get(query.target_id) if query.target_id else None
    if target is not None:
        _stated(root, query, target, outcome, now)
        queries.schedule(root, target, now)


def _absent(root: Root, target: Operation, query: Operation, now: datetime) -> None:
    """ "Not found" allows another send only where the provider declares that it is conclusive by now."""
    uncertainty = root.spec.verbs[target.verb].uncertainty
    if target.state is State.UNKNOWN and decisions.absence_is_proof(uncertainty, target, query.sent_at, root.pace):
        target.evidence = Evidence(source="query", outcome=Absent(), at=now)
        send_again(root, target, now)
    else:
        root.stale.append("absence proves nothing, or nothing new")


def _ask_again_after_absence(root: Root, target: Operation, now: datetime) -> None:
    """What was closed because the provider did not know it has two more appointments, whatever the query brought."""
    closed = target.evidence
    if target.state is State.NOT_SENT and closed is not None and isinstance(closed.outcome, Absent):
        root.touch(target, now).next_query_at = decisions.reask_at(closed.at, now, root.pace)


def _lapse_if_over(root: Root, target: Operation, query: Operation, now: datetime) -> None:
    payment = root.payment
    asked_after_expiry = query.sent_at is not None and payment.is_over(query.sent_at)
    leads = target.verb in LEADING and payment.status in OPEN and payment.review is None
    due = asked_after_expiry and leads
    if due and move(root, target, OperationFact.LAPSED, now) == State.LAPSED:
        advance(root, PaymentFact.EXPIRED, now, failure=failure(DeclineCode.EXPIRED))


def _confirm_answered(root: Root, confirm: Operation, outcome: Outcome, now: datetime) -> None:
    target = root.operations.get(confirm.target_id) if confirm.target_id else None
    confirm.evidence = Evidence(source="answer", outcome=outcome, at=now)
    if target is None:
        return None
    if isinstance(outcome, NotSent | Throttled):
        move(root, confirm, OperationFact.NOT_SENT, now)
        close(confirm)
        return _ask_payer_again(root, now, "The provider could not be reached. Send the code again.")
    if isinstance(outcome, Unknown | Ambiguous):
        move(root, confirm, OperationFact.UNKNOWN, now)
        return queries.ask(root, target, now)
    if isinstance(outcome, ActionRequired):
        move(root, confirm, OperationFact.DECLINED, now)
        close(confirm)
        return require_action(root, outcome.action, now)
    move(root, confirm, OperationFact.DECLINED if isinstance(outcome, Declined) else OperationFact.SUCCEEDED, now)
    close(confirm)
    state(root, target, outcome, "confirm", now)
    return queries.schedule(root, target, now)


def _ask_payer_again(root: Root, now: datetime, message: str) -> None:
    if isinstance(root.payment.next_action, Otp):
        require_action(root, Otp(message=message), now)


def _close_confirm(root: Root, target: Operation, now: datetime) -> None:
    """An unknown confirm ends when its target is known: it counted if the target no longer waits for the payer."""
    confirm = root.live(Verb.CONFIRM)
    if confirm is not None and confirm.state is State.UNKNOWN and confirm.target_id == target.id:
        waits = target.state is State.ACTION_REQUIRED
        move(root, confirm, OperationFact.NOT_SENT if waits else OperationFact.SUCCEEDED, now)
        close(confirm)
