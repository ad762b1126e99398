"""What a check says, and how all of it is shown."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

Level: TypeAlias = Literal["ok", "warn", "fail"]

_WORST_FIRST: Final[tuple[Level, ...]] = ("fail", "warn", "ok")


class Finding(Struct, frozen=True):
    """One line. ok: as it should be · warn: it works, or was not looked at · fail: something does not work.

    `todo` is what a person can do about it; None where there is nothing to do.
    """

    area: str
    level: Level
    found: str
    todo: str | None = None


Fault: TypeAlias = tuple[object, Level, str, str]  # whether it is so (any true value), how bad, what, what to do


def those(area: str, faults: Iterable[Fault]) -> list[Finding]:
    """The faults that are so."""
    return [Finding(area, level, found, todo) for wrong, level, found, todo in faults if wrong]


class Report(Struct, frozen=True):
    """Everything found; `status` is its worst level."""

    status: Level
    seconds: float
    findings: list[Finding]


def report(findings: Sequence[Finding], seconds: float) -> Report:
    """The findings in their order, and the worst of their levels."""
    levels = {each.level for each in findings}
    status: Level = next((level for level in _WORST_FIRST if level in levels), "ok")
    return Report(status, round(seconds, 2), list(findings))


def as_text(shown: Report) -> str:
    """For a terminal: a line for each finding and, below it, what to do."""
    width = max((len(each.area) for each in shown.findings), default=0)
    lines = [line for each in shown.findings for line in _lines(each, width)]
    counts = [f"{sum(each.level == level for each in shown.findings)} {level}" for level in reversed(_WORST_FIRST)]
    return "\n".join([*lines, "", f"{', '.join(counts)}, in {shown.seconds:.1f} s."])


def _lines(finding: Finding, width: int) -> list[str]:
    first = f"{finding.level:<4}  {finding.area:<{width}}  {finding.found}"
    return [first] if finding.todo is None else [first, f"{'':<{width + 8}}-> {finding.todo}"]


def as_json(shown: Report) -> str:
    """For programs."""
    return msgspec.json.format(msgspec.json.encode(shown)).decode()
