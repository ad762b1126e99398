"""The one clock: the database's, kept locally.

Every process measures how far its own clock is from the database's and corrects it, so that `created_at`,
`expires_at` and leases mean the same thing everywhere although no statement is spent on asking for the time.
"""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Database time without a round trip: `now()` is aware, UTC and cut to milliseconds (as the API prints it)."""

    def __init__(self) -> None:
        self._offset_s = 0.0

    def adjust(self, database_now: datetime, *, sent: float, received: float) -> None:
        """Take the database's time, read between the local `time.time()` values `sent` and `received`."""
        self._offset_s = database_now.timestamp() - (sent + received) / 2

    def epoch_ms(self) -> int:
        """Milliseconds since 1970."""
        return int((time.time() + self._offset_s) * 1000)

    def now(self) -> datetime:
        """The time as a datetime of whole milliseconds."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.epoch_ms())
