"""Deliveries as the merchant looks at them: listed, tried again, replayed, and in a payment's timeline.

A delivery's id carries its event's time, which leads to the partition, and to the event's neighbours there.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.store.database import Connection

# Whether endpoint `w` asks for event `e`. A ping is for the endpoint that is tested, and nobody else.
MATCHES: Final = """
(e.type <> 'ping' and ('*' = any(w.events) or e.type = any(w.events)
                       or split_part(e.type, '.', 1) || '.*' = any(w.events)))
"""
INTO: Final = """
webhook_deliveries (event_id, endpoint_id, id, merchant_id, livemode, next_attempt_at, created_at, updated_at)
"""
# For an event `e` and an endpoint `w`: 48 bits of time and the version are the event's, the rest is random.
ROW: Final = """
e.id, w.id, (left(e.id::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, w.merchant_id, w.livemode,
now(), now(), now()
"""


class StoredDelivery(Struct, frozen=True, kw_only=True):
    """A delivery, with the answer of its last attempt that ended."""

    event_id: UUID
    endpoint_id: UUID
    id: UUID
    livemode: bool
    status: str
    attempt: int
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
    response_status: int | None = None
    error: str | None = None
    response_excerpt: str | None = None


class StoredAttempt(Struct, frozen=True, kw_only=True):
    """One attempt that ended: an answer's status, or why there was none."""

    event_id: UUID
    endpoint_id: UUID
    attempt: int
    started_at: datetime
    duration_ms: int
    response_status: int | None
    error: str | None
    response_excerpt: str | None


_DELIVERY: Final = ", ".join(f"d.{name}" for name in StoredDelivery.__struct_fields__[:9])
_SELECT: Final = f"""
select {_DELIVERY}, a.response_status, a.error, a.response_excerpt from webhook_deliveries d
  left join lateral (select * from webhook_attempts a where a.event_id = d.event_id and a.endpoint_id = d.endpoint_id
                      order by a.attempt desc limit 1) a on true
 where d.merchant_id = $1 and d.livemode = $2
"""
_BY_ID: Final = "d.event_id between $3 and $4 and d.id = $5"
GET: Final = f"{_SELECT} and {_BY_ID}"
RETRY: Final = f"""
update webhook_deliveries d
   set status = 'pending', next_attempt_at = now(), schedule_from = d.attempt, updated_at = now()
  from webhook_endpoints w
 where d.merchant_id = $1 and d.livemode = $2 and {_BY_ID} and w.id = d.endpoint_id and w.status = 'enabled'
returning d.id
"""
REPLAY: Final = f"""
insert into {INTO}
select {ROW} from events e, (select id, merchant_id, livemode, coalesce($6, events) as events from webhook_endpoints
                              where merchant_id = $1 and livemode = $2 and id = $3) w
 where e.merchant_id = $1 and e.livemode = $2 and e.id >= $4 and e.id < $5 and e.position is not null and {MATCHES}
 limit $7
on conflict (event_id, endpoint_id) do update
   set status = 'pending', next_attempt_at = now(), schedule_from = webhook_deliveries.attempt, updated_at = now()
"""
ONE: Final = f"""
insert into {INTO} select {ROW} from events e, webhook_endpoints w
 where e.merchant_id = $1 and e.livemode = $2 and e.id = $3 and w.id = $4
   and w.merchant_id = e.merchant_id and w.livemode = e.livemode
returning id
"""
_ATTEMPT: Final = ", ".join(f"a.{name}" for name in StoredAttempt.__struct_fields__)
ATTEMPTS: Final = f"""
select {_ATTEMPT} from webhook_attempts a where a.merchant_id = $1 and a.event_id = any($2)
 order by a.started_at, a.attempt
"""


async def page(
    connection: Connection,
    merchant_id: UUID,
    livemode: bool,
    endpoint_id: UUID,
    *,
    statuses: list[str] | None,
    event_id: UUID | None,
    after: UUID | None,
    limit: int,
) -> list[StoredDelivery]:
    """Up to `limit` deliveries to one endpoint, newest first, older than `after`."""
    sql = f"{_SELECT} and d.endpoint_id = $3"
    parameters: list[Any] = [merchant_id, livemode, endpoint_id, limit]
    conditions = (("d.status = any", statuses), ("d.event_id =", event_id), ("d.id <", after))
    for condition, value in conditions:
        if value is not None:
            parameters.append(value)
            sql += f" and {condition} (${len(parameters)})"
    rows = await connection.fetch(f"{sql} order by d.id desc limit $4", *parameters)
    return [StoredDelivery(**row) for row in rows]


async def get(connection: Connection, merchant_id: UUID, livemode: bool, delivery_id: UUID) -> StoredDelivery | None:
    """One delivery, or None."""
    row = await connection.fetchrow(GET, merchant_id, livemode, *_same_time(delivery_id), delivery_id)
    return None if row is None else StoredDelivery(**row)


async def retry(connection: Connection, merchant_id: UUID, livemode: bool, delivery_id: UUID) -> bool:
    """Make it due now, with the whole schedule before it; False when its endpoint is not enabled, or gone."""
    found = await connection.fetchval(RETRY, merchant_id, livemode, *_same_time(delivery_id), delivery_id)
    return found is not None


async def replay(
    connection: Connection,
    merchant_id: UUID,
    livemode: bool,
    endpoint_id: UUID,
    *,
    span: tuple[UUID, UUID],
    events: list[str] | None,
    limit: int,
) -> int:
    """Make the deliveries of the events with ids in `span` due now, those that never were included; how many.

    `events` stands for the endpoint's own filters.
    """
    done = await connection.execute(REPLAY, merchant_id, livemode, endpoint_id, *span, events, limit)
    return int(done.rpartition(" ")[2])


async def insert(connection: Connection, merchant_id: UUID, livemode: bool, event_id: UUID, endpoint_id: UUID) -> UUID:
    """A delivery of this event to this endpoint, whatever it asks for; its id."""
    made: UUID = await connection.fetchval(ONE, merchant_id, livemode, event_id, endpoint_id)
    return made


async def attempts(connection: Connection, merchant_id: UUID, event_ids: list[UUID]) -> list[StoredAttempt]:
    """All attempts to deliver these events, oldest first."""
    rows = await connection.fetch(ATTEMPTS, merchant_id, event_ids)
    return [StoredAttempt(**row) for row in rows]


def _same_time(delivery_id: UUID) -> tuple[UUID, UUID]:
    """The first and last id of the millisecond that an id carries."""
    first = ids.of_ms(delivery_id.int >> 80)
    return first, UUID(int=first.int | (1 << 80) - 1)
