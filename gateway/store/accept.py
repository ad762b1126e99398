"""Accepting payments: idempotency key, payment, operation and event of many requests in one durable statement.

The primary key of `idempotency_keys` is the lookup and the guard at once. Rows are inserted in the order of that key,
so that two flushers with overlapping keys cannot deadlock. Whoever loses is read back in a second statement, because
the winner's row is not in the first one's snapshot.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.crash_points import crash_point
from gateway.payments import views
from gateway.payments.model import Event, Operation, Payment
from gateway.store.batcher import QueueFull
from gateway.store.database import Connection
from gateway.store.roots import EVENT_COLUMNS, arrays, read_payment, rows


class NewPayment(Struct, frozen=True, kw_only=True):
    """A validated request with everything it writes, ids and bytes included: it can be written again as it is."""

    key: str
    fingerprint: bytes
    payment: Payment
    operation: Operation
    event: Event
    content: bytes


class Accepted(Struct, frozen=True):
    """The payment of this idempotency key: ours, or the one that was there (then `fingerprint` is that one's).

    `content` is the body of the 201 that accepted it.
    """

    payment: Payment
    fingerprint: bytes
    content: bytes
    fresh: bool


_PAYMENT_COLUMNS: Final = {
    "lp": "smallint",
    "id": "uuid",
    "merchant_id": "uuid",
    "livemode": "boolean",
    "kind": "text",
    "status": "text",
    "amount": "bigint",
    "currency": "text",
    "country": "text",
    "phone": "text",
    "reference": "text",
    "account_id": "uuid",
    "provider": "text",
    "details": "jsonb",
    "route": "jsonb",
    "sequence": "integer",
    "expires_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "traceparent": "text",
}
_OPERATION_COLUMNS: Final = {
    "id": "uuid",
    "settings_version": "integer",
    "verb": "text",
    "reference": "text",
    "next_publish_at": "timestamptz",
}
_OPERATION_NAMES: Final = ("op_id", "settings_version", "verb", "op_reference", "next_publish_at")
_EVENT_COLUMNS: Final = {"id": "uuid", "body": "bytea"}
_KEY_COLUMNS: Final = {"key": "text", "fingerprint": "bytea"}

_INPUT: Final = {
    **_KEY_COLUMNS,
    **_PAYMENT_COLUMNS,
    **dict(zip(_OPERATION_NAMES, _OPERATION_COLUMNS.values(), strict=True)),
    "event_id": "uuid",
    "body": "bytea",
}
_NIL: Final = "'00000000-0000-0000-0000-000000000000'::uuid"

ACCEPT: Final = f"""
with r as materialized (select * from {rows(_INPUT, 1, "i")}),
k as (
    insert into idempotency_keys (lp, merchant_id, livemode, root_id, key, fingerprint, object_id, created_at)
    select lp, merchant_id, livemode, {_NIL}, key, fingerprint, id, created_at from r
     order by lp, merchant_id, livemode, key
    on conflict do nothing returning object_id),
p as (
    insert into payments ({", ".join(_PAYMENT_COLUMNS)})
    select {", ".join(_PAYMENT_COLUMNS)} from r join k on k.object_id = r.id),
o as (
    insert into operations (lp, id, payment_id, merchant_id, account_id, provider, settings_version, verb, state,
                            amount, currency, reference, next_publish_at, created_at, updated_at)
    select lp, op_id, id, merchant_id, account_id, provider, settings_version, verb, 'prepared',
           amount, currency, op_reference, next_publish_at, created_at, created_at from r join k on k.object_id = r.id),
e as (
    insert into events ({", ".join(EVENT_COLUMNS)})
    select event_id, merchant_id, livemode, id, id, kind || '.created', sequence, body, created_at, traceparent
      from r join k on k.object_id = r.id)
select object_id from k
"""

LOOK_UP: Final = f"""
select k.key, k.fingerprint, p.* from idempotency_keys k join payments p on p.lp = k.lp and p.id = k.object_id
 where (k.lp, k.merchant_id, k.livemode, k.root_id, k.key) in
       (select lp, merchant_id, livemode, {_NIL}, key
          from unnest($1::smallint[], $2::uuid[], $3::boolean[], $4::text[]) as w(lp, merchant_id, livemode, key))
"""

_Key = tuple[int, UUID, bool, str]


def _key(new: NewPayment) -> _Key:
    return (new.payment.lp, new.payment.merchant_id, new.payment.livemode, new.key)


async def accept(connection: Connection, batch: Sequence[NewPayment]) -> list[Accepted | Exception]:
    """Write the batch; one answer per request, in its order. Safe to run again with the same rows."""
    payments = [new.payment for new in batch]
    operations = [new.operation for new in batch]
    crash_point("accept_before_commit")
    won = await connection.fetch(
        ACCEPT,
        *arrays(_KEY_COLUMNS, batch),
        *arrays(_PAYMENT_COLUMNS, payments),
        *arrays(_OPERATION_COLUMNS, operations),
        *arrays(_EVENT_COLUMNS, [new.event for new in batch]),
    )
    crash_point("accept_after_commit")
    winners = {record["object_id"] for record in won}
    losers = [_key(new) for new in batch if new.payment.id not in winners]
    found = await find(connection, losers) if losers else {}
    return [_fresh(new) if new.payment.id in winners else _replay(new, found) for new in batch]


def _fresh(new: NewPayment) -> Accepted:
    return Accepted(new.payment, new.fingerprint, new.content, fresh=True)


def _replay(new: NewPayment, found: dict[_Key, Accepted]) -> Accepted | Exception:
    """What the key holds: our own row where a commit's reply was lost, otherwise another request's."""
    existing = found.get(_key(new))
    if existing is None:  # retention deleted the key between our two statements
        return QueueFull("the idempotency key expired at this moment")
    if existing.payment.id == new.payment.id:
        return _fresh(new)
    return existing


async def find(connection: Connection, keys: Sequence[_Key]) -> dict[_Key, Accepted]:
    """The payments that were created under these idempotency keys."""
    lps, merchants, modes, texts = zip(*keys, strict=True)
    found = {}
    for record in await connection.fetch(LOOK_UP, lps, merchants, modes, texts):
        values = dict(record)
        key, fingerprint = values.pop("key"), values.pop("fingerprint")
        payment = read_payment(values)
        content = views.accepted_json(payment)
        found[(payment.lp, payment.merchant_id, payment.livemode, key)] = Accepted(
            payment, fingerprint, content, fresh=False
        )
    return found
