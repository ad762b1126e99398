"""Collecting the evidence: the database by plain SQL, consumer groups by Kafka's admin protocol, into files.

Afterwards the evidence directory holds everything that the judgement is made from::

    history.jsonl     what the clients did and saw
    hooks.jsonl       what the merchant's server for webhooks got
    observed.jsonl    what a consumer of the events' topic got
    streamed.jsonl    what a client of the event stream got
    <simulator>.jsonl the simulators' own fsynced ledgers
    payments.jsonl …  the tables, dumped here
    run.json          what was done to the installation
"""

import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]

TABLES = {
    "payments": """
        select id, kind, merchant_id, livemode, status, amount, currency, amount_captured, amount_refunded, provider,
               provider_reference, reference, sequence, expires_at, created_at, updated_at,
               failure->>'code' as failure, review->>'reason' as review,
               details->'metadata'->>'case' as "case" from payments""",
    "refunds": """
        select id, payment_id, status, amount, currency, provider, provider_reference, sequence, created_at,
               failure->>'code' as failure, review->>'reason' as review from refunds""",
    "operations": """
        select id, payment_id, verb, state, amount, currency, reference, provider_reference, target_id, fence, sends,
               queries, owner, lease_until, sent_at, answered_at, next_publish_at, next_query_at, created_at,
               evidence->>'source' as source, evidence->'outcome'->>'type' as outcome from operations""",
    "events": """
        select id, object_id, root_id, type, sequence, position, md5(body) as digest, created_at from events""",
    "idempotency_keys": "select merchant_id, livemode, root_id, key, object_id from idempotency_keys",
    "callbacks": "select id, provider, operation_id, state, result, received_at, publishes from callbacks",
    "dead_letters": "select topic, partition, \"offset\", convert_from(value, 'UTF8') as value from dead_letters",
    "relay": "select next_position, published_position, fence from relay",
}


async def dump(database_uri: str, directory: Path) -> None:
    """Write every table to a file, as it is in one snapshot."""
    connection = await asyncpg.connect(database_uri)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, query in TABLES.items():
                with (directory / f"{name}.jsonl").open("w", encoding="utf-8") as file:
                    async for row in connection.cursor(query, prefetch=2000):
                        file.write(json.dumps(dict(row), default=_plain) + "\n")
    finally:
        await connection.close()


async def offsets(servers: str, group_prefix: str) -> dict[str, tuple[int, int]]:
    """What each consumer group has committed, and where its partition ends, by "group topic partition"."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await admin.start()
    await consumer.start()
    try:
        groups = [name for name, _ in await admin.list_consumer_groups() if name.startswith(group_prefix)]
        found = {}
        for group in groups:
            committed = await admin.list_consumer_group_offsets(group)
            ends = await consumer.end_offsets(list(committed))
            for place, offset in committed.items():
                found[f"{group} {place.topic} {place.partition}"] = (offset.offset, ends[place])
        return found
    finally:
        await consumer.stop()
        await admin.close()


async def uncommitted(servers: str, topics_prefix: str) -> dict[str, int]:
    """Records in the consumed topics; for the report."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    try:
        names = [name for name in await consumer.topics() if name.startswith(topics_prefix)]
        places = [TopicPartition(name, n) for name in names for n in consumer.partitions_for_topic(name) or ()]
        ends = await consumer.end_offsets(places)
        return {f"{place.topic} {place.partition}": end for place, end in ends.items()}
    finally:
        await consumer.stop()


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
