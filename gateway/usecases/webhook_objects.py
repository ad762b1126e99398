"""Webhook endpoints and deliveries as the API shows them, and the events about an endpoint."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments.model import Event
from gateway.payments.views import EventData, EventObject, encode, timestamp, timestamp_or_null
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store.webhook_deliveries import StoredAttempt, StoredDelivery
from gateway.store.webhook_endpoints import StoredEndpoint, open_keys
from gateway.webhook_signing import SigningKeys


class WebhookEndpointObject(Struct, kw_only=True):
    """A webhook endpoint as the API shows it.

    `public_key` verifies `v1a` signatures, where they were asked for. `address_filter` is off only for test endpoints
    of a development installation that allows private targets.
    """

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    livemode: bool
    url: str
    events: list[str]
    description: str | None
    status: Literal["enabled", "disabled"]
    disabled_reason: str | None
    public_key: str | None
    previous_secret_expires_at: str | None
    address_filter: Literal["on", "off"]
    created_at: str
    updated_at: str


class NewWebhookEndpointObject(WebhookEndpointObject, kw_only=True):
    """A webhook endpoint with its secret, which is shown this once."""

    secret: str


class WebhookDeliveryObject(Struct, kw_only=True):
    """One event on its way to one endpoint. What `response_…` tell is of the last attempt that ended."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    livemode: bool
    event: str
    endpoint: str
    attempt: int
    status: Literal["pending", "delivered", "failed", "canceled"]
    response_status: int | None
    response_excerpt: str | None
    error: str | None
    next_attempt_at: str | None
    created_at: str
    updated_at: str


class WebhookAttempt(Struct, kw_only=True):
    """One attempt that ended: an answer's status and first kilobyte, masked, or why there was none."""

    attempt: int
    started_at: str
    duration_ms: int
    response_status: int | None
    response_excerpt: str | None
    error: str | None


class WebhookDeliveryWithAttempts(WebhookDeliveryObject, kw_only=True):
    """A delivery with every attempt, oldest first."""

    attempts: list[WebhookAttempt]


class Opened(Struct, frozen=True):
    """An endpoint with what is not in its row: its keys, and whether its address is filtered."""

    endpoint: StoredEndpoint
    keys: SigningKeys
    filtered: bool


def is_filtered(settings: Settings, *, livemode: bool) -> bool:
    """Whether only addresses of the public internet are sent to in this mode."""
    return livemode or not settings.private_targets


def opened(settings: Settings, sealer: Sealer, endpoint: StoredEndpoint) -> Opened:
    """The endpoint, its keys unsealed. Raises `gateway.sealing.SealBroken`."""
    keys = open_keys(
        sealer,
        endpoint.sealed,
        endpoint_id=endpoint.id,
        version=endpoint.secret_version,
        merchant_id=endpoint.merchant_id,
    )
    return Opened(endpoint, keys, is_filtered(settings, livemode=endpoint.livemode))


def endpoint_json(what: Opened, *, with_secret: bool = False) -> bytes:
    """The endpoint; with its secret where it was just made."""
    endpoint = what.endpoint
    members: dict[str, Any] = {
        "id": ids.show(ids.WEBHOOK_ENDPOINT, endpoint.id),
        "livemode": endpoint.livemode,
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "public_key": what.keys.public_key,
        "previous_secret_expires_at": timestamp_or_null(endpoint.previous_expires_at),
        "address_filter": "on" if what.filtered else "off",
        "created_at": timestamp(endpoint.created_at),
        "updated_at": timestamp(endpoint.updated_at),
    }
    if with_secret:
        return encode(NewWebhookEndpointObject(**members, secret=what.keys.shared))
    return encode(WebhookEndpointObject(**members))


def event_about(what: Opened, kind: str, now: datetime) -> Event:
    """An event about the endpoint as it is now; its number is the endpoint's `sequence`."""
    endpoint = what.endpoint
    event_id = ids.new_at(now, ids.lp_of(endpoint.id))
    body = EventObject(
        id=ids.show(ids.EVENT, event_id),
        type=kind,
        sequence=endpoint.sequence,
        timestamp=timestamp(now),
        livemode=endpoint.livemode,
        merchant=ids.show(ids.MERCHANT, endpoint.merchant_id),
        data=EventData(msgspec.Raw(endpoint_json(what))),
    )
    return Event(
        id=event_id,
        merchant_id=endpoint.merchant_id,
        livemode=endpoint.livemode,
        root_id=endpoint.id,
        object_id=endpoint.id,
        type=kind,
        sequence=endpoint.sequence,
        body=encode(body),
        created_at=now,
    )


def delivery_json(delivery: StoredDelivery) -> bytes:
    """The delivery."""
    return encode(WebhookDeliveryObject(**_members(delivery)))


def delivery_with_attempts_json(delivery: StoredDelivery, attempts: list[StoredAttempt]) -> bytes:
    """The delivery and its attempts."""
    shown = [
        WebhookAttempt(
            attempt=each.attempt,
            started_at=timestamp(each.started_at),
            duration_ms=each.duration_ms,
            response_status=each.response_status,
            response_excerpt=each.response_excerpt,
            error=each.error,
        )
        for each in attempts
    ]
    return encode(WebhookDeliveryWithAttempts(**_members(delivery), attempts=shown))


def _members(delivery: StoredDelivery) -> dict[str, Any]:
    return {
        "id": ids.show(ids.WEBHOOK_DELIVERY, delivery.id),
        "livemode": delivery.livemode,
        "event": ids.show(ids.EVENT, delivery.event_id),
        "endpoint": ids.show(ids.WEBHOOK_ENDPOINT, delivery.endpoint_id),
        "attempt": delivery.attempt,
        "status": delivery.status,
        "response_status": delivery.response_status,
        "response_excerpt": delivery.response_excerpt,
        "error": delivery.error,
        "next_attempt_at": timestamp_or_null(delivery.next_attempt_at),
        "created_at": timestamp(delivery.created_at),
        "updated_at": timestamp(delivery.updated_at),
    }
