"""What the database alone knows about how things stand: the gauges of /metrics."""

from typing import Final

from gateway.metrics import METRICS
from gateway.store.database import Connection

NUMBERS: Final = """
select (select count(*) from operations where state = 'unknown' and next_query_at is not null)
           as operations_unknown,
       (select coalesce(extract(epoch from now() - min(created_at)), 0)::float8
          from operations where state = 'prepared')
           as operations_prepared_oldest_seconds,
       (select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 from (
            select created_at from events where position is null
            union all
            select created_at from events
             where position > (select published_position from relay) and position is not null) e)
           as events_unpublished_oldest_seconds,
       (select count(*) from payments where review is not null) as reviews_open,
       (select count(*) from webhook_deliveries where next_attempt_at is not null) as deliveries_waiting,
       (select greatest(coalesce(extract(epoch from now() - min(next_attempt_at)), 0), 0)::float8
          from webhook_deliveries where next_attempt_at is not null) as deliveries_due_oldest_seconds
"""
LED: Final = "select lease_until > now() from relay where id = 1"


async def refresh(connection: Connection) -> None:
    """Set the gauges to what the database says now."""
    numbers = await connection.fetchrow(NUMBERS)
    assert numbers is not None
    METRICS.operations_unknown.set(numbers["operations_unknown"])
    METRICS.operations_prepared_oldest_seconds.set(numbers["operations_prepared_oldest_seconds"])
    METRICS.events_unpublished_oldest_seconds.set(numbers["events_unpublished_oldest_seconds"])
    METRICS.reviews_open.set(numbers["reviews_open"])
    METRICS.deliveries_waiting.set(numbers["deliveries_waiting"])
    METRICS.deliveries_due_oldest_seconds.set(numbers["deliveries_due_oldest_seconds"])


async def relay_is_led(connection: Connection) -> bool:
    """Whether some worker leads the relay now."""
    led: bool = await connection.fetchval(LED)
    return led
