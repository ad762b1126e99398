"""Dead letters: records that no consumer could handle, as operators see them all, and merchants their own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from gateway.store.database import Connection


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record as it was, and why it was buried. Without a merchant it names no object of one's."""

    id: UUID
    topic: str
    partition: int
    offset: int
    consumer_group: str
    key: bytes | None
    value: bytes | None
    headers: bytes
    error_class: str
    error: str
    created_at: datetime
    replayed_at: datetime | None
    merchant_id: UUID | None
    livemode: bool | None


_COLUMNS: Final = ", ".join('"offset"' if name == "offset" else name for name in DeadLetter.__struct_fields__)
_SELECT: Final = f"select {_COLUMNS} from dead_letters"
ANY: Final = f"""
{_SELECT} where ($1::text is null or topic = $1) and ($2::uuid[] is null or id = any($2))
 order by created_at desc limit $3
"""
GET: Final = f"{_SELECT} where merchant_id = $1 and livemode = $2 and id = $3"
# Ids are digests, so that a record buried twice is one row: they have no order of their own.
AFTER: Final = " and (created_at, id) < (select a.created_at, a.id from dead_letters a where a.id = $4)"
PAGE: Final = f"{_SELECT} where merchant_id = $1 and livemode = $2{{after}} order by created_at desc, id desc limit $3"
REPLAYED: Final = "update dead_letters set replayed_at = $2 where id = any($1)"
# What a record names: the account of a command, or the callback that waits to be read.
OWNER: Final = """
select merchant_id, livemode from accounts
 where id = coalesce($1, (select account_id from callbacks where id = $2))
"""


async def of_all(
    connection: Connection, *, topic: str | None = None, only: Sequence[UUID] | None = None, limit: int = 100
) -> list[DeadLetter]:
    """Dead letters of everybody, newest first: for operators."""
    return [DeadLetter(**row) for row in await connection.fetch(ANY, topic, only, limit)]


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, after: UUID | None, limit: int
) -> list[DeadLetter]:
    """Up to `limit` dead letters of a merchant and mode, newest first, older than `after`."""
    parameters: list[Any] = [merchant_id, livemode, limit, *([] if after is None else [after])]
    rows = await connection.fetch(PAGE.format(after="" if after is None else AFTER), *parameters)
    return [DeadLetter(**row) for row in rows]


async def get(connection: Connection, merchant_id: UUID, livemode: bool, letter_id: UUID) -> DeadLetter | None:
    """One of them, or None."""
    row = await connection.fetchrow(GET, merchant_id, livemode, letter_id)
    return None if row is None else DeadLetter(**row)


async def replayed(connection: Connection, letter_ids: Sequence[UUID], now: datetime) -> None:
    """Note that they were sent to their topics again."""
    await connection.execute(REPLAYED, letter_ids, now)


async def owner(
    connection: Connection, account_id: UUID | None, callback_id: UUID | None
) -> tuple[UUID, bool] | tuple[None, None]:
    """Whose account this is, or that of the callback, and in which mode."""
    row = await connection.fetchrow(OWNER, account_id, callback_id)
    return (None, None) if row is None else (row["merchant_id"], row["livemode"])
