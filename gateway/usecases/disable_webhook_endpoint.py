"""An endpoint stops: it is told by an event, and what waits for it is canceled, in one transaction."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import events, webhook_endpoints
from gateway.store.database import Connection
from gateway.store.webhook_endpoints import StoredEndpoint
from gateway.usecases.webhook_objects import Opened, event_about, opened

DISABLED: Final = "webhook_endpoint.disabled"

BY_REQUEST: Final = "By request."
GONE: Final = "It answered 410 Gone."
FAILING: Final = "A delivery failed at its last attempt, and nothing newer was delivered."

# A delivery that ran out of attempts ends the endpoint only where nothing as new has arrived.
NEWER_DELIVERED: Final = """
select exists (select 1 from webhook_deliveries where endpoint_id = $1 and event_id >= $2 and status = 'delivered')
"""


async def disable(
    connection: Connection, settings: Settings, sealer: Sealer, endpoint: StoredEndpoint, reason: str, now: datetime
) -> Opened:
    """Disable an endpoint that the caller has locked; the endpoint as it is then."""
    after = msgspec.structs.replace(
        endpoint, status="disabled", disabled_reason=reason, sequence=endpoint.sequence + 1, updated_at=now
    )
    await webhook_endpoints.update(connection, after)
    await webhook_endpoints.cancel_waiting(connection, [endpoint.id])
    told = opened(settings, sealer, after)
    await events.insert(connection, event_about(told, DISABLED, now))
    return told


async def disable_by_answer(
    connection: Connection,
    settings: Settings,
    sealer: Sealer,
    *,
    merchant_id: UUID,
    livemode: bool,
    endpoint_id: UUID,
    exhausted: UUID | None,
    now: datetime,
) -> str | None:
    """Disable an endpoint for what it answered: 410, or, with `exhausted`, nothing good to this event's last attempt.

    The reason, or None where it goes on: it is disabled already, or something newer than the event has arrived.
    """
    async with connection.transaction():
        endpoint = await webhook_endpoints.get(connection, merchant_id, livemode, endpoint_id, lock=True)
        if endpoint is None or endpoint.status != "enabled":
            return None
        if exhausted is not None and await connection.fetchval(NEWER_DELIVERED, endpoint_id, exhausted):
            return None
        reason = GONE if exhausted is None else FAILING
        await disable(connection, settings, sealer, endpoint, reason, now)
    return reason
