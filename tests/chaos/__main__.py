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

from tests.chaos import plan, results
from tests.chaos.checker.evidence import load
from tests.chaos.checker.invariants import check
from tests.chaos.checker.report import report
from tests.chaos.run import Script, perform
from tests.chaos.scenes import SCENES

RESULTS = Path(".mypay/chaos.jsonl")


def main() -> int:
    """Do what the command line says; 1 when a promise was broken."""
    given = _options()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    directory = given.directory or Path(tempfile.mkdtemp(prefix="mypay-chaos-"))
    began = time.monotonic()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says about a broker that we killed

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {line}", flush=True)

    evidence = uvloop.run(perform(_script(given, seed, directory), say))
    seen = load(evidence)
    violations = check(seen)
    print("\n" + report(seen, violations))
    results.append(given.results, results.summary(seen, violations))
    print(f"\nAdded to {given.results}: python -m tests.chaos.results {given.results} prints the sums.")
    if violations or given.directory:
        print(f"The evidence is in {evidence}: python -m tests.chaos.checker {evidence} judges it again.")
    else:
        shutil.rmtree(directory)
    return bool(violations)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="Payments under faults, and a judgement.")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=None, help="default: 2, or what the scene needs")
    parser.add_argument("--scene", choices=SCENES, default="random", help="default: faults of all kinds")
    parser.add_argument("--clients", type=int, default=None)
    parser.add_argument("--rate", type=float, default=None, help="payments per second; 0: as fast as the clients can")
    parser.add_argument("--open-most", type=int, default=2500, help="payments under way, over which clients pause")
    parser.add_argument("--kinds", nargs="*", choices=plan.KINDS, help="only these faults; default: all")
    parser.add_argument("--calm", type=float, default=1.0, help="times the usual pause between random faults")
    parser.add_argument("--pace", type=float, default=0.1)
    parser.add_argument("--directory", type=Path, default=None, help="kept; default: a temporary one, removed if clean")
    parser.add_argument("--results", type=Path, default=RESULTS, help="runs add up in this file")
    return parser.parse_args()


def _script(given: argparse.Namespace, seed: int, directory: Path) -> Script:
    scene = SCENES[given.scene]
    seconds = scene.seconds if given.minutes is None else given.minutes * 60
    random = given.scene == "random" or given.kinds
    kinds = given.kinds and {kind: plan.KINDS[kind] for kind in given.kinds}

    def mutate(tree: Path) -> None:
        for edit in scene.edits:
            edit.apply(tree)

    return Script(
        directory,
        seed,
        seconds,
        clients=scene.clients if given.clients is None else given.clients,
        rate=scene.rate if given.rate is None else given.rate,
        open_most=given.open_most,
        pace=given.pace,
        workers=scene.workers,
        mutate=mutate,
        scene=given.scene,
        faults=plan.plan(seed, seconds, kinds, given.calm) if random else scene.faults(seed, seconds),
        points=results.crash_points(results.read([given.results])) if scene.points else None,
        skewed=scene.skewed,
        command=_command(seed, given),
    )


def _command(seed: int, given: argparse.Namespace) -> str:
    """How to do the same again."""
    words = [word for word in sys.argv[1:] if word.startswith("--")]
    if set(words) <= {"--seed", "--minutes", "--scene", "--directory", "--results"}:
        made = {
            "SCENE": None if given.scene == "random" else given.scene,
            "SEED": seed,
            "MINUTES": given.minutes and f"{given.minutes:g}",
        }
        return " ".join(["make chaos", *(f"{name}={value}" for name, value in made.items() if value is not None)])
    seeded = [] if "--seed" in words else [f"--seed={seed}"]
    return shlex.join(["python", "-m", "tests.chaos", *seeded, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
