"""Whether the parts of a worker move: each says so itself, and whoever asks looks from another thread.

A part that has not moved for its limit is stuck. While PostgreSQL is away most parts wait for it, rightly: then only
the loop must move.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

LOOP_EVERY_S: Final = 0.5
LOOP_LIMIT_S: Final = 10.0
PART_LIMIT_S: Final = 45.0  # before the watchdog ends a process for its consumers


class Moving(Protocol):
    """A part: `silent_s` are the seconds since it last moved, None while it need not."""

    @property
    def name(self) -> str: ...
    @property
    def silent_s(self) -> float | None: ...


class Pulse:
    """A part that goes round and round, and beats each time. It need not move before its first beat."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._last: float | None = None

    def beat(self) -> None:
        """It has moved."""
        self._last = time.monotonic()

    @property
    def silent_s(self) -> float | None:
        """Seconds since it last moved."""
        return None if self._last is None else time.monotonic() - self._last


async def beat_of_loop(pulse: Pulse) -> None:
    """For ever: beat as long as the event loop runs."""
    while True:
        pulse.beat()
        await asyncio.sleep(LOOP_EVERY_S)


def stuck(parts: Sequence[Moving], limit_s: float) -> list[str]:
    """The names of those that have not moved for longer."""
    return [part.name for part in parts if (part.silent_s or 0.0) > limit_s]
