"""A copy of every payment, kept by nothing but the topic: each event counts once, and an older one changes nothing."""

import asyncio
import os
import sqlite3

from aiokafka import AIOKafkaConsumer

SETTINGS = {"group_id": "shop", "auto_offset_reset": "earliest", "enable_auto_commit": False}
NEWER = """
insert into objects values (?, ?, ?) on conflict (id) do update set sequence = excluded.sequence, event = excluded.event
 where excluded.sequence > objects.sequence
"""

database = sqlite3.connect(os.environ.get("DATABASE", "shop.db"))
database.execute("create table if not exists seen (event text primary key)")
database.execute("create table if not exists objects (id text primary key, sequence integer, event text)")


def apply(event: str, subject: str, sequence: int, body: str) -> bool:
    """Whether the event was news. What it changes and that it was seen are one transaction."""
    with database:
        if not database.execute("insert or ignore into seen values (?)", [event]).rowcount:
            return False  # a duplicate
        return bool(database.execute(NEWER, [subject, sequence, body]).rowcount)


async def main() -> None:
    """Until it is stopped."""
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
    topic = os.environ.get("TOPIC", "payments.events.test")
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, **SETTINGS) as consumer:
        async for record in consumer:
            ce = {name: value.decode() for name, value in record.headers}
            event, kind, subject, sequence = (ce[f"ce_{name}"] for name in ("id", "type", "subject", "sequence"))
            is_new = apply(event, subject, int(sequence), record.value.decode())
            print("new" if is_new else "old", event, kind, subject, sequence, flush=True)
            await consumer.commit()


asyncio.run(main())
