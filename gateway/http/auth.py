"""Who is asking: API keys, looked up by their digest and remembered for two seconds; or people (`people.py`).

So a hot key costs one query per two seconds and process, and a revoked one is refused within five. That a key is
unknown is never remembered: one that was just made works at once, on every process.
"""

import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias
from uuid import UUID

import structlog
from litestar.types import ASGIApp, Middleware, Receive, Scope, Send

from gateway import addresses, ids, keys, scopes
from gateway.http import headers
from gateway.http.context import current
from gateway.http.limits import Limits
from gateway.http.people import People, livemode_of
from gateway.http.principal import Principal
from gateway.http.scopes import is_for_people, needed
from gateway.payments.errors import MyPayError
from gateway.store.cache import Cache
from gateway.store.database import CONNECTION_LOST
from gateway.store.directory import ApiKeyRow

AGE_S: Final = 2.0
MOST_STRANGERS: Final = 32  # look-ups at once of keys never seen good: a flood of made-up ones must not fill the pool

_JWT_START: Final = "eyJ"  # `{"` in base64, with which every JWT begins

FindKey: TypeAlias = Callable[[bytes], Awaitable[ApiKeyRow | None]]


class KeyCache:
    """API keys to principals. `find` reads the key of a digest from the database."""

    def __init__(self, find: FindKey, *, age_s: float = AGE_S) -> None:
        self._find = find
        self._principals: Cache[bytes, Principal] = Cache(self._read, age_s=age_s)
        self._good: set[bytes] = set()
        self._strangers = 0

    async def principal(self, key: str) -> Principal:
        """Whom the key stands for. Raises `unauthorized`, or `unavailable` when the database cannot tell."""
        digest = keys.digest(key)
        if digest not in self._good and not keys.is_well_formed(key):
            raise _unknown()
        return await self._principals.get(digest)

    async def _read(self, digest: bytes) -> Principal:
        """Raises for a key that does not work: the cache keeps no errors."""
        stranger = digest not in self._good
        if stranger and self._strangers >= MOST_STRANGERS:
            raise MyPayError("unavailable", "Too many new keys are being looked up.")
        self._strangers += stranger
        try:
            row = await self._find(digest)
        except CONNECTION_LOST as error:
            raise MyPayError("unavailable") from error
        finally:
            self._strangers -= stranger
        if row is None or not _works(row) or not hmac.compare_digest(row.key_hash, digest):
            self._good.discard(digest)
            raise _unknown()
        self._good.add(digest)
        return _principal(row)


def _works(row: ApiKeyRow) -> bool:
    return row.revoked_at is None and not row.expired


def _principal(row: ApiKeyRow) -> Principal:
    return Principal(
        key_id=row.id,
        merchant_id=row.merchant_id,
        livemode=row.livemode,
        grants=scopes.granted(None if row.resources is None else scopes.decode(row.resources)),
        networks=None if row.ip_ranges is None else addresses.networks(row.ip_ranges),
        expires_at=row.expires_at,
    )


def _unknown() -> MyPayError:
    return MyPayError("unauthorized", "The API key is unknown, revoked, expired or malformed.")


class Authentication:
    """ASGI middleware that sets `request.user` to the `Principal`, or answers 401, 403 or 429.

    `request.auth` looks at the credential again, and raises where it has stopped working.

    `limits` and `people` are None where only keys are known, in tests. `used` is told of each key that was good.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cache: KeyCache,
        people: People | None = None,
        limits: Limits | None = None,
        used: Callable[[UUID], object] | None = None,
    ) -> None:
        self._app = app
        self._cache, self._people, self._limits, self._used = cache, people, limits, used

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, authenticated. Raises `unauthorized`, `forbidden`, `rate_limited` or `unavailable`."""
        principal = await self._principal(scope)
        scope["user"] = principal
        scope["auth"] = partial(self._still_allowed, scope)
        _check(principal, scope)
        if self._limits is not None:
            await self._limits.check(principal)
        if self._used is not None and principal.key_id is not None:
            self._used(principal.key_id)
        if principal.key_id is not None or principal.merchant_id != ids.NIL:
            merchant = current().merchant = ids.show(ids.MERCHANT, principal.merchant_id)
            structlog.contextvars.bind_contextvars(merchant=merchant)
        await self._app(scope, receive, send)

    async def _still_allowed(self, scope: Scope) -> None:
        """For answers that take long: raises what a new request would be refused with."""
        _check(await self._principal(scope), scope)

    async def _principal(self, scope: Scope) -> Principal:
        """By the one credential there is. Whoever has no good one draws from his address's limit."""
        try:
            text = credential(scope)
            if self._people is not None and text.startswith(_JWT_START):
                return await self._people.principal(text, scope)
            livemode_of(scope)  # a key has its mode; but what cannot be meant at all is refused, whoever sends it
            return await self._cache.principal(text)
        except MyPayError as error:
            if self._limits is not None and error.code == "unauthorized":
                await self._limits.check_stranger()
            raise


def _check(principal: Principal, scope: Scope) -> None:
    if principal.networks is not None and not addresses.within(
        addresses.address(current().ip or ""), principal.networks
    ):
        raise MyPayError("forbidden", "The key may not be used from this address.")
    if principal.user_id is None and is_for_people(scope):
        raise MyPayError("forbidden", "This is for people who have signed in, not for API keys.")
    if not principal.may(permission := needed(scope)):
        lacks = "The key lacks" if principal.user_id is None else "Your role lacks"
        raise MyPayError("forbidden", f"{lacks} {permission}.")


def authentication(
    cache: KeyCache,
    people: People | None = None,
    limits: Limits | None = None,
    used: Callable[[UUID], object] | None = None,
) -> Middleware:
    """The middleware for the routers whose callers need a credential."""

    def around(app: ASGIApp) -> ASGIApp:  # Litestar deep-copies middleware, but no function: there must be one cache
        return Authentication(app, cache=cache, people=people, limits=limits, used=used)

    return around


def limited_by_address(limits: Limits) -> Middleware:
    """The middleware for routes without a credential: each request draws from its address's limit."""

    def around(app: ASGIApp) -> ASGIApp:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            await limits.check_stranger()
            await app(scope, receive, send)

        return call

    return around


def credential(scope: Scope) -> str:
    """The one credential that the request carries: an API key or an access token. Raises `unauthorized`.

    `X-API_Key` is what MyPay's first users send; granian passes names with underscores on, proxies may not.
    """
    sent = [_bearer(value) for value in headers.values(scope, b"authorization")]
    sent += [value for name in (b"x-api-key", b"x-api_key") for value in headers.values(scope, name)]
    if len(sent) != 1:
        raise MyPayError("unauthorized", "Send exactly one credential." if sent else "The request has no credential.")
    return sent[0].decode("latin-1")


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"bearer":
        raise MyPayError("unauthorized", "The Authorization header must be of the form `Bearer sk_…`.")
    return token.strip()
