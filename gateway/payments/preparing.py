"""New operations of a root that exists already."""

from datetime import datetime, timedelta
from typing import Final

from gateway.payments.model import Operation, Root, State
from providers import references
from providers.contract import Verb

PUBLISH_GRACE: Final = timedelta(seconds=10)  # the sweeper publishes what the fast path did not


def prepare(root: Root, verb: Verb, target: Operation, amount: int, now: datetime) -> Operation:
    """An operation to be sent, at the account of its target. A query speaks of its target, under its target's name."""
    operation = record(root, verb, target, amount, State.PREPARED, now)
    operation.next_publish_at = now + PUBLISH_GRACE
    return operation


def record(root: Root, verb: Verb, target: Operation, amount: int, state: State, now: datetime) -> Operation:
    """An operation in this state: also one that we never sent, and that the provider tells us about."""
    operation_id = root.new_id(now)
    is_query = verb is Verb.QUERY
    operation = Operation(
        lp=target.lp,
        id=operation_id,
        payment_id=target.payment_id,
        merchant_id=target.merchant_id,
        account_id=target.account_id,
        provider=target.provider,
        settings_version=target.settings_version,
        verb=verb,
        state=state,
        amount=amount,
        currency=target.currency,
        reference=target.reference if is_query else references.make(root.spec.reference, operation_id),
        target_id=target.id,
        created_at=now,
        updated_at=now,
    )
    root.operations[operation.id] = operation
    root.created.append(operation)
    return operation
