"""The rows of the notifier: which endpoints have something due, what is claimed, and what came of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.store.batcher import RawConnection
from streams.delivery_rules import Reply, Verdict

# Every endpoint for which something waits, by jumping along the index; and what stops at it.
LOOK: Final = """
with recursive waiting as (
    (select endpoint_id from webhook_deliveries where next_attempt_at is not null order by endpoint_id limit 1)
    union all
    select (select d.endpoint_id from webhook_deliveries d
             where d.next_attempt_at is not null and d.endpoint_id > waiting.endpoint_id
             order by d.endpoint_id limit 1)
      from waiting where waiting.endpoint_id is not null)
select endpoint_id,
       exists (select 1 from webhook_endpoints w where w.id = endpoint_id and w.status = 'enabled') as enabled
  from waiting
 where endpoint_id is not null
   and exists (select 1 from webhook_deliveries d
                where d.endpoint_id = waiting.endpoint_id and d.next_attempt_at <= now())
"""
CLAIM: Final = """
with due as materialized (
    select taken.* from unnest($1::uuid[], $2::integer[]) as lane(endpoint_id, free) cross join lateral (
        select d.event_id, d.endpoint_id from webhook_deliveries d
         where d.endpoint_id = lane.endpoint_id and d.next_attempt_at <= now()
         order by d.next_attempt_at limit lane.free for update skip locked) taken)
update webhook_deliveries d set attempt = d.attempt + 1, next_attempt_at = now() + $3, updated_at = now()
  from due, events e, webhook_endpoints w
 where d.event_id = due.event_id and d.endpoint_id = due.endpoint_id and e.id = due.event_id
   and w.id = due.endpoint_id and w.status = 'enabled'
returning d.event_id, d.endpoint_id, d.attempt, d.attempt - d.schedule_from as tries, e.body, w.merchant_id, w.livemode,
          e.type, e.root_id, e.traceparent, w.url, w.secret_version, w.sealed,
          case when w.previous_expires_at > now() then w.previous_sealed end as previous_sealed
"""
# The attempt's number fences what failed; what was received was received, whoever knows.
RECORD: Final = """
with ended as materialized (
    select * from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::timestamptz[], $6::integer[],
                         $7::integer[], $8::text[], $9::text[], $10::text[], $11::timestamptz[])
        as r(event_id, endpoint_id, attempt, merchant_id, started_at, duration_ms, response_status, error, excerpt,
             status, next_attempt_at)
), kept as (
    insert into webhook_attempts
    select event_id, endpoint_id, attempt, merchant_id, started_at, duration_ms, response_status, error, excerpt
      from ended
    on conflict do nothing)
update webhook_deliveries d set status = r.status, next_attempt_at = r.next_attempt_at, updated_at = now()
  from ended r
 where d.event_id = r.event_id and d.endpoint_id = r.endpoint_id
   and ((d.attempt = r.attempt and d.status = 'pending') or r.status = 'delivered')
"""


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery of which an attempt begins; `tries` counts those of its schedule, this one included."""

    event_id: UUID
    endpoint_id: UUID
    attempt: int
    tries: int
    body: bytes
    merchant_id: UUID
    livemode: bool
    type: str
    root_id: UUID
    traceparent: str | None
    url: str
    secret_version: int
    sealed: bytes
    previous_sealed: bytes | None


class Ended(Struct, frozen=True, kw_only=True):
    """An attempt that ended, as it is kept."""

    claimed: Claimed
    reply: Reply
    verdict: Verdict
    started_at: datetime
    duration_ms: int
    next_attempt_at: datetime | None


async def record(connection: RawConnection, batch: Sequence[Ended]) -> list[None]:
    """Keep attempts, and what follows from each, in one statement."""
    columns = zip(*map(_row, batch), strict=True)
    await connection.execute(RECORD, *map(list, columns))
    return [None] * len(batch)


_STATUSES: Final = {"delivered": "delivered", "failed": "pending", "exhausted": "failed", "gone": "failed"}


def _row(ended: Ended) -> tuple[object, ...]:
    claimed, reply = ended.claimed, ended.reply
    return (
        claimed.event_id,
        claimed.endpoint_id,
        claimed.attempt,
        claimed.merchant_id,
        ended.started_at,
        ended.duration_ms,
        reply.status,
        reply.error,
        reply.excerpt,
        _STATUSES[ended.verdict.result],
        ended.next_attempt_at,
    )
