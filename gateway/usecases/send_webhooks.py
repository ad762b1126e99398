"""What a merchant asks to be delivered: a ping, one delivery once more, or the events of a span of time."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments.errors import MyPayError, invalid
from gateway.payments.views import encode, timestamp
from gateway.services import Services
from gateway.store import events
from gateway.store import webhook_deliveries as store
from gateway.store import webhook_endpoints as endpoints
from gateway.store.database import Connection
from gateway.store.webhook_endpoints import StoredEndpoint
from gateway.usecases.configure import Asker, Change, Configured, configure
from gateway.usecases.manage_webhook_endpoints import find
from gateway.usecases.webhook_objects import WebhookDeliveryObject, delivery_json, event_about, opened

PING: Final = "ping"
REPLAY_MAX: Final = 10_000  # deliveries of one request


class SentPing(Struct, kw_only=True):
    """The delivery of a ping."""

    delivery: WebhookDeliveryObject


class Replayed(Struct, kw_only=True):
    """How many deliveries were made due."""

    scheduled: int


async def ping(services: Services, asker: Asker, endpoint_id: UUID) -> Configured:
    """Send an event of type `ping` to one endpoint. Raises 404 and 409."""

    async def work(connection: Connection, now: datetime) -> Change:
        endpoint = _enabled(await find(connection, asker, endpoint_id, lock=True))
        endpoint = msgspec.structs.replace(endpoint, sequence=endpoint.sequence + 1)
        await endpoints.update(connection, endpoint)
        event = event_about(opened(services.settings, services.sealer, endpoint), PING, now)
        await events.insert(connection, event)
        delivery_id = await store.insert(connection, asker.merchant_id, asker.livemode, event.id, endpoint_id)
        body = b'{"delivery":%s}' % await _shown(connection, asker, delivery_id)
        return _change("webhook_endpoint.test", endpoint, {"event": ids.show(ids.EVENT, event.id)}, body)

    return await configure(services, asker, work)


async def retry(services: Services, asker: Asker, delivery_id: UUID) -> Configured:
    """Make one delivery due now, with all its attempts before it again. Raises 404 and 409."""

    async def work(connection: Connection, now: datetime) -> Change:
        if await store.get(connection, asker.merchant_id, asker.livemode, delivery_id) is None:
            raise MyPayError("not_found", "There is no such delivery.")
        if not await store.retry(connection, asker.merchant_id, asker.livemode, delivery_id):
            raise MyPayError("webhook_endpoint_disabled")
        return Change(
            action="webhook_delivery.retry",
            object_id=delivery_id,
            shown_id=ids.show(ids.WEBHOOK_DELIVERY, delivery_id),
            changes={},
            body=await _shown(connection, asker, delivery_id),
        )

    return await configure(services, asker, work)


class Span(Struct, frozen=True, kw_only=True):
    """Events from `since` (inclusive) until `until` (exclusive); `events` stands for the endpoint's filters."""

    since: datetime
    until: datetime
    events: list[str] | None


async def replay(services: Services, asker: Asker, endpoint_id: UUID, span: Span) -> Configured:
    """Make the deliveries of a span of time due. Raises 404, 409, and 400 where they are too many."""

    async def work(connection: Connection, now: datetime) -> Change:
        endpoint = _enabled(await find(connection, asker, endpoint_id))
        scheduled = await store.replay(
            connection,
            asker.merchant_id,
            asker.livemode,
            endpoint_id,
            span=(_first_id(span.since), _first_id(span.until)),
            events=span.events,
            limit=REPLAY_MAX + 1,
        )
        if scheduled > REPLAY_MAX:
            raise invalid("/to", "out_of_range", f"There are more than {REPLAY_MAX} events: ask for less at once.")
        changes = {
            "from": timestamp(span.since),
            "to": timestamp(span.until),
            "events": span.events,
            "scheduled": scheduled,
        }
        return _change("webhook_endpoint.replay", endpoint, changes, encode(Replayed(scheduled=scheduled)))

    return await configure(services, asker, work)


def _first_id(at: datetime) -> UUID:
    """The smallest id of an event that was not made before this time; events have whole milliseconds."""
    return ids.of_ms(-(-int(at.timestamp() * 1_000_000) // 1000))


def _enabled(endpoint: StoredEndpoint) -> StoredEndpoint:
    if endpoint.status != "enabled":
        raise MyPayError("webhook_endpoint_disabled")
    return endpoint


async def _shown(connection: Connection, asker: Asker, delivery_id: UUID) -> bytes:
    delivery = await store.get(connection, asker.merchant_id, asker.livemode, delivery_id)
    assert delivery is not None
    return delivery_json(delivery)


def _change(action: str, endpoint: StoredEndpoint, changes: dict[str, Any], body: bytes) -> Change:
    return Change(
        action=action,
        object_id=endpoint.id,
        shown_id=ids.show(ids.WEBHOOK_ENDPOINT, endpoint.id),
        changes=changes,
        body=body,
    )
