"""After the kill of a worker: how long until a payment that was made after it has ended, in the slowest partition?

Payments of one provider are spread over the partitions of its commands by the last byte of their ids, so that one of
the partitions' consumers is the one that was killed; which, is not asked: the slowest counts.
"""

from collections import defaultdict
from datetime import datetime
from itertools import pairwise

from tests.chaos.checker.evidence import Evidence

PROVIDER, CASE = "sandbox", "ok"  # answered at once


def recoveries(seen: Evidence) -> list[float]:
    """Seconds, one for each kill of a worker; none where the run was over before all partitions had recovered."""
    kills = [one["at"] for one in seen.run.get("kills", []) if one["target"].startswith("worker")]
    ended = sorted(_ended(seen))
    found = []
    for kill, following in pairwise([*kills, float("inf")]):
        first: dict[int, float] = defaultdict(lambda: float("inf"))
        for made, end, partition in ended:
            if kill < made < following:
                first[partition] = min(first[partition], end - kill)
        if len(first) == seen.run["partitions"]:
            found.append(max(first.values()))
    return found


def _ended(seen: Evidence) -> list[tuple[float, float, int]]:
    """When it was made, when it ended, and its partition, for each payment that succeeded at once."""
    rows = []
    for payment, row in seen.payments.items():
        if (row["provider"], row["case"], row["status"]) == (PROVIDER, CASE, "succeeded"):
            event = next(one for one in seen.events[payment] if one["type"] == "payment.succeeded")
            lp = int(row["id"][-2:], 16)
            rows.append((_seconds(row["created_at"]), _seconds(event["created_at"]), lp % seen.run["partitions"]))
    return rows


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
