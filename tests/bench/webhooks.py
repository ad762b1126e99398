"""Webhooks: how fast positions and deliveries are made, how fast they are sent, and whether one that hangs is felt.

The receiver is a process of its own (`tests.bench.receiver`).
"""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from gateway import ids
from gateway.processes import free_port
from gateway.store.database import create_pool
from streams.relay import ASSIGN, PLAN, TAKE
from tests.bench.load import measure, summary
from tests.bench.report import Row
from tests.support.installation import Installation, installation
from tests.support.parts import Parts, fresh_database, installation_settings

EVENTS = 20_000
QUEUED = 10_000
LEASE = timedelta(minutes=10)

INSERT_EVENTS = """
insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, created_at)
select (left($1::uuid::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, $2, false, $2, $2, $3, 1,
       convert_to('{"note":"' || repeat('x', 880) || '"}', 'UTF8'), now()
  from generate_series(1, $4)
"""


def rows(parts: Parts) -> Iterator[Row]:
    """All of it."""
    yield from _positions(parts)
    yield from _deliveries(parts)


def _positions(parts: Parts) -> Iterator[Row]:
    for endpoints in (0, 1, 3):
        with fresh_database(parts) as uri:
            rate = asyncio.run(_assign(parts, uri, endpoints))
        goal = "≥ 9000/s (3 for each of 3000 payments/s)"
        yield Row(f"positions given, {endpoints} endpoints of each event", f"{rate:.0f}/s", goal, rate >= 9000)


async def _assign(parts: Parts, uri: str, endpoints: int) -> float:
    async with await create_pool(installation_settings(parts, uri), size=1) as pool, pool.acquire() as connection:
        merchant = ids.new()
        await connection.execute("insert into merchants (id, name) values ($1, 'shop')", merchant)
        for _ in range(endpoints):
            await _insert_endpoint(connection, merchant)
        await connection.execute(INSERT_EVENTS, ids.new(), merchant, "payment.created", EVENTS)
        fence = await connection.fetchval(TAKE, "bench", LEASE)
        await connection.execute(PLAN)
        statement = await connection.prepare(ASSIGN)
        begin = time.perf_counter()
        while await statement.fetch(fence, LEASE, 0):
            pass
        return EVENTS / (time.perf_counter() - begin)


async def _insert_endpoint(connection: Any, merchant: object) -> None:
    sql = """
    insert into webhook_endpoints (id, merchant_id, livemode, url, events, status, sealed, created_at, updated_at)
    values ($1, $2, false, 'https://shop.example', '{payment.*}', 'enabled', '', now(), now())
    """
    await connection.execute(sql, ids.new(), merchant)


# --- A whole installation -------------------------------------------------------------------------------------------


def _deliveries(parts: Parts) -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory() as place,
        installation(parts, Path(place), workers=1, pace=1.0) as mypay,
        _receiver() as port,
    ):
        _endpoint(mypay, f"http://127.0.0.1:{port}/", ["payment.succeeded"])
        measure(int(mypay.environment["API_PORT"]), mypay.api_key, rate=20, seconds=3, wait_s=10)  # warm
        yield _rate(mypay, port)
        yield _latency(mypay, port)
        yield _hanging(mypay, port)


def _latency(mypay: Installation, port: int) -> Row:
    """Callbacks at 100/s (phone …001 is settled by one), from the callback's row to the receiver."""
    _seen(port)
    asyncio.run(_pay(mypay, rate=100, seconds=10))
    arrived = _wait(port, 1000)
    called = asyncio.run(_called(mypay))
    waits = [at - called[payment] for payment, at in arrived.items() if payment in called]
    found = summary(waits, {}, 10)  # type: ignore[arg-type]
    fine = found["p50_ms"] <= 100 and found["p99_ms"] <= 1000
    shown = f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms ({len(waits)} callbacks)"
    return Row("callback in → webhook received, 100/s", shown, "p50 ≤ 100 ms, p99 ≤ 1 s", fine)


async def _pay(mypay: Installation, *, rate: float, seconds: float) -> None:
    """An open loop of payments that end by callback."""
    body = {"provider": "sandbox", "amount": 15000, "currency": "LSL"}
    begin = time.perf_counter()
    async with httpx.AsyncClient(base_url=mypay.base_url, timeout=60) as client:

        async def one(number: int) -> None:
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            method = {"type": "mobile_money", "phone": "+26658123001"}
            answer = await client.post("/v1/payments", headers=mypay.headers(), json={**body, "method": method})
            answer.raise_for_status()

        await asyncio.gather(*map(one, range(int(rate * seconds))))


async def _called(mypay: Installation) -> dict[str, float]:
    """When each payment's first callback was received."""
    connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
    try:
        found = await connection.fetch(
            "select o.payment_id, min(c.received_at) as at from callbacks c join operations o on o.id = c.operation_id "
            "group by 1"
        )
    finally:
        await connection.close()
    return {ids.show(ids.PAYMENT, row["payment_id"]): row["at"].timestamp() for row in found}


def _rate(mypay: Installation, port: int) -> Row:
    """Events that are written at once, until the last has arrived."""
    _seen(port)
    begin = time.time()
    asyncio.run(_write(mypay, "payment.succeeded", QUEUED))
    arrived = _wait(port, QUEUED)
    rate = QUEUED / (max(arrived.values()) - begin)
    return Row(f"deliveries, one worker, one endpoint, {QUEUED} at once", f"{rate:.0f}/s", "≥ 500/s", rate >= 500)


def _hanging(mypay: Installation, port: int) -> Row:
    """Another endpoint hangs, with as many waiting for it, while this one gets 50 events a second."""
    _endpoint(mypay, f"http://127.0.0.1:{port}/hang", ["payment.failed"])
    asyncio.run(_write(mypay, "payment.failed", QUEUED))
    _seen(port)
    sent: dict[str, float] = {}

    async def write() -> None:
        connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
        merchant = await connection.fetchval("select merchant_id from webhook_endpoints limit 1")
        for _ in range(1000):
            event_id = ids.new()
            sent[ids.show(ids.EVENT, event_id)] = time.time()
            await connection.execute(
                "insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, created_at) "
                "values ($1, $2, false, $1, $1, 'payment.succeeded', 1, '{}', $3)",
                event_id,
                merchant,
                datetime.now(UTC),
            )
            await asyncio.sleep(0.02)
        await connection.close()

    asyncio.run(write())
    arrived = _wait(port, 1000)
    found = summary([at - sent[name] for name, at in arrived.items() if name in sent], {}, 20)  # type: ignore[arg-type]
    goal = found["p99_ms"] < 1000
    shown = f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms"
    return Row(f"event → webhook, while another endpoint hangs with {QUEUED} queued", shown, "p99 < 1 s", goal)


async def _write(mypay: Installation, kind: str, count: int) -> None:
    connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
    try:
        merchant = await connection.fetchval("select merchant_id from webhook_endpoints limit 1")
        await connection.execute(INSERT_EVENTS, ids.new(), merchant, kind, count)
    finally:
        await connection.close()


def _endpoint(mypay: Installation, url: str, events: list[str]) -> None:
    made = httpx.post(
        f"{mypay.base_url}/v1/webhook_endpoints", headers=mypay.headers(), json={"url": url, "events": events}
    )
    made.raise_for_status()


# --- The receiver ---------------------------------------------------------------------------------------------------


@contextmanager
def _receiver() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.receiver", str(port)])
    try:
        while not _listens(port):
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _seen(port: int) -> dict[str, float]:
    """When each event, or its payment, arrived since this was asked last."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/seen", timeout=30) as answer:
        return dict(json.load(answer))


def _wait(port: int, count: int, limit_s: float = 120) -> dict[str, float]:
    deadline, arrived = time.monotonic() + limit_s, dict[str, float]()
    while len(arrived) < count and time.monotonic() < deadline:
        arrived.update(_seen(port))
        time.sleep(0.2)
    return arrived
