"""People by their access token: who it is, whether the session still lives, and which merchant is meant.

A person belongs to the installation, so a request on a merchant's resource names the merchant and, for live data, the
mode: `MyPay-Merchant: mer_…`, `MyPay-Livemode: true`. Test is the default.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from uuid import UUID

from litestar.types import Scope

from gateway import ids, roles
from gateway.http import headers, scopes
from gateway.http.principal import Principal
from gateway.payments.errors import MyPayError
from gateway.store.cache import Cache
from gateway.store.database import CONNECTION_LOST
from gateway.store.sessions import LiveSession
from gateway.tokens import Claims, TokenRefused

AGE_S: Final = 2.0
MERCHANT_HEADER: Final = b"mypay-merchant"
LIVEMODE_HEADER: Final = b"mypay-livemode"

ReadToken: TypeAlias = Callable[[str], Claims]
FindSession: TypeAlias = Callable[[UUID, UUID], Awaitable[LiveSession | None]]
HasMerchant: TypeAlias = Callable[[UUID], Awaitable[bool]]


class People:
    """Access tokens to principals; sessions and merchants are remembered for two seconds, their absence never."""

    def __init__(self, read: ReadToken, find: FindSession, has_merchant: HasMerchant, *, age_s: float = AGE_S) -> None:
        self._read_token, self._find, self._has = read, find, has_merchant
        self._sessions: Cache[tuple[UUID, UUID], LiveSession] = Cache(self._session, age_s=age_s)
        self._merchants: Cache[UUID, None] = Cache(self._merchant, age_s=age_s)

    async def principal(self, token: str, scope: Scope) -> Principal:
        """Who asks, and for which merchant. Raises `unauthorized`, 400 and 404 about the headers, or `unavailable`."""
        user_id, session_id, session = await self._who(token)
        grants = roles.grants(session.role)
        merchant_id, livemode = None, False
        if not scopes.is_for_people(scope):
            merchant_id, livemode = merchant_of(scope), livemode_of(scope)
        if merchant_id is None and scopes.needs_merchant(scope, is_owner=grants is None):
            raise MyPayError("invalid_request", "Name the merchant: send the header `MyPay-Merchant: mer_…`.")
        if merchant_id is not None:
            await self.require_merchant(merchant_id)
        return Principal(
            user_id=user_id,
            session_id=session_id,
            merchant_id=merchant_id or ids.NIL,
            livemode=livemode,
            grants=grants,
        )

    async def require_merchant(self, merchant_id: UUID) -> None:
        """Raises 404 where there is none."""
        await self._merchants.get(merchant_id)

    async def _who(self, token: str) -> tuple[UUID, UUID, LiveSession]:
        try:
            claims = self._read_token(token)
        except TokenRefused:
            raise _refused() from None
        user_id = ids.read(ids.USER, claims.sub)
        if user_id is None:
            raise _refused()
        return user_id, claims.sid, await self._sessions.get((claims.sid, user_id))

    async def _session(self, key: tuple[UUID, UUID]) -> LiveSession:
        try:
            session = await self._find(*key)
        except CONNECTION_LOST as error:
            raise MyPayError("unavailable") from error
        if session is None:
            raise _refused()
        return session

    async def _merchant(self, merchant_id: UUID) -> None:
        try:
            exists = await self._has(merchant_id)
        except CONNECTION_LOST as error:
            raise MyPayError("unavailable") from error
        if not exists:
            raise MyPayError("not_found", "There is no such merchant.")


def merchant_of(scope: Scope) -> UUID | None:
    """The merchant that a person names, or None. Raises 400 for two, 404 for what cannot be one."""
    text = _only(scope, MERCHANT_HEADER)
    if text is None:
        return None
    found = ids.read(ids.MERCHANT, text)
    if found is None:
        raise MyPayError("not_found", "There is no such merchant.")
    return found


def livemode_of(scope: Scope) -> bool:
    """The mode that a person names; test where he names none. Raises 400."""
    text = _only(scope, LIVEMODE_HEADER)
    if text not in (None, "true", "false"):
        raise MyPayError("invalid_request", "The header `MyPay-Livemode` is `true` or `false`.")
    return text == "true"


def _only(scope: Scope, name: bytes) -> str | None:
    sent = headers.values(scope, name)
    if len(sent) > 1:
        raise MyPayError("invalid_request", f"Send one {name.decode()} header.")
    return sent[0].decode("latin-1").strip() if sent else None


def _refused() -> MyPayError:
    return MyPayError("unauthorized", "The access token is malformed or expired, or its session has ended.")
