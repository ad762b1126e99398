"""/v1/events: the pull feed of the same bytes that topic, stream and webhooks carry."""

from typing import Annotated, Final

from litestar import Controller, Response, get
from litestar.params import FromPath
from msgspec import Meta

from gateway import ids
from gateway.http import cursors, scopes
from gateway.http.cursors import AfterPosition, PageQuery
from gateway.http.handling import Authenticated, answer, missing, read_id, services_of
from gateway.store import events as store

_START: Final = AfterPosition(0)


class EventQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/events; `type` is a type, or a family of types such as `payment.*`."""

    type: Annotated[str, Meta(pattern=r"^[a-z_]+(\.([a-z_]+|\*))?$", max_length=60)] | None = None
    object_id: str | None = None


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
        shown = found[: query.limit]
        following = AfterPosition(shown[-1].position) if shown else after
        bodies = [each.body for each in shown]
        return answer(cursors.page(bodies, has_more=len(found) > query.limit, following=following))

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


def _filters(query: EventQuery) -> store.Filters:
    about = None if query.object_id is None else ids.read_any(ids.SUBJECTS, query.object_id) or ids.NIL
    if query.type is not None and query.type.endswith(".*"):
        return store.Filters(family=query.type.removesuffix(".*"), object_id=about)
    return store.Filters(type=query.type, object_id=about)
