"""What one plain sandbox payment costs: rows, WAL, Kafka bytes, and CPU of each stage; and what the stack costs idle.

A worker for each role runs as a process of its own, so that /proc can tell the stages apart. Rows and WAL are
PostgreSQL's own counts, with full-page images switched off for the time. What runs beside the payments (leases, clocks)
is measured idle first, and taken off.

    python -m tests.bench.cost        prints the rows alone, in a minute and a half
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from tests.bench import spans
from tests.bench.load import measure
from tests.bench.report import Row, pss_mb
from tests.support.installation import Installation
from tests.support.parts import RUN, Parts, begin_run, end_run, fresh_database, parts_of_run

ROLES: Final = ("executor", "relay", "callbacks", "sweeper")
RATE, SECONDS, IDLE_S = 40, 25, 10.0
STAGES: Final = ("API", "executor", "relay", "callbacks", "sweeper", "PostgreSQL", "Kafka", "Valkey")
PARTS: Final = {"PostgreSQL": "postgres", "Kafka": "kafka", "Valkey": "valkey"}  # their directories in a run
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")

_ROWS: Final = "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables"
_WAL: Final = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


class Reading(NamedTuple):
    """What was spent until now."""

    at: float
    cpu_s: Mapping[str, float]
    rows: int
    wal_bytes: int
    kafka_bytes: int


def rows(parts: Parts) -> Iterator[Row]:
    """Measure, on an installation of its own."""
    with tempfile.TemporaryDirectory() as place, fresh_database(parts) as uri:
        mypay = Installation(parts, uri, Path(place), workers=0, pace=1.0)
        try:
            mypay.open()
            yield _api_start(mypay)
            for role in ROLES:
                mypay.start(role, "worker", "--roles", role)
            mypay.wait_ready()
            port = int(mypay.environment["API_PORT"])
            measure(port, mypay.api_key, rate=20, seconds=3, wait_s=20)  # warm
            asyncio.run(spans.all_succeeded(mypay, limit_s=60))
            yield from asyncio.run(_measured(mypay, port))
        finally:
            mypay.close()


def _api_start(mypay: Installation) -> Row:
    """From the command to the first 200 of /health/ready."""
    mypay.processes["api"].end()
    begin = time.monotonic()
    mypay.processes["api"].restart()
    while mypay.health() is None:
        time.sleep(0.01)
    seen = time.monotonic() - begin
    return Row("start to ready, one API process", f"{seen:.1f} s", "< 2 s", seen < 2)


async def _measured(mypay: Installation, port: int) -> list[Row]:
    families = _families(mypay)
    connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
    try:
        await _full_page_images(connection, "off")
        first = await _read(connection, mypay, families)
        await asyncio.sleep(IDLE_S)
        idle = await _read(connection, mypay, families)
        found = await asyncio.to_thread(measure, port, mypay.api_key, rate=RATE, seconds=SECONDS)
        await asyncio.to_thread(lambda: asyncio.run(spans.all_succeeded(mypay, limit_s=120)))
        await asyncio.sleep(2)  # the relay's bookmark, statistics
        last = await _read(connection, mypay, families)
    finally:
        await _full_page_images(connection, "on")
        await connection.close()
    share = (last.at - idle.at) / (idle.at - first.at)  # of the idle spending that the loaded time holds
    count = found["statuses"].get("201", 0)
    return [
        *_written(first, idle, last, share, count),
        *_cpu(first, idle, last, share, count),
        *_idle(first, idle, families),
    ]


def _written(first: Reading, idle: Reading, last: Reading, share: float, count: int) -> Iterator[Row]:
    written = (last.rows - idle.rows - (idle.rows - first.rows) * share) / count
    logged = (last.wal_bytes - idle.wal_bytes - (idle.wal_bytes - first.wal_bytes) * share) / count / 1024
    what = f"per plain payment ({count} at {RATE}/s)"
    yield Row(f"row writes {what}", f"{written:.1f}", "≤ 14", written <= 14)
    yield Row(f"WAL without full-page images {what}", f"{logged:.1f} KB", "≤ 13 KB", logged <= 13)
    carried = (last.kafka_bytes - idle.kafka_bytes) / count / 1024
    yield Row(f"bytes in Kafka's logs {what}", f"{carried:.1f} KB")


def _cpu(first: Reading, idle: Reading, last: Reading, share: float, count: int) -> Iterator[Row]:
    spent = {
        stage: (last.cpu_s[stage] - idle.cpu_s[stage] - (idle.cpu_s[stage] - first.cpu_s[stage]) * share) / count * 1e3
        for stage in STAGES
    }
    shown = ", ".join(f"{stage} {max(0.0, ms):.1f}" for stage, ms in spent.items())
    yield Row(f"CPU ms per plain payment, at {RATE}/s", f"{sum(spent.values()):.1f}: {shown}")


def _idle(first: Reading, idle: Reading, families: Mapping[str, list[int]]) -> Iterator[Row]:
    seconds = idle.at - first.at
    percent = {stage: (idle.cpu_s[stage] - first.cpu_s[stage]) / seconds * 100 for stage in STAGES}
    total = sum(percent.values())
    shown = ", ".join(f"{stage} {value:.1f}" for stage, value in percent.items())
    yield Row("idle CPU, a worker process for each role", f"{total:.1f} % of a core: {shown}")
    memory = {stage: sum(map(pss_mb, pids)) for stage, pids in families.items()}
    shown = ", ".join(f"{stage} {value:.0f}" for stage, value in memory.items())
    yield Row("memory (PSS), a worker process for each role", f"{sum(memory.values()):.0f} MB: {shown}")


# --- Reading ----------------------------------------------------------------------------------------------------------


async def _read(connection: asyncpg.Connection, mypay: Installation, families: Mapping[str, list[int]]) -> Reading:
    await connection.execute("select pg_stat_clear_snapshot()")
    return Reading(
        time.monotonic(),
        {stage: sum(map(_cpu_s, pids)) for stage, pids in families.items()},
        await connection.fetchval(_ROWS),
        int(await connection.fetchval(_WAL)),
        _kafka_bytes(mypay.environment["KAFKA_PREFIX"]),
    )


async def _full_page_images(connection: asyncpg.Connection, word: str) -> None:
    await connection.execute(f"alter system set full_page_writes = {word}")
    await connection.execute("select pg_reload_conf()")


def _families(mypay: Installation) -> dict[str, list[int]]:
    """The processes of each stage. PostgreSQL's are counted at their postmaster and its children, anew each time."""
    ours = {"API" if name == "api" else name: handle.process.pid for name, handle in mypay.processes.items()}
    run = Path(os.environ[RUN])
    parts = {stage: _process(run / directory) for stage, directory in PARTS.items()}
    return {stage: _tree(pid) for stage, pid in {**ours, **parts}.items() if stage in STAGES}


def _process(directory: Path) -> int:
    """The oldest process whose output goes to the directory: it keeps its log there."""
    processes = (each for each in Path("/proc").iterdir() if each.name.isdecimal())
    return min(int(each.name) for each in processes if _output(each).is_relative_to(directory.resolve()))


def _output(process: Path) -> Path:
    try:
        return (process / "fd/1").readlink()
    except OSError:
        return Path()


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _tree(int(child)))]


def _cpu_s(pid: int) -> float:
    """User and system time of a process, and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) * TICK_S


def _kafka_bytes(prefix: str) -> int:
    logs = Path(os.environ[RUN]).glob(f"kafka/data/{prefix}*/*.log")
    return sum(path.stat().st_size for path in logs)


def main() -> None:
    """Print the rows."""
    begin_run()
    try:
        for row in rows(parts_of_run()):
            print(f"| {row.measure} | {row.seen} | {row.goal} | {row.reached} |", flush=True)
    finally:
        end_run()


if __name__ == "__main__":
    main()
