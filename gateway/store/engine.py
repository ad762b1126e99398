"""SQLAlchemy's engine, for the configuration tables and for migrations; hot tables never pass through it."""

from collections.abc import Mapping

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

_SERVER_SETTINGS = {
    "statement_timeout": "5000",
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "10000",
}


def create(database_uri: str, *, pool_size: int = 2) -> AsyncEngine:
    """An engine of at most `pool_size` connections; a caller waits 1 s for one. Dispose of it when done."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(database_uri, _SERVER_SETTINGS),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=1,
        pool_recycle=1800,
        pool_pre_ping=True,
    )


def create_unpooled(database_uri: str, server_settings: Mapping[str, str]) -> AsyncEngine:
    """An engine whose connections are closed when they are given back: their session locks end with them."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(database_uri, server_settings),
        poolclass=NullPool,
    )


async def connect(database_uri: str, server_settings: Mapping[str, str]) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection by asyncpg's own reading of the address: it knows `sslmode`, which SQLAlchemy's does not."""
    return await asyncpg.connect(database_uri, timeout=3, server_settings=dict(server_settings))
