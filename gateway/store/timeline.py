"""What is kept about one payment, for its timeline. The caller has found the payment, and knows whose it is."""

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
 where object_id = $1 and merchant_id = $2 order by sequence
"""


class TimelineEvent(Struct, frozen=True, kw_only=True):
    """An event of the payment."""

    id: UUID
    type: str
    sequence: int
    body: bytes
    created_at: datetime


async def operations(connection: Connection, payment_id: UUID) -> list[Operation]:
    """All operations of the payment, queries that are over included."""
    rows = await connection.fetch(OPERATIONS, ids.lp_of(payment_id), payment_id)
    return [read_operation(row) for row in rows]


async def events(connection: Connection, merchant_id: UUID, payment_id: UUID) -> list[TimelineEvent]:
    """All events of the payment, in order."""
    return [TimelineEvent(**row) for row in await connection.fetch(EVENTS, payment_id, merchant_id)]
