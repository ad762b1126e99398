"""Migrations go up, down and up again, survive being run twice at once, and agree with the models."""

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection

import migrations
from gateway.store import engine, migrate
from gateway.store.migrate import SchemaError
from gateway.store.tables import Table


def on(database: str, work: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[object]]) -> object:
    """Run `work` with a connection of its own."""

    async def run() -> object:
        connection = await asyncpg.connect(database)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def tables(database: str) -> set[str]:
    async def names(connection: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
        rows = await connection.fetch(
            "select relname from pg_class where relkind in ('r', 'p') and relname !~ '^(pg|sql)_'"
        )
        return {row["relname"] for row in rows}

    found = on(database, names)
    assert isinstance(found, set)
    return found


def test_up_down_up(empty_database: str) -> None:
    migrate.migrate(empty_database)
    made = tables(empty_database)
    assert {"merchants", "payments", "operations", "events", "callbacks", "alembic_version"} <= made
    migrate.downgrade(empty_database, "base")
    assert tables(empty_database) == {"alembic_version"}
    migrate.migrate(empty_database)
    assert tables(empty_database) == made


def test_again_changes_nothing(empty_database: str) -> None:
    migrate.migrate(empty_database)
    on(
        empty_database,
        lambda connection: connection.execute("insert into merchants values (gen_random_uuid(), 'kept')"),
    )
    made = tables(empty_database)
    migrate.migrate(empty_database)
    assert tables(empty_database) == made
    assert on(empty_database, lambda connection: connection.fetchval("select name from merchants")) == "kept"


def test_several_at_once(empty_database: str) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            migrate.migrate(empty_database)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    on(empty_database, migrate.check_schema)


def test_the_schema_is_checked(empty_database: str) -> None:
    with pytest.raises(SchemaError, match=r"^The database has no tables yet: run `mypay migrate`\.$"):
        on(empty_database, migrate.check_schema)
    migrate.migrate(empty_database)
    on(empty_database, migrate.check_schema)
    on(empty_database, lambda connection: connection.execute("update alembic_version set version_num = '0001'"))
    with pytest.raises(
        SchemaError, match=rf"^The database is at revision 0001 .* {migrate.code_revision()}: run `mypay"
    ):
        on(empty_database, migrate.check_schema)


def test_a_busy_lock_is_given_up_in_one_sentence(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_LOCK_WAIT_S", 1)

    async def hold_and_migrate() -> None:
        holder = await asyncpg.connect(empty_database)
        try:
            await holder.execute(f"select pg_advisory_lock({migrate._LOCK})")
            await asyncio.to_thread(migrate.migrate, empty_database)
        finally:
            await holder.close()

    with pytest.raises(SchemaError, match="Another migration"):
        asyncio.run(hold_and_migrate())


def test_the_models_agree_with_the_schema(empty_database: str) -> None:
    migrate.migrate(empty_database)

    def differences(connection: Connection) -> list[object]:
        described = set(Table.metadata.tables)

        def is_described(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
            return kind != "table" or name in described

        options = {"include_object": is_described, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Table.metadata))

    async def compare() -> list[object]:
        unpooled = engine.create_unpooled(empty_database, {})
        async with unpooled.connect() as connection:
            return await connection.run_sync(differences)

    assert asyncio.run(compare()) == []


def test_alembic_alone_is_sent_to_the_one_way_in() -> None:
    config = Config(str(Path(migrations.__path__[0]) / "alembic.ini"))
    with pytest.raises(CommandError, match="mypay migrate"):
        command.upgrade(config, "head")


def test_a_new_migration_is_made_from_the_template(tmp_path: Path) -> None:
    home = tmp_path / "migrations"
    shutil.copytree(migrations.__path__[0], home)
    made = command.revision(Config(str(home / "alembic.ini")), message="more words", rev_id="9999")
    assert made is not None
    text = (home / "versions" / "9999_more_words.py").read_text()
    assert f"down_revision = '{migrate.code_revision()}'" in text.replace('"', "'")
    compile(text, "9999", "exec")
