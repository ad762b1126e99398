"""/v1/events: the pull feed of the same bytes that topic, stream and webhooks carry; and the stream."""

from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from litestar import Controller, Response, get
from litestar.params import FromPath
from msgspec import Meta, Struct

from gateway import ids
from gateway.http import cursors, headers, scopes
from gateway.http.cursors import AfterPosition, PageQuery
from gateway.http.event_stream import ClosedStream, EventStream
from gateway.http.handling import Authenticated, answer, missing, read_id, services_of
from gateway.http.principal import Principal
from gateway.payments.errors import MyPayError
from gateway.payments.views import timestamp
from gateway.services import Services
from gateway.store import events as store
from gateway.store import partitions
from gateway.store.database import Connection
from gateway.usecases.follow_events import Wanted

_START: Final = AfterPosition(0)
_LAST_EVENT_ID: Final = b"last-event-id"

Type = Annotated[str, Meta(pattern=r"^[a-z_]+(\.([a-z_]+|\*))?$", max_length=60)] | None


class EventQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/events; `type` is a type, or a family of types such as `payment.*`."""

    type: Type = None
    object_id: str | None = None


class EventStreamQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/events/stream: those of the feed. `after` is a cursor of the feed; without it and without
    Last-Event-ID, which wins, the stream begins now."""

    type: Type = None
    object_id: str | None = None
    after: str | None = None


class Gap(Struct, frozen=True, kw_only=True):
    """The data of `event: gap`: what followed `after` (a Last-Event-ID or cursor) may have been dropped since."""

    object: str = "gap"
    after: str
    kept_since: str
    detail: str = "Events in between may be gone: read GET /v1/events from its beginning, and open the stream anew."


class EventController(Controller):
    """Events of the key's merchant, in the key's mode."""

    path = "/v1/events"
    opt = scopes.opt("events")

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """What follows a cursor, oldest first. `next` is never null: ask again with it, and nothing is missed."""
        query = cursors.read_query(request.scope, EventQuery)
        after = _START if query.after is None else cursors.decode(AfterPosition, query.after)
        user = request.user
        async with services_of(request).reading() as connection:
            found = await store.page(
                connection, user.merchant_id, user.livemode, _filters(query), after.position, query.limit + 1
            )
            if after is not _START and await _is_dropped(connection, user, after.position):
                raise MyPayError("cursor_expired")
        shown = found[: query.limit]
        following = AfterPosition(shown[-1].position) if shown else after
        bodies = [each.body for each in shown]
        return answer(cursors.page(bodies, has_more=len(found) > query.limit, following=following))

    @get("/stream")
    async def stream(self, request: Authenticated) -> Response[bytes]:
        """Server-sent events from now on, or from where Last-Event-ID or `after` says."""
        query, user, services = cursors.read_query(request.scope, EventStreamQuery), request.user, services_of(request)
        last_id, after = _last_event_id(headers.values(request.scope, _LAST_EVENT_ID)), None
        if last_id is not None or query.after is not None:
            async with services.reading() as connection:
                after = await _resume(connection, user, last_id, query.after)
            if after is None:
                return ClosedStream(_gap(services, last_id or query.after or ""))
        wanted = Wanted(merchant_id=user.merchant_id, livemode=user.livemode, filters=_filters(query))
        return EventStream(services.tail, services.tail.follow(user.actor, wanted, after), request.auth)

    @get("/{event_id:str}")
    async def read(self, request: Authenticated, event_id: FromPath[str]) -> Response[bytes]:
        """One event."""
        user = request.user
        wanted = read_id(ids.EVENT, event_id, "event")
        async with services_of(request).reading() as connection:
            body = await store.get(connection, user.merchant_id, user.livemode, wanted)
        if body is None:
            raise missing("event")
        return answer(body)


def _filters(query: EventQuery | EventStreamQuery) -> store.Filters:
    about = None if query.object_id is None else ids.read_any(ids.SUBJECTS, query.object_id) or ids.NIL
    if query.type is not None and query.type.endswith(".*"):
        return store.Filters(family=query.type.removesuffix(".*"), object_id=about)
    return store.Filters(type=query.type, object_id=about)


async def _is_dropped(connection: Connection, user: Principal, position: int) -> bool:
    """Whether events after a position have been dropped. Asked after what follows it was read, or something may be."""
    return position < await store.dropped(connection, user.merchant_id, user.livemode)


# --- The stream -------------------------------------------------------------------------------------------------------


def _last_event_id(sent: list[bytes]) -> str | None:
    if len(sent) > 1:
        raise MyPayError("invalid_cursor", "Send one Last-Event-ID.")
    return sent[0].decode("latin-1").strip() or None if sent else None


async def _resume(connection: Connection, user: Principal, last_id: str | None, cursor: str | None) -> int | None:
    """The position after which a stream goes on; None where events after it may have been dropped.

    Raises `invalid_cursor` for what never was an event, or a cursor, of this merchant and mode.
    """
    if last_id is None:
        assert cursor is not None
        place: int | None = cursors.decode(AfterPosition, cursor).position
    else:
        event_id = ids.read(ids.EVENT, last_id) or ids.NIL
        place = await store.place(connection, user.merchant_id, user.livemode, event_id)
        if place is None and (event_id == ids.NIL or await partitions.has_day(connection, "events", event_id)):
            raise MyPayError("invalid_cursor", "Last-Event-ID names no event of yours in this mode.")
    return None if place is None or await _is_dropped(connection, user, place) else place


def _gap(services: Services, after: str) -> bytes:
    since = services.clock.now() - timedelta(days=services.settings.events_days)
    kept_since = datetime(since.year, since.month, since.day, tzinfo=since.tzinfo)
    return b"event: gap\ndata: %b\n\n" % msgspec.json.encode(Gap(after=after, kept_since=timestamp(kept_since)))
