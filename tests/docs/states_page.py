"""docs/states.md: the two state tables, their diagrams, and what an unknown outcome permits."""

import inspect
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gateway.payments import decisions, states
from gateway.payments.decisions import AFTER_UNKNOWN, Next, after_unknown
from gateway.payments.model import State, Status
from gateway.payments.states import OPERATION_TABLE, PAYMENT_TABLE, REFUSE, STALE, OperationFact, PaymentFact
from providers.registry import PROVIDERS
from tests.docs.markdown import code, mermaid, page, table

Table = Mapping[tuple[Any, Any], str]

LEGEND = """
A cell is the new state. `–` is *stale*: late or a duplicate, counted and ignored. **refuse** contradicts what we
believe: the state stays, the fact is recorded, and the payment goes to review. There is no default: a missing cell stops
the program at import, and a test reaches every cell through the recorder on a real database.
"""
NEXT = {
    Next.ASK: "ask the provider, until it answers or its declared end; then a person",
    Next.RESEND: "send the same operation again",
    Next.WAIT: "wait for a callback, then a person",
}


def states_of(enum: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Each member's value with the comment beside it in the source."""
    comments = dict(re.findall(r'= "(\w+)"(?:  # (.*))?', inspect.getsource(enum)))
    return ((code(member), comments[member]) for member in enum)


def grid(cells: Table, rows: type[StrEnum], columns: type[StrEnum]) -> str:
    """A state table, a row for each state and a column for each fact."""
    shown = {STALE: "–", REFUSE: "**refuse**"}
    lines = [[code(row), *(shown.get(cell := cells[row, fact], code(cell)) for fact in columns)] for row in rows]
    return table(["", *columns], lines)


def diagram(cells: Table, first: str) -> str:
    """The moves of a state table; what is stale or refused is left out."""
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, fact), cell in cells.items():
        if cell not in (STALE, REFUSE):
            edges.setdefault((state, cell), []).append(fact)
    arrows = [f"    {start} --> {end}: {', '.join(facts)}" for (start, end), facts in edges.items()]
    return mermaid("stateDiagram-v2", f"    [*] --> {first}", *arrows)


def permitted() -> str:
    """What an Unknown permits, as declared, for each provider and verb that there is."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (code(name), code(verb), f"{said.idempotency} / {said.lookup}", NEXT[after_unknown(said, now, now)])
        for name, spec in PROVIDERS.items()
        for verb, each in spec.verbs.items()
        for said in [each.uncertainty]
    ]
    return table(["provider", "verb", "idempotency / lookup", "just after an unknown outcome"], rows)


def after() -> str:
    """The table of decisions."""
    rows = [(lookup, "yes" if again else "no", NEXT[choice]) for (lookup, again), choice in AFTER_UNKNOWN.items()]
    return table(["lookup", "may be sent again without effect", "what is done"], rows)


def states() -> str:
    """The page."""
    return page(
        "States",
        "gateway/payments/states.py, model.py and decisions.py",
        "A payment is what the merchant sees. An operation is one attempt of one verb (charge, confirm, query, …) at one "
        "account; facts about operations move their payment.",
        "## Operation",
        table(["state", "meaning, where the word is not enough"], states_of(State)),
        table(["fact", "meaning, where the word is not enough"], states_of(OperationFact)),
        LEGEND,
        grid(OPERATION_TABLE, State, OperationFact),
        diagram(OPERATION_TABLE, State.PREPARED),
        "## Payment",
        table(["fact", "meaning, where the word is not enough"], states_of(PaymentFact)),
        grid(PAYMENT_TABLE, Status, PaymentFact),
        diagram(PAYMENT_TABLE, Status.PENDING),
        "## After an unknown outcome",
        f"""
An outcome is *unknown* when the request may have been received and its answer is not known: a time-out after the first
byte, a reset, HTTP 5xx, an answer that cannot be read. It is never taken for a failure. What may be done follows from
what the provider's spec declares, and from nothing else:
""",
        after(),
        f"""
"Without effect" means within the declared idempotency window, less {decisions.WINDOW_MARGIN.seconds // 60} minutes.
A conclusive "not found" proves that nothing happened, and the operation returns to `prepared`; whether and after how many
seconds "not found" is conclusive is declared too ([providers](reference/providers.md)). An operation is sent at most
{decisions.SENDS_MAX} times, each after proof that the one before had no effect (a documented refusal before processing:
{decisions.THROTTLES_MAX} times); then the payment fails with `provider_unavailable`.
""",
        permitted(),
    )
