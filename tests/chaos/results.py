"""Runs add up: each appends one line to a file, and `python -m tests.chaos.results FILE …` prints the sums.

Zero violations in n tries bound the probability of one by 3/n at 95 % confidence (the rule of three).
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.chaos.checker.evidence import Evidence, Row
from tests.chaos.checker.invariants import Violation
from tests.chaos.checker.money import undetectable
from tests.chaos.checker.recovery import recoveries
from tests.chaos.plan import POINTS


def summary(seen: Evidence, violations: list[Violation]) -> Row:
    """What a run adds to the sums."""
    run, payments = seen.run, seen.payments.values()
    return {
        "command": run["command"],
        "scene": run["scene"],
        "seed": run["seed"],
        "date": f"{datetime.fromtimestamp(run['began'], UTC):%Y-%m-%d %H:%M}",
        "machine": run["machine"],
        "seconds": run["seconds"],
        "payments": len(payments),
        "providers": dict(Counter(row["provider"] for row in payments)),
        "refunds": len(seen.refunds),
        "payouts": len(seen.payouts),
        "acknowledged": run["acknowledged"],
        "ends": dict(Counter("review" if row["review"] else row["status"] for row in payments)),
        "reviews": dict(Counter(row["review"] for row in payments if row["review"])),
        "charges": sum(len(seen.charges(payment)) for payment in seen.money),
        "undetectable": len(undetectable(seen)),
        "events": sum(map(len, seen.events.values())),
        "faults": run["faults"],
        "deaths": run["deaths"],
        "crash_points": run["crash_points"],
        "wipes": run["wipes"],
        "recoveries_s": [round(took, 1) for took in recoveries(seen)],
        "violations": dict(Counter(violation.invariant for violation in violations)),
    }


def append(file: Path, row: Row) -> None:
    """Add a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")


def read(files: Iterable[Path]) -> list[Row]:
    """The lines of all files that exist."""
    return [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]


def crash_points(rows: Iterable[Row]) -> Counter[str]:
    """How often each point was reached, in all runs."""
    return sum((Counter(row["crash_points"]) for row in rows), Counter())


def total(rows: Iterable[Row], name: str) -> Counter[str]:
    """The sum of one kind of counts."""
    return sum((Counter(row[name]) for row in rows), Counter())


def bound(tries: int) -> str:
    """The rule of three, in per cent."""
    return f"{300 / tries:.2g} %" if tries else "none"


def sums(rows: list[Row]) -> Iterator[str]:
    """The tables of docs/proof.md."""
    yield "| scene | runs | payments | refunds | payouts | faults | deaths | charges | reviews | violations |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    names = list(dict.fromkeys(row["scene"] for row in rows))
    for name in names:
        yield _line(name, [row for row in rows if row["scene"] == name])
    yield _line("**all**", rows)
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, times in total(rows, "providers").most_common():
        yield f"| payments at {name} | {times} |"
    for name, times in sorted(total(rows, "deaths").items()):
        yield f"| deaths of {name} | {times} |"
    yield f"| broker wiped | {sum(row['wipes'] for row in rows)} |"
    if took := [each for row in rows for each in row["recoveries_s"]]:
        yield f"| recoveries of a worker (times; median, worst) | {len(took)}; {median(took)} s, {max(took)} s |"
    yield ""
    yield "| killed at | times | bound |"
    yield "|---|---|---|"
    reached = crash_points(rows)
    for point in POINTS:
        yield f"| `{point}` | {reached[point]} | {bound(reached[point])} |"


def _line(name: str, rows: list[Row]) -> str:
    broken = sum(total(rows, "violations").values())
    cells = [
        len(rows),
        sum(row["payments"] for row in rows),
        sum(row["refunds"] for row in rows),
        sum(row["payouts"] for row in rows),
        sum(total(rows, "faults").values()),
        sum(total(rows, "deaths").values()),
        sum(row["charges"] for row in rows),
        sum(total(rows, "reviews").values()),
        broken,
    ]
    return f"| {name} | " + " | ".join(f"{cell:,}".replace(",", " ") for cell in cells) + " |"


def main() -> int:
    """Print the sums; 1 when a run broke a promise."""
    rows = read(map(Path, sys.argv[1:]))
    print("\n".join(sums(rows)))
    return bool(sum(total(rows, "violations").values()))


if __name__ == "__main__":
    sys.exit(main())
