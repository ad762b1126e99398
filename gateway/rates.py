"""Rate limits as buckets of tokens, refilled evenly; and the buckets of one process, for when Redis is away.

A bucket of quota q and window w holds q tokens, and gets q more every w seconds (GCRA, ITU-T I.371): its whole state is
one time, at which it will be full again. `gateway/store/limits.lua` is the same in Redis.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

MOST_BUCKETS: Final = 50_000


class Bucket(Struct, frozen=True):
    """What is limited, how many requests of it per window, and the window in seconds."""

    name: str
    quota: int
    window_s: int = 1


class Taken(Struct, frozen=True, kw_only=True):
    """What became of a request's tokens, told of one bucket: the one that was empty, else the first.

    `left` are its tokens now, `full_in_s` is when it has all of them again, `retry_in_s` when it has one.
    """

    bucket: Bucket
    allowed: bool
    left: int
    full_in_s: float
    retry_in_s: float = 0.0

    @property
    def full_in(self) -> int:
        """`full_in_s` in whole seconds, at least one."""
        return max(1, math.ceil(self.full_in_s))

    @property
    def retry_in(self) -> int:
        """`retry_in_s` in whole seconds, at least one."""
        return max(1, math.ceil(self.retry_in_s))


class LocalBuckets:
    """Buckets of this process alone, each with a share of its quota, so that all processes together keep it."""

    def __init__(self, processes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes, self._clock = processes, clock
        self._full_at: dict[str, float] = {}

    def take(self, asked: Sequence[Bucket]) -> Taken:
        """One token of each bucket, or none of any."""
        now = self._clock()
        found = [self._look(bucket, now) for bucket in asked]
        refused = next((taken for taken in found if not taken.allowed), None)
        if refused is not None:
            return refused
        if len(self._full_at) >= MOST_BUCKETS:
            self._forget(now)
        for taken in found:
            self._full_at[taken.bucket.name] = now + taken.full_in_s
        return found[0]

    def _look(self, bucket: Bucket, now: float) -> Taken:
        quota = max(1, bucket.quota // self._processes)
        each_s = bucket.window_s / quota
        missing_s = max(0.0, self._full_at.get(bucket.name, now) - now)
        tokens = math.floor((bucket.window_s - missing_s) / each_s + 1e-6)
        if tokens < 1:
            retry_in_s = missing_s + each_s - bucket.window_s
            return Taken(bucket=bucket, allowed=False, left=0, full_in_s=missing_s, retry_in_s=retry_in_s)
        return Taken(bucket=bucket, allowed=True, left=tokens - 1, full_in_s=missing_s + each_s)

    def _forget(self, now: float) -> None:
        """Full buckets need no memory; if all are in use, whoever made so many names starts anew with everybody."""
        self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        if len(self._full_at) >= MOST_BUCKETS:
            self._full_at.clear()
