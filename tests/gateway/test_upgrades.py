"""Old and new together: which schema which code runs on, while migrations add and processes work."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import httpx
import pytest
from alembic.script import ScriptDirectory

from gateway import cli_migrate
from gateway.store import migrate
from gateway.store.migrate import SchemaError
from gateway.supervisor import SupervisorError
from tests.gateway.test_migrations import on
from tests.support.installation import installation
from tests.support.parts import Parts

# What an additive migration may do to every hot table while processes of the version before work.
ADDITION = """
alter table payments add column newer text;
alter table operations add column newer integer not null default 0;
alter table refunds add column newer text;
alter table callbacks add column newer text;
alter table events add column newer text;
alter table webhook_endpoints add column newer text;
create table something_new (id uuid primary key);
"""


def at_newer(database: str, comment: str) -> None:
    on(
        database,
        lambda connection: connection.execute(
            f"{ADDITION} update alembic_version set version_num = '9999';"
            f"comment on table alembic_version is '{comment}'"
        ),
    )


def test_a_newer_schema_that_is_made_for_this_code_too_is_accepted(database_uri: str) -> None:
    at_newer(database_uri, migrate.code_revision())
    on(database_uri, migrate.check_schema)


@pytest.mark.parametrize("comment", ["9999", "", "nonsense"])
def test_another_newer_schema_is_refused_in_one_sentence(database_uri: str, comment: str) -> None:
    at_newer(database_uri, comment)
    with pytest.raises(SchemaError, match=r"^The database is at revision 9999, which code at \d+ cannot use: [^.]+\.$"):
        on(database_uri, migrate.check_schema)


def test_an_unknown_schema_is_not_migrated(database_uri: str) -> None:
    at_newer(database_uri, migrate.code_revision())
    with pytest.raises(SupervisorError, match=r"is at revision 9999, which this code does not know: start [^.]+\.$"):
        cli_migrate.run(database_uri)


def test_each_step_leaves_the_oldest_code(database_uri: str) -> None:
    def left() -> object:
        return on(database_uri, lambda connection: connection.fetchval(migrate._OLDEST_CODE))

    assert left() == migrate.oldest_code(ScriptDirectory.from_config(migrate._config()), migrate.code_revision())
    migrate.downgrade(database_uri, "0001")
    assert left() == "0001"


def test_what_one_migration_took_away_a_later_one_does_not_bring_back() -> None:
    def script(revision: str, before: str | None, **said: str) -> SimpleNamespace:
        return SimpleNamespace(revision=revision, down_revision=before, module=SimpleNamespace(**said))

    known = {
        "0001": script("0001", None),
        "0002": script("0002", "0001", oldest_code="0001"),  # adds
        "0003": script("0003", "0002", oldest_code="0003"),  # takes away
        "0004": script("0004", "0003", oldest_code="0001"),  # adds, and forgot the one before
        "0005": script("0005", "0004"),  # says nothing
    }
    scripts = SimpleNamespace(get_revision=known.__getitem__)
    found = {name: migrate.oldest_code(scripts, name) for name in known}  # type: ignore[arg-type]
    assert found == {"0001": "0001", "0002": "0001", "0003": "0003", "0004": "0003", "0005": "0005"}


def test_a_table_that_is_too_busy_is_one_sentence_and_leaves_nothing(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.migrate(empty_database)
    migrate.downgrade(empty_database, "0004")
    monkeypatch.setitem(migrate._TIMEOUTS, "lock_timeout", "200ms")

    async def hold_and_migrate() -> None:
        holder = await asyncpg.connect(empty_database)
        try:
            async with holder.transaction():
                await holder.execute("lock table merchants in access exclusive mode")
                await asyncio.to_thread(cli_migrate.run, empty_database)
        finally:
            await holder.close()

    with pytest.raises(SupervisorError, match=r"Nothing of that migration remains: run it again at a quieter time\.$"):
        asyncio.run(hold_and_migrate())
    assert on(empty_database, lambda connection: connection.fetchval("select to_regclass('webhook_endpoints')")) is None
    cli_migrate.run(empty_database)


def test_processes_go_on_while_the_schema_grows_and_start_on_the_grown_one(parts: Parts, tmp_path: Path) -> None:
    with installation(parts, tmp_path) as mypay, httpx.Client(base_url=mypay.base_url, timeout=60) as client:
        body = {"provider": "sandbox", "amount": 15000, "currency": "LSL"}
        wish = {**body, "method": {"type": "mobile_money", "phone": "+26658123000"}}

        def pays() -> str:
            answer = client.post("/v1/payments", headers=mypay.headers(Prefer="wait=30"), json=wish)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["status"])

        assert [pays(), pays()] == ["succeeded"] * 2
        at_newer(mypay.settings.database_uri, migrate.code_revision())
        assert [pays() for _ in range(4)] == ["succeeded"] * 4  # old processes, new schema
        mypay.processes["worker-1"].restart()
        mypay.processes["api"].restart()
        mypay.wait_ready()
        assert pays() == "succeeded"  # and old processes that start on it
