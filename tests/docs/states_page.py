"""docs/states.md: the three state tables, their diagrams, and what an unknown outcome permits."""

import inspect
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gateway.payments.decisions import AFTER_UNKNOWN, SENDS_MAX, THROTTLES_MAX, WINDOW_MARGIN, Next, after_unknown
from gateway.payments.model import RefundStatus, State, Status
from gateway.payments.states import (
    OPERATION_TABLE,
    PAYMENT_TABLE,
    REFUND_TABLE,
    REFUSE,
    STALE,
    OperationFact,
    PaymentFact,
    RefundFact,
)
from providers.contract import Verb
from providers.registry import PROVIDERS
from tests.docs.markdown import code, mermaid, page, table

Cells = Mapping[tuple[Any, Any], str]

INTRODUCTION = """
A payment, payout or refund is what the merchant sees. An operation is one attempt of one verb (charge, confirm, query,
…) at one account; what is learned about an operation moves what it serves. A payout moves as a payment does, but is
never authorized, and never waits for anybody.

In the tables a cell is the new state. `·` is *stale*: late or a duplicate; it is logged and ignored. **refuse**
contradicts what we believe: the state stays, the fact is recorded, and the payment goes to review. There is no default:
a missing cell stops the program at import, and a test reaches every cell through the recorder on a real database.
"""
UNKNOWN = """
An outcome is *unknown* when the request may have been received and what came of it is not known: a time-out after the
first byte, a reset, HTTP 5xx, an answer that cannot be read. It is never taken for a failure. What may be done follows
from what the provider's spec declares, and from nothing else:
"""
LIMITS = f"""
"Without effect" means within the declared idempotency window, less {WINDOW_MARGIN.seconds // 60} minutes. A conclusive
"not found" proves that nothing happened, and the operation returns to `prepared`; whether, and after how many seconds,
"not found" is conclusive is declared too: see [providers](reference/providers.md). An operation is sent at most
{SENDS_MAX} times, each after proof that the one before had no effect (after a refusal that the provider documents as
made before processing: {THROTTLES_MAX} times); then the payment fails with `provider_unavailable`.

A confirm whose outcome is unknown is settled by asking about its charge; an unanswered query is made again as the
schedule says.
"""
NEXT = {
    Next.ASK: "ask the provider, until it answers or its declared end; then a person",
    Next.RESEND: "send the same operation again",
    Next.WAIT: "wait for a callback, then a person",
}


def words(enum: type[StrEnum]) -> str:
    """The members that need a word of explanation: the comment beside them in the source."""
    commented = re.findall(r'= "(\w+)"  # (.*)', inspect.getsource(enum))
    return "\n".join(f"- `{value}`: {comment}" for value, comment in commented)


def grid(cells: Cells, rows: type[StrEnum], columns: type[StrEnum]) -> str:
    """A state table: a row for each state and a column for each fact."""
    shown = {STALE: "·", REFUSE: "**refuse**"}
    lines = [[code(row), *(shown.get(cell := cells[row, fact], code(cell)) for fact in columns)] for row in rows]
    return table(["", *columns], lines)


def diagram(cells: Cells, first: str) -> str:
    """The moves of a state table, labelled with the fact unless it has the new state's name."""
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, fact), cell in cells.items():
        if cell not in (STALE, REFUSE):
            edges.setdefault((state, cell), []).append(fact)
    arrows = [
        f"    {start} --> {end}" + ("" if facts == [end] else f": {', '.join(facts)}")
        for (start, end), facts in edges.items()
    ]
    return mermaid("stateDiagram-v2", f"    [*] --> {first}", *arrows)


def decisions() -> str:
    """The table of decisions."""
    rows = [(lookup, "yes" if again else "no", NEXT[choice]) for (lookup, again), choice in AFTER_UNKNOWN.items()]
    return table(["lookup", "may be sent again without effect", "what is done"], rows)


def decided() -> str:
    """What that comes to for every verb that moves money."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (code(name), code(verb), NEXT[after_unknown(each.uncertainty, now, now)])
        for name, spec in PROVIDERS.items()
        for verb, each in spec.verbs.items()
        if verb not in (Verb.QUERY, Verb.CONFIRM)
    ]
    return table(["provider", "verb", "after an unknown outcome"], rows)


def states() -> str:
    """The page."""
    return page(
        "States",
        "gateway/payments/states.py, model.py and decisions.py",
        INTRODUCTION,
        "## Operation",
        words(State),
        "Facts:",
        words(OperationFact),
        grid(OPERATION_TABLE, State, OperationFact),
        diagram(OPERATION_TABLE, State.PREPARED),
        "## Payment",
        "Facts:",
        words(PaymentFact),
        grid(PAYMENT_TABLE, Status, PaymentFact),
        diagram(PAYMENT_TABLE, Status.PENDING),
        "## Refund",
        grid(REFUND_TABLE, RefundStatus, RefundFact),
        diagram(REFUND_TABLE, RefundStatus.PENDING),
        "## After an unknown outcome",
        UNKNOWN,
        decisions(),
        LIMITS,
        decided(),
    )
