"""`make guards`: each protection is taken out, one at a time, and the checker must notice; with all of them, nothing.

A checker that never fails proves nothing. Every run has the same seed, load and faults; only the code differs, in a
copy of the source tree. A mutation is a text that must be found exactly once, and what is put in its place.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.chaos.checker.evidence import load
from tests.chaos.checker.invariants import check
from tests.chaos.load import CASES, Case
from tests.chaos.plan import Fault
from tests.chaos.run import Script, perform

SEED = 7
SECONDS = 26.0
PACE = 0.2


@dataclass(frozen=True)
class Edit:
    """One replacement in one file of the tree."""

    file: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Replace; the text must be there once."""
        path = tree / self.file
        text = path.read_text()
        found = text.count(self.old)
        if found != 1:
            raise AssertionError(f"{self.file}: found {found} times, and not once: {self.old!r}")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Guard:
    """A protection, how it is taken out, and the invariants of which at least one must then break."""

    name: str
    edits: tuple[Edit, ...]
    breaks: tuple[str, ...]

    def remove(self, tree: Path) -> None:
        """Take it out of the tree."""
        for edit in self.edits:
            edit.apply(tree)


TRANSITIONS = "gateway/payments/transitions.py"
SPINE = "migrations/versions/0001_spine.py"

GUARDS = (
    Guard(
        "the claim's compare-and-set: whoever has a command sends",
        (
            Edit(TRANSITIONS, "    if not _may_be_sent(root, operation, now):\n", "    if False:\n"),
            Edit(
                TRANSITIONS,
                "    move(root, operation, OperationFact.CLAIMED, now)\n",
                "    root.touch(operation, now).state = State.SENT\n",
            ),
        ),
        ("I4", "S"),
    ),
    Guard(
        "one live confirm: the index, with the state check before it",
        (
            Edit(SPINE, "create unique index operations_one_live_confirm on", "create index one_live_confirm on"),
            Edit("gateway/payments/verbs.py", "    if root.live_confirm() is not None:\n", "    if False:\n"),
        ),
        ("L",),
    ),
    Guard(
        "the fence: a doubtful answer of an old claim counts as one of the new",
        (
            Edit(
                TRANSITIONS,
                "    if fact.fence != operation.fence and isinstance(fact.outcome, DOUBTFUL):\n",
                "    if False:\n",
            ),
        ),
        ("I4", "I5", "S"),
    ),
    Guard(
        "query before resend: after an Unknown the same operation is simply sent again",
        (
            Edit(
                "gateway/payments/decisions.py",
                '    ("authoritative", True): Next.ASK,\n    ("authoritative", False): Next.ASK,\n',
                '    ("authoritative", True): Next.RESEND,\n    ("authoritative", False): Next.RESEND,\n',
            ),
        ),
        ("I4", "S"),
    ),
    Guard(
        "the idempotency key's uniqueness",
        (
            Edit(
                SPINE,
                "    created_at timestamptz not null,\n    primary key (lp, merchant_id, livemode, root_id, key)\n",
                "    created_at timestamptz not null\n",
            ),
        ),
        ("I2",),
    ),
    Guard(
        "the sweeper's republishing of commands",
        (Edit("streams/sweeper.py", '            "operations": self._publish_operations,\n', ""),),
        ("I3",),
    ),
    Guard(
        "position after commit: the relay goes on from the highest sequence number that it has seen",
        (
            Edit(
                "streams/relay.py",
                "from events where position is null order by seq limit",
                "from events where position is null"
                " and seq > (select coalesce(max(seq), 0) from events where position is not null) order by seq limit",
            ),
        ),
        ("I8", "I11"),
    ),
)

# Payers that are slow to answer, whose answers are lost, and who are asked twice: where a missing guard shows.
MIX = {"ok": 4, "timeout_charged": 6, "error_charged": 2, "no_callback": 2, "otp": 2, "later": 1, "reset_charged": 1}
LOAD = tuple(
    Case(case.name, case.provider, case.digits, case.token, MIX[case.name] * (3 if case.provider == "cpay" else 1))
    for case in CASES
    if case.name in MIX
)


def script() -> list[Fault]:
    """The faults: C-Pay is refused now and then while one worker loses its database's replies; crashes; replays."""
    flaps = [Fault(2 + 1.2 * n, "down", "link cpay", 0.5, {"down": True}) for n in range(18)]
    lost = {"drop_p": 0.08, "latency_s": 0.25, "jitter_s": 0.1}
    cut = [Fault(3.0 + 4 * n, "drop_reply", "link postgres/worker-1", 2.5, lost) for n in range(5)]
    crashes = [
        Fault(4.0, "crash_point", "api-1", 2.0, {"point": "accept_after_commit:5"}),
        Fault(13.0, "crash_point", "api-2", 2.0, {"point": "accept_after_commit:5"}),
    ]
    replays = [Fault(9.0, "replay_commands", "kafka"), Fault(17.0, "replay_commands", "kafka")]
    return sorted([*flaps, *cut, *crashes, *replays], key=lambda fault: fault.at_s)


def run(guard: Guard | None, directory: Path) -> Counter[str]:
    """One run without the guard (or with all of them); how often each invariant was violated."""
    made = Script(
        directory,
        SEED,
        SECONDS,
        clients=10,
        open_most=1000,
        pace=PACE,
        settle_s=45 if guard is None else 25,
        mutate=guard.remove if guard else lambda tree: None,
        cases=LOAD,
        faults=script(),
        skewed=False,
        command="make guards",
    )
    evidence = uvloop.run(perform(made, lambda line: None))
    return Counter(violation.invariant for violation in check(load(evidence)))


def main() -> int:
    """All of them; 1 unless the unmutated run is clean and every mutation is caught for its own reason."""
    parser = argparse.ArgumentParser(prog="guards")
    parser.add_argument("--only", type=int, help="the number of one guard; 0 is the run with all of them")
    parser.add_argument("--directory", type=Path, help="keep the evidence here")
    given = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    root = given.directory or Path(tempfile.mkdtemp(prefix="mypay-guards-"))
    failed = 0
    for number, guard in enumerate((None, *GUARDS)):
        if given.only not in (None, number):
            continue
        began = time.monotonic()
        found = run(guard, root / str(number))
        seen = ", ".join(f"{name} {times}" for name, times in found.items()) or "no violation"
        good = not found if guard is None else any(name in found for name in guard.breaks)
        failed += not good
        name = "with every guard" if guard is None else f"without {guard.name}"
        expected = "none" if guard is None else " or ".join(guard.breaks)
        verdict = "as expected" if good else "NOT AS EXPECTED"
        print(f"{number}. {name}\n     expected {expected}; found {seen}: {verdict} ({time.monotonic() - began:.0f} s)")
        sys.stdout.flush()
    if not failed and not given.directory:
        shutil.rmtree(root)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
