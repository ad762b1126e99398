"""The last resort: a process whose consumers are lost ends, so that its supervisor starts a sound one.

A thread, not a task: a blocked event loop runs no tasks. It counts its own ticks instead of comparing times, so that a
process that was frozen (SIGSTOP, a sleeping machine) is not taken for lost when it wakes.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

TICK_S: Final = 1.0
LOST_S: Final = 60.0
EXIT_CODE: Final = 70  # EX_SOFTWARE of sysexits.h

log = structlog.get_logger(__name__)


class Polled(Protocol):
    """Something that proves by `polls`, an ever growing number, that it goes on; None: it need not, now."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    @property
    def polls(self) -> int | None:
        """How often it has polled."""


def end_process(reason: str) -> None:
    """Log the reason and end the process at once, without waiting for anything."""
    log.critical("process.ends", reason=reason)
    sys.stdout.flush()
    os._exit(EXIT_CODE)


class Watchdog:
    """Ends the process when one of `watched` has not polled for `lost_s` seconds in which the process ran."""

    def __init__(
        self, watched: Sequence[Polled], *, lost_s: float = LOST_S, die: Callable[[str], None] = end_process
    ) -> None:
        self._watched, self._lost_s, self._die = watched, lost_s, die
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching: call it before the consumers stop."""
        self._stopped.set()

    def _watch(self) -> None:
        tick_s = min(TICK_S, self._lost_s / 4)
        seen: dict[str, int | None] = {}
        silent_s: dict[str, float] = {}
        while not self._stopped.wait(tick_s):
            for one in self._watched:
                polls = one.polls
                moved = polls is None or polls != seen.get(one.name)
                silent_s[one.name] = 0.0 if moved else silent_s[one.name] + tick_s
                seen[one.name] = polls
                if silent_s[one.name] >= self._lost_s:
                    self._die(f"{one.name} has not polled for {silent_s[one.name]:.0f} s")
