"""What becomes of a delivery after an attempt, and how much an endpoint is given at once: pure rules.

The schedule, what counts as success, 410 and `Retry-After` are those of Standard Webhooks 1.0.0 ("operational
considerations"). A `Lane` is one endpoint in one process: how many may be under way grows with every success and halves
with every failure, and after several failures in a row nothing is sent for a while, then one as a probe.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

SCHEDULE_S: Final = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)  # before each attempt
JITTER: Final = 0.1  # a delay is so much shorter or longer, so that those that failed together come back apart
RETRY_AFTER_MAX_S: Final = 86_400.0
RETRY_AFTER_LANE_MAX_S: Final = 3_600.0  # for what else waits for the endpoint
GONE: Final = 410

LANE_MAX: Final = 16  # under way at once to one endpoint
LANE_START: Final = 4
OPEN_AFTER: Final = 5  # failures in a row
OPEN_S: Final = 30.0  # nothing is sent for so long, then twice as long, …
OPEN_MAX_S: Final = 300.0

Result: TypeAlias = Literal["delivered", "failed", "exhausted", "gone"]


class Reply(Struct, frozen=True, kw_only=True):
    """What came of one attempt: the status, or why there is none. `excerpt` begins the body, `retry_after_s` asks."""

    status: int | None
    error: str | None = None
    excerpt: str = ""
    retry_after_s: float | None = None

    @property
    def is_success(self) -> bool:
        """2xx, and nothing else."""
        return self.status is not None and 200 <= self.status < 300


class Verdict(Struct, frozen=True):
    """What follows; `delay_s` until the next attempt, None where there is none."""

    result: Result
    delay_s: float | None = None


def judge(reply: Reply, tries: int, *, pace: float, chance: float) -> Verdict:
    """`tries` counts this schedule's attempts, this one included; `chance` (0 to 1) makes the jitter."""
    if reply.is_success:
        return Verdict("delivered")
    if reply.status == GONE:
        return Verdict("gone")
    if tries >= len(SCHEDULE_S):
        return Verdict("exhausted")
    delay_s = SCHEDULE_S[tries] * pace * (1 - JITTER + 2 * JITTER * chance)
    return Verdict("failed", max(delay_s, reply.retry_after_s or 0.0))


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` asks for (RFC 9110: seconds or a date), at most a day; None: it asks nothing."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), RETRY_AFTER_MAX_S)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


class Lane:
    """One endpoint, as this process sends to it. Times are monotonic seconds; `pace` multiplies the pauses."""

    def __init__(self, *, pace: float = 1.0) -> None:
        self._pace = pace
        self._limit, self._failures, self._paused_until = LANE_START, 0, 0.0
        self.under_way = 0

    def free(self, now: float) -> int:
        """How many more may be sent now."""
        if now < self._paused_until:
            return 0
        limit = 1 if self._failures >= OPEN_AFTER else self._limit
        return max(0, limit - self.under_way)

    def begun(self) -> None:
        """One is under way."""
        self.under_way += 1

    def ended(self, reply: Reply, now: float) -> None:
        """One came back."""
        self.under_way -= 1
        if reply.is_success:
            self._limit, self._failures = min(self._limit + 1, LANE_MAX), 0
            return
        self._limit, self._failures = max(self._limit // 2, 1), self._failures + 1
        pause_s = min(reply.retry_after_s or 0.0, RETRY_AFTER_LANE_MAX_S)
        if self._failures >= OPEN_AFTER:
            rounds = self._failures - OPEN_AFTER
            pause_s = max(pause_s, min(OPEN_S * 2 ** min(rounds, 10), OPEN_MAX_S) * self._pace)
        self._paused_until = max(self._paused_until, now + pause_s)
