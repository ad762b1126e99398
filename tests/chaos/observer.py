"""A downstream system: reads the topic of events all run long, and writes down what it got, in order.

A broker that was wiped begins a new log, which the observer reads from its beginning.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]

LIMIT_S = 15.0


class Observer:
    """Consumes one topic without a group. `generation()` tells how often the broker was wiped."""

    def __init__(self, servers: str, topic: str, file: Path, generation: Callable[[], int]) -> None:
        self._servers, self._topic, self._generation = servers, topic, generation
        self._file = file.open("a", encoding="utf-8", buffering=1 << 16)
        self._next: dict[int, int] = {}
        self._log = -1
        self.records = 0
        self.errors: Counter[str] = Counter()
        self.at_end = False  # everything that the topic held at the last poll has been read

    async def run(self) -> None:
        """For ever, whatever happens to the broker."""
        while True:
            try:
                await self._follow(self._generation())
            except Exception as error:  # noqa: BLE001 - the broker is killed, wiped and lied about: whatever it is, go on
                self.errors[type(error).__name__] += 1
                await asyncio.sleep(0.5)

    async def _follow(self, log: int) -> None:
        if log != self._log:
            self._log, self._next = log, {}
        consumer = AIOKafkaConsumer(
            self._topic, bootstrap_servers=self._servers, auto_offset_reset="earliest", metadata_max_age_ms=5000
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                await consumer.start()
            for place in consumer.assignment():
                consumer.seek(place, self._next.get(place.partition, 0))
            moved = time.monotonic()
            # A consumer may be wedged without a word: one that is behind and gets nothing is replaced.
            while log == self._generation() and time.monotonic() - moved < LIMIT_S:
                before = self.records
                async with asyncio.timeout(LIMIT_S):  # `wait_for` of 3.11 may swallow a cancellation
                    await self._read(consumer, log)
                if self.at_end or self.records > before:
                    moved = time.monotonic()
        finally:
            # In a task of its own: aiokafka raises a CancelledError at whoever stops it between two tries.
            await asyncio.wait([asyncio.create_task(consumer.stop())], timeout=LIMIT_S)

    async def _read(self, consumer: AIOKafkaConsumer, log: int) -> None:
        found = await consumer.getmany(timeout_ms=300)
        if log != self._generation():
            return
        for place, records in found.items():
            for record in records:
                self._note(log, place.partition, record)
        ends = await consumer.end_offsets(consumer.assignment())
        self.at_end = bool(ends) and all(self._next.get(place.partition, 0) >= end for place, end in ends.items())

    def _note(self, log: int, partition: int, record: object) -> None:
        headers = {name: value.decode() for name, value in record.headers}  # type: ignore[attr-defined]
        self._next[partition] = record.offset + 1  # type: ignore[attr-defined]
        self.records += 1
        body = json.loads(record.value or b"{}")  # type: ignore[attr-defined]
        line = {
            "log": log,
            "partition": partition,
            "offset": record.offset,  # type: ignore[attr-defined]
            "key": (record.key or b"").decode(),  # type: ignore[attr-defined]
            "id": headers.get("ce_id"),
            "type": headers.get("ce_type"),
            "sequence": int(headers.get("ce_sequence", 0)),
            "digest": hashlib.md5(record.value or b"").hexdigest(),  # type: ignore[attr-defined]
            "object": _shown(body.get("data", {}).get("object", {})),
        }
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Flush."""
        self._file.close()


def _shown(thing: dict[str, Any]) -> dict[str, Any]:
    """What a subscriber needs to know of a payment."""
    shown = {name: thing.get(name) for name in ("status", "amount", "amount_captured", "amount_refunded", "sequence")}
    failure, review = thing.get("failure") or {}, thing.get("review") or {}
    return {**shown, "failure": failure.get("code"), "review": review.get("reason")}
