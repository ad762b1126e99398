"""Who decided what: one row per decision of a person, written in the transaction that carries it out."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.store.database import Connection

INSERT: Final = """
insert into audit_events (id, merchant_id, livemode, actor, action, object_id, ip, request_id, outcome, changes,
                          created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


class AuditRow(Struct, frozen=True, kw_only=True):
    """`actor` is a public id ("key_…") or "operator:<system user>"; `changes` never holds a secret."""

    merchant_id: UUID
    actor: str
    action: str
    object_id: str
    outcome: str = "done"
    ip: str | None = None
    request_id: str | None = None
    changes: dict[str, Any] = {}


async def insert(connection: Connection, row: AuditRow, now: datetime, *, livemode: bool) -> None:
    """Keep it, in the caller's transaction; `livemode` is that of the object."""
    await connection.execute(
        INSERT,
        ids.new(at_ms=int(now.timestamp() * 1000)),
        row.merchant_id,
        livemode,
        row.actor,
        row.action,
        row.object_id,
        row.ip,
        row.request_id,
        row.outcome,
        msgspec.json.encode(row.changes),
        now,
    )
