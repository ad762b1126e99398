"""/v1/auth: a password for tokens, tokens for newer ones, and an end to them. Nothing here needs a credential."""

from typing import Annotated, Any, Literal, TypeAlias

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from msgspec import Meta, Struct

from gateway import ids, passwords
from gateway.http import cursors, headers, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, page_by_id, services_of, visitor
from gateway.http.json_body import read_json
from gateway.payments.errors import MyPayError
from gateway.payments.views import encode, timestamp
from gateway.store import merchants
from gateway.tokens import ACCESS_S, TokenRefused
from gateway.usecases import manage_merchants, manage_users, sign_in
from gateway.usecases.manage_users import UserObject
from gateway.usecases.sign_in import SignedIn

Anybody: TypeAlias = Request[Any, Any, State]
RefreshToken: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]


class SignIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/auth/token."""

    email: Annotated[str, Meta(min_length=1, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=passwords.LONGEST)]

    def __repr__(self) -> str:
        """Without anything."""
        return "SignIn()"


class Refresh(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/auth/refresh."""

    refresh_token: RefreshToken

    def __repr__(self) -> str:
        """Without the token."""
        return "Refresh()"


class SignOut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/auth/logout; without it, the access token in `Authorization` says which session ends."""

    refresh_token: RefreshToken | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return "SignOut()"


class TokensObject(Struct, kw_only=True):
    """What a sign-in gives. The access token is for `Authorization: Bearer`; the refresh token works once."""

    object: Literal["session"] = "session"
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    refresh_token: str
    refresh_expires_at: str
    user: UserObject


class SignedOut(Struct, kw_only=True):
    """The session has ended; its access token is refused within 5 seconds."""

    object: Literal["session"] = "session"
    ended: bool = True


class OwnMerchantQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """GET /v1/auth/merchants has no filters."""


class SignInController(Controller):
    """Sessions."""

    path = "/v1/auth"

    @post("/token", status_code=200)
    async def token(self, request: Anybody) -> Response[bytes]:
        """Sign in."""
        services = services_of(request)
        body = await read_json(request, SignIn)
        return _signed_in(await sign_in.sign_in(services, visitor(), body.value.email, body.value.password))

    @post("/refresh", status_code=200)
    async def refresh(self, request: Anybody) -> Response[bytes]:
        """Get newer tokens; the refresh token that is sent never works again."""
        services = services_of(request)
        body = await read_json(request, Refresh)
        return _signed_in(await sign_in.refresh(services, visitor(), body.value.refresh_token))

    @post("/logout", status_code=200)
    async def logout(self, request: Anybody) -> Response[bytes]:
        """Sign out."""
        services = services_of(request)
        body = await read_json(request, SignOut)
        if body.value.refresh_token is not None:
            await sign_in.sign_out_by_token(services, visitor(), body.value.refresh_token)
        else:
            await _sign_out_bearer(request)
        return answer(encode(SignedOut()), headers=_NO_STORE)


class OwnMerchantController(Controller):
    """The merchants that a person may act on; all people may act on all, as far as their role goes."""

    path = "/v1/auth/merchants"
    opt = scopes.for_people()

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of merchants, newest first."""
        query = cursors.read_query(request.scope, OwnMerchantQuery)
        async with services_of(request).reading() as connection:
            found = await merchants.page(connection, after_id(query), query.limit + 1)
        return page_by_id([(each.id, manage_merchants.shown(each)) for each in found], query.limit)


_NO_STORE = {"Cache-Control": "no-store"}


def _signed_in(done: SignedIn) -> Response[bytes]:
    shown = TokensObject(
        access_token=done.access_token,
        expires_in=ACCESS_S,
        refresh_token=done.refresh_token,
        refresh_expires_at=timestamp(done.refresh_expires_at),
        user=manage_users.user_object(done.user),
    )
    return answer(encode(shown), headers=_NO_STORE)


async def _sign_out_bearer(request: Anybody) -> None:
    """End the session of the access token; one that has just expired still says which. Raises `unauthorized`."""
    services = services_of(request)
    sent = headers.values(request.scope, b"authorization")
    scheme, _, token = (sent[0] if len(sent) == 1 else b"").decode("latin-1").partition(" ")
    try:
        claims = services.tokens.read(token.strip(), services.clock.now())
    except TokenRefused:
        claims = None
    user_id = None if claims is None or scheme.lower() != "bearer" else ids.read(ids.USER, claims.sub)
    if claims is None or user_id is None:
        raise MyPayError("unauthorized", "Send the access token as `Authorization: Bearer`, or the refresh token.")
    await sign_in.sign_out(services, visitor(), claims.sid, user_id)
