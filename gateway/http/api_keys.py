"""/v1/api_keys: a merchant's own keys, of the mode of the key that asks; or as an owner names them."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway import ids
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, asker, missing, page_by_id, read_id, services_of
from gateway.http.json_body import read_json
from gateway.http.principal import Principal
from gateway.payments.errors import invalid
from gateway.scopes import Access, Resource
from gateway.store import api_keys as store
from gateway.store import merchants
from gateway.usecases import manage_api_keys
from gateway.usecases.configure import Configured
from gateway.usecases.manage_api_keys import Grantor, NewKey

LONGEST: Final = timedelta(days=3660)
OVERLAP_S: Final = 24 * 3600


class CreateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/api_keys. With `resources` the key is restricted to them; it is of the asking key's mode.

    `merchant` and `livemode` are for an owner who has signed in: he has no key that would say them.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    resources: (
        Annotated[
            dict[Resource, Access],
            Meta(min_length=1, description="Who may write may read.", examples=[{"payments": "write"}]),
        ]
        | None
    ) = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    ip_ranges: (
        Annotated[
            list[str],
            Meta(
                min_length=1,
                max_length=50,
                description="Addresses and CIDR ranges that the key may be used from.",
                examples=[["203.0.113.0/24"]],
            ),
        ]
        | None
    ) = None
    merchant: str | UnsetType = UNSET
    livemode: bool | UnsetType = UNSET


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

    @post(opt=scopes.opt("api_keys", body_names_merchant=True))
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Make a key; the answer alone shows it."""
        body = await read_json(request, CreateApiKey)
        services, wanted = services_of(request), body.value
        request.scope["user"] = await _for_whom(request, wanted)
        new = NewKey(
            name=wanted.name,
            resources=wanted.resources,
            expires_at=_checked(wanted.expires_at, services.clock.now()),
            ip_ranges=None if wanted.ip_ranges is None else _ranges(wanted.ip_ranges),
        )
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
    user = request.user
    return Grantor(user.grants, user.expires_at, user.networks)


async def _for_whom(request: Authenticated, wanted: CreateApiKey) -> Principal:
    """Whoever asks, with the merchant and mode that the body names. Raises 400 and 404."""
    user = request.user
    if user.user_id is None:
        for name in ("merchant", "livemode"):
            if getattr(wanted, name) is not UNSET:
                raise invalid(f"/{name}", "invalid", "A key makes keys of its own merchant and mode: leave this out.")
        return user
    merchant_id = user.merchant_id if wanted.merchant is UNSET else await _merchant(request, wanted.merchant)
    livemode = user.livemode if wanted.livemode is UNSET else wanted.livemode
    if merchant_id == ids.NIL:
        raise invalid("/merchant", "required", "Name the merchant whose key it shall be.")
    if user.merchant_id not in (ids.NIL, merchant_id):
        raise invalid("/merchant", "invalid", "The header `MyPay-Merchant` names another merchant.")
    return msgspec.structs.replace(user, merchant_id=merchant_id, livemode=livemode)


async def _merchant(request: Authenticated, text: str) -> UUID:
    wanted = read_id(ids.MERCHANT, text, "merchant")
    async with services_of(request).reading() as connection:
        if await merchants.get(connection, wanted) is None:
            raise missing("merchant")
    return wanted


def _ranges(texts: list[str]) -> list[str]:
    """The ranges as they are kept. Raises 400."""
    kept = []
    for index, text in enumerate(texts):
        try:
            kept.append(str(ip_network(text)))
        except ValueError:
            detail = "Write an address or a range such as 203.0.113.0/24, with no bits set beyond its length."
            raise invalid(f"/ip_ranges/{index}", "invalid", detail) from None
    return kept


def _checked(expires_at: datetime | None, now: datetime) -> datetime | None:
    if expires_at is None:
        return None
    if not now < expires_at < now + LONGEST:
        raise invalid("/expires_at", "out_of_range", "Write a time between now and ten years from now.")
    return expires_at.astimezone(UTC)
