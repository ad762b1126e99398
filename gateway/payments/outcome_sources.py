"""By what we learn outcomes, and when callbacks that used to come stop coming: pure.

A provider that stops calling back loses nothing, because we ask on schedule; but payers wait longer, and usually an
address, a certificate or a credential has broken that people must mend. Nobody sees that in failed payments.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from gateway.payments.model import Operation, Root, State
from providers.contract import Verb

Source: TypeAlias = Literal["answer", "callback", "query"]
Word: TypeAlias = Literal["coming", "silent", "unused", "too_few"]

KNOWN: Final = frozenset({State.SUCCEEDED, State.AUTHORIZED, State.DECLINED, State.LATE_SUCCEEDED})
ABOUT_OTHERS: Final = frozenset({Verb.QUERY, Verb.CONFIRM})

EARLIER_LEAST: Final = 20  # outcomes that did not come with the answer; of fewer nothing is concluded
USED: Final = 0.2  # share that came by callback: below it nobody relied on them
FALLEN: Final = 0.5  # of that share is left, or less
CHANCE: Final = 1e-4  # that callbacks come as before and only luck kept so many away

_SOURCES: Final[dict[str, Source]] = {"answer": "answer", "callback": "callback", "query": "query"}


class Learned(Struct, frozen=True, kw_only=True):
    """An outcome that became known. `lag_s`, of a callback: seconds since we sent the request."""

    merchant_id: UUID
    account_id: UUID
    provider: str
    source: Source
    lag_s: float | None = None


class Before(Struct, frozen=True):
    """A root before facts were applied: what was known of each operation, and whom a callback made us ask about."""

    states: dict[UUID, State]
    called: frozenset[UUID | None]


def before(root: Root) -> Before:
    """What `learned` compares with."""
    operations = root.operations.values()
    return Before(
        {each.id: each.state for each in operations},
        frozenset(each.target_id for each in operations if each.verb is Verb.QUERY and _source(each) == "callback"),
    )


def learned(was: Before, root: Root, now: datetime) -> Iterator[Learned]:
    """The outcomes that became known since. A query that an unsigned callback caused counts as that callback."""
    for key in root.touched:
        operation = root.operations[key]
        source = _source(operation)
        if operation.verb in ABOUT_OTHERS or operation.state not in KNOWN or was.states.get(key) in KNOWN:
            continue
        if source is not None:
            source = "callback" if source == "query" and key in was.called else source
            yield Learned(
                merchant_id=operation.merchant_id,
                account_id=operation.account_id,
                provider=operation.provider,
                source=source,
                lag_s=_lag_s(operation, now) if source == "callback" else None,
            )


def _source(operation: Operation) -> Source | None:
    return None if operation.evidence is None else _SOURCES.get(operation.evidence.source)


def _lag_s(operation: Operation, now: datetime) -> float | None:
    return None if operation.sent_at is None else max((now - operation.sent_at).total_seconds(), 0.0)


class Counts(Struct, frozen=True):
    """Outcomes of one account that did not come with the answer, in some span of time."""

    callbacks: int
    queries: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.callbacks + self.queries

    @property
    def share(self) -> float:
        """The part that came by callback."""
        return self.callbacks / self.total if self.total else 0.0


def judge(earlier: Counts, recent: Counts) -> Word:
    """Whether callbacks still come as they did; `silent` when too few do for this to be chance."""
    if earlier.total < EARLIER_LEAST or recent.total == 0:
        return "too_few"
    if earlier.share < USED:
        return "unused"
    fallen = recent.share <= earlier.share * FALLEN
    return "silent" if fallen and _chance(recent, earlier.share) < CHANCE else "coming"


def _chance(recent: Counts, share: float) -> float:
    """A bound (Chernoff's, for the binomial) on the chance of so few callbacks, if each came with this share."""
    if share >= 1:  # every one came so far: allow for one that did not
        share = 1 - 1 / (2 * EARLIER_LEAST)
    missing, seen = 1 - recent.share, recent.share
    divergence = _part(seen, share) + _part(missing, 1 - share)
    return math.exp(-recent.total * divergence)


def _part(observed: float, expected: float) -> float:
    return observed * math.log(observed / expected) if observed else 0.0
