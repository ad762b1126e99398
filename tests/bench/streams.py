"""Events out: 1 000 open streams on one API process, and how long events take to a stream and to the topic."""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]

from gateway import ids
from gateway.sealing import Sealer
from gateway.store import engine
from gateway.store.accounts import Configuration
from streams import topics
from streams.access import access
from tests.bench.load import measure, summary
from tests.bench.report import Row, family, pss_mb
from tests.support.installation import Installation, installation
from tests.support.parts import Parts, begin_run, end_run, parts_of_run

STREAMS = 1_000
OF_ONE_KEY = 10
PAYMENTS_PER_S = 34  # three events each
SECONDS = 15


def rows(parts: Parts) -> Iterator[Row]:
    """All of it."""
    with (
        tempfile.TemporaryDirectory() as place,
        installation(parts, Path(place), workers=1, pace=1.0) as mypay,
    ):
        measure(int(mypay.environment["API_PORT"]), mypay.api_key, rate=20, seconds=3, wait_s=10)  # warm
        yield from asyncio.run(_measure(mypay))


async def _measure(mypay: Installation) -> list[Row]:
    keys = [mypay.api_key, *await _keys(mypay, STREAMS // OF_ONE_KEY - 1)]
    before = _memory(mypay)
    arrived: dict[str, float] = {}
    published: dict[str, float] = {}
    async with _streams(mypay, keys, arrived), _topic(mypay, published):
        opened = _memory(mypay)
        since = time.time()
        load = {"rate": PAYMENTS_PER_S, "seconds": SECONDS}
        port = int(mypay.environment["API_PORT"])
        await asyncio.to_thread(measure, port, mypay.api_key, **load)
        await asyncio.sleep(3)
        after = _memory(mypay)
    made = await _made(mypay, since)
    grown = f"{before:.0f} MB before, {opened:.0f} MB with them open, {after:.0f} MB after {len(made)} events"
    return [
        Row(f"memory (PSS) of the API process, {STREAMS} streams", grown, "flat while open", after < opened + 10),
        _waits("event made → seen on a stream, 100 events/s", made, arrived, ""),
        _waits("event made → on the topic, 100 events/s", made, published, "p50 ≤ 20 ms"),
    ]


def _memory(mypay: Installation) -> float:
    """Of the one server process of the API, in MB."""
    _, server = family(mypay.processes["api"].process.pid)
    return pss_mb(server)


def _waits(measure: str, made: dict[str, float], seen: dict[str, float], goal: str) -> Row:
    found = summary([seen[one] - at for one, at in made.items() if one in seen], Counter(), SECONDS)
    missing = f", {len(made.keys() - seen.keys())} never" if made.keys() - seen.keys() else ""
    shown = f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms{missing}"
    return Row(measure, shown, goal, found["p50_ms"] <= 20 if goal else None)


async def _keys(mypay: Installation, count: int) -> list[str]:
    """A key each of so many merchants."""
    own = engine.create(mypay.settings.database_uri)
    try:
        configuration = Configuration(own, Sealer(mypay.settings.key("seal")))
        keys = []
        for number in range(count):
            merchant = await configuration.create_merchant(f"shop {number}")
            keys.append((await configuration.create_api_key(merchant.id, livemode=False, name="bench"))[1])
        return keys
    finally:
        await own.dispose()


@asynccontextmanager
async def _streams(mypay: Installation, keys: list[str], arrived: dict[str, float]) -> AsyncIterator[None]:
    """The streams, open and read; when each event came to the last of those that get it."""
    opened = [await _open(mypay, key) for key in keys for _ in range(OF_ONE_KEY)]
    reading = [asyncio.create_task(_read(reader, arrived)) for reader, _ in opened]
    try:
        yield
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for _, writer in opened:
            writer.close()


async def _open(mypay: Installation, key: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(mypay.environment["API_PORT"]))
    writer.write(f"GET /v1/events/stream HTTP/1.1\r\nHost: mypay\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readuntil(b"retry: ")
    return reader, writer


async def _read(reader: asyncio.StreamReader, arrived: dict[str, float]) -> None:
    while line := await reader.readline():
        if line.startswith(b"id: "):
            arrived[line[4:].decode().strip()] = time.time()


@asynccontextmanager
async def _topic(mypay: Installation, published: dict[str, float]) -> AsyncIterator[None]:
    consumer: Any = AIOKafkaConsumer(topics.physical(mypay.settings, topics.EVENTS_TEST), **access(mypay.settings))
    await consumer.start()

    async def note() -> None:
        async for record in consumer:
            published.setdefault(dict(record.headers)["ce_id"].decode(), time.time())

    noting = asyncio.create_task(note())
    try:
        yield
    finally:
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)
        await consumer.stop()


async def _made(mypay: Installation, since: float) -> dict[str, float]:
    """When each event was made, by the clock of the process that made it, a moment before its commit."""
    connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
    try:
        found = await connection.fetch("select id, created_at from events where created_at >= to_timestamp($1)", since)
    finally:
        await connection.close()
    return {ids.show(ids.EVENT, row["id"]): row["created_at"].timestamp() for row in found}


def main() -> None:
    """These rows alone: `python -m tests.bench.streams`."""
    begin_run()
    try:
        for row in rows(parts_of_run()):
            print(json.dumps([row.measure, row.seen, row.goal, row.reached], ensure_ascii=False))
    finally:
        end_run()


if __name__ == "__main__":
    main()
