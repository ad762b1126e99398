"""Callbacks from providers, stored as they came; and what names them to one of our operations."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments.model import Operation
from gateway.store.database import Connection
from gateway.store.roots import read_operation
from providers.contract import CallbackRequest, ReferenceFormat
from providers.references import logical_partition

INSERT: Final = """
insert into callbacks (id, merchant_id, account_id, provider, operation_id, method, query, headers, body, state,
                       next_publish_at, received_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'received', $10, $11)
"""
GET: Final = "select * from callbacks where id = $1"
FINISH: Final = """
update callbacks set state = 'processed', result = $2, event_key = $3, processed_at = now(), next_publish_at = null,
       parked_reference = null
 where id = $1 and state <> 'processed'
"""
PARK: Final = """
update callbacks set state = 'parked', parked_reference = $2, event_key = $3, next_publish_at = $4
 where id = $1 and state <> 'processed'
"""
SEEN: Final = """
select exists (select 1 from callbacks where account_id = $1 and event_key = $2 and id <> $3 and state = 'processed')
"""
BY_REFERENCE: Final = """
select * from operations where lp = $1 and account_id = $2 and reference = $3 and verb <> 'query'
"""
BY_ID: Final = "select * from operations where lp = $1 and id = $2 and account_id = $3"
BY_PROVIDER_REFERENCE: Final = """
select operation_id from provider_references where account_id = $1 and provider_reference = $2
"""
TRACE_OF: Final = "select traceparent from payments where lp = $1 and id = $2"


class StoredCallback(Struct, frozen=True, kw_only=True):
    """A callback as it was stored."""

    id: UUID
    merchant_id: UUID
    account_id: UUID
    provider: str
    operation_id: UUID | None
    state: str
    received_at: datetime
    request: CallbackRequest


async def insert(connection: Connection, callback: StoredCallback, *, publish_at: datetime) -> None:
    """Store it; committed when this returns."""
    request = callback.request
    await connection.execute(
        INSERT,
        callback.id,
        callback.merchant_id,
        callback.account_id,
        callback.provider,
        callback.operation_id,
        request.method,
        request.query,
        msgspec.json.encode(dict(request.headers)),
        request.body,
        publish_at,
        callback.received_at,
    )


async def get(connection: Connection, callback_id: UUID) -> StoredCallback | None:
    """One callback, or None."""
    row = await connection.fetchrow(GET, callback_id)
    if row is None:
        return None
    return StoredCallback(
        id=row["id"],
        merchant_id=row["merchant_id"],
        account_id=row["account_id"],
        provider=row["provider"],
        operation_id=row["operation_id"],
        state=row["state"],
        received_at=row["received_at"],
        request=CallbackRequest(
            method=row["method"],
            query=row["query"],
            headers=msgspec.json.decode(row["headers"]),
            body=bytes(row["body"]),
            received_at=row["received_at"],
        ),
    )


async def finish(connection: Connection, callback_id: UUID, result: str, event_key: str | None) -> None:
    """It is handled, with this result."""
    await connection.execute(FINISH, callback_id, result, event_key)


async def park(
    connection: Connection, callback_id: UUID, reference: str, event_key: str | None, *, until: datetime
) -> None:
    """Keep it until the provider's name for an operation is learned; it is looked at again at `until` anyway."""
    await connection.execute(PARK, callback_id, reference, event_key, until)


async def seen(connection: Connection, account_id: UUID, event_key: str, callback_id: UUID) -> bool:
    """Whether another callback with this key was handled before: it is counted, nothing more depends on it."""
    found: bool = await connection.fetchval(SEEN, account_id, event_key, callback_id)
    return found


async def trace_of(connection: Connection, operation: Operation) -> str | None:
    """W3C Trace Context of the request that made the operation's payment, if that was traced."""
    found: str | None = await connection.fetchval(TRACE_OF, operation.lp, operation.payment_id)
    return found


async def find_operation(
    connection: Connection,
    account_id: UUID,
    *,
    references: ReferenceFormat,
    operation_id: UUID | None,
    reference: str | None,
    provider_reference: str | None,
) -> Operation | None:
    """The operation that a notice is about: by our reference, else by our id in the path or the provider's name.

    `references` is the provider's format of ours: a reference tells its logical partition.
    """
    if operation_id is None and reference is None and provider_reference is not None:
        operation_id = await connection.fetchval(BY_PROVIDER_REFERENCE, account_id, provider_reference)
    row: Any = None
    if reference is not None:
        lp = logical_partition(references, reference)
        row = None if lp is None else await connection.fetchrow(BY_REFERENCE, lp, account_id, reference)
    elif operation_id is not None:
        row = await connection.fetchrow(BY_ID, ids.lp_of(operation_id), operation_id, account_id)
    return None if row is None else read_operation(row)
