"""Where the time of one request went, for `Server-Timing`: use cases add to it, and know nothing of HTTP.

Outside a request (in a worker) adding has no effect.
"""

from contextvars import ContextVar
from typing import Final

from msgspec import Struct


class Timings(Struct):
    """Seconds that a request spent in the database, and waiting in the accept queue before that."""

    db_s: float = 0.0
    queue_s: float = 0.0


_CURRENT: Final[ContextVar[Timings | None]] = ContextVar("timings", default=None)


def start() -> Timings:
    """Begin to collect for the request that this task serves."""
    timings = Timings()
    _CURRENT.set(timings)
    return timings


def add(*, db_s: float = 0.0, queue_s: float = 0.0) -> None:
    """Add seconds to the current request's timings."""
    timings = _CURRENT.get()
    if timings is not None:
        timings.db_s += db_s
        timings.queue_s += queue_s
