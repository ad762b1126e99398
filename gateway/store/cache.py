"""A small read-through cache with a short age: one read at a time per key, whoever else asks meanwhile shares it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ENTRIES_MAX: Final = 50_000


class Cache(Generic[K, V]):
    """Values at most `age_s` seconds old. `read(key)` fetches one; its errors reach everybody who waits for it."""

    def __init__(self, read: Callable[[K], Awaitable[V]], *, age_s: float) -> None:
        self._read, self._age_s = read, age_s
        self._values: dict[K, tuple[float, V]] = {}
        self._reading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, *, fresh: bool = False) -> V:
        """The value, read now if it is too old or if `fresh` asks for it."""
        known = self._values.get(key)
        if known is not None and not fresh and time.monotonic() < known[0]:
            return known[1]
        if fresh or key not in self._reading:
            self._reading[key] = asyncio.create_task(self._refresh(key))
        return await asyncio.shield(self._reading[key])

    async def _refresh(self, key: K) -> V:
        try:
            value = await self._read(key)
        finally:
            self._reading.pop(key, None)
        if len(self._values) >= ENTRIES_MAX:
            self._values.clear()
        self._values[key] = (time.monotonic() + self._age_s, value)
        return value
