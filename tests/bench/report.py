"""The table of docs/benchmarks.md, and the memory of an installation's processes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tests.support.installation import Installation

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


class Row(Struct, frozen=True):
    """One measure; `goal` and whether it was reached, where there is one."""

    measure: str
    seen: str
    goal: str = ""
    reached: bool | None = None


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    return row.measure, row.seen, row.goal, {None: "", True: "yes", False: "no"}[row.reached]


def write(page: Path, rows: Sequence[Row], machine: dict[str, str]) -> None:
    """Replace the measured part of the page; what people wrote around it stays."""
    table = ["| measure | seen | goal | reached |", "|---|---|---|---|"]
    table += [f"| {' | '.join(cells(row))} |" for row in rows]
    about = [f"- {name}: {value}" for name, value in machine.items()]
    measured = "\n".join([BEGIN, "", *about, "", *table, "", END])
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Benchmarks\n\n{BEGIN}{END}\n"
    page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: measured, text, flags=re.DOTALL), encoding="utf-8")


def memory(mypay: Installation) -> Iterator[tuple[str, float]]:
    """Proportional set size of each process of ours, in MB."""
    for name, handle in mypay.processes.items():
        for pid in family(handle.process.pid):
            yield (name if pid == handle.process.pid else f"{name}, server process"), pss_mb(pid)


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def pss_mb(pid: int) -> float:
    """Proportional set size of a process."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
