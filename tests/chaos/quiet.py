"""After the load: waiting until nothing is left to do, and letting the time pass that nobody wants to wait for."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import asyncpg

from tests.chaos.stage import Stage

# Where nothing is promised about what a provider does not find, an unknown stays one until its declared end; so does
# money on its way out, of which a provider may never say more than that it has it. See `AGE`.
UNPROVABLE = """
(state = 'unknown' and o.verb in ('charge', 'payout', 'refund')
     and (o.provider in ('cpay', 'daraja', 'standard_bank_pay') or (o.provider, o.verb) = ('mpesa', 'refund'))
 or state = 'pending' and o.verb in ('payout', 'refund'))
"""
# What still has to happen before it is quiet: all of it is 0 then.
OPEN = f"""
select (select count(*) from refunds r where status in ('pending', 'processing') and review is null
           and not exists (select 1 from operations o where o.id = r.id and {UNPROVABLE})) as refunds,
       (select count(*) from payments p where status in ('pending', 'processing', 'requires_action') and review is null
           and not exists (select 1 from operations o where o.payment_id = p.id and {UNPROVABLE})) as payments,
       (select count(*) from operations where state in ('prepared', 'sent')
           and (next_publish_at is not null or state = 'sent')) as operations,
       (select count(*) from events where position is null) as unpositioned,
       (select count(*) from callbacks where state = 'received') as callbacks,
       (select count(*) from webhook_deliveries where status = 'pending') as webhooks,
       (select next_position - 1 - published_position from relay) as unpublished
"""
AGE = f"update operations o set sent_at = sent_at - interval '3 days', next_query_at = now() where {UNPROVABLE}"
ASK_NOW = f"update operations o set next_query_at = now() where {UNPROVABLE}"
# What was published again and again while nothing could take it waits up to ten minutes for its next appointment, and
# a webhook that was refused up to a day; pawaPay's "not found" counts after fifteen minutes, M-Pesa's after five.
LAPSE = (
    """update webhook_deliveries set next_attempt_at = now()
        where status = 'pending' and next_attempt_at > now() + interval '5 s'""",
    """update operations set next_publish_at = now()
        where state in ('prepared', 'unknown') and next_publish_at > now() + interval '5 s'""",
    """update callbacks set next_publish_at = now()
        where state = 'received' and next_publish_at > now() + interval '5 s'""",
    """update operations set answered_at = answered_at - interval '15 min',
                             lease_until = lease_until - interval '15 min', next_query_at = now()
        where provider in ('mpesa', 'pawapay') and state = 'unknown' and next_query_at is not null""",
)
LAPSE_EVERY_S = 20.0
STILL_UNKNOWN = """
select (select count(*) from payments where status in ('pending', 'processing', 'requires_action') and review is null)
     + (select count(*) from refunds where status in ('pending', 'processing') and review is null)
"""


async def settle(stage: Stage, limit_s: float, say: Callable[[str], None], facts: dict[str, Any]) -> bool:
    """Wait until nothing is left to do; then let three days pass for what a provider cannot answer."""
    facts["brought_forward"], before = 0, 10**9
    deadline = time.monotonic() + limit_s
    connection = await stage.connect()
    try:
        while not (done := await quiet(stage, LAPSE_EVERY_S, say)) and time.monotonic() < deadline:
            left = await connection.fetchval(STILL_UNKNOWN)
            if left < 0.9 * before:
                before = left
                continue  # it goes on by itself
            for statement in LAPSE:
                facts["brought_forward"] += await _changed(connection, statement)
        facts["quiet_after_s"] = round(time.time() - facts["load_ended"], 1)
        facts["aged"] = await _changed(connection, AGE)
        deadline = time.monotonic() + limit_s
        while await connection.fetchval(STILL_UNKNOWN) and time.monotonic() < deadline:
            await asyncio.sleep(1)
            await _changed(connection, ASK_NOW)  # a question that was under way has put the appointment off
        facts["open_at_the_end"] = await connection.fetchval(STILL_UNKNOWN)
    finally:
        await connection.close()
    return done and await quiet(stage, limit_s, say)


async def _changed(connection: Any, statement: str) -> int:
    """How many rows a statement of ours has changed, which locks in another order than the product does."""
    while True:
        try:
            return int((await connection.execute(statement)).split()[-1])
        except asyncpg.DeadlockDetectedError:
            await asyncio.sleep(0.1)


async def quiet(stage: Stage, limit_s: float, say: Callable[[str], None]) -> bool:
    """Whether nothing is left to do, within so many seconds."""
    deadline, told = time.monotonic() + limit_s, time.monotonic()
    connection = await stage.connect()
    try:
        while True:
            left = dict(await connection.fetchrow(OPEN))
            if not any(left.values()):
                return True
            if time.monotonic() > deadline:
                return False
            if time.monotonic() > told + 10:
                told = time.monotonic()
                say("           waiting for " + ", ".join(f"{count} {name}" for name, count in left.items() if count))
            await asyncio.sleep(0.5)
    finally:
        await connection.close()
