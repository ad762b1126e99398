"""What a run left behind, read from files and indexed by payment."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, as TypeID v0.3 wants it
SIMULATORS = ("sandbox", "cpay", "mpesa", "daraja", "pawapay", "standard_bank_pay")
MONEY = ("charges", "authorizations", "refunds", "payouts")


def public(prefix: str, uuid: str) -> str:
    """The public form of a UUID, "pay_01k…"."""
    value, letters = int(uuid.replace("-", ""), 16), ""
    for _ in range(26):
        letters = BASE32[value & 31] + letters
        value >>= 5
    return f"{prefix}_{letters}"


@dataclass
class Evidence:
    """Rows as dictionaries; payments are known by their public id everywhere."""

    run: Row = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    payments: dict[str, Row] = field(default_factory=dict)
    operations: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    keys: list[Row] = field(default_factory=list)
    callbacks: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    relay: Row = field(default_factory=dict)
    observed: list[Row] = field(default_factory=list)
    requests: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))  # what providers received
    money: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))  # what providers did

    def charges(self, payment: str) -> list[Row]:
        """The money that providers took for a payment."""
        return [entry for entry in self.money.get(payment, []) if entry["kind"] == "charges"]

    def attempts(self, payment: str) -> list[Row]:
        """The operations that take money."""
        return [one for one in self.operations.get(payment, []) if one["verb"] in ("charge", "authorize")]

    def calls(self, kind: str, call: str) -> Iterator[Row]:
        """Lines of the history."""
        return (line for line in self.history if line["type"] == kind and line["call"] == call)


def load(directory: Path) -> Evidence:
    """Read the evidence directory."""
    found = Evidence(run=json.loads((directory / "run.json").read_text()))
    found.history = list(_lines(directory / "history.jsonl"))
    found.payments = {public("pay", row["id"]): row for row in _lines(directory / "payments.jsonl")}
    for row in _lines(directory / "operations.jsonl"):
        found.operations[public("pay", row["payment_id"])].append(row)
    references = {one["reference"]: payment for payment, rows in found.operations.items() for one in rows}
    for row in _lines(directory / "events.jsonl"):
        found.events[public("pay", row["object_id"])].append(row)
    for rows in found.events.values():
        rows.sort(key=lambda row: row["sequence"])
    found.keys = list(_lines(directory / "idempotency_keys.jsonl"))
    found.callbacks = list(_lines(directory / "callbacks.jsonl"))
    found.dead_letters = list(_lines(directory / "dead_letters.jsonl"))
    found.relay = next(_lines(directory / "relay.jsonl"))
    found.observed = list(_lines(directory / "observed.jsonl"))
    for name in SIMULATORS:
        read_ledger(found, name, directory / f"{name}.jsonl", references)
    return found


def read_ledger(found: Evidence, provider: str, file: Path, references: dict[str, str]) -> None:
    """Lines of `[kind, entry]`; a last line that a kill cut off was never answered for.

    Where a protocol does not carry the payment, `references` leads to it; what leads nowhere is under "<provider> …".
    """
    if not file.exists():
        return
    for line in file.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        kind, entry = json.loads(line)
        entry |= {"kind": kind, "provider": provider}
        reference = entry.get("reference")
        payment = entry.get("payment") or references.get(reference) or f"{provider} {reference}"
        if kind == "requests" and reference:
            found.requests[payment].append(entry)
        elif kind in MONEY:
            found.money[payment].append(entry)


def _lines(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
