"""The relay: events get a position after they were committed, and go to Kafka in that order.

One relay of all processes leads: the row of table `relay` is its lease, its fence and its bookmarks. The leader gives
positions in ONE statement that begins by updating that row where the fence is its own, so that giving positions is
serialised by the row's lock and a former leader, however late it wakes, gives none. Readers' cursors can therefore
skip nothing: whoever sees a position sees all lower ones.

Publishing follows at its own pace: positions are given although Kafka is away. Whoever takes over publishes from
`published_position` again. Every publisher sends a partition's events in order and the next only after the
acknowledgement of those before, so the first delivery of an event precedes that of its successor, whoever made it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import asyncpg
import structlog
from msgspec import Struct

from gateway.store.database import CONNECTION_LOST, TRY_AGAIN, Connection, Pool
from streams.events import Event, message_of
from streams.publisher import Publisher

LEASE_S: Final = 6.0
RENEW_S: Final = 2.0
STANDBY_S: Final = 1.0  # how often others try to take over
BUSY_S: Final = 0.010
IDLE_S: Final = 0.050
BUSY_FOR_S: Final = 1.0  # after the last event
ASSIGN_MAX: Final = 1_000  # events that get a position in one statement
PUBLISH_MAX: Final = 500  # events sent at once; they are all that is read into memory
HANDOVER_MAX: Final = 2_000  # events that the publishing half may be behind before it reads them from Postgres
PAUSE_MAX_S: Final = 1.0

TAKE: Final = """
update relay set leader = $1, fence = fence + 1, lease_until = now() + $2
 where id = 1 and lease_until < now()
returning fence, published_position
"""
RENEW: Final = """
update relay set lease_until = now() + $2, published_position = greatest(published_position, $3)
 where id = 1 and fence = $1 and lease_until > now()
returning fence
"""
LEAVE: Final = """
update relay set lease_until = '-infinity', published_position = greatest(published_position, $2)
 where id = 1 and fence = $1
"""
# In order of seq, never SKIP LOCKED: an event is passed over by nobody. `position is null` is asked again of the row
# itself, as the statement may have waited for the row of `relay` since it looked.
ASSIGN: Final = """
with waiting as materialized (
    select id, row_number() over (order by seq) - 1 as place
      from (select id, seq from events where position is null order by seq limit 1000) as first
), led as (
    update relay set next_position = next_position + (select count(*) from waiting), lease_until = now() + $2,
                     published_position = greatest(published_position, $3)
     where id = 1 and fence = $1 and lease_until > now() and exists (select from waiting)
    returning next_position - (select count(*) from waiting) as first
)
update events as e set position = led.first + waiting.place
  from waiting, led
 where e.id = waiting.id and e.position is null
returning e.position, e.id, e.livemode, e.root_id, e.object_id, e.type, e.sequence, e.body, e.created_at
"""
# The planner does not foresee that a partition is pruned for each row, and would rather read all events.
PLAN: Final = "set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off"
READ: Final = """
select position, id, livemode, root_id, object_id, type, sequence, body, created_at
  from events where position > $1 order by position limit 500
"""
