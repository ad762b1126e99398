"""What the processes say about themselves: their logs hold the spans, the database holds the outcomes."""

import asyncio
import json
from typing import NamedTuple

import asyncpg

from tests.support.installation import Installation


class Percentiles(NamedTuple):
    """Milliseconds."""

    p50: float
    p99: float


def mark(mypay: Installation) -> dict[str, int]:
    """How long each log is now."""
    return {name: len(handle.log.splitlines()) for name, handle in mypay.processes.items()}


def own_overhead(mypay: Installation, *, since: dict[str, int]) -> Percentiles:
    """Claiming and recording, from the worker's spans; with the median of accepting, from the API's queue and commit.

    What a payment waits for the provider, for Kafka and for its turn is not in it.
    """
    worker = [
        line["claim_ms"] + line["record_ms"]
        for line in _lines(mypay, "worker-1", since["worker-1"])
        if line.get("event") == "operation.performed" and line["verb"] == "charge"
    ]
    accept = asyncio.run(_accept_ms(mypay))
    ordered = sorted(each + accept for each in worker)
    return Percentiles(ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)])


async def _accept_ms(mypay: Installation) -> float:
    """Median of `Server-Timing: app` over a few single requests."""
    import httpx

    body = {"amount": 15000, "currency": "LSL", "method": {"type": "mobile_money", "phone": "+26658123000"}}
    found = []
    async with httpx.AsyncClient(base_url=mypay.base_url, trust_env=False) as client:
        for _ in range(50):
            answer = await client.post("/v1/payments", json=body, headers=mypay.headers())
            found.append(float(answer.headers["server-timing"].split("app;dur=")[1].split(",")[0]))
            await asyncio.sleep(0.02)
    return sorted(found)[len(found) // 2]


async def all_succeeded(mypay: Installation, *, limit_s: float) -> None:
    """Wait until no payment is open."""
    connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
    try:
        async with asyncio.timeout(limit_s):
            while await connection.fetchval("select exists (select 1 from payments where status <> 'succeeded')"):
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


def _lines(mypay: Installation, process: str, since: int) -> list[dict[str, object]]:
    lines = mypay.processes[process].log.splitlines()[since:]
    return [json.loads(line) for line in lines if line.startswith("{")]
