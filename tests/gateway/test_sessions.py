"""Sessions in the database: of two who bring one refresh token at once, the second finds it used."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from gateway import ids
from gateway.store import sessions, users
from gateway.usecases.manage_users import made

NOW = datetime.now(UTC)
TOKEN = b"t" * 32


async def someone(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[UUID, UUID]:
    """A person with a session that has one refresh token."""
    user, session_id = made("someone@example.test", "viewer", "hash", NOW), ids.new()
    await users.insert(connection, user)
    await sessions.open_session(connection, session_id, user.id, NOW, NOW + timedelta(days=1))
    await sessions.add_token(connection, TOKEN, session_id, NOW + timedelta(hours=1))
    return user.id, session_id


async def test_a_refresh_token_is_taken_by_one_at_a_time(database_uri: str) -> None:
    first, second, watching = [await asyncpg.connect(database_uri) for _ in range(3)]
    await someone(first)
    transaction = first.transaction()
    await transaction.start()
    taken = await sessions.take_token(first, TOKEN)
    assert taken is not None
    assert (taken.used, taken.lives) == (False, True)
    waiting = asyncio.create_task(sessions.take_token(second, TOKEN))
    blocked = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not waiting.done() and not await watching.fetchval(blocked):
            await asyncio.sleep(0.01)
    await sessions.use_token(first, TOKEN, NOW)
    await transaction.commit()
    other = await waiting
    assert other is not None
    assert other.used
    for connection in (first, second, watching):
        await connection.close()


async def test_a_session_lives_until_something_ends_it(database_uri: str) -> None:
    connection = await asyncpg.connect(database_uri)
    user_id, session_id = await someone(connection)
    found = await sessions.live(connection, session_id, user_id)
    assert found is not None
    assert found.role == "viewer"
    endings = {
        "update sessions set expires_at = now()": "update sessions set expires_at = now() + interval '1 day'",
        "update users set disabled_at = now()": "update users set disabled_at = null",
        "update sessions set ended_at = now()": "update sessions set ended_at = null",
    }
    for end, begin in endings.items():
        await connection.execute(end)
        assert await sessions.live(connection, session_id, user_id) is None
        taken = await sessions.take_token(connection, TOKEN)
        assert taken is not None
        assert not taken.lives
        await connection.execute(begin)
    assert await sessions.live(connection, session_id, ids.new()) is None
    await connection.execute("update sessions set expires_at = now() - interval '2 days'")
    await sessions.open_session(connection, ids.new(), user_id, NOW, NOW + timedelta(days=1))
    assert await sessions.take_token(connection, TOKEN) is None  # forgotten with its session
    await connection.close()
