"""`make soak`: a steady, modest load and no faults for a long time; does every process hold what it held before?

Each quantity's median over the five minutes after the warm-up is compared with that over the last five minutes. 1 when
one has moved by more than a tenth (and by more than a few), when a process was started again, or a promise was broken.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.chaos.checker.evidence import load
from tests.chaos.checker.invariants import check
from tests.chaos.checker.report import report
from tests.chaos.resources import SAMPLE_S, Sample, medians
from tests.chaos.run import Script, perform

WINDOW_S = 300.0
TENTH = 0.1
A_FEW = 3  # descriptors or connections: a tenth of thirty


def compared(samples: list[Sample], window: int) -> list[tuple[str, str, float, float, bool]]:
    """Process, quantity, before, after, and whether that is back to the baseline within a tenth."""
    before, after = medians(samples[:window]), medians(samples[-window:])
    return [
        (name, kind, old, after[name, kind], abs(after[name, kind] - old) <= max(TENTH * old, A_FEW))
        for (name, kind), old in before.items()
    ]


def main() -> int:
    """Soak, and say what came of it."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--minutes", type=float, default=60.0, help="after the warm-up")
    parser.add_argument("--warm-up", type=float, default=10.0, help="minutes, before the baseline is taken")
    parser.add_argument("--rate", type=float, default=8.0, help="payments per second")
    parser.add_argument("--seed", type=int, default=60)
    parser.add_argument("--directory", type=Path, default=None)
    given = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    directory = given.directory or Path(tempfile.mkdtemp(prefix="mypay-soak-"))
    seconds, began = 60 * (given.warm_up + given.minutes), time.time()
    script = Script(
        directory, given.seed, seconds, clients=8, rate=given.rate, faults=[], skewed=False, sampled=True,
        command=f"python -m tests.chaos.soak --minutes {given.minutes:g} --rate {given.rate:g} --seed {given.seed}",
    )  # fmt: skip
    evidence = uvloop.run(perform(script, lambda line: print(f"[{time.time() - began:7.1f}] {line}", flush=True)))
    seen = load(evidence)
    violations = check(seen)
    print("\n" + report(seen, violations) + "\n")
    warm = seen.run["load_began"] + 60 * given.warm_up
    lines = [json.loads(line) for line in (evidence / "resources.jsonl").read_text().splitlines()]
    loaded = [line["held"] for line in lines if warm <= line["at"] <= seen.run["load_ended"]]
    found = compared(loaded, max(1, round(min(WINDOW_S, 15 * given.minutes) / SAMPLE_S)))
    for name, kind, before, after, good in found:
        change = f"{100 * (after - before) / before:+.1f} %" if before else ""
        print(f"  {name:<10}{kind:<13}{before:>10.0f}{after:>10.0f}  {change:>9}  {'' if good else 'NOT BACK'}")
    again = [name for name, held in loaded[-1].items() if held.get("starts") != loaded[0][name].get("starts")]
    print(f"started again: {', '.join(again) or 'none'}\nThe evidence is in {evidence}")
    return bool(violations or again or not all(good for *_, good in found))


if __name__ == "__main__":
    sys.exit(main())
