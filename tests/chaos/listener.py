"""A merchant's system on the stream of events: connected all run long, to one API process after another.

It writes down what it got, in order. Whatever ends a connection, the next one begins after the last event that came.
"""

import asyncio
import hashlib
import json
from collections import Counter
from pathlib import Path

from tests.chaos.http_client import Client

SILENCE_S = 20.0  # a comment comes every 15 s
PAUSE_S = 0.3


class Listener:
    """Follows by server-sent events through the ports in turn; `connections` counts them."""

    def __init__(self, ports: list[int], key: str, file: Path) -> None:
        self._ports, self._key = ports, key
        self._file = file.open("a", encoding="utf-8", buffering=1 << 16)
        self._start, self._last = "", ""
        self.connections = 0
        self.seen: set[str] = set()
        self.errors: Counter[str] = Counter()

    async def begin(self) -> None:
        """Note where the feed ends now, before anything happens."""
        client = Client(self._ports[0])
        answer = await client.ask("GET", "/v1/events", {"Authorization": f"Bearer {self._key}"})
        self._start = json.loads(answer.body)["next"]
        client.close()

    async def run(self) -> None:
        """For ever, whatever happens to the processes and the connections."""
        while True:
            try:
                await self._follow(self._ports[self.connections % len(self._ports)])
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.errors[type(error).__name__] += 1
            await asyncio.sleep(PAUSE_S)

    async def _follow(self, port: int) -> None:
        self.connections += 1
        async with asyncio.timeout(SILENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            lines = [f"GET /v1/events/stream?after={self._start} HTTP/1.1", "Host: mypay"]
            lines += [f"Authorization: Bearer {self._key}"]
            lines += [f"Last-Event-ID: {self._last}"] if self._last else []
            writer.write("\r\n".join([*lines, "", ""]).encode())
            fields: dict[str, str] = {}
            while True:
                async with asyncio.timeout(SILENCE_S):
                    line = await reader.readline()
                if not line:
                    raise EOFError
                fields = self._read(line.decode().rstrip("\r\n"), fields)
        finally:
            writer.close()

    def _read(self, line: str, fields: dict[str, str]) -> dict[str, str]:
        """One line; sizes of HTTP's chunks and comments are no fields."""
        name, colon, value = line.partition(": ")
        if colon and name in ("id", "event", "data"):
            return {**fields, name: value}
        if not line and "data" in fields and "id" in fields:
            self._note(fields)
            return {}
        return fields

    def _note(self, fields: dict[str, str]) -> None:
        self._last = fields["id"]
        self.seen.add(self._last)
        digest = hashlib.md5(fields["data"].encode()).hexdigest()
        self._file.write(json.dumps({"id": fields["id"], "type": fields["event"], "digest": digest}) + "\n")

    async def at_end(self, events: int) -> bool:
        """Whether so many different events come within two minutes."""
        for _ in range(240):
            if len(self.seen) >= events:
                return True
            await asyncio.sleep(0.5)
        return False

    def close(self) -> None:
        """Flush."""
        self._file.close()
