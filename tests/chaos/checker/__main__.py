"""Judge the evidence of a run again: `python -m tests.chaos.checker DIRECTORY`. 1 when a promise was broken."""

import sys
from pathlib import Path

from tests.chaos.checker.evidence import load
from tests.chaos.checker.invariants import check
from tests.chaos.checker.report import report

if __name__ == "__main__":
    evidence = load(Path(sys.argv[1]))
    violations = check(evidence)
    print(report(evidence, violations))
    sys.exit(bool(violations))
