"""The servers: PostgreSQL, its schema and its clock; Kafka and its topics; Redis."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from gateway.settings import Settings, place
from gateway.store import wakeups
from gateway.store.database import DATABASE_FAILED
from gateway.store.migrate import SchemaError, check_schema
from gateway.store.partitions import DAY_PARTITIONED, name_of
from streams import topics
from streams.access import access
from streams.doctor.examination import Examination, reason
from streams.doctor.findings import Fault, Finding, Level, those

POSTGRES_OLDEST: Final = 150_000  # server_version_num of PostgreSQL 15
CONNECTIONS_FULL: Final = 0.9
DAYS_WANTED: Final = 3
CLOCK_WARN_S: Final = 1.0
CLOCK_FAIL_S: Final = 30.0  # tokens and signatures are refused from about here
REDIS_PATIENCE_S: Final = 2.0
KAFKA_PATIENCE_S: Final = 3.0

_SERVER: Final = """
select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
       pg_is_in_recovery() as standby, current_setting('synchronous_commit') as synchronous_commit,
       current_setting('fsync') as fsync, current_setting('max_connections')::int as most,
       (select count(*) from pg_stat_activity where backend_type = 'client backend')::int as connections,
       pg_size_pretty(pg_database_size(current_database())) as size
"""


async def database(at: Examination) -> list[Finding]:
    """Whether it answers, keeps what it confirms, and has connections left."""
    where = place(at.settings.database_uri)
    try:
        pool = await at.pool()
    except DATABASE_FAILED as error:
        todo = "Start PostgreSQL, or correct DATABASE_URI. Until then nothing is accepted."
        return [Finding("database", "fail", f"{where} does not answer: {reason(error)}", todo)]
    async with pool.acquire() as connection:
        row = await connection.fetchrow(_SERVER)
    assert row is not None
    used = f"{row['connections']} of {row['most']} connections in use, {row['size']}"
    found = Finding("database", "ok", f"PostgreSQL {row['version']} at {where}; {used}.")
    return [*(_faults_of_server(row)), found]


def _faults_of_server(row: "asyncpg.Record") -> list[Finding]:
    faults: tuple[Fault, ...] = (
        (row["number"] < POSTGRES_OLDEST, "fail", "It is older than PostgreSQL 15.", "Upgrade it."),
        (row["standby"], "fail", "It is a standby: nothing can be written.", "Point DATABASE_URI at the primary."),
        (row["fsync"] != "on", "fail", "fsync is off: a crash loses payments.", "Set fsync = on."),
        (
            row["synchronous_commit"] == "off",
            "fail",
            "synchronous_commit is off: what was confirmed can be lost.",
            "Set synchronous_commit = on, for the database and for its user.",
        ),
        (
            row["connections"] >= CONNECTIONS_FULL * row["most"],
            "warn",
            f"{row['connections']} of {row['most']} connections are in use.",
            "Raise max_connections, or run fewer processes.",
        ),
    )
    return those("database", faults)


async def schema(at: Examination) -> list[Finding]:
    """Whether the schema is one that this code runs on, with partitions for the days to come."""
    async with at.database() as connection:
        try:
            await check_schema(connection)
        except SchemaError as error:
            return [Finding("schema", "fail", str(error), "Until then no process starts.")]
        revision = await connection.fetchval("select version_num from alembic_version")
        today = datetime.now(UTC)
        wanted = [name_of(table, today + timedelta(days=n)) for table in DAY_PARTITIONED for n in range(DAYS_WANTED)]
        known = "select name from unnest($1::text[]) name where to_regclass(name) is null order by name"
        missing = [row["name"] for row in await connection.fetch(known, wanted)]
    if missing:
        todo = "Run `mypay migrate`, and see that a worker with the role sweeper runs: it makes them every hour."
        return [Finding("schema", "warn", f"Day partitions are missing: {', '.join(missing)}.", todo)]
    return [Finding("schema", "ok", f"Revision {revision}, with partitions for the coming days.")]


async def clock(at: Examination) -> list[Finding]:
    """How far this machine's clock is from the database's."""
    async with at.database() as connection:
        sent = time.time()
        now = await connection.fetchval("select clock_timestamp()")
        ahead = (sent + time.time()) / 2 - now.timestamp()
    found = f"This machine is {abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} the database."
    if abs(ahead) < CLOCK_WARN_S:
        return [Finding("clock", "ok", found)]
    level: Level = "fail" if abs(ahead) >= CLOCK_FAIL_S else "warn"
    todo = "Synchronise both with NTP: MyPay goes by the database's clock, tokens and signatures by the true time."
    return [Finding("clock", level, found, todo)]


# --- Kafka ------------------------------------------------------------------------------------------------------------


async def broker(at: Examination) -> list[Finding]:
    """Whether Kafka answers, and has every topic with the partitions and copies that the settings ask for."""
    settings = at.settings
    admin = AIOKafkaAdminClient(**access(settings), request_timeout_ms=int(KAFKA_PATIENCE_S * 1000))
    try:
        async with asyncio.timeout(KAFKA_PATIENCE_S):
            await admin.start()
            names = {topics.physical(settings, name): name for name in topics.every_topic()}
            cluster = await admin.describe_cluster()
            described = await admin.describe_topics(list(names))
    except (KafkaError, OSError, TimeoutError) as error:
        todo = "Start Kafka, or correct the KAFKA_ settings. Payments are accepted meanwhile, and wait in the database."
        found = f"{settings.kafka_bootstrap_servers} does not answer: {reason(error)}"
        return [Finding("broker", "fail", found, todo)]
    finally:
        await admin.close()
    brokers = len(cluster["brokers"])
    return [_cluster(settings, brokers), *_topics(settings, [topic for topic in described if topic["topic"] in names])]


def _cluster(settings: Settings, brokers: int) -> Finding:
    found = f"{brokers} {'broker' if brokers == 1 else 'brokers'} at {settings.kafka_bootstrap_servers}."
    if brokers < settings.kafka_replication:
        return Finding("broker", "fail", found, "KAFKA_REPLICATION asks for more copies than there are brokers.")
    return Finding("broker", "ok", found)


def _topics(settings: Settings, described: list[dict[str, Any]]) -> list[Finding]:
    missing = sorted(topic["topic"] for topic in described if topic["error_code"])
    there = [topic for topic in described if not topic["error_code"]]
    headless = sorted(t["topic"] for t in there if any(p["leader"] < 0 for p in t["partitions"]))
    other = sorted(t["topic"] for t in there if len(t["partitions"]) != settings.kafka_partitions)
    faults: list[Fault] = [
        (
            missing,
            "warn",
            f"{_some(missing)} missing.",
            "They are made when a worker starts, or when somebody publishes to them.",
        ),
        (headless, "fail", f"{_some(headless)} without a leader.", "Start the brokers that hold their partitions."),
        (
            other,
            "warn",
            f"{_some(other)} with another number of partitions than KAFKA_PARTITIONS ({settings.kafka_partitions}).",
            "Existing topics are left as they are: set KAFKA_PARTITIONS to their number, or change the topics.",
        ),
    ]
    return those("topics", faults) or [
        Finding("topics", "ok", f"{len(there)} topics of {settings.kafka_partitions} partitions.")
    ]


def _some(names: list[str]) -> str:
    return f"{len(names)} topics ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


# --- Redis ------------------------------------------------------------------------------------------------------------


async def redis(at: Examination) -> list[Finding]:
    """Whether Redis answers; without it limits count per process, and waiting takes a little longer."""
    client = wakeups.client(at.settings, patience_s=REDIS_PATIENCE_S)
    if client is None:
        todo = "Set REDIS_HOST: without Redis every process limits alone, and who waits is woken later."
        return [Finding("redis", "warn", "REDIS_HOST is not set.", todo)]
    where = f"{at.settings.redis_host}:{at.settings.redis_port}"
    try:
        server = await client.info("server")
    except wakeups.AWAY as error:
        todo = "Start Redis, or correct the REDIS_ settings. Meanwhile every process limits alone."
        return [Finding("redis", "fail", f"{where} does not answer: {reason(error)}", todo)]
    finally:
        await client.aclose()
    return [Finding("redis", "ok", f"Version {server.get('valkey_version') or server['redis_version']} at {where}.")]
