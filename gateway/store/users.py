"""People who may sign in to this installation."""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from msgspec import Struct

from gateway.roles import Role
from gateway.store.database import Connection


class AddressTaken(Exception):
    """Somebody has this e-mail address already, in whatever case."""


class StoredUser(Struct, frozen=True, kw_only=True):
    """A person's row; `password_hash` is argon2id."""

    id: UUID
    email: str
    password_hash: str
    role: Role
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None = None


_COLUMNS: Final = StoredUser.__struct_fields__
_SELECT: Final = f"select {', '.join(_COLUMNS)} from users"
INSERT: Final = f"""
insert into users ({", ".join(_COLUMNS)}) values ({", ".join(f"${n}" for n, _ in enumerate(_COLUMNS, 1))})
"""
UPDATE: Final = "update users set password_hash = $2, role = $3, updated_at = $4, disabled_at = $5 where id = $1"
LOCK_OWNERS: Final = "select id from users where role = 'owner' and disabled_at is null order by id for update"


def normalised(email: str) -> str:
    """The form by which addresses are compared."""
    return email.strip().lower()


async def find(connection: Connection, email: str) -> StoredUser | None:
    """The person with this e-mail address, in whatever case, or None."""
    row = await connection.fetchrow(f"{_SELECT} where lower(email) = $1", normalised(email))
    return None if row is None else StoredUser(**row)


async def get(connection: Connection, user_id: UUID, *, lock: bool = False) -> StoredUser | None:
    """One person, or None; `lock` keeps others from changing the row until the transaction ends."""
    row = await connection.fetchrow(f"{_SELECT} where id = $1{' for update' if lock else ''}", user_id)
    return None if row is None else StoredUser(**row)


async def page(connection: Connection, after: UUID | None, limit: int) -> list[StoredUser]:
    """Up to `limit` people, newest first, older than `after`."""
    sql = f"{_SELECT} where $1::uuid is null or id < $1 order by id desc limit $2"
    return [StoredUser(**row) for row in await connection.fetch(sql, after, limit)]


async def lock_owners(connection: Connection) -> list[UUID]:
    """The owners that may sign in; nobody makes another one less of them until the transaction ends."""
    return [row["id"] for row in await connection.fetch(LOCK_OWNERS)]


async def insert(connection: Connection, user: StoredUser) -> None:
    """A new person. Raises `AddressTaken`."""
    try:
        await connection.execute(INSERT, *(getattr(user, name) for name in _COLUMNS))
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "users_email":
            raise AddressTaken from None
        raise


async def update(connection: Connection, user: StoredUser) -> None:
    """Write what can change of a person."""
    await connection.execute(UPDATE, user.id, user.password_hash, user.role, user.updated_at, user.disabled_at)
