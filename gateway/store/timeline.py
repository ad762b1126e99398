"""What is kept about one payment, for its timeline. The caller has found the payment, and knows whose it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.payments.model import Operation
from gateway.store.database import Connection
from gateway.store.roots import read_operation

OPERATIONS: Final = "select * from operations where lp = $1 and payment_id = $2 order by id"
EVENTS: Final = """
select id, type, sequence, body, created_at from events
 where object_id = any($1) and merchant_id = $2 order by seq
"""


class TimelineEvent(Struct, frozen=True, kw_only=True):
    """An event of the payment, or of a refund of it."""

    id: UUID
    type: str
    sequence: int
    body: bytes
    created_at: datetime


async def operations(connection: Connection, payment_id: UUID) -> list[Operation]:
    """All operations of the payment, queries that are over included."""
    rows = await connection.fetch(OPERATIONS, ids.lp_of(payment_id), payment_id)
    return [read_operation(row) for row in rows]


async def events(connection: Connection, merchant_id: UUID, object_ids: Sequence[UUID]) -> list[TimelineEvent]:
    """All events of the payment and its refunds, in order."""
    return [TimelineEvent(**row) for row in await connection.fetch(EVENTS, object_ids, merchant_id)]
