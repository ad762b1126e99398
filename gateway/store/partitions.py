"""Day partitions: made ahead of time, so that old days can be dropped whole.

A day's partition holds the ids that were made on that UTC day; what belongs to an event lies at the event's day. A row
whose day has no partition goes to the table's DEFAULT partition; `ensure` brings it home when it makes that day.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from gateway import ids
from gateway.store.database import Connection

DAY_PARTITIONED: Final = (
    *("events", "callbacks", "audit_events", "exchanges"),
    *("webhook_deliveries", "webhook_attempts"),
)
KEYS: Final = {"webhook_deliveries": "event_id", "webhook_attempts": "event_id"}  # others by their `id`
WRITTEN_ONCE: Final = ("exchanges", "webhook_attempts")
DAYS_AHEAD: Final = 14
LOCK_TIMEOUT: Final = "5s"  # inserts may queue behind a lock that is waited for
LOCK: Final = 0x6D79_7061_7901  # any constant: one at a time per database makes or drops days


async def ensure(connection: Connection, today: datetime, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Make the partitions from yesterday to `days_ahead` days after `today` that are missing; their names.

    One transaction per table: whoever reads it sees a moved row once, before or after. Raises asyncpg's
    `LockNotAvailableError` when a table is too busy; the caller tries again later.
    """
    midnight = today.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight + timedelta(days=offset) for offset in range(-1, days_ahead + 1)]
    made: list[str] = []
    for table in DAY_PARTITIONED:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            for day in await _missing(connection, table, days):
                await _make(connection, table, day, in_use=day <= midnight + timedelta(days=1))
                made.append(name_of(table, day))
    return made


def name_of(table: str, day: datetime) -> str:
    """The partition of a UTC day: events_20261125."""
    return f"{table}_{day:%Y%m%d}"


async def has_day(connection: Connection, table: str, row_id: UUID) -> bool:
    """Whether the day of an id has a partition: it was made, and not dropped since."""
    return await exists(connection, name_of(table, ids.time_of(row_id)))


async def exists(connection: Connection, name: str) -> bool:
    """Whether there is a table of this name."""
    found: bool = await connection.fetchval("select to_regclass($1) is not null", name)
    return found


async def _missing(connection: Connection, table: str, days: list[datetime]) -> list[datetime]:
    known = "select name from unnest($1::text[]) name where to_regclass(name) is not null"
    rows = await connection.fetch(known, [name_of(table, day) for day in days])
    existing = {row["name"] for row in rows}
    return [day for day in days if name_of(table, day) not in existing]


async def _make(connection: Connection, table: str, day: datetime, *, in_use: bool) -> None:
    """Fill a new table from the default partition, then attach it.

    A day in use is being inserted into the default right now: the parent is locked against inserts, or one that had
    chosen the default and waited for it would fail with a check violation. For days to come, inserts go on. The
    parent is locked before the default, as all DDL does. Pages are half filled where each row is written once more when
    it is done with (an event gets its position, a callback its result): beside its first version that costs less WAL.
    """
    name, key = name_of(table, day), KEYS.get(table, "id")
    first, end = ids.day_floor(day), ids.day_floor(day + timedelta(days=1))
    fill = 100 if table in WRITTEN_ONCE else 50
    await connection.execute(
        f"""
        lock table only {table} in {"access" if in_use else "share update"} exclusive mode;
        lock table {table}_default in access exclusive mode;
        create table {name} (like {table} including all excluding indexes excluding identity)
            with (fillfactor = {fill});
        with moved as (delete from {table}_default where {key} >= '{first}' and {key} < '{end}' returning *)
            insert into {name} select * from moved;
        alter table {table} attach partition {name} for values from ('{first}') to ('{end}');
        """
    )
