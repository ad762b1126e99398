"""Signing in: a password for a session, whose refresh tokens each work once; using one twice ends the session.

Nobody learns from an answer or its time whether an address is known: attempts are counted by a digest of whatever was
sent, the hash is computed for unknown people too, and both refusals write the same rows.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import structlog
from msgspec import Struct

from gateway import ids, passwords
from gateway.payments.errors import MyPayError
from gateway.services import Services
from gateway.settings import Settings
from gateway.store import audit, sessions, users
from gateway.store.audit import AuditRow
from gateway.store.database import Connection
from gateway.store.sessions import EndReason
from gateway.store.users import StoredUser
from gateway.usecases.configure import Asker

FAILURES_MOST: Final = 5
FAILURES_WINDOW: Final = timedelta(minutes=15)
REFRESH_LIFE: Final = timedelta(days=7)
SESSION_LIFE: Final = timedelta(days=30)
REFRESH_PREFIX: Final = "rt_"  # logs know it, and mask what follows
_LONGEST_TOKEN: Final = 100

log = structlog.get_logger(__name__)


class SignedIn(Struct, frozen=True, kw_only=True):
    """Both tokens, in clear this once, and whose they are."""

    access_token: str
    refresh_token: str
    refresh_expires_at: datetime
    user: StoredUser

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"SignedIn({ids.show(ids.USER, self.user.id)})"


async def sign_in(services: Services, asker: Asker, email: str, password: str) -> SignedIn:
    """A new session. Raises `unauthorized`, and `rate_limited` after `FAILURES_MOST` failures in `FAILURES_WINDOW`."""
    subject = attempts_of(services.settings, email)
    async with services.reading() as connection:
        wait_s = await sessions.attempt(connection, subject, FAILURES_WINDOW, FAILURES_MOST)
        user = await users.find(connection, email)
    if wait_s:
        log.warning("sign_in.limited", subject=subject.hex()[:16])
        raise MyPayError("rate_limited", "Too many attempts for this e-mail address.", retry_after_s=round(wait_s))
    known = await _matches(user, password)
    async with services.reading() as connection, connection.transaction():
        now = services.clock.now()
        if user is None or user.disabled_at is not None or not known:
            object_id = f"email:{subject.hex()[:16]}" if user is None else ids.show(ids.USER, user.id)
            await _record(connection, asker, "user.sign_in", object_id, now, outcome="refused")
            signed_in = None
        else:
            await sessions.succeeded(connection, subject)
            signed_in = await _open(services, connection, asker, user, now)
    if signed_in is None:
        raise MyPayError("unauthorized", "The e-mail address or the password is wrong.")
    return signed_in


async def refresh(services: Services, asker: Asker, token: str) -> SignedIn:
    """The next pair of tokens. Raises `unauthorized`; when the token was used before, the whole session has ended."""
    digest = token_hash(token)
    async with services.reading() as connection, connection.transaction():
        taken, now = await sessions.take_token(connection, digest), services.clock.now()
        signed_in = None
        if taken is not None and taken.used:
            await _end(connection, asker, taken.session_id, taken.user_id, now, "reuse")
        elif taken is not None and taken.lives:
            user = await users.get(connection, taken.user_id)
            assert user is not None
            await sessions.use_token(connection, digest, now)
            signed_in = await _tokens(services, connection, user, taken.session_id, now, taken.expires_at)
    if signed_in is None:  # only now: what was written above must be committed
        raise MyPayError("unauthorized", "The refresh token is unknown, used or expired: sign in again.")
    return signed_in


async def sign_out(services: Services, asker: Asker, session_id: UUID, user_id: UUID) -> None:
    """End a session; its access token is refused within seconds."""
    async with services.reading() as connection, connection.transaction():
        await _end(connection, asker, session_id, user_id, services.clock.now(), "sign_out")


async def sign_out_by_token(services: Services, asker: Asker, token: str) -> None:
    """The same, by the session's refresh token. Raises `unauthorized`."""
    async with services.reading() as connection, connection.transaction():
        taken = await sessions.take_token(connection, token_hash(token))
        if taken is not None:
            await _end(connection, asker, taken.session_id, taken.user_id, services.clock.now(), "sign_out")
    if taken is None:
        raise MyPayError("unauthorized", "The refresh token is unknown.")


def attempts_of(settings: Settings, email: str) -> bytes:
    """Under what attempts for this address are counted, whether anybody has it or not."""
    return hmac.digest(settings.key("sign-in"), users.normalised(email).encode(), "sha256")


def token_hash(token: str) -> bytes:
    """By what a refresh token is stored and found: it has 256 random bits, so a slow hash would protect nothing."""
    return sha256(token[:_LONGEST_TOKEN].encode()).digest()


async def _matches(user: StoredUser | None, password: str) -> bool:
    try:
        return await passwords.matches(None if user is None else user.password_hash, password)
    except passwords.TooManyPasswords:
        raise MyPayError("unavailable", "Too many people sign in at once.") from None


async def _open(services: Services, connection: Connection, asker: Asker, user: StoredUser, now: datetime) -> SignedIn:
    session_id, ends = ids.new_at(now), now + SESSION_LIFE
    await sessions.open_session(connection, session_id, user.id, now, ends)
    await _record(connection, asker, "user.sign_in", ids.show(ids.USER, user.id), now)
    return await _tokens(services, connection, user, session_id, now, ends)


async def _tokens(
    services: Services, connection: Connection, user: StoredUser, session_id: UUID, now: datetime, ends: datetime
) -> SignedIn:
    token = REFRESH_PREFIX + secrets.token_urlsafe(32)
    expires_at = min(now + REFRESH_LIFE, ends)
    await sessions.add_token(connection, token_hash(token), session_id, expires_at)
    return SignedIn(
        access_token=services.tokens.issue(user.id, session_id, now),
        refresh_token=token,
        refresh_expires_at=expires_at,
        user=user,
    )


async def _end(
    connection: Connection, asker: Asker, session_id: UUID, user_id: UUID, now: datetime, reason: EndReason
) -> None:
    await sessions.end(connection, session_id, now, reason)
    action = "user.sign_out" if reason == "sign_out" else "user.refresh"
    outcome = "done" if reason == "sign_out" else "refused"
    changes = {} if reason == "sign_out" else {"reason": "the refresh token was used before: the session has ended"}
    await _record(connection, asker, action, ids.show(ids.USER, user_id), now, outcome=outcome, changes=changes)


async def _record(
    connection: Connection,
    asker: Asker,
    action: str,
    object_id: str,
    now: datetime,
    *,
    outcome: str = "done",
    changes: dict[str, Any] | None = None,
) -> None:
    """An audit row of the installation; who has not signed in yet is anonymous."""
    row = AuditRow(
        merchant_id=ids.NIL,
        actor=object_id if outcome == "done" else asker.actor,
        action=action,
        object_id=object_id,
        outcome=outcome,
        ip=asker.ip,
        request_id=asker.request_id,
        changes=changes or {},
    )
    await audit.insert(connection, row, now, livemode=False)
