"""The embedded parts: real servers that start over what a `kill -9` left, with their data, and leave no process."""

import asyncio
import os
import pwd
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]

from gateway.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedValkey, check_platform
from gateway.embedded import postgres as postgres_module
from gateway.processes import ProcessError, Program, end, free_port, spawn
from tests.platform.test_supervisor import is_alive, kill, until
from tests.support.parts import CACHE


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    part = EmbeddedPostgres(tmp_path / "postgres", free_port())
    yield part
    part.stop()


def query(part: EmbeddedPostgres, *statements: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(part.address)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


def processes_in(directory: Path) -> list[int]:
    """The processes whose working directory is below `directory`, as PostgreSQL's all are."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(directory)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_postgres_keeps_its_data_over_kill_9_and_stop(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    query(postgres, "create table kept (n int)", "insert into kept values (1)")
    kill(postgres.pid)
    postgres.start()
    assert query(postgres, "insert into kept values (2)", "select count(*) from kept") == 2
    postgres.stop()
    assert processes_in(postgres.directory) == []
    postgres.start()
    assert query(postgres, "select count(*) from kept") == 2


def test_postgres_starts_over_a_lock_file_with_a_living_pid(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    kill(postgres.pid)
    lock = postgres.directory / "data/postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    postgres.start()
    assert query(postgres, "select 1") == 1


def test_postgres_starts_although_a_backend_of_the_killed_one_lingers(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    backend = next(pid for pid in processes_in(postgres.directory) if pid != postgres.pid)
    os.kill(backend, signal.SIGSTOP)  # as one that is busy, and does not look whether its postmaster lives
    kill(postgres.pid)
    assert is_alive(backend)
    postgres.start()
    assert not is_alive(backend)
    assert query(postgres, "select 1") == 1


def test_half_a_cluster_is_made_again(postgres: EmbeddedPostgres) -> None:
    half = postgres.directory / "data.unfinished"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres.start()
    assert query(postgres, "show fsync") == "on"


def test_postgres_asks_for_its_password_and_listens_on_loopback_only(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert query(postgres, "show listen_addresses") == "127.0.0.1"
    assert query(postgres, "show unix_socket_directories") == ""
    assert query(postgres, "select 'É' ilike 'é'") is True, "the cluster's locale knows Unicode"
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(
            asyncpg.connect(
                urlsplit(postgres.address)._replace(netloc=f"postgres:x@127.0.0.1:{postgres.port}").geturl()
            )
        )
    assert (postgres.directory / "password").stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_told_with_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        part = EmbeddedPostgres(tmp_path / "postgres", taken.getsockname()[1])
        with pytest.raises(
            ProcessError, match=r"postgres ended with status 1\. The last lines of[\s\S]*already in use"
        ):
            part.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_namespaces_becomes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(postgres_module, "_root_prefix", lambda: postgres_module._NOBODY)
    part = EmbeddedPostgres(tmp_path / "postgres", free_port())
    part.start()
    assert os.stat(f"/proc/{part.pid}").st_uid == pwd.getpwnam("nobody").pw_uid
    kill(part.pid)
    part.start()
    assert query(part, "select 1") == 1
    part.stop()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_valkey_starts_again_after_kill_9(tmp_path: Path) -> None:
    part = EmbeddedValkey(tmp_path / "valkey", free_port())
    part.start()
    kill(part.pid)
    assert not part.answers()
    part.start()
    assert part.answers()
    pid = part.pid
    part.stop()
    assert not is_alive(pid)


def test_kafka_keeps_acknowledged_records_over_kill_9(tmp_path: Path) -> None:
    part = EmbeddedKafka(tmp_path / "kafka", free_port(), free_port(), CACHE)
    part.start()
    asyncio.run(_produce(part, b"one", create=True))
    kill(part.pid)
    part.start()
    asyncio.run(_produce(part, b"two"))
    assert asyncio.run(_consume(part, 2)) == [b"one", b"two"]
    part.stop()


async def _produce(part: EmbeddedKafka, value: bytes, *, create: bool = False) -> None:
    if create:
        admin = AIOKafkaAdminClient(bootstrap_servers=part.address)
        await admin.start()
        await admin.create_topics([NewTopic(name="kept", num_partitions=1, replication_factor=1)])
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=part.address, acks="all", enable_idempotence=True)
    await producer.start()
    await producer.send_and_wait("kept", value)
    await producer.stop()


async def _consume(part: EmbeddedKafka, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer("kept", bootstrap_servers=part.address, auto_offset_reset="earliest")
    await consumer.start()
    values = [(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(count)]
    await consumer.stop()
    return values


def test_a_killed_owner_leaves_no_orphan_and_its_data_can_be_used(tmp_path: Path, postgres: EmbeddedPostgres) -> None:
    valkey = EmbeddedValkey(tmp_path / "valkey", free_port())
    code = (
        "import time; from pathlib import Path; from gateway.embedded import *;"
        f"parts = [EmbeddedPostgres(Path({str(postgres.directory)!r}), {postgres.port}),"
        f" EmbeddedValkey(Path({str(valkey.directory)!r}), {valkey.port})];"
        "[part.start() for part in parts]; print(*[part.pid for part in parts], flush=True); time.sleep(60)"
    )
    log = tmp_path / "owner.log"
    owner = Program(name="owner", argv=(sys.executable, "-c", code), owner=tmp_path / "owner", log=log)
    process = spawn(owner)
    until(lambda: log.read_text().endswith("\n"), timeout_s=20)
    pids = [int(word) for word in log.read_text().split()]
    assert all(map(is_alive, pids))
    process.kill()
    process.wait()
    until(lambda: not any(map(is_alive, pids)) and not processes_in(postgres.directory), timeout_s=10)
    postgres.start()
    assert query(postgres, "select 1") == 1
    end(process, owner)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("sys.platform", "darwin"), ("platform.machine", "aarch64"), ("platform.libc_ver", ("", ""))],
)
def test_elsewhere_is_one_sentence(attribute: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    check_platform()
    monkeypatch.setattr(attribute, (lambda: value) if attribute != "sys.platform" else value)
    with pytest.raises(ProcessError, match=r"^The embedded [^.]* need Linux on x86-64 with glibc: [^\n]*example\.$"):
        check_platform()
