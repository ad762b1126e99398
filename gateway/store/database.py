"""Connections to Postgres for the hot tables: asyncpg, with our codecs and time-outs, and the database's clock."""

import asyncio
import contextlib
import time
from typing import Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from gateway.clock import Clock
from gateway.settings import Settings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CLOCK_EVERY_S: Final = 30.0
CLOSE_S: Final = 2.0

# SQLSTATE classes and codes, and what they ask of whoever sent the statement.
DATA_ERRORS: Final = ("22", "23", "54")  # this row is bad: its values, a constraint, or their size
# Serialisation, deadlock, lock or statement time-out; a plan from before a migration changed the table.
TRY_AGAIN: Final = ("40001", "40P01", "55P03", "57014", "0A000")
_SERVER: Final = {
    "application_name": "mypay",
    "timezone": "UTC",
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
}
CONNECTION_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,  # 57P01 to 57P03: the server shuts down, crashed or is starting
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,  # after a failover: the former primary, or a standby that is not one yet
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
DATABASE_FAILED: Final = (asyncpg.PostgresError, *CONNECTION_LOST)  # of work that is done again, whatever it was


async def connect(settings: Settings) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection outside any pool, for a flusher."""
    connection = await asyncpg.connect(
        settings.database_uri, timeout=3, command_timeout=6, server_settings=_SERVER, statement_cache_size=200
    )
    await prepare(connection)
    return connection


async def create_pool(settings: Settings, *, size: int) -> Pool:
    """A pool of at most `size` connections; two are opened at once."""
    return await asyncpg.create_pool(
        settings.database_uri,
        min_size=min(2, size),
        max_size=size,
        timeout=3,
        command_timeout=6,
        server_settings=_SERVER,
        init=prepare,
        max_inactive_connection_lifetime=600,
    )


async def close_pool(pool: Pool) -> None:
    """Close its connections; those that do not end within `CLOSE_S`, because the server is away, are dropped."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await pool.close()  # drops them itself when it is canceled


async def prepare(connection: Connection) -> None:
    """Read and write jsonb as the JSON's own bytes: each column has a Struct that decodes it."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_jsonb_out, decoder=_jsonb_in, format="binary"
    )


def _jsonb_out(value: bytes) -> bytes:
    return b"\x01" + value  # jsonb's binary form: version 1, then the text


def _jsonb_in(value: bytes) -> bytes:
    return bytes(value[1:])


async def keep_clock(clock: Clock, pool: Pool) -> None:
    """Correct the clock by the database's, again and again; a database that is away leaves it as it is."""
    while True:
        try:
            await read_clock(clock, pool)
        except CONNECTION_LOST:
            await asyncio.sleep(1)
            continue
        await asyncio.sleep(CLOCK_EVERY_S)


async def read_clock(clock: Clock, pool: Pool) -> None:
    """Read the database's clock once."""
    async with pool.acquire() as connection:
        sent = time.time()
        now = await connection.fetchval("select clock_timestamp()")
        clock.adjust(now, sent=sent, received=time.time())
