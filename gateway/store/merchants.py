"""Merchants, as the installation's owner manages them."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.store.database import Connection


class StoredMerchant(Struct, frozen=True, kw_only=True):
    """A merchant's row."""

    id: UUID
    name: str
    created_at: datetime
    updated_at: datetime


_SELECT: Final = f"select {', '.join(StoredMerchant.__struct_fields__)} from merchants"
INSERT: Final = "insert into merchants (id, name, created_at, updated_at) values ($1, $2, $3, $4)"


async def insert(connection: Connection, merchant: StoredMerchant) -> None:
    """A new merchant."""
    await connection.execute(INSERT, merchant.id, merchant.name, merchant.created_at, merchant.updated_at)


async def get(connection: Connection, merchant_id: UUID) -> StoredMerchant | None:
    """One merchant, or None."""
    row = await connection.fetchrow(f"{_SELECT} where id = $1", merchant_id)
    return None if row is None else StoredMerchant(**row)


async def page(connection: Connection, after: UUID | None, limit: int) -> list[StoredMerchant]:
    """Up to `limit` merchants, newest first, older than `after`."""
    sql = f"{_SELECT} where $1::uuid is null or id < $1 order by id desc limit $2"
    return [StoredMerchant(**row) for row in await connection.fetch(sql, after, limit)]
