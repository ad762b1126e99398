"""/v1/api_keys: a merchant's own keys, of the mode of the key that asks."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from gateway import ids
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, asker, missing, page_by_id, read_id, services_of
from gateway.http.json_body import read_json
from gateway.payments.errors import invalid
from gateway.scopes import Access, Resource
from gateway.store import api_keys as store
from gateway.usecases import manage_api_keys
from gateway.usecases.configure import Configured
from gateway.usecases.manage_api_keys import Grantor, NewKey

LONGEST: Final = timedelta(days=3660)
OVERLAP_S: Final = 24 * 3600


class CreateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/api_keys. With `resources` the key is restricted to them; it is of the asking key's mode."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    resources: (
        Annotated[
            dict[Resource, Access],
            Meta(min_length=1, description="Who may write may read.", examples=[{"payments": "write"}]),
        ]
        | None
    ) = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class RotateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/api_keys/{id}/rotate."""

    expires_in: Annotated[
        int, Meta(ge=0, le=7 * 24 * 3600, description="Seconds for which the old key goes on working.")
    ] = OVERLAP_S


class ApiKeyQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """GET /v1/api_keys has no filters."""


class ApiKeyController(Controller):
    """Keys of the key's merchant, in the key's mode."""

    path = "/v1/api_keys"
    opt = scopes.opt("api_keys")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Make a key; the answer alone shows it."""
        body = await read_json(request, CreateApiKey)
        services, wanted = services_of(request), body.value
        expires_at = _checked(wanted.expires_at, services.clock.now())
        new = NewKey(name=wanted.name, resources=wanted.resources, expires_at=expires_at)
        asking = asker(request, body, repeatable=True)
        return _made(await manage_api_keys.create(services, asking, _grantor(request), new))

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of keys, newest first, those that ended included."""
        query = cursors.read_query(request.scope, ApiKeyQuery)
        user = request.user
        async with services_of(request).reading() as connection:
            found = await store.page(connection, user.merchant_id, user.livemode, after_id(query), query.limit + 1)
        return page_by_id([(each.id, manage_api_keys.shown(each)) for each in found], query.limit)

    @get("/{key_id:str}")
    async def read(self, request: Authenticated, key_id: FromPath[str]) -> Response[bytes]:
        """One key, without its text."""
        user, wanted = request.user, read_id(ids.API_KEY, key_id, "API key")
        async with services_of(request).reading() as connection:
            key = await store.get(connection, user.merchant_id, user.livemode, wanted)
        if key is None:
            raise missing("API key")
        return answer(manage_api_keys.shown(key))

    @delete("/{key_id:str}", status_code=200)
    async def revoke(self, request: Authenticated, key_id: FromPath[str]) -> Response[bytes]:
        """End a key."""
        wanted = read_id(ids.API_KEY, key_id, "API key")
        return answer((await manage_api_keys.revoke(services_of(request), asker(request), wanted)).body)

    @post("/{key_id:str}/rotate")
    async def rotate(self, request: Authenticated, key_id: FromPath[str]) -> Response[bytes]:
        """Make a key that may do the same and ends when the old one would have; the old one ends soon."""
        wanted = read_id(ids.API_KEY, key_id, "API key")
        body = await read_json(request, RotateApiKey)
        asking, overlap = asker(request, body, repeatable=True), timedelta(seconds=body.value.expires_in)
        return _made(await manage_api_keys.rotate(services_of(request), asking, _grantor(request), wanted, overlap))


def _made(done: Configured) -> Response[bytes]:
    headers = {"Location": f"/v1/api_keys/{ids.show(ids.API_KEY, done.object_id)}", "Cache-Control": "no-store"}
    return answer(done.body, 201, headers)


def _grantor(request: Authenticated) -> Grantor:
    return Grantor(request.user.grants, request.user.expires_at)


def _checked(expires_at: datetime | None, now: datetime) -> datetime | None:
    if expires_at is None:
        return None
    if not now < expires_at < now + LONGEST:
        raise invalid("/expires_at", "out_of_range", "Write a time between now and ten years from now.")
    return expires_at.astimezone(UTC)
