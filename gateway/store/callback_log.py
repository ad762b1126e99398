"""Callbacks as the merchant looks at them, by the mode of their account; and having one handled again."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from gateway.store.database import Connection

EXCERPT_BYTES: Final = 4096
_MARGIN: Final = 64  # so that a card number at the excerpt's end is whole when it is masked


class LoggedCallback(Struct, frozen=True, kw_only=True):
    """A callback with the first bytes of its body."""

    id: UUID
    account_id: UUID
    provider: str
    operation_id: UUID | None
    method: str
    query: str
    headers: bytes
    excerpt: bytes
    body_bytes: int
    state: str
    result: str | None
    received_at: datetime
    processed_at: datetime | None


_COLUMNS: Final = f"""
c.id, c.account_id, c.provider, c.operation_id, c.method, c.query, c.headers,
substring(c.body from 1 for {EXCERPT_BYTES + _MARGIN}) as excerpt, octet_length(c.body) as body_bytes,
c.state, c.result, c.received_at, c.processed_at
"""
_OURS: Final = (
    "c.merchant_id = $1 and c.account_id = any(select id from accounts where merchant_id = $1 and livemode = $2)"
)
# The accounts are named one by one and not by a join: of a join the planner expects a row or two, and sorts them all.
ACCOUNTS: Final = "select id from accounts where merchant_id = $1 and livemode = $2"
PAGE: Final = f"select {_COLUMNS} from callbacks c where c.merchant_id = $1 and c.account_id = any($2::uuid[])"
# As words of the statement, so that the index of what is not handled yet can be used.
_STATES: Final = {state: f" and c.state = '{state}'" for state in ("received", "parked", "processed")}
OF_OPERATIONS: Final = f"select {_COLUMNS} from callbacks c where {_OURS} and c.operation_id = any($3) order by c.id"
REPLAY: Final = f"""
update callbacks c set state = 'received', result = null, event_key = null, parked_reference = null,
       processed_at = null, publishes = 0, next_publish_at = $4
 where {_OURS} and c.id = $3
returning {_COLUMNS}
"""


async def page(
    connection: Connection,
    merchant_id: UUID,
    livemode: bool,
    *,
    provider: str | None,
    state: str | None,
    after: UUID | None,
    limit: int,
) -> list[LoggedCallback]:
    """Up to `limit` callbacks, newest first, older than `after`."""
    accounts = [row["id"] for row in await connection.fetch(ACCOUNTS, merchant_id, livemode)]
    sql = PAGE + ("" if state is None else _STATES[state])
    parameters: list[Any] = [merchant_id, accounts, limit]
    for condition, value in (("c.provider =", provider), ("c.id <", after)):
        if value is not None:
            parameters.append(value)
            sql += f" and {condition} ${len(parameters)}"
    rows = await connection.fetch(f"{sql} order by c.id desc limit $3", *parameters)
    return [LoggedCallback(**row) for row in rows]


async def of_operations(
    connection: Connection, merchant_id: UUID, livemode: bool, operation_ids: list[UUID]
) -> list[LoggedCallback]:
    """The callbacks whose address named one of these operations, oldest first."""
    rows = await connection.fetch(OF_OPERATIONS, merchant_id, livemode, operation_ids)
    return [LoggedCallback(**row) for row in rows]


async def replay(
    connection: Connection, merchant_id: UUID, livemode: bool, callback_id: UUID, *, publish_at: datetime
) -> LoggedCallback | None:
    """Make it as if it had just been received; the sweeper announces it from `publish_at` on."""
    row = await connection.fetchrow(REPLAY, merchant_id, livemode, callback_id, publish_at)
    return None if row is None else LoggedCallback(**row)
