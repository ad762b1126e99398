"""A load generator: closed loop over N connections, or open loop at a rate. One process of its own, one JSON line out.

    python -m tests.bench.load --port 5000 --key sk_test_… --connections 64 --seconds 5      closed loop
    python -m tests.bench.load --port 5000 --key sk_test_… --rate 50 --seconds 30 --wait 10    open loop

It writes prebuilt bytes and reads only status and length, so that it costs the machine little beside the server.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop

BODY = (
    b'{"amount":15000,"currency":"LSL","method":{"type":"mobile_money","phone":"+26658123000"},'
    b'"description":"Order %d","reference":"order-%d","metadata":{"cart":"77","table":"4"},'
    b'"customer":{"name":"Thabo Mokoena","email":"thabo@example.com"}}'
)


def post_payment(api_key: str, wait_s: int = 0) -> Callable[[int], bytes]:
    """Makes the bytes of the n-th POST /v1/payments, each with an idempotency key of its own."""
    run = uuid.uuid4().hex
    prefer = b"Prefer: wait=%d\r\n" % wait_s if wait_s else b""
    head = (
        b"POST /v1/payments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + api_key.encode() + b"\r\n" + prefer
    )

    def request(n: int) -> bytes:
        body = BODY % (n, n)
        return head + b"Idempotency-Key: %s-%d\r\nContent-Length: %d\r\n\r\n" % (run.encode(), n, len(body)) + body

    return request


def get(api_key: str, paths: Sequence[str]) -> Callable[[int], bytes]:
    """Makes the bytes of the n-th GET, of these paths in turn."""
    head = b"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + api_key.encode() + b"\r\n\r\n"
    requests = [b"GET " + path.encode() + b" " + head for path in paths]
    return lambda n: requests[n % len(requests)]


class Connection(asyncio.Protocol):
    """One keep-alive connection: send, then wait for a whole response."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        start = head.find(b"content-length:")
        length = int(head[start + 15 : (head + b"\r\n").find(b"\r\n", start)])
        if len(self._buffer) >= end + 4 + length:
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = b""
            if self._answer is not None:
                self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("closed"))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


async def connect(port: int) -> Connection:
    """A connection to the local port."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def closed_loop(
    port: int, request: Callable[[int], bytes], connections: int, seconds: float, count: int
) -> dict[str, Any]:
    """Every connection sends as soon as it has its answer: for so long, or so many in all."""
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    numbers = iter(range(count))
    begin = time.perf_counter()

    async def one(connection: Connection) -> None:
        for number in numbers:
            if (sent := time.perf_counter()) >= begin + seconds:
                return
            status, _ = await connection.send(request(number))
            latencies.append(time.perf_counter() - sent)
            statuses[status] += 1

    opened = [await connect(port) for _ in range(connections)]
    begin = time.perf_counter()
    await asyncio.gather(*map(one, opened))
    return summary(latencies, statuses, time.perf_counter() - begin)


async def open_loop(
    port: int, request: Callable[[int], bytes], rate: float, seconds: float, connections: int
) -> dict[str, Any]:
    """A request every 1/rate seconds, whether or not the ones before were answered; latency from its due time.

    `connections` are open from the start, and more where all of them wait.
    """
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    outcomes: Counter[str] = Counter()
    idle = [await connect(port) for _ in range(connections)]
    begin = time.perf_counter()

    async def one(n: int) -> None:
        due = begin + n / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = idle.pop(0) if idle else await connect(port)
        status, body = await connection.send(request(n))
        latencies.append(time.perf_counter() - due)
        statuses[status] += 1
        outcomes[json.loads(body).get("status", "?")] += 1
        idle.append(connection)

    await asyncio.gather(*(one(n) for n in range(int(rate * seconds))))
    return {**summary(latencies, statuses, time.perf_counter() - begin), "outcomes": dict(outcomes)}


def summary(latencies: list[float], statuses: Counter[int], seconds: float) -> dict[str, Any]:
    """Rate, and percentiles in milliseconds."""
    ordered = sorted(latencies)

    def percentile(p: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * p))] * 1e3, 2) if ordered else 0.0

    return {
        "per_second": round(len(ordered) / seconds, 1),
        "p50_ms": percentile(0.5),
        "p99_ms": percentile(0.99),
        "statuses": {str(status): count for status, count in statuses.items()},
    }


def measure(port: int, key: str, **options: Any) -> dict[str, Any]:
    """Run one measurement in a process of its own; the options are those of the command (`wait_s`: `--wait`)."""
    argv = [sys.executable, "-m", "tests.bench.load", "--port", str(port), "--key", key]
    for name, value in options.items():
        argv += [f"--{name.removesuffix('_s')}", str(value)]
    found: dict[str, Any] = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--wait", type=int, default=0)
    parser.add_argument("--paths", type=Path, help="GET these instead, one a line")
    given = parser.parse_args()
    paths = given.paths.read_text().splitlines() if given.paths else []
    request = get(given.key, paths) if paths else post_payment(given.key, given.wait)
    work = (
        open_loop(given.port, request, given.rate, given.seconds, given.connections)
        if given.rate
        else closed_loop(given.port, request, given.connections, given.seconds, given.count)
    )
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
