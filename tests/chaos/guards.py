"""`make guards`: each protection is taken out, one at a time, and the checker must notice; with all of them, nothing.

A checker that never fails proves nothing. The runs of a scene have one seed, load and faults; only the code differs,
in a copy of the source tree. A mutation is a text that must be found one time, and what is put in its place.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from tests.chaos.cases import CASES, Case
from tests.chaos.checker.evidence import load
from tests.chaos.checker.invariants import check
from tests.chaos.plan import Fault
from tests.chaos.run import Script, perform
from tests.chaos.scenes import Edit

SEED = 7
PACE = 0.2
SETTLE_MOST_S = 400.0  # with every guard; without one it is given half as long again as that has taken
SETTLE_LEAST_S = 45.0


def _mix(sandbox: dict[str, float], cpay: dict[str, float]) -> tuple[Case, ...]:
    """The cases of these names, with these shares."""
    shares = {"sandbox": sandbox, "cpay": cpay}
    return tuple(
        replace(case, weight=shares[case.provider][case.name])
        for case in CASES
        if case.name in shares.get(case.provider, {})
    )


@dataclass(frozen=True)
class Scene:
    """The load and the faults in which a missing guard shows."""

    seconds: float
    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]


# Payers who are slow to answer, whose answers are lost, and who are asked twice; commands that are lost and replayed.
COMMON = Scene(
    26.0,
    _mix(
        {"ok": 4, "timeout_charged": 3, "otp": 3, "later": 1, "reset_charged": 1},
        {"ok": 10, "timeout_charged": 6, "error_charged": 4, "no_callback": 4},
    ),
    (
        *(Fault(2 + 2.4 * n, "down", "link cpay", 0.5, {"down": True}) for n in range(9)),
        Fault(4.0, "crash_point", "api-1", 2.0, {"point": "accept_after_commit:5"}),
        Fault(9.0, "replay_commands", "kafka"),
        Fault(13.0, "crash_point", "api-2", 2.0, {"point": "accept_after_commit:5"}),
        Fault(17.0, "replay_commands", "kafka"),
    ),
)
FROZEN = Scene(  # tests.chaos.late_answer tells the story
    9.0,
    _mix({"timeout_charged": 1, "ok": 1}, {}),
    (Fault(4.0, "late_answer", "worker-1"),),
)
SCENES = (COMMON, FROZEN)


@dataclass(frozen=True)
class Guard:
    """A protection, how it is taken out, and the invariants of which at least one must then break."""

    name: str
    edits: tuple[Edit, ...]
    breaks: tuple[str, ...]
    scene: Scene = COMMON

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
            Edit("gateway/payments/verbs.py", "    if root.live(Verb.CONFIRM) is not None:\n", "    if False:\n"),
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
        ("I5",),
        FROZEN,
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


def run(guard: Guard | None, scene: Scene, directory: Path, settle_s: float) -> tuple[Counter[str], float]:
    """One run without the guard (or with all of them): how often each invariant was violated, and when it was quiet."""
    made = Script(
        directory,
        SEED,
        scene.seconds,
        clients=10,
        open_most=1000,
        pace=PACE,
        settle_s=settle_s,
        mutate=guard.remove if guard else lambda tree: None,
        cases=scene.cases,
        faults=sorted(scene.faults, key=lambda fault: fault.at_s),
        skewed=False,
        command="make guards",
    )
    evidence = uvloop.run(perform(made, lambda line: None))
    seen = load(evidence)
    return Counter(violation.invariant for violation in check(seen)), seen.run["quiet_after_s"]


def main() -> int:
    """All of them; 1 unless the unmutated run is clean and every mutation is caught for its own reason."""
    parser = argparse.ArgumentParser(prog="guards")
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of some runs; the first ones have every guard")
    parser.add_argument("--directory", type=Path, help="keep the evidence here")
    given = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    root = given.directory or Path(tempfile.mkdtemp(prefix="mypay-guards-"))
    failed, settle_s = 0, SETTLE_LEAST_S
    runs = [(None, scene) for scene in SCENES] + [(guard, guard.scene) for guard in GUARDS]
    for number, (guard, scene) in enumerate(runs):
        if given.only and number not in given.only:
            continue
        began = time.monotonic()
        found, quiet_s = run(guard, scene, root / str(number), SETTLE_MOST_S if guard is None else settle_s)
        if guard is None:
            settle_s = max(settle_s, 1.5 * quiet_s)
        failed += not _told(number, guard, found, time.monotonic() - began)
    if not failed and not given.directory:
        shutil.rmtree(root)
    return bool(failed)


def _told(number: int, guard: Guard | None, found: Counter[str], took_s: float) -> bool:
    """Say what came of it; whether it is what was expected."""
    good = not found if guard is None else any(name in found for name in guard.breaks)
    name = "with every guard" if guard is None else f"without {guard.name}"
    expected = "none" if guard is None else " or ".join(guard.breaks)
    seen = ", ".join(f"{name} {times}" for name, times in found.items()) or "no violation"
    verdict = "as expected" if good else "NOT AS EXPECTED"
    print(f"{number}. {name}\n     expected {expected}; found {seen}: {verdict} ({took_s:.0f} s)", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
