"""Accounts as their merchant configures them, in one mode, with the newest version of their sealed settings."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.store.database import Connection


class StoredAccount(Struct, frozen=True, kw_only=True):
    """An account's row and its newest sealed settings."""

    id: UUID
    merchant_id: UUID
    provider: str
    livemode: bool
    label: str
    enabled: bool
    priority: int
    callback_token: str
    settings_version: int
    created_at: datetime
    updated_at: datetime
    countries: list[str] | None
    currencies: list[str] | None
    sealed: bytes
    last_check: bytes | None = None  # JSON


_COLUMNS: Final = StoredAccount.__struct_fields__[:-2]
SELECT: Final = f"""
select {", ".join(f"a.{name}" for name in _COLUMNS)}, a.last_check, s.sealed
  from accounts a join account_settings s on s.account_id = a.id and s.version = a.settings_version
 where a.merchant_id = $1 and a.livemode = $2
"""
LOCK: Final = "select from accounts where merchant_id = $1 and livemode = $2 and id = $3 for update"
INSERT: Final = f"""
insert into accounts ({", ".join(_COLUMNS)}) values ({", ".join(f"${n}" for n, _ in enumerate(_COLUMNS, 1))})
"""
INSERT_SETTINGS: Final = (
    "insert into account_settings (account_id, version, sealed, created_at) values ($1, $2, $3, $4)"
)
UPDATE: Final = """
update accounts set label = $4, enabled = $5, priority = $6, settings_version = $7, updated_at = $8,
       last_check = case when settings_version = $7 then last_check end
 where merchant_id = $1 and livemode = $2 and id = $3
"""
CHECKED: Final = """
update accounts set last_check = $5
 where merchant_id = $1 and livemode = $2 and id = $3 and settings_version = $4
"""


async def get(connection: Connection, merchant_id: UUID, livemode: bool, account_id: UUID) -> StoredAccount | None:
    """One account, or None."""
    row = await connection.fetchrow(SELECT + " and a.id = $3", merchant_id, livemode, account_id)
    return None if row is None else StoredAccount(**row)


async def lock(connection: Connection, merchant_id: UUID, livemode: bool, account_id: UUID) -> None:
    """Keep others from changing it until the transaction ends. Only what is read after this is what it is now."""
    await connection.execute(LOCK, merchant_id, livemode, account_id)


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, after: UUID | None, limit: int
) -> list[StoredAccount]:
    """Up to `limit` accounts, newest first, older than `after`."""
    sql = SELECT + " and ($3::uuid is null or a.id < $3) order by a.id desc limit $4"
    return [StoredAccount(**row) for row in await connection.fetch(sql, merchant_id, livemode, after, limit)]


async def insert(connection: Connection, account: StoredAccount) -> None:
    """The account's row; its settings are inserted next."""
    await connection.execute(INSERT, *(getattr(account, name) for name in _COLUMNS))


async def insert_settings(connection: Connection, account: StoredAccount) -> None:
    """The version of the settings that the account has now."""
    await connection.execute(INSERT_SETTINGS, account.id, account.settings_version, account.sealed, account.updated_at)


async def update(connection: Connection, account: StoredAccount) -> None:
    """Write what can change of an account; what a check found of other settings is forgotten."""
    await connection.execute(
        UPDATE,
        account.merchant_id,
        account.livemode,
        account.id,
        account.label,
        account.enabled,
        account.priority,
        account.settings_version,
        account.updated_at,
    )


async def checked(connection: Connection, account: StoredAccount, last_check: bytes) -> bool:
    """Keep what a check found; False when the account has other settings by now."""
    done = await connection.execute(
        CHECKED, account.merchant_id, account.livemode, account.id, account.settings_version, last_check
    )
    return bool(done == "UPDATE 1")
