"""PostgreSQL, Kafka and Valkey for a whole test run: started once, by whichever test asks first.

pytest-xdist's workers share them, so no worker may own them. A keeper process does: it starts the parts, writes down
where they are, and stops them when the run's main process tells it to, or has died.

MYPAY_TEST_PARTS=containers takes containers instead (testcontainers, needs Docker). That way is short and was never
run where there is no Docker engine.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec
from msgspec import Struct

from gateway.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedValkey
from gateway.processes import free_port, log_tail, start_time
from gateway.settings import Settings
from gateway.store.migrate import migrate
from gateway.supervisor import write_private
from providers.contract import Secret

CHECKOUT = Path(__file__).parents[2]
CACHE = CHECKOUT / ".mypay/cache"
RUN = "MYPAY_TEST_RUN"  # the run's directory, in the environment that the workers inherit
TEMPLATE = "mypay_template"
START_TIMEOUT_S = 180  # the first run of a checkout fetches Kafka


class Parts(Struct, frozen=True, kw_only=True):
    """Where the parts of this run are."""

    postgres_uri: str  # the maintenance database, as superuser
    kafka_bootstrap: str
    redis_host: str
    redis_port: int


# --- The run's main process ---------------------------------------------------------------------------------------


def begin_run() -> None:
    """Name the run's directory. Starts nothing."""
    run = Path(tempfile.mkdtemp(prefix="mypay-test-"))
    (run / "controller").write_text(str(os.getpid()))
    os.environ[RUN] = str(run)


def end_run() -> None:
    """End the keeper, if there is one, and wait until its parts are gone."""
    run = Path(os.environ.pop(RUN))
    if (run / "keeper").exists():
        keeper = int((run / "keeper").read_text())
        started = start_time(keeper)
        if started is not None:
            os.kill(keeper, signal.SIGTERM)
        while start_time(keeper) == started is not None:
            time.sleep(0.05)
    shutil.rmtree(run)


# --- The workers ----------------------------------------------------------------------------------------------------


def parts_of_run() -> Parts:
    """The parts, started if nobody has asked before."""
    run = Path(os.environ[RUN])
    with _locked(run):
        if not (run / "parts.json").exists():
            _start_keeper(run)
    return msgspec.json.decode((run / "parts.json").read_bytes(), type=Parts)


@contextmanager
def fresh_database(parts: Parts) -> Iterator[str]:
    """The URI of a migrated, empty database, dropped at the end. The first of a run migrates the template."""
    run = Path(os.environ[RUN])
    template = _beside(parts.postgres_uri, TEMPLATE)
    with _locked(run):
        if not (run / "migrated").exists():
            _execute(parts.postgres_uri, f"create database {TEMPLATE}")
            migrate(template)
            (run / "migrated").touch()
    name = f"test_{uuid.uuid4().hex}"
    _execute(parts.postgres_uri, f"create database {name} template {TEMPLATE}")
    yield _beside(parts.postgres_uri, name)
    _execute(parts.postgres_uri, f"drop database {name} with (force)")


def installation_settings(parts: Parts, database_uri: str) -> Settings:
    """An installation with topics of its own, and providers twenty times as fast."""
    return Settings(
        secret_key=Secret("s" * 43),
        jwt_secret_key=Secret("j" * 43),
        database_uri=Secret(database_uri),
        kafka_bootstrap_servers=parts.kafka_bootstrap,
        kafka_partitions=4,
        kafka_prefix=f"test-{uuid.uuid4().hex[:12]}.",
        redis_host=parts.redis_host,
        redis_port=parts.redis_port,
        mypay_env="development",
        allow_private_targets=True,
        pace=0.05,
    )


def _beside(uri: str, database: str) -> str:
    return urlsplit(uri)._replace(path=f"/{database}").geturl()


def _execute(uri: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(uri)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_keeper(run: Path) -> None:
    argv = [sys.executable, "-m", "tests.support.parts", str(run)]
    with (run / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            argv, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (run / "keeper").write_text(str(keeper.pid))
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (run / "parts.json").exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The parts did not start.{log_tail(run / 'keeper.log')}")
        time.sleep(0.05)


# --- The keeper -------------------------------------------------------------------------------------------------------


def keep(run: Path) -> None:
    """Start the parts, and stop them when the run's main process has died or SIGTERM comes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    controller = int((run / "controller").read_text())
    started = start_time(controller)
    with ExitStack() as stack:
        kind = os.environ.get("MYPAY_TEST_PARTS", "embedded")
        parts = _containers(stack) if kind == "containers" else _embedded(stack, run)
        write_private(run / "parts.json", msgspec.json.encode(parts))
        while start_time(controller) == started is not None:
            time.sleep(0.5)
    shutil.rmtree(run)  # nobody else is left to do it


def _embedded(stack: ExitStack, run: Path) -> Parts:
    postgres = EmbeddedPostgres(run / "postgres", free_port())
    valkey = EmbeddedValkey(run / "valkey", free_port())
    kafka = EmbeddedKafka(run / "kafka", free_port(), free_port(), CACHE)
    for part in (postgres, valkey, kafka):
        stack.callback(part.stop)
        part.start(print)
    return Parts(
        postgres_uri=postgres.address,
        kafka_bootstrap=kafka.address,
        redis_host="127.0.0.1",
        redis_port=valkey.port,
    )


def _containers(stack: ExitStack) -> Parts:
    from testcontainers.community.kafka import KafkaContainer
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.community.redis import RedisContainer

    postgres = stack.enter_context(PostgresContainer("postgres:18", driver=None).with_command("-c max_connections=200"))
    kafka = stack.enter_context(KafkaContainer().with_kraft())
    redis = stack.enter_context(RedisContainer("valkey/valkey:9"))
    return Parts(
        postgres_uri=postgres.get_connection_url(),
        kafka_bootstrap=kafka.get_bootstrap_server(),
        redis_host=redis.get_container_host_ip(),
        redis_port=int(redis.get_exposed_port(6379)),
    )


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
