"""Everything an installation writes down or shows its operator, as text to be searched: all of it, as it is."""

import asyncio
import re
from collections.abc import Iterator

import asyncpg
import httpx
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from redis.asyncio import Redis

from gateway.settings import Settings
from streams import topics
from streams.access import access
from tests.streams.support import read_topic
from tests.support.installation import Installation

_NOT_A_LEAF = "select 1 from pg_inherits where inhparent = c.oid"
TABLES = f"""
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'public' and c.relkind = 'r' and not exists ({_NOT_A_LEAF})
"""


def sinks(mypay: Installation) -> dict[str, str]:
    """By name: tables (bytes as hexadecimal and, where they are text, as text), topics, Redis, logs, metrics."""
    found = asyncio.run(_stored(mypay.settings))
    found |= {f"log {name}": handle.log for name, handle in mypay.processes.items() if name != "simulators"}
    return {**found, "metrics": httpx.get(f"{mypay.base_url}/metrics").text}


async def _stored(settings: Settings) -> dict[str, str]:
    return {**await _tables(settings), **await _topics(settings), "redis": await _redis(settings)}


async def _tables(settings: Settings) -> dict[str, str]:
    connection = await asyncpg.connect(settings.database_uri)
    try:
        names = [row["relname"] for row in await connection.fetch(TABLES)]
        return {
            f"table {name}": "\n".join(map(_shown, await connection.fetch(f'select * from "{name}"'))) for name in names
        }
    finally:
        await connection.close()


def _shown(row: asyncpg.Record) -> str:
    return "\t".join(text for value in row.values() for text in _forms(value))


def _forms(value: object) -> Iterator[str]:
    yield value.hex() if isinstance(value, bytes) else str(value)
    if isinstance(value, bytes):
        yield value.decode(errors="replace")


async def _topics(settings: Settings) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**access(settings))
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(settings.kafka_prefix)]
    finally:
        await admin.close()
    found = {}
    for name in sorted(names):
        records = await read_topic(settings, topics.logical(settings, name))
        parts = [(each.key or b"", each.value or b"", repr(each.headers).encode()) for each in records]
        found[f"topic {name}"] = b"\n".join(b" ".join(each) for each in parts).decode(errors="replace")
    return found


async def _redis(settings: Settings) -> str:
    async with Redis(host=settings.redis_host, port=settings.redis_port) as client:
        return "\n".join([repr((key, await client.dump(key))) async for key in client.scan_iter()])


def holds(text: str, canary: str) -> bool:
    """Whether the canary is there: as it is, or as the hexadecimal of its bytes."""
    return re.search(canary, text) is not None or canary.encode().hex() in text
