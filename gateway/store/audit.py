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
COLUMNS: Final = (
    "id, livemode, actor, action, object_id, ip, request_id, outcome, changes, created_at, position, prev_hash, hash"
)
PAGE: Final = f"select {COLUMNS} from audit_events where merchant_id = $1 and livemode = $2"


class AuditRow(Struct, frozen=True, kw_only=True):
    """`actor` is a public id ("key_…", "usr_…"), "operator:<system user>", or "anonymous"; `changes` holds no secret.

    `merchant_id` is nil for what belongs to the installation: sign-ins, people, new merchants.
    """

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
        ids.new_at(now),
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


class StoredAudit(Struct, frozen=True, kw_only=True):
    """A row as it was kept; `changes` is JSON. Its place in the chain and the hashes are there once it is sealed."""

    id: UUID
    livemode: bool
    actor: str
    action: str
    object_id: str
    ip: str | None
    request_id: str | None
    outcome: str
    changes: bytes
    created_at: datetime
    position: int | None
    prev_hash: bytes | None
    hash: bytes | None


async def page(
    connection: Connection,
    merchant_id: UUID,
    livemode: bool,
    *,
    actor: str | None = None,
    action: str | None = None,
    object_id: str | None = None,
    after: UUID | None = None,
    limit: int,
) -> list[StoredAudit]:
    """Up to `limit` rows, newest first, older than `after`."""
    sql = PAGE
    parameters: list[Any] = [merchant_id, livemode, limit]
    for condition, value in (("actor =", actor), ("action =", action), ("object_id =", object_id), ("id <", after)):
        if value is not None:
            parameters.append(value)
            sql += f" and {condition} ${len(parameters)}"
    rows = await connection.fetch(f"{sql} order by id desc limit $3", *parameters)
    return [StoredAudit(**row) for row in rows]
