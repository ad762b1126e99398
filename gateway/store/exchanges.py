"""What was sent to providers and answered, masked: for the timelines of payments."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.store.database import Connection


class StoredExchange(Struct, frozen=True, kw_only=True):
    """A request to a provider and what came back; all text is masked. Without a `status` there was no answer."""

    id: UUID
    merchant_id: UUID
    operation_id: UUID
    method: str
    path: str
    request: str
    status: int | None
    response: str | None
    failure: str | None
    duration_ms: int
    sent_at: datetime


_COLUMNS: Final = StoredExchange.__struct_fields__
_TYPES: Final = ["uuid", "uuid", "uuid", "text", "text", "text", "int", "text", "text", "int", "timestamptz"]
INSERT: Final = f"""
insert into exchanges ({", ".join(_COLUMNS)})
select * from unnest({", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_TYPES, 1))})
"""
OF_OPERATIONS: Final = f"""
select {", ".join(_COLUMNS)} from exchanges
 where operation_id = any($2) and merchant_id = $1 order by sent_at, id limit $3
"""


async def insert(connection: Connection, exchanges: Sequence[StoredExchange]) -> None:
    """Keep them, without waiting for the disk: a crash may lose the newest, which only a timeline misses."""
    columns = [[getattr(each, name) for each in exchanges] for name in _COLUMNS]
    async with connection.transaction():
        await connection.execute("set local synchronous_commit = off")
        await connection.execute(INSERT, *columns)


async def of_operations(
    connection: Connection, merchant_id: UUID, operation_ids: list[UUID], limit: int
) -> list[StoredExchange]:
    """The exchanges of these operations, oldest first."""
    rows = await connection.fetch(OF_OPERATIONS, merchant_id, operation_ids, limit)
    return [StoredExchange(**row) for row in rows]
