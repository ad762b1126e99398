"""What an unknown outcome permits: one pure table over what the provider's spec declares.

| lookup | idempotency | absence proves | permitted after an Unknown |
|---|---|---|---|
| authoritative | any | after N s | ask; a conclusive "not found" allows another send |
| authoritative | any | never | ask, until it answers or the declared end: then a person |
| unsupported | key or reference, within its window | - | send the same operation again |
| unsupported | none, or window over | - | wait for a callback, then a person |
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from gateway.payments.model import Operation
from providers.contract import QuerySchedule, Uncertainty

SENDS_MAX: Final = 3  # of one operation, each after proof that the one before had no effect
THROTTLES_MAX: Final = 10
WINDOW_MARGIN: Final = timedelta(minutes=10)  # a re-send must arrive well within the declared idempotency window
JITTER: Final = 0.1
REASK_S: Final = (600.0, 86_400.0)  # after an operation was closed by "not found"
RETRY_BACKOFF_S: Final = (0.5, 2.0, 8.0, 30.0, 60.0)


class Next(StrEnum):
    """What may be done about an operation whose outcome is unknown."""

    ASK = "ask"
    RESEND = "resend"
    WAIT = "wait"


# (lookup, may the same operation be sent again without effect?) → what to do
AFTER_UNKNOWN: Final[dict[tuple[Literal["authoritative", "unsupported"], bool], Next]] = {
    ("authoritative", True): Next.ASK,
    ("authoritative", False): Next.ASK,
    ("unsupported", True): Next.RESEND,
    ("unsupported", False): Next.WAIT,
}


def after_unknown(uncertainty: Uncertainty, sent_at: datetime | None, now: datetime) -> Next:
    """What an Unknown permits at the time `now`."""
    return AFTER_UNKNOWN[uncertainty.lookup, _repeatable(uncertainty, sent_at, now)]


def _repeatable(uncertainty: Uncertainty, sent_at: datetime | None, now: datetime) -> bool:
    if uncertainty.idempotency == "none" or sent_at is None:
        return False
    window = uncertainty.window_s
    return window is None or now + WINDOW_MARGIN < sent_at + timedelta(seconds=window)


def absence_is_proof(uncertainty: Uncertainty, target: Operation, asked_at: datetime | None, pace: float) -> bool:
    """Whether "not found", asked at `asked_at`, proves that the target had no effect.

    The declared delay counts from the answer that left us in doubt or, where none came, from the lease's end.
    """
    since = target.answered_at or target.lease_until
    if uncertainty.absence_after_s is None or since is None or asked_at is None:
        return False
    return asked_at >= since + timedelta(seconds=uncertainty.absence_after_s * pace)


def absence_wait_s(uncertainty: Uncertainty, pace: float) -> float:
    """Seconds after an unanswered send before "not found" would count; 0 where it never does."""
    return (uncertainty.absence_after_s or 0) * pace


def query_delay_s(schedule: QuerySchedule, queries: int, pace: float, spread: float = 0.0) -> float:
    """Seconds until the next query, when `queries` were made already; `spread` (0 to 1) adds up to a tenth."""
    declared = schedule.delays_s[queries] if queries < len(schedule.delays_s) else schedule.every_s
    return max(declared, schedule.min_interval_s) * pace * (1 + JITTER * spread)


def reask_at(closed_at: datetime, now: datetime, pace: float) -> datetime | None:
    """When an operation that was closed because the provider did not know it is asked about again; None: never more."""
    appointments = (closed_at + timedelta(seconds=delay * pace) for delay in REASK_S)
    return next((each for each in appointments if each > now), None)


def retry_delay_s(sends: int, pace: float) -> float:
    """Seconds before an operation that provably had no effect is sent again."""
    return RETRY_BACKOFF_S[min(max(sends, 1), len(RETRY_BACKOFF_S)) - 1] * pace
