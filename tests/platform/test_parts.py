"""The parts of this run answer, and every test has a database of its own."""

import asyncio
import socket

import asyncpg
import pytest

from gateway.settings import Settings
from tests.support.parts import Parts


@pytest.mark.parametrize("again", [1, 2])
def test_each_test_has_an_empty_database(database_uri: str, again: int) -> None:
    async def merchants() -> int:
        connection = await asyncpg.connect(database_uri)
        await connection.execute("insert into merchants (id, name) values (gen_random_uuid(), 'one')")
        count: int = await connection.fetchval("select count(*) from merchants")
        await connection.close()
        return count

    assert asyncio.run(merchants()) == 1


def test_settings_name_parts_that_answer(settings: Settings, parts: Parts) -> None:
    host, port = settings.kafka_bootstrap_servers.rsplit(":", 1)
    for address in ((host, int(port)), (settings.redis_host, settings.redis_port)):
        socket.create_connection(address, timeout=2).close()
    assert settings.database_uri != parts.postgres_uri
