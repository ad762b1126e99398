"""/v1/webhook_endpoints and /v1/webhook_deliveries: where events are sent, and what became of each."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway import ids
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, asker, missing, page_by_id, read_id, services_of
from gateway.http.json_body import read_json
from gateway.payments.errors import invalid
from gateway.payments.requests import Nothing
from gateway.store import webhook_deliveries, webhook_endpoints
from gateway.usecases import manage_webhook_endpoints, send_webhooks
from gateway.usecases.configure import Configured
from gateway.usecases.manage_webhook_endpoints import NewEndpoint
from gateway.usecases.send_webhooks import Span
from gateway.usecases.webhook_objects import delivery_json, delivery_with_attempts_json, is_filtered
from gateway.webhook_targets import check_filters, check_url

_FIRST: Final = datetime(2020, 1, 1, tzinfo=UTC)  # there are no events before it
Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Filters = Annotated[
    list[Annotated[str, Meta(max_length=60)]],
    Meta(min_length=1, max_length=50, description="Types, families of types, or `*`.", examples=[["payment.*"]]),
]
Description = Annotated[str, Meta(max_length=500)] | None


class CreateWebhookEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/webhook_endpoints. `asymmetric`: sign with ed25519 too; the answer shows the public key."""

    url: Url
    events: Filters
    description: Description = None
    asymmetric: bool = False


class UpdateWebhookEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH /v1/webhook_endpoints/{id}: what is left out stays as it is."""

    url: Url | UnsetType = UNSET
    events: Filters | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    status: Literal["enabled", "disabled"] | UnsetType = UNSET


class ReplayWebhooks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """The body of POST /v1/webhook_endpoints/{id}/replay: events that were made from `from` until before `to` (now).

    `events` narrows them, or asks for others than the endpoint's own.
    """

    since: Annotated[datetime, Meta(tz=True)]
    to: Annotated[datetime, Meta(tz=True)] | None = None
    events: Filters | None = None


class WebhookEndpointQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/webhook_endpoints."""

    status: Literal["enabled", "disabled"] | None = None


class WebhookDeliveryQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/webhook_endpoints/{id}/deliveries; `status` may repeat."""

    status: tuple[Literal["pending", "delivered", "failed", "canceled"], ...] = ()
    event: str | None = None


class WebhookEndpointController(Controller):
    """Endpoints of the key's merchant, in the key's mode."""

    path = "/v1/webhook_endpoints"
    opt = scopes.opt("webhook_endpoints")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Make an endpoint; the answer alone shows its secret."""
        body = await read_json(request, CreateWebhookEndpoint)
        wanted = body.value
        _check(request, wanted.url, wanted.events)
        new = NewEndpoint(
            url=wanted.url, events=wanted.events, description=wanted.description, asymmetric=wanted.asymmetric
        )
        asking = asker(request, body, repeatable=True)
        done = await manage_webhook_endpoints.create(services_of(request), asking, new)
        return _with_secret(done, 201)

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of endpoints, newest first."""
        services, user = services_of(request), request.user
        query = cursors.read_query(request.scope, WebhookEndpointQuery)
        async with services.reading() as connection:
            found = await webhook_endpoints.page(
                connection,
                user.merchant_id,
                user.livemode,
                status=query.status,
                after=after_id(query),
                limit=query.limit + 1,
            )
        return page_by_id([(each.id, manage_webhook_endpoints.shown(services, each)) for each in found], query.limit)

    @get("/{endpoint_id:str}")
    async def read(self, request: Authenticated, endpoint_id: FromPath[str]) -> Response[bytes]:
        """One endpoint, without its secret."""
        services, wanted = services_of(request), read_id(ids.WEBHOOK_ENDPOINT, endpoint_id, "webhook endpoint")
        async with services.reading() as connection:
            endpoint = await manage_webhook_endpoints.find(connection, asker(request), wanted)
        return answer(manage_webhook_endpoints.shown(services, endpoint))

    @patch("/{endpoint_id:str}")
    async def update(self, request: Authenticated, endpoint_id: FromPath[str]) -> Response[bytes]:
        """Change it, disable it, or enable it again."""
        wanted_id = read_id(ids.WEBHOOK_ENDPOINT, endpoint_id, "webhook endpoint")
        body = await read_json(request, UpdateWebhookEndpoint)
        members = {name: each for name, each in msgspec.structs.asdict(body.value).items() if each is not UNSET}
        _check(request, members.get("url"), members.get("events"))
        done = await manage_webhook_endpoints.update(services_of(request), asker(request, body), wanted_id, members)
        return answer(done.body)

    @delete("/{endpoint_id:str}", status_code=200)
    async def remove(self, request: Authenticated, endpoint_id: FromPath[str]) -> Response[bytes]:
        """Remove it."""
        wanted = read_id(ids.WEBHOOK_ENDPOINT, endpoint_id, "webhook endpoint")
        return answer((await manage_webhook_endpoints.delete(services_of(request), asker(request), wanted)).body)

    @post("/{endpoint_id:str}/rotate_secret", status_code=200)
    async def rotate_secret(self, request: Authenticated, endpoint_id: FromPath[str]) -> Response[bytes]:
        """Make a new secret; the old one signs too for a day."""
        wanted = read_id(ids.WEBHOOK_ENDPOINT, endpoint_id, "webhook endpoint")
        asking = asker(request, await read_json(request, Nothing), repeatable=True)
        return _with_secret(await manage_webhook_endpoints.rotate_secret(services_of(request), asking, wanted), 200)

    @post("/{endpoint_id:str}/test", status_code=200)
    async def test(self, request: Authenticated, endpoint_id: FromPath[str]) -> Response[bytes]:
        """Send it a ping."""
        wanted = read_id(ids.WEBHOOK_ENDPOINT, endpoint_id, "webhook endpoint")
        asking = asker(request, await read_json(request, Nothing), repeatable=True)
        done = await send_webhooks.ping(services_of(request), asking, wanted)
        return answer(done.body, replayed=done.replayed)

    @post("/{endpoint_id:str}/replay", status_code=200)
    async def replay(self, request: Authenticated, endpoint_id: FromPath[str]) -> Response[bytes]:
        """Send it the events of a span of time, again or for the first time."""
        wanted = read_id(ids.WEBHOOK_ENDPOINT, endpoint_id, "webhook endpoint")
        body = await read_json(request, ReplayWebhooks)
        check_filters(body.value.events or ())
        services = services_of(request)
        span = _span(body.value, services.clock.now())
        done = await send_webhooks.replay(services, asker(request, body, repeatable=True), wanted, span)
        return answer(done.body, replayed=done.replayed)

    @get("/{endpoint_id:str}/deliveries")
    async def deliveries(self, request: Authenticated, endpoint_id: FromPath[str]) -> Response[bytes]:
        """A page of its deliveries, newest first."""
        wanted = read_id(ids.WEBHOOK_ENDPOINT, endpoint_id, "webhook endpoint")
        query = cursors.read_query(request.scope, WebhookDeliveryQuery)
        event_id = None if query.event is None else ids.read(ids.EVENT, query.event) or ids.NIL
        asking = asker(request)
        async with services_of(request).reading() as connection:
            await manage_webhook_endpoints.find(connection, asking, wanted)
            found = await webhook_deliveries.page(
                connection,
                asking.merchant_id,
                asking.livemode,
                wanted,
                statuses=list(query.status) or None,
                event_id=event_id,
                after=after_id(query),
                limit=query.limit + 1,
            )
        return page_by_id([(each.id, delivery_json(each)) for each in found], query.limit)


class WebhookDeliveryController(Controller):
    """Deliveries to the endpoints of the key's merchant, in the key's mode."""

    path = "/v1/webhook_deliveries"
    opt = scopes.opt("webhook_endpoints")

    @get("/{delivery_id:str}")
    async def read(self, request: Authenticated, delivery_id: FromPath[str]) -> Response[bytes]:
        """One delivery with its attempts."""
        user, wanted = request.user, read_id(ids.WEBHOOK_DELIVERY, delivery_id, "delivery")
        async with services_of(request).reading() as connection:
            delivery = await webhook_deliveries.get(connection, user.merchant_id, user.livemode, wanted)
            if delivery is None:
                raise missing("delivery")
            attempts = await webhook_deliveries.attempts(connection, user.merchant_id, [delivery.event_id])
        return answer(
            delivery_with_attempts_json(
                delivery, [each for each in attempts if each.endpoint_id == delivery.endpoint_id]
            )
        )

    @post("/{delivery_id:str}/retry", status_code=200)
    async def retry(self, request: Authenticated, delivery_id: FromPath[str]) -> Response[bytes]:
        """Send it now."""
        wanted = read_id(ids.WEBHOOK_DELIVERY, delivery_id, "delivery")
        asking = asker(request, await read_json(request, Nothing), repeatable=True)
        done = await send_webhooks.retry(services_of(request), asking, wanted)
        return answer(done.body, replayed=done.replayed)


def _check(request: Authenticated, url: str | None, events: list[str] | None) -> None:
    if url is not None:
        check_url(url, anywhere=not is_filtered(services_of(request).settings, livemode=request.user.livemode))
    check_filters(events or ())


def _span(wanted: ReplayWebhooks, now: datetime) -> Span:
    until = now if wanted.to is None or wanted.to > now else wanted.to
    if not _FIRST <= wanted.since < until:
        raise invalid("/from", "out_of_range", "Write a time in the past, before `to`.")
    return Span(since=wanted.since.astimezone(UTC), until=until.astimezone(UTC), events=wanted.events)


def _with_secret(done: Configured, status: int) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    if status == 201:
        headers["Location"] = f"/v1/webhook_endpoints/{ids.show(ids.WEBHOOK_ENDPOINT, done.object_id)}"
    return answer(done.body, status, headers)
