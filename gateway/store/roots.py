"""Roots in Postgres: lock a payment and its operations, and write what a fold has changed, in one statement each.

Locks are taken in one order everywhere: payments by id, then operations by id. Reading the operations is a statement
of its own, because only a new snapshot sees what was committed while we waited for the payments' locks.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from asyncpg import Record

from gateway import ids
from gateway.payments.facts import Answer, Ask, Fact, Proof
from gateway.payments.model import (
    Details,
    Event,
    Evidence,
    Failure,
    Kind,
    Operation,
    Payment,
    Refund,
    RefundStatus,
    Review,
    Root,
    State,
    Status,
)
from gateway.store.database import Connection
from providers.contract import NextAction, Verb
from providers.registry import PROVIDERS

LOCK_PAYMENTS: Final = """
select * from payments where (lp, id) in (select * from unnest($1::smallint[], $2::uuid[])) order by lp, id for update
"""
# Queries that are over are history: only the live ones, and those that facts are about, matter to a decision.
LOCK_OPERATIONS: Final = """
select * from operations
 where (lp, payment_id) in (select * from unnest($1::smallint[], $2::uuid[]))
   and (verb <> 'query' or state in ('prepared', 'sent') or id = any($3::uuid[]))
 order by lp, id for update
"""
LOCK_REFUNDS: Final = """
select * from refunds where (lp, payment_id) in (select * from unnest($1::smallint[], $2::uuid[])) for update
"""
OWNERS: Final = """
select account_id, provider_reference, operation_id from provider_references
 where (account_id, provider_reference) in (select * from unnest($1::uuid[], $2::text[]))
"""

GET_OPERATION: Final = "select * from operations where lp = $1 and id = $2"
NEWEST_ATTEMPT: Final = """
select id from operations
 where lp = $1 and payment_id = $2 and verb in ('charge', 'authorize', 'payout') and target_id is null
 order by id desc limit 1
"""

_PAYMENT_COLUMNS: Final = {
    "lp": "smallint",
    "id": "uuid",
    "status": "text",
    "amount_captured": "bigint",
    "amount_refunded": "bigint",
    "amount_refund_reserved": "bigint",
    "provider_reference": "text",
    "next_action": "jsonb",
    "failure": "jsonb",
    "review": "jsonb",
    "sequence": "integer",
    "updated_at": "timestamptz",
}
_OPERATION_COLUMNS: Final = {
    "lp": "smallint",
    "id": "uuid",
    "state": "text",
    "provider_reference": "text",
    "secret_input": "bytea",
    "fence": "integer",
    "sends": "integer",
    "owner": "text",
    "lease_until": "timestamptz",
    "sent_at": "timestamptz",
    "answered_at": "timestamptz",
    "next_publish_at": "timestamptz",
    "publishes": "integer",
    "next_query_at": "timestamptz",
    "queries": "integer",
    "asked_at": "timestamptz",
    "evidence": "jsonb",
    "updated_at": "timestamptz",
}
_CREATED_COLUMNS: Final = {
    "lp": "smallint",
    "id": "uuid",
    "payment_id": "uuid",
    "merchant_id": "uuid",
    "account_id": "uuid",
    "provider": "text",
    "settings_version": "integer",
    "verb": "text",
    "state": "text",
    "amount": "bigint",
    "currency": "text",
    "reference": "text",
    "provider_reference": "text",
    "target_id": "uuid",
    "secret_input": "bytea",
    "next_publish_at": "timestamptz",
    "evidence": "jsonb",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
EVENT_COLUMNS: Final = {
    "id": "uuid",
    "merchant_id": "uuid",
    "livemode": "boolean",
    "root_id": "uuid",
    "object_id": "uuid",
    "type": "text",
    "sequence": "integer",
    "body": "bytea",
    "created_at": "timestamptz",
    "traceparent": "text",
}
_REFUND_COLUMNS: Final = {
    "lp": "smallint",
    "id": "uuid",
    "payment_id": "uuid",
    "merchant_id": "uuid",
    "livemode": "boolean",
    "account_id": "uuid",
    "provider": "text",
    "status": "text",
    "amount": "bigint",
    "currency": "text",
    "reason": "text",
    "metadata": "jsonb",
    "provider_reference": "text",
    "failure": "jsonb",
    "review": "jsonb",
    "sequence": "integer",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_REFERENCE_COLUMNS: Final = {"account_id": "uuid", "provider_reference": "text", "operation_id": "uuid"}


def rows(columns: dict[str, str], first: int, alias: str) -> str:
    """`unnest($n::type[], …) as alias(columns)`: arrays as a table, parameters numbered from `first`."""
    arrays = ", ".join(f"${first + n}::{kind}[]" for n, kind in enumerate(columns.values()))
    return f"unnest({arrays}) as {alias}({', '.join(columns)})"


def insert(table: str, columns: dict[str, str], first: int) -> str:
    """`insert into table (…) select * from unnest(…)`."""
    return f"insert into {table} ({', '.join(columns)}) select * from {rows(columns, first, 'r')}"


def _update(table: str, columns: dict[str, str], first: int) -> str:
    changed = ", ".join(f"{name} = r.{name}" for name in columns if name not in ("lp", "id"))
    return f"update {table} t set {changed} from {rows(columns, first, 'r')} where t.lp = r.lp and t.id = r.id"


def _write_statement() -> str:
    parts, first = [], 1
    for name, sql, columns in (
        ("p", _update, ("payments", _PAYMENT_COLUMNS)),
        ("o", _update, ("operations", _OPERATION_COLUMNS)),
        ("c", insert, ("operations", _CREATED_COLUMNS)),
        ("e", insert, ("events", EVENT_COLUMNS)),
        ("n", insert, ("provider_references", _REFERENCE_COLUMNS)),
    ):
        parts.append(f"{name} as ({sql(*columns, first)})")
        first += len(columns[1])
    parked = f"""w as (update callbacks c set next_publish_at = now()
        from {rows(_REFERENCE_COLUMNS, first - 3, "r")}
        where c.state = 'parked' and c.account_id = r.account_id and c.parked_reference = r.provider_reference)"""
    return f"with {', '.join([*parts, parked])} select 1"


WRITE: Final = _write_statement()
_CHANGING: Final = ("status", "provider_reference", "failure", "review", "sequence", "updated_at")
WRITE_REFUNDS: Final = f"""
{insert("refunds", _REFUND_COLUMNS, 1)}
on conflict (lp, id) do update set {", ".join(f"{name} = excluded.{name}" for name in _CHANGING)}
"""

_encode: Final = msgspec.json.Encoder().encode
_JSON: Final[dict[str, Any]] = {
    "details": msgspec.json.Decoder(Details).decode,
    "metadata": msgspec.json.Decoder(dict[str, str]).decode,
    "route": msgspec.Raw,
    "next_action": msgspec.json.Decoder(NextAction).decode,
    "failure": msgspec.json.Decoder(Failure).decode,
    "review": msgspec.json.Decoder(Review).decode,
    "evidence": msgspec.json.Decoder(Evidence).decode,
}


def read_payment(record: Record | dict[str, Any]) -> Payment:
    """A row of `payments` as a record of the domain."""
    return Payment(**_typed(Payment, record, {"status": Status, "kind": Kind}))


def read_refund(record: Record) -> Refund:
    """A row of `refunds` as a record of the domain."""
    return Refund(**_typed(Refund, record, {"status": RefundStatus}))


def read_operation(record: Record) -> Operation:
    """A row of `operations` as a record of the domain."""
    return Operation(**_typed(Operation, record, {"state": State, "verb": Verb}))


def _typed(kind: type[msgspec.Struct], record: Record | dict[str, Any], enums: dict[str, Any]) -> dict[str, Any]:
    """The members of `kind`: a column that a newer migration added means nothing here."""
    values = {name: value for name, value in record.items() if name in kind.__struct_fields__}
    for name, read in _JSON.items():
        if values.get(name) is not None:
            values[name] = read(values[name])
    for name, enum in enums.items():
        values[name] = enum(values[name])
    return values


async def get_operation(connection: Connection, operation_id: UUID) -> Operation | None:
    """One operation, unlocked."""
    record = await connection.fetchrow(GET_OPERATION, ids.lp_of(operation_id), operation_id)
    return None if record is None else read_operation(record)


async def newest_attempt(connection: Connection, payment_id: UUID) -> UUID | None:
    """The charge or authorize that the payment's status follows."""
    found: UUID | None = await connection.fetchval(NEWEST_ATTEMPT, ids.lp_of(payment_id), payment_id)
    return found


async def lock(connection: Connection, facts: dict[UUID, list[Fact]], *, pace: float) -> dict[UUID, Root]:
    """Lock the payments of these facts with their operations. An unknown payment is simply not in the answer."""
    keys = list(facts)
    lps = [ids.lp_of(key) for key in keys]
    payments = [read_payment(record) for record in await connection.fetch(LOCK_PAYMENTS, lps, keys)]
    named = [fact.operation_id for each in facts.values() for fact in each if hasattr(fact, "operation_id")]
    roots = {
        payment.id: Root(payment=payment, operations={}, spec=PROVIDERS[payment.provider], pace=pace)
        for payment in payments
    }
    for record in await connection.fetch(LOCK_OPERATIONS, lps, keys, named):
        operation = read_operation(record)
        roots[operation.payment_id].operations[operation.id] = operation
    await _read_refunds(connection, roots)
    await _read_owners(connection, facts, roots)
    return roots


async def _read_refunds(connection: Connection, roots: dict[UUID, Root]) -> None:
    """Only where there are any: most payments have none, and the statement is on the hot path."""
    refunded = [
        key for key, root in roots.items() if any(each.verb is Verb.REFUND for each in root.operations.values())
    ]
    if refunded:
        for record in await connection.fetch(LOCK_REFUNDS, [ids.lp_of(key) for key in refunded], refunded):
            refund = read_refund(record)
            roots[refund.payment_id].refunds[refund.id] = refund


async def _read_owners(connection: Connection, facts: dict[UUID, list[Fact]], roots: dict[UUID, Root]) -> None:
    wanted = [
        (roots[payment_id].payment.account_id, reference)
        for payment_id, each in facts.items()
        if payment_id in roots
        for reference in filter(None, map(_reference, each))
    ]
    if not wanted:
        return
    accounts, references = zip(*wanted, strict=True)
    for record in await connection.fetch(OWNERS, accounts, references):
        for root in roots.values():
            if root.payment.account_id == record["account_id"]:
                root.owners[record["provider_reference"]] = record["operation_id"]


def _reference(fact: Fact) -> str | None:
    """The provider's name for the operation that this fact brings, if any."""
    if isinstance(fact, Answer | Proof):
        return getattr(fact.outcome, "provider_reference", None)
    return fact.provider_reference if isinstance(fact, Ask) else None


async def write(connection: Connection, roots: Iterable[Root]) -> None:
    """Write everything that was done to these roots; does nothing when nothing was."""
    changed = [root for root in roots if root.payment_touched or root.touched or root.created or root.refunds_touched]
    if not changed:
        return
    created = [operation for root in changed for operation in root.created]
    touched = [root.operations[key] for root in changed for key in root.touched]
    fresh = {operation.id for operation in created}
    references = [(root.payment.account_id, *pair) for root in changed for pair in root.references]
    await connection.execute(
        WRITE,
        *arrays(_PAYMENT_COLUMNS, [root.payment for root in changed if root.payment_touched]),
        *arrays(_OPERATION_COLUMNS, [operation for operation in touched if operation.id not in fresh]),
        *arrays(_CREATED_COLUMNS, created),
        *arrays(EVENT_COLUMNS, [event for root in changed for event in _traced(root)]),
        *(zip(*references, strict=True) if references else ([], [], [])),
    )
    await _write_refunds(connection, changed)


def _traced(root: Root) -> list[Event]:
    """The root's events, each with the trace of what made it true, else with that of the payment."""
    traceparent = root.traceparent or root.payment.traceparent
    if traceparent is None:
        return root.events
    return [msgspec.structs.replace(event, traceparent=traceparent) for event in root.events]


async def _write_refunds(connection: Connection, roots: Sequence[Root]) -> None:
    refunds = [root.refunds[key] for root in roots for key in root.refunds_touched]
    if refunds:
        await connection.execute(WRITE_REFUNDS, *arrays(_REFUND_COLUMNS, refunds))


def arrays(columns: dict[str, str], records: Sequence[Any]) -> list[list[Any]]:
    """One array per column: how `unnest` takes rows. JSON columns are encoded here."""
    return [
        [_json(getattr(record, name)) if kind == "jsonb" else getattr(record, name) for record in records]
        for name, kind in columns.items()
    ]


def _json(value: object) -> bytes | None:
    return None if value is None else _encode(value)
