"""Declined card payments of an account, as the limit against card testing counts them."""

from datetime import datetime
from typing import Final
from uuid import UUID

from gateway import ids
from gateway.store.database import Connection

# What could not be reached has declined nothing. The words are those of the index payments_declined_cards.
NTH: Final = """
select id from payments
 where merchant_id = $1 and livemode = $2 and account_id = $3
   and status = 'failed' and details -> 'method' ->> 'type' = 'card' and failure ->> 'code' <> 'provider_unavailable'
   and id >= $4
 order by id desc offset $5 limit 1
"""


async def nth_newest(
    connection: Connection, merchant_id: UUID, livemode: bool, account_id: UUID, since: datetime, n: int
) -> datetime | None:
    """When the n-th newest declined card payment since then was made, or None where there are fewer."""
    found = await connection.fetchval(NTH, merchant_id, livemode, account_id, ids.day_floor(since), n - 1)
    return None if found is None else ids.time_of(found)
