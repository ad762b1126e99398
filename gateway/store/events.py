"""Events as one merchant in one mode: the pull feed, by position, and one event by id.

A position is given after commit, by one relay at a time: whoever sees a position can see all lower ones, so a reader
that goes on after the last one it saw skips nothing.
"""

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
PAGE: Final = """
select position, body from events
 where merchant_id = $1 and livemode = $2 and position > $3{conditions}
 order by position limit $4
"""


class Filters(Struct, frozen=True, kw_only=True):
    """What the feed is narrowed to; None means any. `family` is the part of a type before its first dot."""

    type: str | None = None
    family: str | None = None
    object_id: UUID | None = None


class Positioned(NamedTuple):
    """An event's place in the feed, and its bytes."""

    position: int
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
    return [Positioned(record["position"], bytes(record["body"])) for record in records]


def statement(filters: Filters) -> tuple[str, list[Any]]:
    """The statement of a page, and its parameters from the fifth on."""
    given = {name: value for name in _CONDITIONS if (value := getattr(filters, name)) is not None}
    conditions = (_CONDITIONS[name].format(n=number) for number, name in enumerate(given, 5))
    return PAGE.format(conditions="".join(conditions)), list(given.values())
