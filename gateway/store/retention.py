"""What is dropped for its age: days of the partitioned tables, and rows of others in small batches.

A day goes as a whole, and only when nothing in it is unfinished: each table has its reasons for keeping one, which are
looked for along indexes of what is not final. Rows that lie in a DEFAULT partition are treated as a day of their own.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from gateway import ids
from gateway.settings import Settings
from gateway.store.database import Connection
from gateway.store.partitions import KEYS, LOCK, name_of

BATCH: Final = 500
LOCK_TIMEOUT: Final = "1s"  # inserts queue behind a lock that is waited for
PATIENCE_S: Final = 120.0  # for reading a day's index

# In this order: attempts and deliveries belong to events, and are useless without them.
TABLES: Final = {
    "exchanges": "exchanges_days",
    "webhook_attempts": "events_days",
    "webhook_deliveries": "events_days",
    "events": "events_days",
    "callbacks": "callbacks_days",
    "audit_events": "audit_days",
}

# Payments and payouts that are not final, or of which a refund is not, or that a person must look at: by $2.
_OPEN: Final = """
open_roots as materialized (
    select id from payments where status in ('pending', 'processing', 'requires_action') and id < $2
    union select id from payments where status = 'authorized' and id < $2
    union select id from payments where review is not null and id < $2
    union select payment_id from refunds where status in ('pending', 'processing') and payment_id < $2)
"""
_OBJECTS: Final = f"""
{_OPEN}, about as materialized (
    select id from open_roots
    union all select r.id from open_roots o, refunds r
               where r.lp = get_byte(uuid_send(o.id), 15) and r.payment_id = o.id)
"""
_OPERATIONS: Final = f"""
{_OPEN}, about as materialized (
    select q.id from open_roots o, operations q
     where q.lp = get_byte(uuid_send(o.id), 15) and q.payment_id = o.id)
"""


def _evidence(of: str, column: str) -> str:
    """Lateral, so that each is looked up along the index: the planner expects many and would read the whole day."""
    return f"""
    with {of} select exists (select from about, lateral (
        select 1 from {{part}} e where e.{column} = about.id and {{span}} limit 1) found)
    """


_DELIVERIES: Final = """
select exists (select from webhook_deliveries
                where event_id >= $1 and event_id < $2 and next_attempt_at is not null)
"""
_LAST: Final = "(select max(position) from {part} where position is not null and {span})"
# Per table: why a day is kept beyond its time, and the question. $1 and $2 are the day's first id, and the next day's.
KEPT_FOR: Final[dict[str, dict[str, str]]] = {
    "events": {
        "unpublished": "select exists (select from {part} where position is null and {span})",
        "unpublished on the topic": f"select {_LAST} > (select published_position from relay)",
        "undelivered": _DELIVERIES,
        "undelivered, behind a cursor": f"""
            select exists (select from webhook_endpoints where status = 'enabled' and backlog_cursor < {_LAST})
        """,
        "of an open payment": _evidence(_OBJECTS, "object_id"),
    },
    "webhook_deliveries": {"undelivered": _DELIVERIES},
    "webhook_attempts": {"undelivered": _DELIVERIES},
    "callbacks": {
        "unhandled": "select exists (select from {part} where state in ('received', 'parked') and {span})",
        "of an open payment": _evidence(_OPERATIONS, "operation_id"),
    },
    "exchanges": {"of an open payment": _evidence(_OPERATIONS, "operation_id")},
    "audit_events": {"unsealed": "select exists (select from {part} where position is null and {span})"},
}
DAYS: Final = """
select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
 where i.inhparent = $1::text::regclass order by 1
"""
LAST_POSITIONS: Final = """
select merchant_id, livemode, max(position) from {part}
 where position is not null and {span} group by merchant_id, livemode
"""
NOTE_DROPPED: Final = """
insert into dropped_events as d (merchant_id, livemode, position) values ($1, $2, $3)
on conflict (merchant_id, livemode) do update set position = greatest(d.position, excluded.position)
"""
FORGET_KEYS: Final = f"""
with {_OPEN}
delete from idempotency_keys where (lp, merchant_id, livemode, root_id, key) in (
    select lp, merchant_id, livemode, root_id, key from idempotency_keys
     where created_at < $1 and object_id not in (select id from open_roots)
       and root_id not in (select id from open_roots)
     order by created_at limit {BATCH} for update skip locked)
"""
FORGET_DEAD_LETTERS: Final = f"""
delete from dead_letters where id in (
    select id from dead_letters where created_at < $1 order by created_at limit {BATCH} for update skip locked)
"""
TRY_LOCK: Final = "select pg_try_advisory_xact_lock($1)"


class Day(NamedTuple):
    """A part of a table: the partition of a UTC day, or what lies in the default before `end`."""

    table: str
    name: str
    first: UUID
    end: UUID

    @property
    def is_partition(self) -> bool:
        """Whether it can be dropped as a whole."""
        return not self.name.endswith("_default")

    def fill(self, sql: str) -> str:
        """The statement about this part; $1 and $2 are its bounds."""
        key = KEYS.get(self.table, "id")
        return sql.format(part=self.name, span=f"{key} >= $1 and {key} < $2")


async def due(connection: Connection, settings: Settings, table: str, now: datetime) -> list[Day]:
    """The days of a table that are older than they are kept, oldest first; at last what is as old in its default."""
    before = now - timedelta(days=getattr(settings, TABLES[table]))
    names = [row["name"] for row in await connection.fetch(DAYS, table)]
    days = [_day(table, name) for name in names if re.fullmatch(rf"{table}_\d{{8}}", name)]
    end = ids.day_floor(before.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0))
    stray = Day(table, f"{table}_default", ids.NIL, end)
    has_strays = await connection.fetchval(stray.fill("select exists (select from {part} where {span})"), *stray[2:])
    return [*(day for day in days if day.end <= end), *([stray] if has_strays else [])]


async def overdue_days(connection: Connection, settings: Settings, now: datetime) -> int:
    """For how many days the oldest day of any table has been due; 0 where none is."""
    found = [day for table in TABLES for day in await due(connection, settings, table, now)]
    ends = [ids.time_of(day.end) + timedelta(days=getattr(settings, TABLES[day.table])) for day in found]
    return max([0, *((now - end).days + 1 for end in ends)])


def _day(table: str, name: str) -> Day:
    first = datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC)
    assert name == name_of(table, first)
    return Day(table, name, ids.day_floor(first), ids.day_floor(first + timedelta(days=1)))


async def kept_for(connection: Connection, day: Day) -> str | None:
    """Why it must be kept still, or None."""
    for reason, sql in KEPT_FOR[day.table].items():
        if await connection.fetchval(day.fill(sql), *_bounds(day, sql), timeout=PATIENCE_S):
            return reason
    return None


def _bounds(day: Day, sql: str) -> Sequence[UUID]:
    """As many parameters as the statement has."""
    return day[2:] if "$1" in day.fill(sql) else ()


async def be_alone(connection: Connection) -> bool:
    """Be the only one who makes or drops days until the transaction ends; False where somebody else is."""
    await connection.execute(f"set local statement_timeout = '{PATIENCE_S:.0f}s'")
    alone: bool = await connection.fetchval(TRY_LOCK, LOCK)
    return alone


async def last_positions(connection: Connection, day: Day) -> list[tuple[UUID, bool, int]]:
    """How far the events of each merchant and mode go in a day: read along an index, before anything is locked."""
    rows = await connection.fetch(day.fill(LAST_POSITIONS), *day[2:], timeout=PATIENCE_S)
    return [(*row,) for row in rows]


async def note_dropped(connection: Connection, positions: Sequence[tuple[UUID, bool, int]]) -> None:
    """Remember them: cursors before are too old from now on."""
    await connection.executemany(NOTE_DROPPED, positions)


async def lock(connection: Connection, table: str) -> None:
    """Nobody reads or writes the table until the transaction ends, which must be soon.

    Raises asyncpg's `LockNotAvailableError` when it is too busy. The parent is locked before the default, as all DDL
    does.
    """
    await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    await connection.execute(f"lock table only {table}, {table}_default in access exclusive mode")


async def drop(connection: Connection, day: Day) -> None:
    """Drop it, in the caller's transaction."""
    if day.is_partition:
        await connection.execute(f"drop table {day.name}")
    else:
        await connection.execute(day.fill("delete from {part} where {span}"), *day[2:], timeout=PATIENCE_S)


async def forget_keys(connection: Connection, before: datetime) -> int:
    """Delete a batch of Idempotency-Keys of before then, but those whose object is not final; how many."""
    return _count(await connection.execute(FORGET_KEYS, before, ids.day_floor(before)))


async def forget_dead_letters(connection: Connection, before: datetime) -> int:
    """Delete a batch of dead letters of before then; how many."""
    return _count(await connection.execute(FORGET_DEAD_LETTERS, before))


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
