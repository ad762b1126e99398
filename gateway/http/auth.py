"""Who is asking: API keys, looked up by their digest and remembered for two seconds.

So a hot key costs one query per two seconds and process, and a revoked one is refused within five. That a key is
unknown is never remembered: one that was just made works at once, on every process.
"""

import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import structlog
from litestar.types import ASGIApp, Middleware, Receive, Scope, Send
from msgspec import Struct

from gateway import ids, keys, scopes
from gateway.http import headers
from gateway.http.context import current
from gateway.http.scopes import needed
from gateway.payments.errors import MyPayError
from gateway.store.cache import Cache
from gateway.store.database import CONNECTION_LOST
from gateway.store.directory import ApiKeyRow

AGE_S: Final = 2.0
MOST_STRANGERS: Final = 32  # look-ups at once of keys never seen good: a flood of made-up ones must not fill the pool


FindKey: TypeAlias = Callable[[bytes], Awaitable[ApiKeyRow | None]]


class Principal(Struct, frozen=True, kw_only=True):
    """Whom a key stands for. `livemode` comes from here and from nowhere else.

    `grants` are what a restricted key may do ("payments:read"); None: everything.
    """

    key_id: UUID
    merchant_id: UUID
    livemode: bool
    grants: frozenset[str] | None = None
    expires_at: datetime | None = None


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
        expires_at=row.expires_at,
    )


def _unknown() -> MyPayError:
    return MyPayError("unauthorized", "The API key is unknown, revoked, expired or malformed.")


class Authentication:
    """ASGI middleware that sets `request.user` to the `Principal`, or answers 401 or 403."""

    def __init__(self, app: ASGIApp, *, cache: KeyCache) -> None:
        self._app = app
        self._cache = cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, authenticated. Raises `unauthorized`, `forbidden` or `unavailable`."""
        principal = await self._cache.principal(credential(scope))
        scope["user"] = principal
        if principal.grants is not None and (permission := needed(scope)) not in (None, *principal.grants):
            raise MyPayError("forbidden", f"The key lacks {permission}.")
        merchant = current().merchant = ids.show(ids.MERCHANT, principal.merchant_id)
        structlog.contextvars.bind_contextvars(merchant=merchant)
        await self._app(scope, receive, send)


def authentication(cache: KeyCache) -> Middleware:
    """The middleware for the routers whose callers need an API key."""

    def around(app: ASGIApp) -> ASGIApp:  # Litestar deep-copies middleware, but no function: there must be one cache
        return Authentication(app, cache=cache)

    return around


def credential(scope: Scope) -> str:
    """The one API key that the request carries. Raises `unauthorized`.

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
