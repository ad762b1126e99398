"""`make chaos`: a run, its judgement, and the report."""

import argparse
import logging
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.chaos import plan
from tests.chaos.checker.evidence import load
from tests.chaos.checker.invariants import check
from tests.chaos.checker.report import report
from tests.chaos.run import Script, perform


def main() -> int:
    """Do what the command line says; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="chaos", description="Payments under faults, and a judgement.")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--open-most", type=int, default=2500, help="payments under way, over which clients pause")
    parser.add_argument("--kinds", nargs="*", choices=plan.KINDS, help="only these faults; default: all")
    parser.add_argument("--pace", type=float, default=0.1)
    parser.add_argument("--directory", type=Path, default=None, help="kept; default: a temporary one, removed if clean")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    directory = given.directory or Path(tempfile.mkdtemp(prefix="mypay-chaos-"))
    began = time.monotonic()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says about a broker that we killed

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {line}", flush=True)

    script = Script(
        directory,
        seed,
        given.minutes * 60,
        clients=given.clients,
        open_most=given.open_most,
        pace=given.pace,
        faults=plan.plan(seed, given.minutes * 60, given.kinds and {kind: plan.KINDS[kind] for kind in given.kinds}),
        command=_command(seed, given),
    )
    evidence = uvloop.run(perform(script, say))
    seen = load(evidence)
    violations = check(seen)
    print("\n" + report(seen, violations))
    if violations or given.directory:
        print(f"\nThe evidence is in {evidence}: python -m tests.chaos.checker {evidence} judges it again.")
    else:
        shutil.rmtree(directory)
    return bool(violations)


def _command(seed: int, given: argparse.Namespace) -> str:
    """How to do the same again."""
    if sys.argv[1::2] in (
        [],
        ["--seed"],
        ["--minutes"],
        ["--seed", "--minutes"],
        ["--seed", "--minutes", "--directory"],
    ):
        return f"make chaos SEED={seed} MINUTES={given.minutes:g}"
    seeded = [] if "--seed" in sys.argv else [f"--seed={seed}"]
    return shlex.join(["python", "-m", "tests.chaos", *seeded, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
