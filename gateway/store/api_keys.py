"""A merchant's API keys of one mode, as he manages them. Authentication reads them by `gateway.store.directory`."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.store.database import Connection


class StoredKey(Struct, frozen=True, kw_only=True):
    """A key's row; `resources` is JSON, None for a full key."""

    id: UUID
    merchant_id: UUID
    livemode: bool
    name: str
    prefix: str
    key_hash: bytes
    resources: bytes | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    revoked_at: datetime | None = None


_COLUMNS: Final = StoredKey.__struct_fields__
_SELECT: Final = f"select {', '.join(_COLUMNS)} from api_keys where merchant_id = $1 and livemode = $2"
INSERT: Final = f"""
insert into api_keys ({", ".join(_COLUMNS)}) values ({", ".join(f"${n}" for n, _ in enumerate(_COLUMNS, 1))})
"""
UPDATE: Final = """
update api_keys set expires_at = $4, revoked_at = $5, updated_at = $6
 where merchant_id = $1 and livemode = $2 and id = $3
"""


async def get(
    connection: Connection, merchant_id: UUID, livemode: bool, key_id: UUID, *, lock: bool = False
) -> StoredKey | None:
    """One key, or None; `lock` keeps others from changing it until the transaction ends."""
    sql = _SELECT + " and id = $3" + (" for update" if lock else "")
    row = await connection.fetchrow(sql, merchant_id, livemode, key_id)
    return None if row is None else StoredKey(**row)


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, after: UUID | None, limit: int
) -> list[StoredKey]:
    """Up to `limit` keys, newest first, older than `after`."""
    sql = _SELECT + " and ($3::uuid is null or id < $3) order by id desc limit $4"
    return [StoredKey(**row) for row in await connection.fetch(sql, merchant_id, livemode, after, limit)]


async def insert(connection: Connection, key: StoredKey) -> None:
    """A new key."""
    await connection.execute(INSERT, *(getattr(key, name) for name in _COLUMNS))


async def update(connection: Connection, key: StoredKey) -> None:
    """Write what can change of a key: when it ends."""
    await connection.execute(
        UPDATE, key.merchant_id, key.livemode, key.id, key.expires_at, key.revoked_at, key.updated_at
    )
