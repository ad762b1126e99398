"""The role that processes log in as: enough to work, and not enough to change the schema."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from gateway import cli_migrate
from tests.gateway.test_migrations import on
from tests.support.installation import Installation
from tests.support.parts import Parts

FORBIDDEN = (
    "alter table payments add column more text",
    "drop table payments",
    "create table more (id integer)",
    "truncate payments",
    "create index more on payments (amount)",
    "update alembic_version set version_num = '0001'",
    "delete from alembic_version",
    "drop schema public cascade",
    "create role more",
)


@pytest.fixture
def as_app(parts: Parts, database_uri: str) -> Iterator[str]:
    """The database's address for a new role that was only granted the use of its rows."""
    role = f"app_{uuid.uuid4().hex}"
    on(database_uri, lambda connection: connection.execute(f"create role {role} login password 'p'"))
    cli_migrate.run(database_uri, role)
    parsed = urlsplit(database_uri)
    yield parsed._replace(netloc=f"{role}:p@{parsed.hostname}:{parsed.port}").geturl()
    on(database_uri, lambda connection: connection.execute(f"drop owned by {role}; drop role {role}"))


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_it_cannot_change_the_schema(as_app: str, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        on(as_app, lambda connection: connection.execute(statement))


def test_tables_of_later_migrations_are_granted(as_app: str, database_uri: str) -> None:
    on(database_uri, lambda connection: connection.execute("create table later (id integer)"))
    on(as_app, lambda connection: connection.execute("insert into later values (1)"))


def test_the_api_and_a_worker_work_with_it(as_app: str, database_uri: str, parts: Parts, tmp_path: Path) -> None:
    gone = "select format('drop table %I', max(relname)) from pg_class where relname ~ '^events_[0-9]+$'"

    async def drop_newest(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await connection.execute(await connection.fetchval(gone))  # so that the sweeper misses one

    on(database_uri, drop_newest)
    mypay = Installation(parts, as_app, tmp_path)
    try:
        mypay.open()
        body = {"provider": "sandbox", "amount": 15000, "currency": "LSL"}
        wish = {**body, "method": {"type": "mobile_money", "phone": "+26658123000"}}
        answer = httpx.post(
            f"{mypay.base_url}/v1/payments", headers=mypay.headers(Prefer="wait=30"), json=wish, timeout=60
        )
        assert answer.json()["status"] == "succeeded"
        worker = mypay.processes["worker-1"]
        asyncio.run(_until(lambda: "sweeper.partitions_not_ours" in worker.log))
        assert worker.process.poll() is None
    finally:
        mypay.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.1)
