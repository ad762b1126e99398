"""Everything that happened to a payment, in order: put together from what each part of the system keeps anyway.

Of an operation that was answered several times, its row keeps the last answer. What was said to the provider and back
is kept on a best effort (`streams.exchanges`); of an operation of which nothing was kept, the first sending is told.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments.model import Operation, Payment
from gateway.payments.views import encode, public_id, timestamp
from gateway.store import audit, callback_log, exchanges, payments, webhook_deliveries
from gateway.store import timeline as store
from gateway.store.audit import StoredAudit
from gateway.store.callback_log import LoggedCallback
from gateway.store.database import Connection
from gateway.store.exchanges import StoredExchange
from gateway.store.timeline import TimelineEvent
from gateway.store.webhook_deliveries import StoredAttempt
from gateway.usecases import replay_callback
from providers.contract import Verb
from providers.redaction import mask_text

Kind: TypeAlias = Literal["route", "operation", "exchange", "callback", "outcome", "event", "delivery", "review"]

MOST_DECISIONS: Final = 1_000  # of persons, about one payment
MOST_EXCHANGES: Final = 500
_ORDER: Final[tuple[Kind, ...]] = (
    "route",
    "operation",
    "exchange",
    "callback",
    "outcome",
    "review",
    "event",
    "delivery",
)


class TimelineEntry(Struct, frozen=True, kw_only=True):
    """One thing that happened. `operation` is the one it belongs to; `evidence` depends on `kind`, and is masked.

    route: why this account · operation: what was to be asked · exchange: what was sent and answered · callback: what
    came · outcome: what was last said, and by whom · review: what a person decided · event: what was told ·
    delivery: an attempt to send it to a webhook endpoint.
    """

    object: Literal["timeline_entry"] = "timeline_entry"
    at: str
    kind: Kind
    operation: str | None
    summary: str
    evidence: dict[str, Any]


class _Entry(Struct, frozen=True):
    at: datetime
    kind: Kind
    operation: UUID | None
    summary: str
    evidence: dict[str, Any]


async def timeline(connection: Connection, merchant_id: UUID, livemode: bool, payment_id: UUID) -> list[bytes] | None:
    """The entries as JSON, oldest first; None when there is no such payment of this merchant and mode."""
    payment = await payments.get(connection, merchant_id, livemode, payment_id)
    return None if payment is None else [encode(each) for each in await told_of(connection, payment)]


async def told_of(connection: Connection, payment: Payment) -> list[TimelineEntry]:
    """The entries of a payment or payout, oldest first."""
    payment_id, merchant_id, livemode = payment.id, payment.merchant_id, payment.livemode
    operations = await store.operations(connection, payment_id)
    entries, named = [_route(payment)], [each.id for each in operations]
    kept = await exchanges.of_operations(connection, merchant_id, named, MOST_EXCHANGES)
    verbs, kept_of = {each.id: each.verb for each in operations}, {each.operation_id for each in kept}
    entries += [_exchange(verbs[each.operation_id], each) for each in kept]
    for operation in operations:
        entries += _of_operation(operation, told=operation.id in kept_of)
    entries += map(_callback, await callback_log.of_operations(connection, merchant_id, livemode, named))
    objects = [payment_id, *(each.id for each in operations if each.verb is Verb.REFUND)]
    told = {each.id: each for each in await store.events(connection, merchant_id, objects)}
    entries += map(_event, told.values())
    attempts = await webhook_deliveries.attempts(connection, merchant_id, list(told))
    entries += [_delivery(each, told[each.event_id]) for each in attempts]
    shown_id = public_id(payment)
    decided = await audit.page(connection, merchant_id, livemode, object_id=shown_id, limit=MOST_DECISIONS)
    entries += map(_decision, decided)
    return [_shown(each) for each in sorted(entries, key=_place)]


def _place(entry: _Entry) -> tuple[datetime, int]:
    """Within one millisecond, causes come before what they caused."""
    return entry.at, _ORDER.index(entry.kind)


def _shown(entry: _Entry) -> TimelineEntry:
    return TimelineEntry(
        at=timestamp(entry.at),
        kind=entry.kind,
        operation=None if entry.operation is None else ids.show(ids.OPERATION, entry.operation),
        summary=entry.summary,
        evidence=entry.evidence,
    )


def _route(payment: Payment) -> _Entry:
    account = ids.show(ids.ACCOUNT, payment.account_id)
    route = msgspec.json.decode(payment.route, type=dict[str, Any])
    considered = [
        {**each, "account": ids.show(ids.ACCOUNT, UUID(each["account"]))} for each in route.get("considered", ())
    ]
    applied = route.get("applied")
    evidence = {"account": account, "provider": payment.provider, "applied": applied, "considered": considered}
    return _Entry(payment.created_at, "route", None, f"{account} at {payment.provider} was chosen", evidence)


def _exchange(verb: Verb, exchange: StoredExchange) -> _Entry:
    evidence = {
        "method": exchange.method,
        "path": exchange.path,
        "request": exchange.request,
        "status": exchange.status,
        "response": exchange.response,
        "failure": exchange.failure,
        "duration_ms": exchange.duration_ms,
    }
    answered = exchange.failure or f"HTTP {exchange.status}"
    summary = f"{verb}: {exchange.method} {exchange.path.partition('?')[0]}, {answered}"
    return _Entry(exchange.sent_at, "exchange", exchange.operation_id, summary, evidence)


def _of_operation(operation: Operation, *, told: bool) -> Iterator[_Entry]:
    verb, number = operation.verb, operation.id
    evidence = {
        "verb": verb,
        "state": operation.state,
        "amount": operation.amount,
        "currency": operation.currency,
        "reference": operation.reference,
        "provider_reference": operation.provider_reference,
        "target": None if operation.target_id is None else ids.show(ids.OPERATION, operation.target_id),
    }
    yield _Entry(operation.created_at, "operation", number, f"{verb} was prepared; it is {operation.state}", evidence)
    if operation.sent_at is not None and not told:
        sent = {"sends": operation.sends, "account": ids.show(ids.ACCOUNT, operation.account_id)}
        times = "once" if operation.sends == 1 else f"{operation.sends} times"
        yield _Entry(operation.sent_at, "exchange", number, f"{verb} was sent to {operation.provider}, {times}", sent)
    if operation.evidence is not None:
        said = msgspec.json.decode(mask_text(encode(operation.evidence.outcome).decode()), type=dict[str, Any])
        last = {"source": operation.evidence.source, "outcome": said}
        yield _Entry(
            operation.evidence.at, "outcome", number, f"{verb}: {said['type']}, by {operation.evidence.source}", last
        )


def _callback(callback: LoggedCallback) -> _Entry:
    evidence = {
        "callback": ids.show(ids.CALLBACK, callback.id),
        "state": callback.state,
        "result": callback.result,
        "body": replay_callback.excerpt(callback),
    }
    what = callback.result or callback.state
    return _Entry(
        callback.received_at, "callback", callback.operation_id, f"{callback.provider} called: {what}", evidence
    )


def _event(event: TimelineEvent) -> _Entry:
    about = msgspec.json.decode(event.body, type=_EventBody).data.object
    evidence = {"event": ids.show(ids.EVENT, event.id), "sequence": event.sequence, "status": about.status}
    if about.review is not None:
        evidence["review"] = about.review["reason"]
    return _Entry(event.created_at, "event", None, event.type, evidence)


def _delivery(attempt: StoredAttempt, event: TimelineEvent) -> _Entry:
    endpoint = ids.show(ids.WEBHOOK_ENDPOINT, attempt.endpoint_id)
    evidence = {
        "event": ids.show(ids.EVENT, attempt.event_id),
        "endpoint": endpoint,
        "attempt": attempt.attempt,
        "duration_ms": attempt.duration_ms,
        "response_status": attempt.response_status,
        "response_excerpt": attempt.response_excerpt,
        "error": attempt.error,
    }
    what = attempt.error or f"answered {attempt.response_status}"
    return _Entry(attempt.started_at, "delivery", None, f"{event.type} to {endpoint}: {what}", evidence)


def _decision(row: StoredAudit) -> _Entry:
    evidence = {
        "audit_event": ids.show(ids.AUDIT_EVENT, row.id),
        "actor": row.actor,
        "changes": msgspec.json.decode(row.changes),
    }
    return _Entry(row.created_at, "review", None, f"{row.action} by {row.actor}", evidence)


class _About(Struct):
    status: str | None = None
    review: dict[str, Any] | None = None


class _Data(Struct):
    object: _About


class _EventBody(Struct):
    data: _Data
