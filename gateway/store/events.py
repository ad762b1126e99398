"""Events as one merchant in one mode: the pull feed, by position, and one event by id.

A position is given after commit, by one relay at a time: whoever sees a position can see all lower ones, so a reader
that goes on after the last one it saw skips nothing.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from gateway.payments.model import Event
from gateway.store.database import Connection

INSERT: Final = f"""
insert into events ({", ".join(Event.__struct_fields__)})
values ({", ".join(f"${n}" for n, _ in enumerate(Event.__struct_fields__, 1))})
"""
GET: Final = "select body from events where id = $1 and merchant_id = $2 and livemode = $3"
PLACE: Final = "select position from events where id = $1 and merchant_id = $2 and livemode = $3"
HEAD: Final = "select next_position - 1 from relay where id = 1"
DROPPED: Final = "select position from dropped_events where merchant_id = $1 and livemode = $2"
PAGE: Final = """
select position, id, type, body from events
 where merchant_id = $1 and livemode = $2 and position > $3{conditions}
 order by position limit $4
"""
SINCE: Final = """
select position, id, merchant_id, livemode, object_id, type, body from events
 where position > $1 and position <= $2 and merchant_id = any($3) order by position limit $4
"""


class Filters(Struct, frozen=True, kw_only=True):
    """What the feed is narrowed to; None means any. `family` is the part of a type before its first dot."""

    type: str | None = None
    family: str | None = None
    object_id: UUID | None = None

    def admit(self, type: str, object_id: UUID) -> bool:
        """Whether an event passes: what `_CONDITIONS` says in SQL."""
        return (
            (self.type is None or type == self.type)
            and (self.family is None or type.startswith(f"{self.family}."))
            and (self.object_id is None or object_id == self.object_id)
        )


class Positioned(NamedTuple):
    """An event's place in the feed, what it is, and its bytes."""

    position: int
    id: UUID
    type: str
    body: bytes


class Followed(Struct, frozen=True, kw_only=True):
    """An event as those need it who serve the feeds of several merchants."""

    position: int
    id: UUID
    merchant_id: UUID
    livemode: bool
    object_id: UUID
    type: str
    body: bytes


_CONDITIONS: Final = {
    "type": " and type = ${n}",
    "family": " and starts_with(type, ${n} || '.')",
    "object_id": " and object_id = ${n}",
}


async def insert(connection: Connection, event: Event) -> None:
    """A new event, in the transaction that makes it true."""
    values = (getattr(event, name) for name in Event.__struct_fields__)
    await connection.execute(INSERT, *values)


async def get(connection: Connection, merchant_id: UUID, livemode: bool, event_id: UUID) -> bytes | None:
    """The bytes of one event, or None."""
    body = await connection.fetchval(GET, event_id, merchant_id, livemode)
    return None if body is None else bytes(body)


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, filters: Filters, after: int, limit: int
) -> list[Positioned]:
    """Up to `limit` events whose position is greater than `after`, oldest first."""
    sql, parameters = statement(filters)
    records = await connection.fetch(sql, merchant_id, livemode, after, limit, *parameters)
    return [Positioned(row["position"], row["id"], row["type"], bytes(row["body"])) for row in records]


async def place(connection: Connection, merchant_id: UUID, livemode: bool, event_id: UUID) -> int | None:
    """The position of one event; that of the newest for an event that has none yet; None where there is no event."""
    row = await connection.fetchrow(PLACE, event_id, merchant_id, livemode)
    if row is None:
        return None
    return await head(connection) if row["position"] is None else int(row["position"])


async def head(connection: Connection) -> int:
    """The last position that was given. Whoever sees it can see every event up to it."""
    last: int = await connection.fetchval(HEAD)
    return last


async def dropped(connection: Connection, merchant_id: UUID, livemode: bool) -> int:
    """The newest position of theirs that was dropped for its age; 0 where none was."""
    position: int | None = await connection.fetchval(DROPPED, merchant_id, livemode)
    return position or 0


async def since(
    connection: Connection, after: int, until: int, merchants: Sequence[UUID], limit: int
) -> list[Followed]:
    """Up to `limit` events of these merchants, in both modes, with positions after `after` up to `until`, in order."""
    return [Followed(**row) for row in await connection.fetch(SINCE, after, until, merchants, limit)]


def statement(filters: Filters) -> tuple[str, list[Any]]:
    """The statement of a page, and its parameters from the fifth on."""
    given = {name: value for name in _CONDITIONS if (value := getattr(filters, name)) is not None}
    conditions = (_CONDITIONS[name].format(n=number) for number, name in enumerate(given, 5))
    return PAGE.format(conditions="".join(conditions)), list(given.values())
