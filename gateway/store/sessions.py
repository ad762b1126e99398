"""Sessions: one sign-in each, with the family of its refresh tokens; and the attempts that did not become one."""

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from gateway.roles import Role
from gateway.store.database import Connection

EndReason: TypeAlias = Literal["sign_out", "reuse", "user_changed"]

LIVE: Final = """
select u.id as user_id, u.email, u.role
  from sessions s join users u on u.id = s.user_id
 where s.id = $1 and u.id = $2 and s.ended_at is null and s.expires_at > now() and u.disabled_at is null
"""
TAKE: Final = """
select s.id as session_id, s.user_id, s.expires_at, t.used_at is not null as used,
       s.ended_at is null and s.expires_at > now() and t.expires_at > now() and u.disabled_at is null as lives
  from refresh_tokens t join sessions s on s.id = t.session_id join users u on u.id = s.user_id
 where t.token_hash = $1
   for update of t, s
"""
OPEN: Final = "insert into sessions (id, user_id, created_at, expires_at) values ($1, $2, $3, $4)"
ADD_TOKEN: Final = "insert into refresh_tokens (token_hash, session_id, expires_at) values ($1, $2, $3)"  # noqa: S105
USE_TOKEN: Final = "update refresh_tokens set used_at = $2 where token_hash = $1"  # noqa: S105
END: Final = "update sessions set ended_at = $2, end_reason = $3 where id = $1 and ended_at is null"
END_ALL: Final = "update sessions set ended_at = $2, end_reason = $3 where user_id = $1 and ended_at is null"
FORGET: Final = """
delete from sessions where id in (
    select id from sessions where expires_at < $1 order by expires_at limit 100 for update skip locked)
"""
# One statement under the row's lock, so that attempts on any number of processes are counted one after the other.
ATTEMPT: Final = """
insert into sign_in_attempts as a (subject, attempts, newest) values ($1, array[now()], now())
on conflict (subject) do update
   set attempts = array(select t from unnest(a.attempts) t where t > now() - $2::interval order by t) || now(),
       newest = now()
 where (select count(*) from unnest(a.attempts) t where t > now() - $2::interval) < $3
returning 1
"""
WAIT: Final = """
select extract(epoch from min(t) + $2::interval - now())::float8
  from sign_in_attempts, unnest(attempts) t where subject = $1 and t > now() - $2::interval
"""
SUCCEEDED: Final = "delete from sign_in_attempts where subject = $1"
FORGET_ATTEMPTS: Final = """
delete from sign_in_attempts where subject in (
    select subject from sign_in_attempts where newest < now() - $1::interval
     order by newest limit 100 for update skip locked)
"""


class LiveSession(Struct, frozen=True, kw_only=True):
    """Who acts in a session that has not ended."""

    user_id: UUID
    email: str
    role: Role


class TakenToken(Struct, frozen=True, kw_only=True):
    """A refresh token's row and its session's, locked. `expires_at` is the session's."""

    session_id: UUID
    user_id: UUID
    expires_at: datetime
    used: bool
    lives: bool


async def live(connection: Connection, session_id: UUID, user_id: UUID) -> LiveSession | None:
    """The session, unless it has ended or its person may not sign in any more."""
    row = await connection.fetchrow(LIVE, session_id, user_id)
    return None if row is None else LiveSession(**row)


async def open_session(
    connection: Connection, session_id: UUID, user_id: UUID, now: datetime, expires_at: datetime
) -> None:
    """Begin one; a few that are long over are forgotten."""
    await connection.execute(FORGET, now - timedelta(days=1))
    await connection.execute(OPEN, session_id, user_id, now, expires_at)


async def add_token(connection: Connection, token_hash: bytes, session_id: UUID, expires_at: datetime) -> None:
    """The next refresh token of a session."""
    await connection.execute(ADD_TOKEN, token_hash, session_id, expires_at)


async def take_token(connection: Connection, token_hash: bytes) -> TakenToken | None:
    """A refresh token, locked with its session until the transaction ends; None for one that was never given."""
    row = await connection.fetchrow(TAKE, token_hash)
    return None if row is None else TakenToken(**row)


async def use_token(connection: Connection, token_hash: bytes, now: datetime) -> None:
    """It has worked once."""
    await connection.execute(USE_TOKEN, token_hash, now)


async def end(connection: Connection, session_id: UUID, now: datetime, reason: EndReason) -> None:
    """End a session, if it has not ended."""
    await connection.execute(END, session_id, now, reason)


async def end_all(connection: Connection, user_id: UUID, now: datetime, reason: EndReason) -> None:
    """End every session of a person."""
    await connection.execute(END_ALL, user_id, now, reason)


async def attempt(connection: Connection, subject: bytes, window: timedelta, most: int) -> float:
    """Count an attempt to sign in. 0: it may go on; else seconds to wait: `most` in the window have not succeeded."""
    await connection.execute(FORGET_ATTEMPTS, window)
    if await connection.fetchval(ATTEMPT, subject, window, most) is not None:
        return 0.0
    return max(1.0, await connection.fetchval(WAIT, subject, window) or 0.0)


async def succeeded(connection: Connection, subject: bytes) -> None:
    """Forget the attempts of somebody who knew the password."""
    await connection.execute(SUCCEEDED, subject)
