"""A merchant's webhook endpoints of one mode. What signs is sealed, and bound to its row and version."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway import webhook_signing
from gateway.sealing import Sealer, place
from gateway.store.database import Connection
from gateway.webhook_signing import SigningKeys


class StoredEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint's row. `previous_sealed` is of the version before, and signs too until `previous_expires_at`.

    `sequence` is that of the last event about it. `backlog_cursor`: how far deliveries were made, in positions, while
    so many wait that the relay makes none.
    """

    id: UUID
    merchant_id: UUID
    livemode: bool
    url: str
    events: list[str]
    description: str | None
    status: str
    disabled_reason: str | None
    secret_version: int
    sealed: bytes
    previous_sealed: bytes | None
    previous_expires_at: datetime | None
    sequence: int
    backlog_cursor: int | None
    created_at: datetime
    updated_at: datetime


_COLUMNS: Final = StoredEndpoint.__struct_fields__
_OURS: Final = "merchant_id = $1 and livemode = $2"
_SELECT: Final = f"select {', '.join(_COLUMNS)} from webhook_endpoints where {_OURS}"
INSERT: Final = f"""
insert into webhook_endpoints ({", ".join(_COLUMNS)}) values ({", ".join(f"${n}" for n, _ in enumerate(_COLUMNS, 1))})
"""
_CHANGING: Final = (
    "url",
    "events",
    "description",
    "status",
    "disabled_reason",
    "secret_version",
    "sealed",
    "previous_sealed",
    "previous_expires_at",
    "sequence",
    "updated_at",
)
UPDATE: Final = f"""
update webhook_endpoints set {", ".join(f"{name} = ${n}" for n, name in enumerate(_CHANGING, 4))},
       backlog_cursor = case when ${4 + _CHANGING.index("status")} = 'enabled' then backlog_cursor end
 where {_OURS} and id = $3
"""
DELETE: Final = f"delete from webhook_endpoints where {_OURS} and id = $3"
COUNT: Final = f"select count(*) from webhook_endpoints where {_OURS}"
# What waited for an endpoint that is no longer enabled. It is asked for again wherever a row may have come in later.
CANCEL: Final = """
update webhook_deliveries d set status = 'canceled', next_attempt_at = null, updated_at = now()
 where d.endpoint_id = any($1) and d.next_attempt_at is not null
   and not exists (select 1 from webhook_endpoints w where w.id = d.endpoint_id and w.status = 'enabled')
"""


async def get(
    connection: Connection, merchant_id: UUID, livemode: bool, endpoint_id: UUID, *, lock: bool = False
) -> StoredEndpoint | None:
    """One endpoint, or None; `lock` keeps others from changing it until the transaction ends."""
    sql = _SELECT + " and id = $3" + (" for update" if lock else "")
    row = await connection.fetchrow(sql, merchant_id, livemode, endpoint_id)
    return None if row is None else StoredEndpoint(**row)


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, *, status: str | None, after: UUID | None, limit: int
) -> list[StoredEndpoint]:
    """Up to `limit` endpoints, newest first, older than `after`."""
    sql = _SELECT + " and ($3::uuid is null or id < $3) and ($4::text is null or status = $4) order by id desc limit $5"
    rows = await connection.fetch(sql, merchant_id, livemode, after, status, limit)
    return [StoredEndpoint(**row) for row in rows]


async def count(connection: Connection, merchant_id: UUID, livemode: bool) -> int:
    """How many there are, of the mode."""
    found: int = await connection.fetchval(COUNT, merchant_id, livemode)
    return found


async def insert(connection: Connection, endpoint: StoredEndpoint) -> None:
    """A new endpoint."""
    await connection.execute(INSERT, *(getattr(endpoint, name) for name in _COLUMNS))


async def update(connection: Connection, endpoint: StoredEndpoint) -> None:
    """Write what can change; one that is disabled has no backlog."""
    values = (getattr(endpoint, name) for name in _CHANGING)
    await connection.execute(UPDATE, endpoint.merchant_id, endpoint.livemode, endpoint.id, *values)


async def delete(connection: Connection, endpoint: StoredEndpoint) -> None:
    """Remove it; its deliveries stay as long as their events."""
    await connection.execute(DELETE, endpoint.merchant_id, endpoint.livemode, endpoint.id)


async def cancel_waiting(connection: Connection, endpoint_ids: list[UUID]) -> None:
    """Wait no more for those of the endpoints that are not enabled, or gone."""
    await connection.execute(CANCEL, endpoint_ids)


def seal(sealer: Sealer, keys: SigningKeys, *, endpoint_id: UUID, version: int, merchant_id: UUID) -> bytes:
    """The keys, for the row's `sealed`."""
    return sealer.seal(webhook_signing.encode(keys), place=_place(endpoint_id, version, merchant_id))


def open_keys(sealer: Sealer, sealed: bytes, *, endpoint_id: UUID, version: int, merchant_id: UUID) -> SigningKeys:
    """The keys of a version. Raises `gateway.sealing.SealBroken`."""
    return webhook_signing.decode(sealer.open(sealed, place=_place(endpoint_id, version, merchant_id)))


def _place(endpoint_id: UUID, version: int, merchant_id: UUID) -> str:
    return place("webhook_endpoints", "sealed", endpoint_id, version, merchant_id)
