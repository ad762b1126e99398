"""Scenes: what a run is made of, by name. Most do one thing again and again, or for long; `random` does everything.

make chaos SCENE=postgres      kill -9 of PostgreSQL, twenty times
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.plan import Fault, one_of_each, plan

LONG_S = 600.0


@dataclass(frozen=True)
class Edit:
    """One replacement in one file of a copy of the product's packages; the text must be there once."""

    file: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Replace."""
        path = tree / self.file
        text = path.read_text()
        found = text.count(self.old)
        if found != 1:
            raise AssertionError(f"{self.file}: found {found} times, and not once: {self.old!r}")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Scene:
    """A way to run. `points`: every process dies at crash points, one after the other."""

    seconds: float
    faults: Callable[[int, float], list[Fault]] = lambda seed, seconds: []
    clients: int = 8
    rate: float = 0.0
    workers: int = 2
    points: bool = False
    skewed: bool = False
    edits: tuple[Edit, ...] = field(default=())


def _every(gap_s: float, kind: str, target: str) -> Callable[[int, float], list[Fault]]:
    return lambda seed, seconds: [Fault(3 + n * gap_s, kind, target) for n in range(int((seconds - 4) / gap_s) + 1)]


def _frozen(seed: int, seconds: float) -> list[Fault]:
    """An executor between claim and send, and the relay's leader; meanwhile PostgreSQL dies twenty times."""
    claim = Fault(5.0, "freeze_claim", "worker-1", seconds - 75, {"point": "claim_after_commit:5:stop"})
    leader = Fault(60.0, "freeze_leader", "leader", seconds - 75)
    deaths = [Fault(80.0 + n * (seconds - 160) / 20, "kill", "postgres") for n in range(20)]
    wipes = [Fault(at * seconds, "wipe_kafka", "kafka", 5.0) for at in (0.35, 0.7)]
    return sorted([claim, leader, *deaths, *wipes], key=lambda fault: fault.at_s)


# A worker that dies leaves its group when its session is over. With a crash every few seconds nothing would ever be
# consumed, so the session ends five times as fast; that decides how long partitions wait, and nothing else.
HURRIED = (
    Edit("streams/broker.py", "session_timeout_ms=10_000", "session_timeout_ms=2_000"),
    Edit("streams/broker.py", "heartbeat_interval_ms=2_000", "heartbeat_interval_ms=500"),
    Edit("streams/broker.py", "rebalance_timeout_ms=15_000", "rebalance_timeout_ms=4_000"),
)

SCENES: dict[str, Scene] = {
    "random": Scene(120.0, plan, clients=24, skewed=True),
    "short": Scene(36.0, one_of_each, skewed=True),
    "points": Scene(600.0, rate=30.0, workers=4, points=True, edits=HURRIED),
    "postgres": Scene(124.0, _every(6.0, "kill", "postgres")),
    "broker": Scene(124.0, _every(30.0, "wipe_kafka", "kafka")),
    "worker": Scene(330.0, _every(40.0, "kill", "worker-1"), rate=10.0),
    "frozen": Scene(LONG_S + 90, _frozen, workers=3),  # ten minutes each
}  # fmt: skip
