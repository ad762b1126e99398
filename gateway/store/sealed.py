"""Every column that holds sealed secrets: finding what is not under the current key, and putting it back re-wrapped."""

from typing import Final, NamedTuple

import asyncpg

from gateway.sealing import Sealer, place
from gateway.store.database import Connection

BATCH: Final = 200


class Column(NamedTuple):
    """One column. `stale` selects `row_id`, `version`, `merchant_id`, `sealed` of rows not under the key $1, locked;

    `left` counts them; `update` writes $3 where the row is $1 and its version $2. `bound_to` is the column that a
    secret is bound to, where it has moved since.
    """

    table: str
    column: str
    stale: str
    left: str
    update: str
    bound_to: str | None = None


_IS_STALE: Final = "substring({} from 2 for 8) <> $1"
COLUMNS: Final = (
    Column(
        table="account_settings",
        column="sealed",
        stale=f"""
            select s.account_id as row_id, s.version, a.merchant_id, s.sealed
              from account_settings s join accounts a on a.id = s.account_id
             where {_IS_STALE.format("s.sealed")} order by s.account_id, s.version limit {BATCH} for update of s
            """,
        left=f"select count(*) from account_settings where {_IS_STALE.format('sealed')}",
        update="update account_settings set sealed = $3 where account_id = $1 and version = $2",
    ),
    Column(
        table="operations",
        column="secret_input",
        stale=f"""
            select id as row_id, 1 as version, merchant_id, secret_input as sealed from operations
             where secret_input is not null and {_IS_STALE.format("secret_input")}
             order by id limit {BATCH} for update skip locked
            """,
        left=f"""
            select count(*) from operations
             where secret_input is not null and {_IS_STALE.format("secret_input")}
            """,
        update="update operations set secret_input = $3 where id = $1 and $2 = 1 and secret_input is not null",
    ),
    Column(
        table="webhook_endpoints",
        column="sealed",
        stale=f"""
            select id as row_id, secret_version as version, merchant_id, sealed from webhook_endpoints
             where {_IS_STALE.format("sealed")} order by id limit {BATCH} for update
            """,
        left=f"select count(*) from webhook_endpoints where {_IS_STALE.format('sealed')}",
        update="update webhook_endpoints set sealed = $3 where id = $1 and secret_version = $2",
    ),
    Column(
        table="webhook_endpoints",
        column="previous_sealed",
        stale=f"""
            select id as row_id, secret_version - 1 as version, merchant_id, previous_sealed as sealed
              from webhook_endpoints
             where previous_sealed is not null and {_IS_STALE.format("previous_sealed")}
             order by id limit {BATCH} for update
            """,
        left=f"""
            select count(*) from webhook_endpoints
             where previous_sealed is not null and {_IS_STALE.format("previous_sealed")}
            """,
        update="update webhook_endpoints set previous_sealed = $3 where id = $1 and secret_version = $2 + 1",
        bound_to="sealed",
    ),
)


async def rewrap(connection: Connection, column: Column, sealer: Sealer) -> int:
    """Put up to `BATCH` secrets under the sealer's current key, in the caller's transaction; how many that were.

    Raises `SealBroken` for one that none of the sealer's keys opens.
    """
    rows = await connection.fetch(column.stale, sealer.kek_id)
    changed = [(row["row_id"], row["version"], _rewrapped(column, sealer, row)) for row in rows]
    await connection.executemany(column.update, changed)
    return len(changed)


async def stale(connection: Connection, column: Column, sealer: Sealer) -> int:
    """How many secrets of a column are not under the current key."""
    count: int = await connection.fetchval(column.left, sealer.kek_id)
    return count


def _rewrapped(column: Column, sealer: Sealer, row: asyncpg.Record) -> bytes:
    where = place(column.table, column.bound_to or column.column, row["row_id"], row["version"], row["merchant_id"])
    return sealer.rewrap(bytes(row["sealed"]), place=where)
