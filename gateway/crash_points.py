"""Dying on purpose, at named moments between two steps: how the chaos run reaches them (docs/proof.md).

    CRASH_AT=claim_after_commit:7         SIGKILL at the seventh time that this process passes the point
    CRASH_AT=claim_after_commit:7:stop    SIGSTOP instead: the process is frozen until somebody sends SIGCONT

It is no setting: production refuses to start with it. Without it a point costs one comparison.
"""

import os
import re
import signal
from typing import Final, Literal, TypeAlias, get_args

from gateway.settings import SettingsError

Point: TypeAlias = Literal[
    "accept_before_commit",
    "accept_after_commit",
    "command_after_publish",
    "claim_before_commit",
    "claim_after_commit",
    "http_before_send",
    "http_after_send",
    "http_after_response",
    "record_before_commit",
    "record_after_commit",
    "event_after_publish",
    "consumer_before_ack",
    "callback_before_persist",
    "callback_after_persist",
    "sweep_mid",
    "webhook_after_answer",
]
POINTS: Final[tuple[Point, ...]] = get_args(Point)
VARIABLE: Final = "CRASH_AT"


class _Armed:
    """The point of this process, how many passes are left, and the signal at the last."""

    def __init__(self, point: str, passes: int, number: signal.Signals) -> None:
        self.point, self.left, self.number = point, passes, number


_armed: _Armed | None = None


def arm(environment: Literal["development", "production"]) -> None:
    """Read CRASH_AT, once per process. Raises `SettingsError` in production, and when it names no point."""
    global _armed
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    if environment != "development":
        raise SettingsError(f"{VARIABLE} is set: remove it, it kills processes for tests and is for development only.")
    read = re.fullmatch(r"(\w+):([1-9]\d*)(:stop)?", wanted)
    if read is None or read[1] not in POINTS:
        raise SettingsError(f"{VARIABLE} names no crash point: write name:n with a name of {', '.join(POINTS)}.")
    _armed = _Armed(read[1], int(read[2]), signal.SIGSTOP if read[3] else signal.SIGKILL)


def crash_point(name: Point) -> None:
    """Pass a point."""
    if _armed is not None and _armed.point == name:
        _armed.left -= 1
        if _armed.left == 0:
            os.kill(os.getpid(), _armed.number)
