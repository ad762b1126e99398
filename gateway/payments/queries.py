"""Asking the provider: when an operation is asked about, and the query operation that does it.

What is unsettled is asked about by its provider's schedule, to its declared end. What we believe settled is asked about
only when somebody gives us reason to doubt it (an unsigned callback), or when it was closed because the provider did
not know it: what that finds is a late success, or a contradiction.
"""

from datetime import datetime, timedelta
from typing import Final

from gateway.payments import decisions
from gateway.payments.model import ENDED_BY_EVIDENCE, SETTLED, Evidence, Operation, ReviewReason, Root, State
from gateway.payments.moves import names_money, review
from gateway.payments.preparing import prepare
from providers.contract import Outcome, Verb

SETTLED_INTERVAL_S: Final = 60.0  # doubts about what is settled may come in any number: one question a minute
SCHEDULED: Final = frozenset({State.UNKNOWN, State.PENDING, State.ACTION_REQUIRED, State.LAPSED})


def schedule(root: Root, operation: Operation, now: datetime) -> None:
    """Make the next appointment for an unsettled operation, as its provider's spec declares."""
    if operation.state not in SCHEDULED or _held(root):
        return
    root.touch(operation, now)
    uncertainty = root.spec.verbs[operation.verb].uncertainty
    permitted = decisions.after_unknown(uncertainty, operation.sent_at, now)
    if operation.state is State.UNKNOWN and permitted is decisions.Next.RESEND:
        operation.next_publish_at = now + timedelta(seconds=decisions.retry_delay_s(operation.sends, root.pace))
    elif uncertainty.lookup == "unsupported":
        operation.next_query_at = _end(root, operation)
    else:
        wait = decisions.query_delay_s(root.spec.queries, operation.queries, root.pace, _spread(operation))
        operation.next_query_at = now + timedelta(seconds=wait)


def ask(
    root: Root, operation: Operation, now: datetime, *, told: str | None = None, claim: Outcome | None = None
) -> None:
    """Prepare a query about the operation, unless it was never sent, one is live, or it was asked a moment ago.

    At the declared end of the schedule nobody is asked any more: what is still open goes to review. `told` and `claim`
    are the name and the outcome that an unsigned callback gave for it.
    """
    never_sent = operation.state is State.PREPARED or operation.sent_at is None
    if never_sent or Verb.QUERY not in root.spec.verbs or root.live_query(operation.id) is not None:
        return None
    root.touch(operation, now)
    if operation.state not in SETTLED and now >= _end(root, operation):
        operation.next_query_at = None
        return None if operation.state is State.LAPSED else review(root, ReviewReason.UNKNOWN_OUTCOME, now, operation)
    if operation.asked_at is not None and now < (allowed := operation.asked_at + _interval(root, operation)):
        operation.next_query_at = allowed
        return None
    operation.queries += 1
    operation.asked_at = now
    operation.next_query_at = None
    query = prepare(root, Verb.QUERY, operation, operation.amount, now)
    query.provider_reference = told
    query.evidence = None if claim is None else Evidence(source="callback", outcome=claim, at=now)
    return None


def _interval(root: Root, operation: Operation) -> timedelta:
    settled = operation.state in SETTLED and names_money(root.spec, operation.provider_reference)
    return timedelta(seconds=(SETTLED_INTERVAL_S if settled else root.spec.queries.min_interval_s) * root.pace)


def _spread(operation: Operation) -> float:
    """A number from 0 to 1 of the operation's own, so that what failed together is not asked about together."""
    return (operation.id.int >> 8 & 0xFFFF) / 0xFFFF


def _held(root: Root) -> bool:
    """A contradiction waits for a person; only doubt about the outcome is worth asking on."""
    return root.payment.review is not None and root.payment.review.reason not in ENDED_BY_EVIDENCE


def _end(root: Root, operation: Operation) -> datetime:
    since = operation.sent_at or operation.created_at
    return since + timedelta(seconds=root.spec.queries.end_s * root.pace)
