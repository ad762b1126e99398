"""A database without tables, beside the migrated one that `database_uri` gives."""

import asyncio
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.parts import Parts


@pytest.fixture
def empty_database(parts: Parts) -> Iterator[str]:
    """The address of a new database without tables, dropped afterwards."""
    name = f"empty_{uuid.uuid4().hex}"
    _execute(parts.postgres_uri, f"create database {name}")
    yield urlsplit(parts.postgres_uri)._replace(path=f"/{name}").geturl()
    _execute(parts.postgres_uri, f"drop database {name} with (force)")


def _execute(database_uri: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(database_uri)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())
