"""Bringing a database to this code's schema, and refusing to run on another one."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import migrations
from gateway.store import engine, partitions, roles
from gateway.store.database import Connection

_LOCK: Final = 0x6D79_7061_7900  # any constant: one migration per database at a time
_LOCK_WAIT_S: Final = 300
_TIMEOUTS: Final = {"lock_timeout": "5s", "statement_timeout": "10min"}  # give up before blocking payments for long


_OLDEST_CODE: Final = "select obj_description('alembic_version'::regclass, 'pg_class')"
_NEWER: Final = "start the version of MyPay that migrated it, or a newer one"


class SchemaError(Exception):
    """The database's schema is not this code's; the message is one sentence that says what to do."""


def migrate(database_uri: str, *, grant_to: str | None = None) -> None:
    """Upgrade to this code's schema, make the day partitions, and grant their use to a role. Two at once are safe.

    Raises `SchemaError` when another one does not end or the schema is not known to this code, and the database's
    errors as they are: then nothing of the failed migration remains.
    """
    asyncio.run(_migrate(database_uri, grant_to))


def downgrade(database_uri: str, revision: str) -> None:
    """Go back to `revision` ("base": drop everything)."""
    asyncio.run(_run(database_uri, lambda config: command.downgrade(config, revision)))


async def check_schema(connection: Connection) -> None:
    """Raise `SchemaError` unless the database is at this code's newest revision, or at a newer one made for it too.

    A migration that only adds says so in `oldest_code`; `mypay migrate` leaves that with the schema.
    """
    head = code_revision()
    try:
        found = await connection.fetchval("select version_num from alembic_version")
    except asyncpg.UndefinedTableError:
        found = None
    if found is None:
        raise SchemaError("The database has no tables yet: run `mypay migrate`.")
    if found == head:
        return
    if found in _known():
        raise SchemaError(f"The database is at revision {found} and this code needs {head}: run `mypay migrate`.")
    if await connection.fetchval(_OLDEST_CODE) not in _known():
        raise SchemaError(f"The database is at revision {found}, which code at {head} cannot use: {_NEWER}.")


@functools.cache
def _known() -> frozenset[str]:
    """The revisions that came with this code."""
    return frozenset(each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions())


def oldest_code(scripts: ScriptDirectory, revision: str | None) -> str | None:
    """The oldest revision whose code runs on the schema of `revision`; None for no schema.

    A migration says it in `oldest_code`; one that says nothing needs the code that it came with. What an earlier one
    took away, a later one does not bring back.
    """
    if revision is None:
        return None
    script = scripts.get_revision(revision)
    before = oldest_code(scripts, str(script.down_revision) if script.down_revision else None) or ""
    return max(before, getattr(script.module, "oldest_code", revision))


@functools.cache
def code_revision() -> str:
    """The newest revision among the migrations that came with this code."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "migrations/versions holds no migration"
    return head


def _config() -> Config:
    """Alembic's configuration, without a file: an installed package has none."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _migrate(database_uri: str, grant_to: str | None) -> None:
    await _run(database_uri, lambda config: command.upgrade(config, "head"))
    connection = await engine.connect(database_uri, _TIMEOUTS)
    try:
        await partitions.ensure(connection, datetime.now(UTC))
        if grant_to is not None:
            await roles.grant(connection, grant_to)
    finally:
        await connection.close()


async def _run(database_uri: str, alembic_command: Callable[[Config], None]) -> None:
    config = _config()

    def with_connection(connection: SyncConnection) -> None:
        _refuse_unknown(connection)
        config.attributes["connection"] = connection
        alembic_command(config)

    async with _locked(database_uri) as connection:
        await connection.run_sync(with_connection)


def _refuse_unknown(connection: SyncConnection) -> None:
    """A schema that is newer than this code is left alone: what it became is not known here."""
    found = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    if found is not None and found not in _known():
        raise SchemaError(f"The database is at revision {found}, which this code does not know: {_NEWER}.")


@asynccontextmanager
async def _locked(database_uri: str) -> AsyncIterator[AsyncConnection]:
    """A connection that holds the migration lock of its database, for as long as it lives.

    It asks again and again instead of waiting in Postgres: a waiting statement keeps a snapshot, for which another
    migration's `create index concurrently` would wait in turn.
    """
    unpooled = engine.create_unpooled(database_uri, _TIMEOUTS)
    async with unpooled.connect() as connection:
        for _ in range(_LOCK_WAIT_S * 5):
            got = await connection.scalar(text("select pg_try_advisory_lock(:lock)"), {"lock": _LOCK})
            await connection.commit()
            if got:
                break
            await asyncio.sleep(0.2)
        else:
            raise SchemaError(f"Another migration of this database has run for {_LOCK_WAIT_S} s: see to it first.")
        yield connection
