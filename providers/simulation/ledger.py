"""The ledger of a simulator: an append-only file of JSON lines, fsynced before anything is answered.

Each line is `[kind, entry]`. The kinds that tests read are `requests`, `charges`, `authorizations`, `refunds` and
`payouts`; `state` is the simulator's memory. Many requests share one fsync.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

KINDS: Final = ("requests", "charges", "authorizations", "refunds", "payouts")

Entry = dict[str, Any]


class Ledger:
    """What a simulator did, in a file, and an index of it by payment and by reference."""

    def __init__(self, path: Path) -> None:
        """Open or create; a last line that a crash cut off is removed."""
        self._path = path
        self._index: defaultdict[str, list[bytes]] = defaultdict(list)
        self._unwritten: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def replay(self) -> Iterator[tuple[str, Entry]]:
        """Everything that was written before this process, in order. To be read once, before the first `append`."""
        whole = 0
        for line in self._path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            kind, entry = msgspec.json.decode(line)
            self._remember(kind, entry, line)
            yield kind, entry
        os.ftruncate(self._file, whole)

    def append(self, kind: str, entry: Entry) -> None:
        """Note a fact. It is on disk when a later `synced` returns."""
        line = msgspec.json.encode([kind, entry]) + b"\n"
        self._remember(kind, entry, line)
        self._unwritten.append(line)

    async def synced(self) -> None:
        """Wait until everything appended so far is on disk. Raises `OSError` when it cannot be written."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await waiter

    def find(self, *, payment: str | None = None, reference: str | None = None) -> dict[str, list[Entry]]:
        """The entries of a payment or of a reference, by kind, in order."""
        lines = self._index[f"payment {payment}"] if payment else self._index[f"reference {reference}"]
        found: dict[str, list[Entry]] = {kind: [] for kind in KINDS}
        for line in lines:
            kind, entry = msgspec.json.decode(line)
            found[kind].append(entry)
        return found

    async def aclose(self) -> None:
        """Close the file. What nobody waited for may be lost."""
        if self._writer is not None:
            await self._writer
        os.close(self._file)

    def _remember(self, kind: str, entry: Entry, line: bytes) -> None:
        if kind not in KINDS:
            return
        for key in ("payment", "reference"):
            if entry.get(key):
                self._index[f"{key} {entry[key]}"].append(line)

    async def _write(self) -> None:
        while self._waiting:
            lines, self._unwritten = self._unwritten, []
            waiting, self._waiting = self._waiting, []
            error = await asyncio.to_thread(self._store, b"".join(lines))
            for waiter in waiting:
                if waiter.done():
                    continue
                waiter.set_exception(error) if error else waiter.set_result(None)

    def _store(self, data: bytes) -> OSError | None:
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fdatasync(self._file)
        except OSError as error:
            return error
        return None
