"""What an installation's owner counts. Bounded: of a window only the newest payments are read."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from gateway import ids
from gateway.store import gauges
from gateway.store.database import Connection

MOST_PER_PARTITION: Final = 400  # of each of the 256 logical partitions, over which payments spread evenly

# The primary key of payments leads with the logical partition, so each is read by itself, newest first.
PAYMENTS: Final = """
with found as (
    select g.lp, p.livemode, p.kind, p.provider, p.status, p.currency, p.amount, p.amount_captured, p.amount_refunded
      from generate_series(0, 255) g(lp) cross join lateral (
           select * from payments where payments.lp = g.lp and id >= $1 and id < $2 order by id desc limit $3) p)
select livemode, kind, provider, status, currency, count(*) as count, sum(amount_captured) as amount_captured,
       sum(amount_refunded) as amount_refunded,
       coalesce(sum(amount) filter (where kind = 'payout' and status = 'succeeded'), 0) as amount_paid_out,
       (select max(n) from (select count(*) as n from found group by lp) c) < $3 as complete
  from found group by livemode, kind, provider, status, currency
 order by livemode, kind, provider, status, currency
"""
WAITING: Final = f"""
select (select count(*) from operations where state = 'unknown' and next_query_at is not null) as operations_unknown,
       ({gauges.REVIEWS}) as reviews_open, ({gauges.DEAD_LETTERS}) as dead_letters,
       (select count(*) from merchants) as merchants
"""


class Counted(Struct, frozen=True, kw_only=True):
    """The payments or payouts (`kind`) of one mode, provider, status and currency. Amounts are minor units."""

    livemode: bool
    kind: str
    provider: str
    status: str
    currency: str
    count: int
    amount_captured: int
    amount_refunded: int
    amount_paid_out: int


class Waiting(Struct, frozen=True, kw_only=True):
    """What waits for somebody, whenever it began."""

    operations_unknown: int
    reviews_open: int
    dead_letters: int
    merchants: int


async def payments(connection: Connection, since: datetime, until: datetime) -> tuple[list[Counted], bool]:
    """The payments and payouts made in a window, counted; False where it has more than are read."""
    rows = await connection.fetch(PAYMENTS, ids.day_floor(since), ids.day_floor(until), MOST_PER_PARTITION)
    complete = all(row["complete"] for row in rows)
    return [_counted(dict(row)) for row in rows], complete


async def waiting(connection: Connection) -> Waiting:
    """What waits now."""
    row = await connection.fetchrow(WAITING)
    assert row is not None
    return Waiting(**row)


def _counted(row: dict[str, object]) -> Counted:
    amounts = {name: int(str(row[name])) for name in ("amount_captured", "amount_refunded", "amount_paid_out")}
    members = {name: value for name, value in row.items() if name != "complete"}
    return Counted(**{**members, **amounts})  # type: ignore[arg-type]  # the columns of the statement above
