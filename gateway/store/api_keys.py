"""A merchant's API keys of one mode, as he manages them. Authentication reads them by `gateway.store.directory`."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.clock import Clock
from gateway.store.database import CONNECTION_LOST, Connection, Pool

TOUCH_EVERY_S: Final = 5.0


class StoredKey(Struct, frozen=True, kw_only=True):
    """A key's row; `resources` is JSON, None for a full key; `ip_ranges` are CIDRs, None for anywhere."""

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
    ip_ranges: list[str] | None = None
    last_used_at: datetime | None = None


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


# Many processes report the same keys: each waits for none, and once a minute is enough.
TOUCH: Final = """
update api_keys set last_used_at = $2::timestamptz where id in (
    select id from api_keys where id = any($1::uuid[])
       and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')
     order by id for update skip locked)
"""


async def touch(connection: Connection, key_ids: Sequence[UUID], now: datetime) -> None:
    """Note that these keys were used."""
    await connection.execute(TOUCH, key_ids, now)


async def keep_last_used(pool: Pool, clock: Clock, used: set[UUID]) -> None:
    """Write down, again and again, which keys were used; what a dying process knew is lost, and needed by nobody."""
    while True:
        await asyncio.sleep(TOUCH_EVERY_S)
        taken = list(used)
        used.clear()
        if not taken:
            continue
        with contextlib.suppress(*CONNECTION_LOST):
            async with pool.acquire() as connection:
                await touch(connection, taken, clock.now())
