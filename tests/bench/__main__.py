"""`make bench`: one run, one table, written to docs/benchmarks.md with the machine and the versions.

Real PostgreSQL, Apache Kafka and Valkey of the tests' parts; every server and the load generator are processes of
their own on this machine. Nothing here is a test: figures are written down as they come.
"""

import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench import controls, cost, flusher, reading, report, spans, streams, webhooks
from tests.bench.load import measure
from tests.bench.report import Row
from tests.bench.servers import MYPAY, server, shown
from tests.support.installation import Installation, installation
from tests.support.parts import Parts, begin_run, end_run, fresh_database, parts_of_run

CONNECTIONS = (1, 16, 64, 256)
SECONDS = 6.0

SERVERS = {
    "a: no database": "tests.bench.alternatives:ceiling_app",
    "b: transaction per request, pool of 16": "tests.bench.alternatives:transaction_app",
    "c: MyPay": MYPAY,
}


def main() -> None:
    """Measure everything and write the page."""
    begin_run()
    try:
        parts = parts_of_run()
        rows = [*_accept(parts), *_flusher(parts), *_end_to_end(parts), *webhooks.rows(parts), *streams.rows(parts)]
        rows += [*controls.rows(parts, seconds=SECONDS), *reading.rows(parts), *cost.rows(parts)]
    finally:
        end_run()
    report.write(Path("docs/benchmarks.md"), rows, machine())
    print(Path("docs/benchmarks.md").read_text(encoding="utf-8"))


def machine() -> dict[str, str]:
    """Where and with what this was measured."""
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    packages = ("litestar", "granian", "uvloop", "msgspec", "asyncpg", "aiokafka", "faststream", "httpx")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{processor}, {len(os.sched_getaffinity(0))} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "parts": "PostgreSQL 18.4 (fsync on), Apache Kafka 4.4.0, Valkey 9.1, all on the same machine",
        "command": "make bench",
    }


# --- Accepting ------------------------------------------------------------------------------------------------------


def _accept(parts: Parts) -> Iterator[Row]:
    rates: dict[str, dict[int, float]] = {}
    for name, target in SERVERS.items():
        with server(parts, target) as (made, port):
            for connections in CONNECTIONS:
                found = measure(port, made.api_key, connections=connections, seconds=SECONDS)
                rates.setdefault(name[0], {})[connections] = found["per_second"]
                yield Row(f"accept, {name}, {connections} connections", shown(found))
    ratio_a, ratio_b = rates["c"][64] / rates["a"][64], rates["c"][64] / rates["b"][64]
    yield Row("accept, fsynced: c ÷ a, 64 connections", f"{ratio_a:.2f}", "≥ 0.55", ratio_a >= 0.55)
    yield Row("accept: c ÷ b, 64 connections", f"{ratio_b:.2f}", "≥ 3", ratio_b >= 3)


def _flusher(parts: Parts) -> Iterator[Row]:
    with fresh_database(parts) as uri:
        batched, single = asyncio.run(flusher.compare(parts, uri, seconds=SECONDS))
    ratio = batched / single
    yield Row("flusher without HTTP, 64 at once", f"{batched:.0f}/s")
    yield Row("batches of one on a pool of 16", f"{single:.0f}/s")
    yield Row("flusher ÷ batches of one", f"{ratio:.2f}", "≥ 3", ratio >= 3)


# --- From POST to succeeded -----------------------------------------------------------------------------------------


def _end_to_end(parts: Parts) -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory() as place,
        installation(parts, Path(place), workers=1, pace=1.0) as mypay,
    ):
        port = int(mypay.environment["API_PORT"])
        measure(port, mypay.api_key, rate=20, seconds=3, wait_s=10)  # warm
        yield from _latency(mypay, port)
        yield from _throughput(mypay, port)
        for name, pss in report.memory(mypay):
            yield Row(f"memory (PSS), {name}", f"{pss:.0f} MB", "< 150 MB", pss < 150)


def _latency(mypay: Installation, port: int) -> Iterator[Row]:
    marker = spans.mark(mypay)
    found = measure(port, mypay.api_key, rate=50, seconds=30, wait_s=10)
    fine = found["p50_ms"] <= 30 and found["p99_ms"] <= 100
    yield Row("POST → succeeded, 50/s, sandbox at 0 ms", shown(found), "p50 ≤ 30 ms, p99 ≤ 100 ms", fine)
    own = spans.own_overhead(mypay, since=marker)
    yield Row(
        "own work per payment (accept + claim + record)",
        f"p50 {own.p50:.1f} ms, p99 {own.p99:.1f} ms",
        "p50 < 10 ms, p99 < 25 ms",
        own.p50 < 10 and own.p99 < 25,
    )


def _throughput(mypay: Installation, port: int) -> Iterator[Row]:
    payments = 6000
    begin = time.monotonic()
    measure(port, mypay.api_key, count=payments, connections=64)
    accepted = time.monotonic()
    asyncio.run(spans.all_succeeded(mypay, limit_s=300))
    rate = payments / (time.monotonic() - begin)
    yield Row(f"accepting {payments} while workers run", f"{payments / (accepted - begin):.0f}/s")
    yield Row(f"end to end, {payments} payments, everything on this machine", f"{rate:.0f}/s", "≥ 300/s", rate >= 300)


if __name__ == "__main__":
    main()
